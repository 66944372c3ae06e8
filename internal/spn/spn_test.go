package spn

import (
	"slices"
	"testing"
)

func TestServiceNames(t *testing.T) {
	for in, want := range map[string]Name{
		"cifs/HV02":               {Class: "cifs", Host: "HV02"},
		Migration + "/HV02":       {Class: Migration, Host: "HV02"},
		Twin(Migration + "/HV02"): {Class: Migration, Host: "HV02"},
		`Microsoft\ Virtual\ System\ Migration\ Service/hv02.lab.drover.test@LAB.DROVER.TEST`: {Class: Migration, Host: "hv02.lab.drover.test"},
		"ldap/dc1:389/lab": {Class: "ldap", Host: "dc1:389", Instance: "lab"},
	} {
		got, err := Parse(in)
		if err != nil || got != want {
			t.Errorf("%q: %+v, %v", in, got, err)
		}
		if !Equal(in, got.String()) {
			t.Errorf("%q is not equal to its own plain form %q", in, got)
		}
	}
	for _, bad := range []string{"", "HV02", "/HV02", "cifs/", "a/b/c/d"} {
		if n, err := Parse(bad); err == nil {
			t.Errorf("%q parsed as %+v", bad, n)
		}
	}
	if h := (Name{Host: "hv02.lab.drover.test:6600"}).ShortHost(); h != "hv02" {
		t.Errorf("short host %q", h)
	}
}

func TestNamesForAHost(t *testing.T) {
	for host, want := range map[string]string{"hv02": "cifs/HV02", "HV02.Example.ORG": "cifs/hv02.example.org"} {
		if got := For(Storage, host); got != want {
			t.Errorf("For(%q) = %q, want %q", host, got, want)
		}
	}
	if got := Class("Microsoft Virtual System Migration Service/HV02"); got != Migration {
		t.Errorf("class %q", got)
	}
}

func TestTwins(t *testing.T) {
	plain, twin := Migration+"/HV02", `Microsoft\ Virtual\ System\ Migration\ Service/HV02`
	if Twin(plain) != twin || Twin("cifs/HV02") != "" || !IsTwin(twin) || IsTwin(plain) || Plain(twin) != plain {
		t.Errorf("twin of %q is %q", plain, Twin(plain))
	}
	if !Equal(plain, twin) || !Equal("CIFS/hv02", "cifs/HV02") || Equal("cifs/HV02", "cifs/HV03") {
		t.Error("Equal")
	}
	if Contains([]string{plain}, twin) || !Contains([]string{"CIFS/hv02"}, "cifs/HV02") {
		t.Error("Contains: a plain name must not stand for its twin")
	}
	if got := PlainList([]string{plain, twin, "cifs/HV02", "CIFS/hv02"}); !slices.Equal(got, []string{plain, "cifs/HV02"}) {
		t.Errorf("PlainList %q", got)
	}
	if got := PlainList([]string{"cifs/HV02", twin}); !slices.Equal(got, []string{"cifs/HV02", plain}) {
		t.Errorf("PlainList of a twin alone %q", got)
	}
	if got := Stored(true, plain, "cifs/HV02"); !slices.Equal(got, []string{plain, twin, "cifs/HV02"}) {
		t.Errorf("on Samba %q", got)
	}
	if got := Stored(false, plain); !slices.Equal(got, []string{plain}) {
		t.Errorf("on Windows %q", got)
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"cifs/HV02", Migration + "/HV02", Twin(Migration+"/HV02") + "@REALM", `a\@b/c`, "ldap/dc1:389/x", `\`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		n, err := Parse(s)
		if err != nil {
			return
		}
		if n.Class == "" || n.Host == "" || len(n.String()) > len(s) {
			t.Fatalf("%q parsed as %+v", s, n)
		}
		if Key(n.String()) != Key(Twin(n.String())) && Twin(n.String()) != "" && Plain(n.String()) == n.String() {
			t.Fatalf("the twin of %q is another name", n)
		}
		if Stored(true, n.String())[0] != n.String() {
			t.Fatalf("%q is not stored as itself", n)
		}
	})
}
