package stream

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestIdentityIsKeptUntilItMustChange(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "tls")
	path := filepath.Join(dir, identityFile)
	now := time.Now()
	get := func(host string, at time.Time) string {
		t.Helper()
		id, err := loadOrCreate(dir, host, at)
		if err != nil {
			t.Fatal(err)
		}
		st, err := os.Stat(path)
		if err != nil || st.Mode().Perm() != 0o600 {
			t.Fatalf("mode %v, %v", st.Mode(), err)
		}
		if left, _ := os.ReadDir(dir); len(left) != 1 {
			t.Fatalf("files left: %v", left)
		}
		return id.Fingerprint()
	}
	first := get("HV01", now)
	if get("HV01", now.Add(300*24*time.Hour)) != first {
		t.Error("replaced although valid for long")
	}
	second := get("HV01", now.Add(340*24*time.Hour))
	if second == first {
		t.Error("kept although near its end")
	}
	third := get("HV02", now.Add(340*24*time.Hour))
	if third == second {
		t.Error("kept for another host")
	}
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	fourth := get("HV02", now.Add(340*24*time.Hour))
	if fourth == third {
		t.Error("kept although others could read it")
	}
	if err := os.WriteFile(path, []byte("damaged"), 0o600); err != nil {
		t.Fatal(err)
	}
	if get("HV02", now.Add(340*24*time.Hour)) == fourth {
		t.Error("kept although damaged")
	}
}

func TestIdentityThatCannotBeReadIsAnError(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, identityFile), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadOrCreateIdentity(dir, "HV01"); err == nil {
		t.Error("no error for a directory in its place")
	}
}
