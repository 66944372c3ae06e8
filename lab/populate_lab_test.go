package lab_test

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"

	"drover/lab"
)

// TestPopulate: the accounts of a population are in the directory that the running controller
// serves, and it goes on to make accounts of its own.
func TestPopulate(t *testing.T) {
	l := lab.Start(t, lab.Options{Name: "populate", NoAgents: true, Hosts: []string{}, Unjoined: true})
	if err := l.Populate(t.Context(), lab.Population{Hosts: 5, Users: 60, Mesh: true, Network: netip.MustParsePrefix("10.78.0.0/24"), System: "Windows"}); err != nil {
		t.Fatal(err)
	}
	if err := l.Join(t.Context(), lab.NEW1); err != nil {
		t.Fatal(err)
	}
	m := l.Member(lab.NEW1)
	run(t, m, "kinit", "-k", "NEW1$")
	count := func(base, filter string) int {
		t.Helper()
		out := run(t, m, "ldapsearch", "-Q", "-LLL", "-Y", "GSSAPI", "-H", "ldap://dc1."+lab.Domain, "-b", base, filter, "dn")
		return strings.Count(out, "dn: CN=")
	}
	for _, c := range []struct {
		base, filter string
		want         int
	}{
		{lab.PopulationHostsOU, "(objectClass=computer)", 5},
		{lab.PopulationHostsOU, "(userAccountControl:1.2.840.113556.1.4.803:=2)", 0},
		{lab.PopulationPeopleOU, "(objectClass=user)", 60},
		{lab.PopulationPeopleOU, "(servicePrincipalName=*)", 3},
		{lab.PopulationPeopleOU, "(userAccountControl:1.2.840.113556.1.4.803:=2)", 2},
		{lab.BaseDN, "(servicePrincipalName=cifs/p003.lab.drover.test)", 1},
		{lab.BaseDN, "(sAMAccountName=NEW1$)", 1},
	} {
		if got := count(c.base, c.filter); got != c.want {
			t.Errorf("%s below %s: %d entries, want %d", c.filter, c.base, got, c.want)
		}
	}
	testPopulatedHost(t, l)
	if out := run(t, m, "getent", "ahostsv4", "p005.lab.drover.test"); !strings.HasPrefix(out, "10.78.0.5 ") {
		t.Errorf("address of P005: %s", out)
	}
	if err := l.Populate(t.Context(), lab.Population{Users: 1}); err == nil {
		t.Error("a second population is accepted")
	}
}

func testPopulatedHost(t *testing.T, l *lab.Lab) {
	t.Helper()
	name := lab.PopulationHost(5)
	want := lab.ServiceNames(name, "HOST", "RestrictedKrbHost", "cifs", lab.MigrationService)
	slices.Sort(want)
	to := lab.DelegationTo("P001", "P002", "P003", "P004")
	slices.Sort(to)
	for attribute, want := range map[string][]string{
		"sAMAccountName":                {"P005$"},
		"dNSHostName":                   {"p005.lab.drover.test"},
		"userAccountControl":            {strconv.Itoa(lab.FlagWorkstationAccount | lab.FlagTrustedToAuthForDlg)},
		"msDS-SupportedEncryptionTypes": {"24"},
		"servicePrincipalName":          want,
		"msDS-AllowedToDelegateTo":      to,
		"operatingSystem":               {"Windows"},
	} {
		got, err := l.Directory().Values(t.Context(), lab.PopulationHostDN(5), attribute)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%s of %s is %q, want %q; %v", attribute, name, got, want, err)
		}
	}
}
