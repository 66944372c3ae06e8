package admit

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"
)

// allowedPath is the whole list of what an admitted document may name.
func allowedPath(s string, p Policy) bool {
	roots := append(append([]string{p.NVRAMDir, p.SerialLogDir}, p.StorageRoots...), p.BootRoots...)
	return under(s, roots) || s == "/dev/urandom" || s == "/dev/random" || s == p.Loaders[0]
}

// freeText are the places that may hold any words, which libvirt hands to the
// guest or to people and never opens.
var freeText = map[string]bool{"cmdline": true, "title": true, "description": true, "entry": true, "serial": true,
	"vendor": true, "product": true, "passwd": true, "passwdValidTo": true, "vendor_id": true}

func checkSafe(t *testing.T, n *node, p Policy) {
	t.Helper()
	switch n.name {
	case "hostdev", "filesystem", "shmem", "commandline", "emulator", "seclabel", "metadata", "script", "auth", "secret", "encryption", "lease":
		t.Fatalf("<%s> was admitted", n.name)
	}
	if strings.HasPrefix(n.text, "/") && !freeText[n.name] && !allowedPath(n.text, p) {
		t.Fatalf("path %q in <%s> was admitted", n.text, n.name)
	}
	for _, a := range n.attrs {
		if strings.Contains(a.value, "/") && !freeText[a.name] && a.name != "timezone" && !allowedPath(a.value, p) {
			t.Fatalf("path %s=%q in <%s> was admitted", a.name, a.value, n.name)
		}
	}
	for _, k := range n.kids {
		checkSafe(t, k, p)
	}
}

func FuzzAdmit(f *testing.F) {
	f.Add([]byte(readTestdata(f, "q35.xml")))
	f.Add([]byte(`<domain type='qemu'><name>APP01</name><uuid>0a1b2c3d-0001-4002-8003-000000000001</uuid><memory>1</memory><os><type>hvm</type></os></domain>`))
	f.Fuzz(func(t *testing.T, in []byte) {
		p := policy()
		a, err := Domain(in, p)
		if err != nil {
			return
		}
		again, err := Domain([]byte(a.XML), p)
		if err != nil {
			t.Fatalf("what was admitted is refused: %v\n%s", err, a.XML)
		}
		if again.XML != a.XML {
			t.Fatalf("admitted again it differs:\n%s\n%s", a.XML, again.XML)
		}
		root, err := parse([]byte(a.XML))
		if err != nil {
			t.Fatal(err)
		}
		checkSafe(t, root, p)
	})
}

func FuzzAdmitCookie(f *testing.F) {
	files, err := filepath.Glob("testdata/cookie-*.bin")
	if err != nil || len(files) == 0 {
		f.Fatal("no recorded cookies")
	}
	for _, name := range files {
		f.Add([]byte(readTestdata(f, filepath.Base(name))))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		p := cookiePolicy()
		out, err := Cookie(in, p)
		if err != nil || len(out) == 0 {
			return
		}
		again, err := Cookie(out, p)
		if err != nil || !bytes.Equal(again, out) {
			t.Fatalf("admitted again: %v\n%s\n%s", err, out, again)
		}
		root, err := parse(bytes.TrimSuffix(out, []byte{0}))
		if err != nil {
			t.Fatal(err)
		}
		checkSafe(t, root, p)
	})
}
