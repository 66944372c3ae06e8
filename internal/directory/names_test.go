package directory

import (
	"slices"
	"testing"

	"github.com/go-ldap/ldap/v3"
)

const migration = "Microsoft Virtual System Migration Service"

func TestServiceNames(t *testing.T) {
	for in, want := range map[string]ServiceName{
		"cifs/HV02":               {Class: "cifs", Host: "HV02"},
		migration + "/HV02":       {Class: migration, Host: "HV02"},
		Twin(migration + "/HV02"): {Class: migration, Host: "HV02"},
		`Microsoft\ Virtual\ System\ Migration\ Service/hv02.lab.drover.test@LAB.DROVER.TEST`: {Class: migration, Host: "hv02.lab.drover.test"},
		"ldap/dc1:389/lab": {Class: "ldap", Host: "dc1:389", Instance: "lab"},
	} {
		got, err := ParseServiceName(in)
		if err != nil || got != want {
			t.Errorf("%q: %+v, %v", in, got, err)
		}
		if !Equal(in, got.String()) {
			t.Errorf("%q is not equal to its own plain form %q", in, got)
		}
	}
	for _, bad := range []string{"", "HV02", "/HV02", "cifs/", "a/b/c/d"} {
		if n, err := ParseServiceName(bad); err == nil {
			t.Errorf("%q parsed as %+v", bad, n)
		}
	}
	if h := (ServiceName{Host: "hv02.lab.drover.test:6600"}).ShortHost(); h != "hv02" {
		t.Errorf("short host %q", h)
	}
}

func TestTwins(t *testing.T) {
	plain, twin := migration+"/HV02", `Microsoft\ Virtual\ System\ Migration\ Service/HV02`
	if Twin(plain) != twin || Twin("cifs/HV02") != "" || !IsTwin(twin) || IsTwin(plain) || Normalise(twin) != plain {
		t.Errorf("twin of %q is %q", plain, Twin(plain))
	}
	if !Equal(plain, twin) || !Equal("CIFS/hv02", "cifs/HV02") || Equal("cifs/HV02", "cifs/HV03") {
		t.Error("Equal")
	}
	if Contains([]string{plain}, twin) || !Contains([]string{"CIFS/hv02"}, "cifs/HV02") {
		t.Error("Contains: a plain name must not stand for its twin")
	}
	if got := Plain([]string{plain, twin, "cifs/HV02", "CIFS/hv02"}); !slices.Equal(got, []string{plain, "cifs/HV02"}) {
		t.Errorf("Plain %q", got)
	}
	if got := Values(Samba, plain, "cifs/HV02"); !slices.Equal(got, []string{plain, twin, "cifs/HV02"}) {
		t.Errorf("on Samba %q", got)
	}
	if got := Values(Windows, plain); !slices.Equal(got, []string{plain}) {
		t.Errorf("on Windows %q", got)
	}
}

func TestAccountFilterEscapes(t *testing.T) {
	for in, want := range map[string]string{
		"HV01$":                     "(sAMAccountName=HV01$)",
		"operator@LAB.DROVER.TEST":  "(sAMAccountName=operator)",
		"x)(objectClass=*":          `(sAMAccountName=x\29\28objectClass=\2a)`,
		Twin(migration + "/HV01"):   "(servicePrincipalName=" + migration + "/HV01)",
		"cifs/hv01@LAB.DROVER.TEST": "(servicePrincipalName=cifs/hv01)",
		"a*/b":                      `(servicePrincipalName=a\2a/b)`,
	} {
		if got := accountFilter(in); got != want {
			t.Errorf("%q: %s, want %s", in, got, want)
		}
	}
}

func TestParseAccount(t *testing.T) {
	sid := string([]byte{1, 5, 0, 0, 0, 0, 0, 5, 21, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 0x50, 4, 0, 0})
	attrs := map[string][]string{"sAMAccountName": {"HV01$"}, "objectSid": {sid}, "userAccountControl": {"17829888"},
		"msDS-KeyVersionNumber": {"3"}, AttributeDelegateTo: {"cifs/HV02"}, attributeActOnBehalf: {"x"}}
	a, err := parseAccount(ldap.NewEntry("CN=HV01", attrs))
	if err != nil {
		t.Fatal(err)
	}
	if a.SID != "S-1-5-21-1-2-3-1104" || !a.AnyProtocol() || !a.Sensitive() || a.Disabled() || a.KeyVersion != 3 || !a.ResourceBased || a.DelegateTo[0] != "cifs/HV02" {
		t.Errorf("%+v", a)
	}
	if withRID(a.SID, 525) != "S-1-5-21-1-2-3-525" {
		t.Error(withRID(a.SID, 525))
	}
	for name, v := range map[string]string{"objectSid": sid[:9], "userAccountControl": ""} {
		broken := map[string][]string{"objectSid": {sid}, "userAccountControl": {"512"}}
		broken[name] = []string{v}
		if _, err := parseAccount(ldap.NewEntry("CN=X", broken)); err == nil {
			t.Errorf("%s %q accepted", name, v)
		}
	}
}

func TestKindOfController(t *testing.T) {
	if kindOf("Samba Team (https://www.samba.org)") != Samba || kindOf("") != Windows {
		t.Error("vendor")
	}
}
