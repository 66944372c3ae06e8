package doctor

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"drover/internal/delegation"
	"drover/internal/directory"
	"drover/internal/krb"
)

// keytab has one AES key of an account, in the second version of the format.
func keytab(t *testing.T, account string, version byte) string {
	t.Helper()
	var entry bytes.Buffer
	text := func(s string) {
		_ = binary.Write(&entry, binary.BigEndian, uint16(len(s)))
		entry.WriteString(s)
	}
	_ = binary.Write(&entry, binary.BigEndian, uint16(1)) // parts of the name
	text("LAB.DROVER.TEST")
	text(account)
	_ = binary.Write(&entry, binary.BigEndian, []uint32{1, 0}) // kind of name, time
	entry.WriteByte(version)
	_ = binary.Write(&entry, binary.BigEndian, []uint16{18, 32})
	entry.Write(make([]byte, 32))
	file := append([]byte{5, 2}, binary.BigEndian.AppendUint32(nil, uint32(entry.Len()))...)
	path := filepath.Join(t.TempDir(), "krb5.keytab")
	if err := os.WriteFile(path, append(file, entry.Bytes()...), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// What there was nothing to hold against has not passed.
func TestWhatWasNotComparedIsNotChecked(t *testing.T) {
	x := func(d Doctor) *examination {
		d.Now, d.Here, d.Krb5Conf = time.Now, "HV01", filepath.Join(t.TempDir(), "krb5.conf")
		if err := os.WriteFile(d.Krb5Conf, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		return &examination{Doctor: &d}
	}
	expect := func(name string, x *examination, what string, checked bool) {
		t.Helper()
		is := func(c Check) bool { return c.What == what }
		if slices.ContainsFunc(x.checked, is) != checked || slices.ContainsFunc(x.notChecked, is) == checked {
			t.Errorf("%s: checked %+v, not checked %+v", name, x.checked, x.notChecked)
		}
	}
	for _, domain := range []string{"", "lab.drover.test"} {
		e := x(Doctor{Domain: domain})
		e.checkKrb5Conf(t.Context())
		expect("domain "+domain, e, "krb5.conf", domain != "")
	}
	for version, checked := range map[int]bool{0: false, 3: true} {
		e := x(Doctor{Keytab: keytab(t, "HV01$", 3)})
		e.hosts = []*seenHost{{Host: delegation.Host{Name: "HV01", Account: "HV01$"}, account: &directory.Account{KeyVersion: version}}}
		e.checkKeytab(t.Context())
		if expect("key", e, "this machine's key", checked); len(e.found) > 0 {
			t.Errorf("%+v", e.found)
		}
	}
	for at, checked := range map[time.Time]bool{{}: false, time.Now(): true} {
		e := x(Doctor{})
		e.clock("dc1", krb.KDCAnswer{Clock: at, At: at})
		expect("clock", e, "clock", checked)
	}
}
