package directory

import (
	"testing"

	"github.com/go-ldap/ldap/v3"

	"drover/internal/spn"
)

func TestAccountFilterEscapes(t *testing.T) {
	for in, want := range map[string]string{
		"HV01$":                           "(sAMAccountName=HV01$)",
		"operator@LAB.DROVER.TEST":        "(sAMAccountName=operator)",
		"x)(objectClass=*":                `(sAMAccountName=x\29\28objectClass=\2a)`,
		spn.Twin(spn.Migration + "/HV01"): "(servicePrincipalName=" + spn.Migration + "/HV01)",
		"cifs/hv01@LAB.DROVER.TEST":       "(servicePrincipalName=cifs/hv01)",
		"a*/b":                            `(servicePrincipalName=a\2a/b)`,
	} {
		if got := accountFilter(in); got != want {
			t.Errorf("%q: %s, want %s", in, got, want)
		}
	}
}

func TestParseAccount(t *testing.T) {
	sid := string([]byte{1, 5, 0, 0, 0, 0, 0, 5, 21, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 0x50, 4, 0, 0})
	attrs := map[string][]string{"sAMAccountName": {"HV01$"}, "objectSid": {sid}, "userAccountControl": {"17829888"},
		"msDS-KeyVersionNumber": {"3"}, AttributeDelegateTo: {"cifs/HV02"}, AttributeActOnBehalf: {"x"}, "operatingSystem": {"Windows Server 2025 Datacenter"}}
	a, err := parseAccount(ldap.NewEntry("CN=HV01", attrs))
	if err != nil {
		t.Fatal(err)
	}
	if a.SID != "S-1-5-21-1-2-3-1104" || !a.AnyProtocol() || !a.Sensitive() || a.Disabled() || a.KeyVersion != 3 || !a.ResourceBased() || a.DelegateTo[0] != "cifs/HV02" || !a.Windows() {
		t.Errorf("%+v", a)
	}
	for name, v := range map[string]string{"objectSid": sid[:9], "userAccountControl": "x"} {
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
