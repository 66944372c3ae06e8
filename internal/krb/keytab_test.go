package krb

import (
	"path/filepath"
	"testing"

	"drover/internal/fault"
)

func TestReadKeytabListsKeysWithoutTheKeys(t *testing.T) {
	path := filepath.Join(t.TempDir(), "k")
	writeKeytab(t, path, "HV01$", 3, 18, 23)
	keys, err := ReadKeytab(path)
	if err != nil || len(keys) != 2 {
		t.Fatalf("%+v, %v", keys, err)
	}
	aes := 0
	for _, k := range keys {
		if k.Version != 3 || k.Principal[:6] != "HV01$@" {
			t.Errorf("%+v", k)
		}
		if k.AES {
			aes++
		}
	}
	if aes != 1 {
		t.Errorf("%d AES keys of %+v", aes, keys)
	}
	if _, err := ReadKeytab(path + ".missing"); !fault.Is(err, fault.AgentNoKeytab) {
		t.Errorf("missing keytab: %v", err)
	}
}
