package directory

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"drover/internal/fault"

	"github.com/go-ldap/ldap/v3"
)

// testSID is the SID of an account of the stubs' domain, with a RID below 256.
func testSID(rid byte) string {
	return "\x01\x05\x00\x00\x00\x00\x00\x05\x15\x00\x00\x00\x01\x00\x00\x00\x02\x00\x00\x00\x03\x00\x00\x00" + string([]byte{rid, 0, 0, 0})
}

func computer(name string) *ldap.Entry {
	return ldap.NewEntry("CN="+name+",DC=lab,DC=test", map[string][]string{"sAMAccountName": {name + "$"}, "objectSid": {testSID(9)},
		"userAccountControl": {"4096"}, "objectClass": {"top", "person", "user", "computer"}, "uSNChanged": {"77"},
		"msDS-SupportedEncryptionTypes": {"24"}, "memberOf": {"CN=G"}})
}

func TestAccountsOfEveryPageAreSorted(t *testing.T) {
	pages := map[string]answer{
		"":  {entries: []*ldap.Entry{computer("hv03")}, cookie: "a", refer: "ldap://lab.test/CN=Configuration,DC=lab,DC=test"},
		"a": {cookie: "b"}, // a page may be empty
		"b": {entries: []*ldap.Entry{computer("HV02"), computer("HV01")}},
	}
	c, all := scripted(t, Windows, func(q asked) answer {
		if slices.Contains(q.attributes, "sAMAccountName") {
			return pages[q.cookie]
		}
		return answer{} // no Protected Users
	})
	got, err := c.Accounts(t.Context(), Query{Computers: true, Class: "cifs"})
	if err != nil || len(got) != 3 {
		t.Fatalf("%v, %v", got, err)
	}
	if a := got[0]; a.Name != "HV01$" || got[2].Name != "hv03$" || a.Class != Computer || a.USN != 77 || a.EncryptionTypes != 24 || a.MemberOf[0] != "CN=G" || a.Hidden {
		t.Errorf("%+v", got)
	}
	if q := (*all)[0]; q.dn != "DC=lab,DC=test" || q.filter != "(&(objectCategory=computer)(servicePrincipalName=cifs/*))" {
		t.Errorf("%+v", q)
	}
	if len(*all) != 4 {
		t.Errorf("%d requests, want three pages and one for Protected Users", len(*all))
	}
}

func TestManyNamesAreAskedForInSeveralSearches(t *testing.T) {
	c, all := scripted(t, Windows, func(q asked) answer {
		if strings.Contains(q.filter, "sAMAccountName") {
			return answer{entries: []*ldap.Entry{computer("HV01")}}
		}
		return answer{}
	})
	names := []string{"hv0", "HV0"}
	for i := range 2*namesPerSearch + 1 {
		names = append(names, fmt.Sprintf("hv%d", i))
	}
	got, err := c.Accounts(t.Context(), Query{Names: names})
	if err != nil || len(got) != 1 {
		t.Errorf("%d accounts, want each once; %v", len(got), err)
	}
	if len(*all) != 4 { // with the one for Protected Users
		t.Errorf("%d requests", len(*all))
	}
}

func TestFilters(t *testing.T) {
	for want, got := range map[string]string{
		anyAccount: Query{}.filter(),
		"(&" + anyAccount + "(servicePrincipalName=a b*c\\29*))":           Query{Pattern: `a\ b**c)*`}.filter(),
		"(&(objectCategory=computer)(servicePrincipalName=*))":             Query{Computers: true, ServiceNames: true}.filter(),
		"(&(objectCategory=computer)(!(servicePrincipalName=*)))":          Query{Computers: true, Nameless: true}.filter(),
		"(&" + anyAccount + anyDelegated + ")":                             Query{Delegating: true}.filter(),
		nameFilter("hv01.lab.test"):                                        nameFilter("hv01.lab.test."),
		"(objectSid=S-1-5-21-1-2-3-500)":                                   nameFilter("S-1-5-21-1-2-3-500"),
		`(distinguishedName=CN=a\5c,b,DC=x)`:                               nameFilter(`CN=a\,b,DC=x`),
		"(sAMAccountName=S-1-x)(sAMAccountName=S-1-x$)(dNSHostName=S-1-x)": nameFilter("S-1-x"),
		`(sAMAccountName=\2a)(sAMAccountName=\2a$)(dNSHostName=\2a)`:       nameFilter("*"),
	} {
		if got != want {
			t.Errorf("%s, want %s", got, want)
		}
		if _, err := ldap.CompileFilter(anyOf(got)); err != nil {
			t.Errorf("%s: %v", got, err)
		}
	}
}

// rangedMembers answers like Windows: 1,500 values at most, in a range.
func rangedMembers(total, most int) func(asked) answer {
	return func(q asked) answer {
		from := 0
		for _, a := range q.attributes {
			if _, r, found := strings.Cut(a, ";range="); found {
				from, _ = strconv.Atoi(strings.TrimSuffix(r, "-*"))
			}
		}
		to, name := min(from+most, total), "*"
		var values []string
		for i := from; i < to; i++ {
			values = append(values, fmt.Sprintf("CN=m%d", i))
		}
		if to < total {
			name = strconv.Itoa(to - 1)
		}
		return answer{entries: []*ldap.Entry{{DN: "CN=G", Attributes: []*ldap.EntryAttribute{
			{Name: "member"}, {Name: fmt.Sprintf("member;range=%d-%s", from, name), Values: values},
			{Name: "objectSid", Values: []string{testSID(7)}}, {Name: "groupType", Values: []string{globalSecurityGroup}}, {Name: "objectGUID", Values: []string{"0123456789abcdef"}}}}}}
	}
}

func TestEveryValueOfALargeAttributeIsRead(t *testing.T) {
	c, all := scripted(t, Windows, rangedMembers(3200, 1500))
	g, err := c.Groups(t.Context(), "G")
	if err != nil || len(g) != 1 || len(g[0].Members) != 3200 || g[0].Members[3199] != "CN=m3199" || g[0].SID != "S-1-5-21-1-2-3-7" || g[0].Type != GroupGlobal|GroupSecurity {
		t.Fatalf("%v", err)
	}
	if len(*all) != 3 {
		t.Errorf("%d requests", len(*all))
	}
	e, err := c.Read(t.Context(), "CN=G", "MEMBER", "description")
	if err != nil || len(e.Strings("MEMBER")) != 3200 || len(e.Attributes) != 1 || e.GUID != "33323130-3534-3736-3839-616263646566" {
		t.Errorf("%v, %d, %s", err, len(e.Strings("MEMBER")), e.GUID)
	}
}

func TestARangeThatDoesNotAdvanceIsAnError(t *testing.T) {
	c, _ := scripted(t, Windows, func(asked) answer {
		return answer{entries: []*ldap.Entry{{DN: "CN=G", Attributes: []*ldap.EntryAttribute{{Name: "member;range=0-1", Values: []string{"a", "b"}}}}}}
	})
	if _, err := c.Groups(t.Context(), "G"); !fault.Is(err, fault.DirectoryFailed) {
		t.Errorf("%v", err)
	}
}

func TestParseRange(t *testing.T) {
	for in, want := range map[string]string{"member": "member -1 false", "member;range=0-1499": "member 1499 true", "member;Range=1500-*": "member -1 true",
		"cert;binary": "cert;binary -1 false"} {
		name, last, part, err := parseRange(in)
		if got := fmt.Sprint(name, " ", last, " ", part); err != nil || got != want {
			t.Errorf("%s: %s, %v", in, got, err)
		}
	}
	for _, in := range []string{"member;range=", "member;range=0", "member;range=0--1", "member;range=0-99999999999", "member;range=0-x"} {
		if _, _, _, err := parseRange(in); err == nil {
			t.Errorf("%s accepted", in)
		}
	}
}

// Protected Users, with a group in it that also contains itself.
func TestProtectedUsersAreFoundThroughGroups(t *testing.T) {
	group := func(dn string, members ...string) answer {
		return answer{entries: []*ldap.Entry{ldap.NewEntry(dn, map[string][]string{"member": members})}}
	}
	direct, nested, primary := computer("A"), computer("B"), computer("P")
	primary.Attributes = append(primary.Attributes, ldap.NewEntryAttribute("primaryGroupID", []string{"525"}))
	c, all := scripted(t, Samba, func(q asked) answer {
		switch {
		case q.filter == "(objectSid=S-1-5-21-1-2-3-525)":
			return answer{entries: []*ldap.Entry{ldap.NewEntry("CN=PU", nil)}}
		case q.dn == "CN=PU":
			return group("CN=PU", "CN=a,DC=lab,DC=test", "CN=Inner")
		case strings.Contains(q.filter, "(distinguishedName=CN=Inner)"):
			return group("CN=Inner", "CN=B,DC=lab,DC=test", "CN=Inner", "CN=PU")
		case slices.Contains(q.attributes, "sAMAccountName"):
			return answer{entries: []*ldap.Entry{direct, nested, primary, computer("C")}}
		}
		return answer{}
	})
	got, err := c.Accounts(t.Context(), Query{})
	if err != nil || len(got) != 4 {
		t.Fatalf("%v, %v", got, err)
	}
	for i, want := range []bool{true, true, false, true} {
		if got[i].Protected != want {
			t.Errorf("%s: protected %v", got[i].Name, got[i].Protected)
		}
	}
	if n := len(*all); n > 6 {
		t.Errorf("%d requests", n)
	}
}

func TestAQuietDirectoryCostsOneSmallSearch(t *testing.T) {
	c, all := scripted(t, Samba, func(q asked) answer {
		if q.dn == "" {
			return answer{entries: []*ldap.Entry{ldap.NewEntry("", map[string][]string{"highestCommittedUSN": {"500"}})}}
		}
		return answer{entries: []*ldap.Entry{ldap.NewEntry("CN=X\\0ADEL:1", map[string][]string{"objectGUID": {"0123456789abcdef"}, "uSNChanged": {"499"}, "isDeleted": {"TRUE"}})}}
	})
	if got, err := c.Changes(t.Context(), 500); err != nil || len(got) > 0 || len(*all) != 1 {
		t.Errorf("%v, %v, %d requests", got, err, len(*all))
	}
	got, err := c.Changes(t.Context(), 498)
	if err != nil || len(got) != 1 || !got[0].Deleted || got[0].USN != 499 {
		t.Fatalf("%v, %v", got, err)
	}
	if q := (*all)[2]; !strings.Contains(q.filter, "(uSNChanged>=499)") || !slices.Contains(q.controls, ldap.ControlTypeMicrosoftShowDeleted) {
		t.Errorf("%+v", q)
	}
}

// Records of DNS change all the time, and are neither accounts nor groups.
func TestWhatIsNoAccountIsSearchedPastOnce(t *testing.T) {
	usn, changed := 500, []*ldap.Entry(nil)
	c, all := scripted(t, Samba, func(q asked) answer {
		if q.dn == "" {
			return answer{entries: []*ldap.Entry{ldap.NewEntry("", map[string][]string{"highestCommittedUSN": {strconv.Itoa(usn)}})}}
		}
		return answer{entries: changed}
	})
	ask := func(want, requests int) {
		t.Helper()
		*all = nil
		if got, err := c.Changes(t.Context(), 400); err != nil || len(got) != want || len(*all) != requests {
			t.Errorf("%v, %v, %d requests", got, err, len(*all))
		}
	}
	ask(0, 2)
	ask(0, 1)
	usn, changed = 501, []*ldap.Entry{ldap.NewEntry("CN=X", map[string][]string{"objectGUID": {"0123456789abcdef"}, "uSNChanged": {"501"}})}
	ask(1, 2)
	if q := (*all)[1]; !strings.Contains(q.filter, "(uSNChanged>=501)") {
		t.Errorf("%+v", q)
	}
	ask(1, 2) // until the caller goes on from there
}

func TestParseMappings(t *testing.T) {
	got := parseMappings([]string{"ldap=x", "HOST=Alerter, dns,,dns", "host=cifs"})
	if !slices.Equal(got, []string{"alerter", "dns", "cifs"}) {
		t.Errorf("%q", got)
	}
}
