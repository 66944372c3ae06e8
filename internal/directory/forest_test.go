package directory

import (
	"testing"

	"github.com/go-ldap/ldap/v3"

	"drover/internal/fault"
)

func TestRootOfADomain(t *testing.T) {
	n := &network{at: map[string]*controllerStub{"dc1:389": stub(t, "a.example.test").serve(t)}}
	c := mustDial(t, mirrored(n, "dc1"))
	const config = "CN=Configuration,DC=example,DC=test"
	want := Root{Server: "dc1.a.example.test", Kind: Windows, BaseDN: "DC=a,DC=example,DC=test", ConfigDN: config, ForestDN: "DC=example,DC=test",
		Domain: "a.example.test", DomainSID: "S-1-5-21-1-2-3", NetBIOS: "A",
		Controller:   "CN=NTDS Settings,CN=DC1,CN=Servers,CN=Default,CN=Sites," + config,
		InvocationID: "00112233-4455-6677-8899-aabbccddeeff", GlobalCat: true, Controllers: 2}
	for range 2 {
		if r, err := c.Root(t.Context()); err != nil || r != want {
			t.Fatalf("%+v, %v", r, err)
		}
		// It is read once.
		s := n.at["dc1:389"]
		delete(s.objects, want.BaseDN)
	}
}

func TestDistinguishedNamesBelongToDomains(t *testing.T) {
	domains := []domainOfForest{{dn: "DC=example,DC=test", name: "root"}, {dn: "DC=a,DC=example,DC=test", name: "a"},
		{dn: "DC=b,DC=a,DC=example,DC=test", name: "b"}, {dn: "DC=tree,DC=test", name: "tree"}}
	for dn, want := range map[string]string{
		"CN=HV01,CN=Computers,DC=example,DC=test":                   "root",
		"cn=hv01,cn=computers,dc=Example,dc=TEST":                   "root",
		"CN=HV01,OU=DC\\=a,DC=example,DC=test":                      "root",
		"CN=HV01,DC=a,DC=example,DC=test":                           "a",
		"DC=a,DC=example,DC=test":                                   "a",
		"CN=x,DC=b,DC=a,DC=example,DC=test":                         "b",
		"DC=host,CN=MicrosoftDNS,DC=DomainDnsZones,DC=tree,DC=test": "tree",
		"CN=x,DC=aa,DC=example,DC=test":                             "root", // no such domain: the object is looked for in the one above
		"CN=x,DC=example":                                           "",
		"CN=x,DC=evil,DC=test":                                      "",
		"CN=x,DC=example,DC=test,DC=evil":                           "",
		"DC=test":                                                   "",
		"CN=x,DC=example\\,DC=test":                                 "",
	} {
		parsed, err := ldap.ParseDN(dn)
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		if d := holder(parsed, domains); d != nil {
			got = d.name
		}
		if got != want {
			t.Errorf("%s: %q, want %q", dn, got, want)
		}
	}
	for dn, want := range map[string]string{"DC=Lab,DC=drover,DC=test": "lab.drover.test", "CN=x,DC=a,OU=y,DC=b,DC=c": "b.c", "CN=x": "", "": "", "x": ""} {
		if got := domainOfDN(dn); got != want {
			t.Errorf("%s: %q, want %q", dn, got, want)
		}
	}
}

// forest serves example.test and a.example.test, the latter found through DNS only.
func forest(t *testing.T) (*network, *Conn) {
	n := &network{at: map[string]*controllerStub{"dc1:389": stub(t, "example.test").serve(t),
		"dc1.a.example.test:389": stub(t, "a.example.test").serve(t)}}
	o := mirrored(n, "dc1")
	o.LookupSRV = zone{"_ldap._tcp.dc._msdcs.a.example.test": {{Target: "dc1.a.example.test.", Port: 389}},
		"_gc._tcp.example.test": {{Target: "dc7.example.test.", Port: 3268}}}.lookup
	c := mustDial(t, o)
	n.calls()
	return n, c
}

func TestForLeadsToTheDomain(t *testing.T) {
	n, c := forest(t)
	for _, dn := range []string{"CN=x,DC=example,DC=test", "CN=Sites,CN=Configuration,DC=example,DC=test"} {
		if got, err := c.For(t.Context(), dn); err != nil || got != c {
			t.Errorf("%s: %v", dn, err)
		}
	}
	a, err := c.For(t.Context(), "CN=x,DC=a,DC=example,DC=test")
	if err != nil || a.BaseDN() != "DC=a,DC=example,DC=test" {
		t.Fatal(err)
	}
	if again, err := c.For(t.Context(), "CN=y,DC=a,DC=example,DC=test"); err != nil || again != a {
		t.Errorf("connected twice: %v", err)
	}
	if got := n.calls(); got != "dc1.a.example.test:389" {
		t.Errorf("called %s", got)
	}
	if same, err := a.For(t.Context(), "CN=Sites,CN=Configuration,DC=example,DC=test"); err != nil || same != a {
		t.Errorf("the configuration is on every controller: %v", err)
	}
	// A domain whose controllers are not to be found.
	_, err = c.For(t.Context(), "CN=x,DC=b,DC=a,DC=example,DC=test")
	wantFault(t, err, fault.DirectoryUnreachable, "b.a.example.test")
	// A connection that was lost is made anew.
	n.at["dc1.a.example.test:389"].hangUp()
	if _, err := a.Root(t.Context()); !fault.Is(err, fault.DirectoryUnreachable) {
		t.Errorf("%v", err)
	}
	b, err := c.For(t.Context(), "CN=x,DC=a,DC=example,DC=test")
	if err != nil || a == b {
		t.Fatalf("%v", err)
	}
	c.Close()
	if _, err := b.Root(t.Context()); !fault.Is(err, fault.DirectoryUnreachable) {
		t.Errorf("open after its parent is closed: %v", err)
	}
}

func TestForLeadsNowhereElse(t *testing.T) {
	n, c := forest(t)
	for _, dn := range []string{"", "x", "CN=x", "CN=x,DC=evil,DC=test", "CN=x,DC=example,DC=test,DC=evil", "<GUID=00112233-4455-6677-8899-aabbccddeeff>"} {
		_, err := c.For(t.Context(), dn)
		wantFault(t, err, fault.DirectoryObjectGone, "")
	}
	if got := n.calls(); got != "" {
		t.Errorf("called %s", got)
	}
}

func TestGlobalCatalogue(t *testing.T) {
	n, c := forest(t)
	n.at["dc1:3268"] = n.at["dc1:389"]
	n.at["dc7.example.test:3268"] = n.at["dc1:389"]
	g, err := c.Global(t.Context())
	if err != nil || g.BaseDN() != "" {
		t.Fatalf("%v", err)
	}
	defer g.Close()
	if r, err := g.Root(t.Context()); err != nil || r.BaseDN != "DC=example,DC=test" {
		t.Errorf("%+v, %v", r, err)
	}
	if got := n.calls(); got != "dc1:3268" {
		t.Errorf("called %s", got)
	}
	// One that is not a catalogue itself asks DNS.
	c.says.GlobalCat = false
	g, err = c.Global(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	if got := n.calls(); got != "dc7.example.test:3268" {
		t.Errorf("called %s", got)
	}
}
