package directory

import (
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/go-ldap/ldap/v3"

	"drover/internal/fault"
)

// member is a controller of the forest that holds some accounts, finds them by their
// names, carries every change out, and notes what it was asked.
type member struct {
	accounts []*ldap.Entry
	mu       sync.Mutex
	asked    []string
}

func (m *member) say(q asked) *answer {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case q.op != ldap.ApplicationSearchRequest:
		m.asked = append(m.asked, map[uint64]string{ldap.ApplicationModifyRequest: "modify ", ldap.ApplicationAddRequest: "add ",
			ldap.ApplicationDelRequest: "delete "}[q.op]+q.dn)
		return &answer{}
	case strings.HasPrefix(q.dn, "CN=Partitions,"):
		m.asked = append(m.asked, "partitions")
		return nil
	case q.dn == "" && q.scope == ldap.ScopeBaseObject: // the rootDSE
		return nil
	case strings.Contains(q.filter, "-525"): // Protected Users
		return &answer{}
	}
	a := &answer{}
	for _, e := range m.accounts {
		name := e.GetAttributeValue("sAMAccountName")
		if slices.ContainsFunc([]string{name, strings.TrimSuffix(name, "$"), e.GetAttributeValue("dNSHostName"), e.DN}, func(v string) bool {
			return strings.Contains(strings.ToLower(q.filter), "="+strings.ToLower(v)+")")
		}) || strings.EqualFold(q.dn, e.DN) || strings.HasSuffix(e.DN, q.dn) && strings.HasPrefix(q.dn, "OU=") {
			a.entries = append(a.entries, e)
		}
	}
	m.asked = append(m.asked, "search "+q.dn)
	return a
}

func (m *member) seen() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := strings.Join(m.asked, "; ")
	m.asked = nil
	return s
}

func hostOf(name, domain string) *ldap.Entry {
	return ldap.NewEntry("CN="+name+",OU=H,"+baseOf(domain), map[string][]string{"sAMAccountName": {name + "$"}, "objectSid": {testSID(9)},
		"userAccountControl": {"4096"}, "objectClass": {"user", "computer"}, "dNSHostName": {strings.ToLower(name) + "." + domain},
		"objectGUID": {"0123456789abcdef"}, "uSNChanged": {"5"}})
}

func baseOf(domain string) string { return "DC=" + strings.ReplaceAll(domain, ".", ",DC=") }

// hostsOfForest are the domains example.test (HV01, TWICE), a.example.test (HV02,
// TWICE, BOTH) and b.a.example.test (HV03, BOTH), with a catalogue of them all.
func hostsOfForest(t *testing.T) (*network, map[string]*member, *Conn) {
	t.Helper()
	members := map[string]*member{"catalogue": {}}
	n := &network{at: map[string]*controllerStub{}}
	z := zone{}
	for domain, names := range map[string][]string{"example.test": {"HV01", "TWICE"}, "a.example.test": {"HV02", "TWICE", "BOTH"}, "b.a.example.test": {"HV03", "BOTH"}} {
		m := &member{}
		for _, name := range names {
			m.accounts = append(m.accounts, hostOf(name, domain))
		}
		s := stub(t, domain)
		s.say = m.say
		members[domain], n.at["dc1."+domain+":389"] = m, s.serve(t)
		z["_ldap._tcp.dc._msdcs."+domain] = append(z["_ldap._tcp.dc._msdcs."+domain], srv("dc1."+domain, 389))
		members["catalogue"].accounts = append(members["catalogue"].accounts, m.accounts...)
	}
	gc := stub(t, "example.test")
	gc.say = members["catalogue"].say
	n.at["dc1.example.test:3268"] = gc.serve(t)
	o := mirrored(n, "dc1.example.test")
	o.LookupSRV = z.lookup
	c := mustDial(t, o)
	n.calls()
	return n, members, c
}

func namesOf(accounts []Account) string {
	var out []string
	for _, a := range accounts {
		out = append(out, strings.ToLower(a.ShortName()+"."+domainOfDN(a.DN)))
	}
	return strings.Join(out, " ")
}

func TestNamesAreLookedForInTheWholeForest(t *testing.T) {
	const dc, a, b, catalogue = "", "dc1.a.example.test:389", "dc1.b.a.example.test:389", "dc1.example.test:3268"
	for names, want := range map[string]struct{ found, called string }{
		"":                                     {},
		"HV01":                                 {"hv01.example.test", dc},
		"hv01,hv01$":                           {"hv01.example.test", dc},
		"TWICE":                                {"twice.example.test", dc}, // the own domain's comes first
		"HV02":                                 {"hv02.a.example.test", catalogue + " " + a},
		"HV01,hv02$":                           {"hv01.example.test hv02.a.example.test", catalogue + " " + a},
		"hv03.b.a.example.test":                {"hv03.b.a.example.test", catalogue + " " + b},
		"BOTH":                                 {"both.a.example.test both.b.a.example.test", catalogue + " " + a + " " + b},
		"HV77":                                 {"", catalogue},
		"twice.a.example.test":                 {"twice.a.example.test", catalogue + " " + a},
		"CN=HV02,OU=H,DC=a,DC=example,DC=test": {"hv02.a.example.test", a},
		"cn=hv02,ou=h,dc=A,dc=example,dc=test,HV01": {"hv01.example.test hv02.a.example.test", a},
		"CN=HV77,OU=H,DC=a,DC=example,DC=test":      {"", a},
		"CN=HV77,OU=H,DC=example,DC=test":           {"", dc},
		"CN=HV01,OU=H,DC=evil,DC=test":              {"", dc},
		"192.0.2.1,2001:db8::1,[2001:db8::1], ":     {"", dc},
	} {
		n, members, c := hostsOfForest(t)
		var asked []string
		if strings.HasPrefix(strings.ToLower(names), "cn=") {
			asked = []string{names}
			if dn, ok := strings.CutSuffix(names, ",HV01"); ok {
				asked = []string{dn, "HV01"}
			}
		} else if names != "" {
			asked = strings.Split(names, ",")
		}
		got, err := c.Find(t.Context(), asked)
		if err != nil || namesOf(got) != want.found {
			t.Errorf("%s: %s, %v; want %s", names, namesOf(got), err, want.found)
		}
		// The order of the last two is that of the catalogue.
		called := strings.Fields(n.calls())
		slices.Sort(called)
		expected := strings.Fields(want.called)
		slices.Sort(expected)
		if !slices.Equal(called, expected) {
			t.Errorf("%s: called %s, want %s", names, called, expected)
		}
		if own := members["example.test"].seen(); want.called == dc && names != "" && !strings.Contains(names, "evil") && own != "search DC=example,DC=test" {
			t.Errorf("%s: asked %s", names, own)
		}
	}
}

func TestCatalogueThatIsGoneIsTold(t *testing.T) {
	n, _, c := hostsOfForest(t)
	delete(n.at, "dc1.example.test:3268")
	_, err := c.Find(t.Context(), []string{"HV01", "HV02", "HV03", "HV04", "HV05"})
	wantFault(t, err, fault.DirectoryUnreachable, "")
	if !strings.Contains(err.Error(), "HV02, HV03, HV04 and 1 more") {
		t.Errorf("%v", err)
	}
	if got, err := c.Find(t.Context(), []string{"HV01"}); err != nil || len(got) != 1 {
		t.Errorf("what the domain has needs no catalogue: %v", err)
	}
}

func TestForestOfOneDomainNeedsNoCatalogue(t *testing.T) {
	s, m := stub(t, "example.test"), &member{accounts: []*ldap.Entry{hostOf("HV01", "example.test")}}
	const partitions = "CN=Partitions,CN=Configuration,DC=example,DC=test"
	s.below[partitions] = []string{"CN=EXAMPLE," + partitions}
	s.say = m.say
	n := &network{at: map[string]*controllerStub{"dc1:389": s.serve(t)}}
	c := mustDial(t, mirrored(n, "dc1"))
	n.calls()
	for range 2 {
		if got, err := c.Find(t.Context(), []string{"HV01", "HV77"}); err != nil || namesOf(got) != "hv01.example.test" {
			t.Errorf("%s, %v", namesOf(got), err)
		}
	}
	if got := m.seen(); got != "search DC=example,DC=test; partitions; search DC=example,DC=test" || n.calls() != "" {
		t.Errorf("asked %s", got)
	}
}

func TestObjectsOfOtherDomainsAreReadAndChangedThere(t *testing.T) {
	n, members, c := hostsOfForest(t)
	ctx := t.Context()
	const far = "CN=HV02,OU=H,DC=a,DC=example,DC=test"
	group := NewGroup{DN: "CN=Movers,DC=a,DC=example,DC=test", Name: "Movers"}
	if e, err := c.Read(ctx, far, "dNSHostName"); err != nil || e.Strings("dNSHostName")[0] != "hv02.a.example.test" {
		t.Errorf("%+v, %v", e, err)
	}
	if found, err := c.Accounts(ctx, Query{Base: "OU=H,DC=a,DC=example,DC=test"}); err != nil || len(found) != 3 {
		t.Errorf("%s, %v", namesOf(found), err)
	}
	for _, err := range []error{c.Modify(ctx, far, Mod{Op: Add, Attribute: AttributeServiceNames, Values: [][]byte{[]byte("cifs/x")}}),
		c.AddGroup(ctx, group), c.DeleteObject(ctx, group.DN)} {
		if err != nil {
			t.Error(err)
		}
	}
	if got := members["a.example.test"].seen(); got != "search "+far+"; search OU=H,DC=a,DC=example,DC=test; modify "+far+"; add "+group.DN+"; delete "+group.DN {
		t.Errorf("a.example.test was asked %s", got)
	}
	if got := members["example.test"].seen(); got != "partitions" {
		t.Errorf("example.test was asked %s", got)
	}
	if got := n.calls(); got != "dc1.a.example.test:389" {
		t.Errorf("called %s", got)
	}
}

// The usual case costs nothing more.
func TestOwnObjectsTakeNoSearchOfTheForest(t *testing.T) {
	_, members, c := hostsOfForest(t)
	for range 3 {
		if _, err := c.Read(t.Context(), "cn=HV01,ou=H,dc=Example,dc=test", "dNSHostName"); err != nil {
			t.Error(err)
		}
		if err := c.Modify(t.Context(), "CN=HV01,OU=H,DC=example,DC=test", Mod{Op: Add, Attribute: "x"}); err != nil {
			t.Error(err)
		}
	}
	if got := members["example.test"].seen(); strings.Contains(got, "partitions") || strings.Count(got, ";") != 5 {
		t.Errorf("asked %s", got)
	}
}

func TestObjectsOfNoDomainAreLookedForNowhere(t *testing.T) {
	n, members, c := hostsOfForest(t)
	for _, dn := range []string{"CN=x,DC=evil,DC=test", "CN=x,DC=example,DC=test,DC=evil"} {
		_, err := c.Read(t.Context(), dn)
		wantFault(t, err, fault.DirectoryObjectGone, dn)
		wantFault(t, c.Modify(t.Context(), dn, Mod{Op: Add, Attribute: "x"}), fault.DirectoryObjectGone, dn)
	}
	if got := members["example.test"].seen(); got != "partitions" || n.calls() != "" {
		t.Errorf("asked %s", got)
	}
}

// Whoever answers in place of a domain's controllers is not written to.
func TestControllerOfAnotherDomainIsNotTakenForIt(t *testing.T) {
	n, members, c := hostsOfForest(t)
	n.at["dc1.a.example.test:389"] = n.at["dc1.b.a.example.test:389"]
	err := c.Modify(t.Context(), "CN=HV02,OU=H,DC=a,DC=example,DC=test", Mod{Op: Add, Attribute: "x"})
	wantFault(t, err, fault.DirectoryUnreachable, "a controller of b.a.example.test")
	if got := members["b.a.example.test"].seen(); got != "" {
		t.Errorf("asked %s", got)
	}
}

func TestPrincipalsAreReadInTheirRealm(t *testing.T) {
	for name, want := range map[string]string{"TWICE$": "example.test", "TWICE$@EXAMPLE.TEST": "example.test", "TWICE$@A.EXAMPLE.TEST": "a.example.test",
		"TWICE$@suffix.test": "example.test", "HV01$@A.EXAMPLE.TEST": ""} {
		n, members, c := hostsOfForest(t)
		a, err := c.Account(t.Context(), name)
		if domainOfDN(a.DN) != want || (err == nil) != (want != "") {
			t.Errorf("%s: %s, %v", name, a.DN, err)
		}
		if got := members["example.test"].seen(); strings.HasSuffix(name, "EXAMPLE.TEST") && want == "example.test" && (strings.Contains(got, "partitions") || n.calls() != "") {
			t.Errorf("%s: asked %s", name, got)
		}
	}
}
