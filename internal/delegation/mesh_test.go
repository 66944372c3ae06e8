package delegation

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"drover/internal/directory"
	"drover/internal/directory/secdesc"
	"drover/internal/fault"
	"drover/internal/finding"
	"drover/internal/spn"
)

const (
	testBase   = "DC=lab,DC=drover,DC=test"
	testDomain = "S-1-5-21-1-2-3"
)

// goodHost is a host that only lacks delegation: AES, every service name.
func goodHost(n int, samba bool) directory.Account {
	short := fmt.Sprintf("HV%02d", n)
	full := strings.ToLower(short) + ".lab.drover.test"
	a := directory.Account{DN: "CN=" + short + ",CN=Computers," + testBase, Class: directory.Computer, Name: short + "$", DNSHostName: full,
		SID: fmt.Sprintf("%s-%d", testDomain, 1100+n), Flags: directory.FlagWorkstation, EncryptionTypes: 24}
	a.ServiceNames = append([]string{"HOST/" + short, "HOST/" + full}, spn.Stored(samba, spn.For(spn.Migration, short), spn.For(spn.Migration, full))...)
	return a
}

func goodState(kind directory.Controller, hosts int) State {
	s := State{Time: time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC), Mappings: []string{"cifs"}, NamesRead: true,
		Root: directory.Root{Server: "dc1.lab.drover.test", Kind: kind, BaseDN: testBase, Domain: "lab.drover.test", DomainSID: testDomain}}
	for n := range hosts {
		s.Hosts = append(s.Hosts, goodHost(n+1, kind == directory.Samba))
	}
	return s
}

func mustPlan(t testing.TB, in Intent, s State) *Plan {
	t.Helper()
	p, err := NewPlan(in, s)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// carryOut gives the state after a plan, as far as this package reads it.
func carryOut(t testing.TB, p *Plan, s State) State {
	t.Helper()
	s.Hosts = slices.Clone(s.Hosts)
	if g := p.NewGroup; g != nil {
		s.Group = &directory.Group{DN: g.DN, Name: g.Name, SID: testDomain + "-5000", Members: g.Members}
	}
	for _, c := range p.Changes {
		if s.Group != nil && c.DN == s.Group.DN {
			g := *s.Group
			g.Members = slices.DeleteFunc(append(slices.Clone(g.Members), c.Add...), func(m string) bool { return slices.Contains(c.Delete, m) })
			s.Group = &g
			continue
		}
		h := &s.Hosts[slices.IndexFunc(s.Hosts, func(a directory.Account) bool { return a.DN == c.DN })]
		switch c.Attribute {
		case directory.AttributeDelegateTo:
			h.DelegateTo = slices.DeleteFunc(append(slices.Clone(h.DelegateTo), c.Add...), func(v string) bool { return slices.Contains(c.Delete, v) })
		case directory.AttributeFlags:
			add, err1 := FlagBits(c.Add...)
			del, err2 := FlagBits(c.Delete...)
			if err1 != nil || err2 != nil {
				t.Fatal(err1, err2)
			}
			h.Flags = h.Flags&^del | add
		case directory.AttributeActOnBehalf:
			add := sids(c.Add)
			if len(add) < len(c.Add) {
				add = append(add, secdesc.SID(s.Group.SID))
			}
			b, err := secdesc.Merge(h.ActOnBehalf, add, sids(c.Delete))
			if err != nil {
				t.Fatal(err)
			}
			h.ActOnBehalf = b
		}
	}
	return s
}

func codes(fs []finding.Finding) []fault.Code {
	var out []fault.Code
	for _, f := range fs {
		out = append(out, f.Code)
	}
	return out
}

func diff(t *testing.T, what string, want, got any) {
	t.Helper()
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("%s (-want +got):\n%s", what, d)
	}
}

func TestAPlanCarriedOutLeavesNothingToDo(t *testing.T) {
	for _, kind := range []directory.Controller{directory.Samba, directory.Windows} {
		for _, model := range Models {
			for _, oneWay := range [][]Direction{nil, {{"HV01", "HV02"}, {"HV01", "HV03"}}} {
				t.Run(fmt.Sprint(kind, model, len(oneWay)), func(t *testing.T) {
					in, s := Intent{Model: model, OneWay: oneWay}, goodState(kind, 4)
					p := mustPlan(t, in, s)
					if p.Empty() {
						t.Fatal("nothing is planned")
					}
					again := mustPlan(t, in, carryOut(t, p, s))
					wanted := 12
					if oneWay != nil {
						wanted = len(oneWay)
					}
					if !again.Empty() || len(again.Pairs) != wanted || len(again.Findings) > 0 {
						t.Errorf("changes %+v, %d pairs, findings %v", again.Changes, len(again.Pairs), codes(again.Findings))
					}
					for _, pair := range again.Pairs {
						if pair.State != Complete || PairFindings(again, pair) != nil {
							t.Errorf("%+v", pair)
						}
					}
				})
			}
		}
	}
}

func TestIntentsThatMeanNothing(t *testing.T) {
	for name, in := range map[string]Intent{
		"model":                     {Model: "unconstrained"},
		"protocol":                  {Protocol: "ntlm"},
		"empty class":               {Services: []string{""}},
		"class with host":           {Services: []string{"cifs/HV02"}},
		"escaped class":             {Services: []string{`Microsoft\ Service`}},
		"class with realm":          {Services: []string{"cifs@LAB"}},
		"class with line end":       {Services: []string{"cifs\n"}},
		"source is no host":         {OneWay: []Direction{{"HV09", "HV01"}}},
		"destination is no host":    {OneWay: []Direction{{"HV01", "HV09"}}},
		"to itself":                 {OneWay: []Direction{{"HV01", "hv01.lab.drover.test"}}},
		"group without model":       {Group: "Hosts"},
		"name of group":             {Model: GroupBased, Group: "a,CN=b"},
		"group elsewhere":           {Model: GroupBased, GroupOU: "OU=x,DC=other,DC=test"},
		"directions are no product": {Model: GroupBased, OneWay: []Direction{{"HV01", "HV02"}, {"HV03", "HV01"}}},
	} {
		if _, err := NewPlan(in, goodState(directory.Samba, 3)); !fault.Is(err, fault.Usage) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for hosts := range 2 {
		if _, err := NewPlan(Intent{}, goodState(directory.Samba, hosts)); !fault.Is(err, fault.Usage) {
			t.Errorf("%d hosts: %v", hosts, err)
		}
	}
	admins := goodState(directory.Samba, 3)
	admins.Group = &directory.Group{DN: "CN=Domain Admins,CN=Users," + testBase, Name: "Domain Admins", SID: testDomain + "-512", Members: []string{"CN=Administrator,CN=Users," + testBase}}
	if p, err := NewPlan(Intent{Model: GroupBased, Group: "Domain Admins", Prune: true}, admins); !fault.Is(err, fault.Usage) {
		t.Errorf("a group of the domain's own: %v %+v", err, p)
	}
	same := goodState(directory.Samba, 1)
	same.Hosts = append(same.Hosts, same.Hosts[0])
	if _, err := NewPlan(Intent{}, same); !fault.Is(err, fault.Usage) {
		t.Errorf("one host twice: %v", err)
	}
}

func TestDefaultsOfAnIntent(t *testing.T) {
	got, err := Intent{Services: []string{"cifs", "CIFS"}, Model: GroupBased}.WithDefaults()
	diff(t, "group", Intent{Model: GroupBased, Protocol: AnyProtocol, Services: []string{"cifs"}, Group: DefaultGroup}, got)
	if again, err2 := got.WithDefaults(); err != nil || err2 != nil || !cmp.Equal(got, again) {
		t.Errorf("not the same the second time: %+v, %v, %v", again, err, err2)
	}
	got, _ = Intent{}.WithDefaults()
	diff(t, "empty", Intent{Model: Constrained, Protocol: AnyProtocol, Services: []string{spn.Migration, spn.Storage}}, got)
}

func TestDirectionsAreWrittenByShortNameAndOnce(t *testing.T) {
	p := mustPlan(t, Intent{OneWay: []Direction{{"hv01.LAB.drover.test", "hv02$"}, {"HV01", "hv02"}}}, goodState(directory.Windows, 3))
	diff(t, "directions", []Direction{{"HV01", "HV02"}}, p.Intent.OneWay)
	if len(p.Pairs) != 1 || p.Pairs[0].State != Absent || len(p.Changes) != 2 {
		t.Errorf("%+v %+v", p.Pairs, p.Changes)
	}
}

func TestHostsOfOneNameAreAmbiguous(t *testing.T) {
	s := goodState(directory.Samba, 2)
	twin := goodHost(1, true)
	twin.DN = "CN=HV01,CN=Computers,DC=other,DC=test"
	s.Hosts = append(s.Hosts, twin)
	if _, err := NewPlan(Intent{Model: ResourceBased}, s); !fault.Is(err, fault.HostNameAmbiguous) {
		t.Error(err)
	}
}

func TestFlagOfProtocolTransition(t *testing.T) {
	type row struct {
		kind  directory.Controller
		in    Intent
		set   bool
		want  string // "add", "delete", ""
		found []fault.Code
	}
	extra := []fault.Code{fault.TransitionExtra, fault.TransitionExtra}
	for _, r := range []row{
		{directory.Windows, Intent{}, false, "add", nil},
		{directory.Windows, Intent{}, true, "", nil},
		{directory.Windows, Intent{Prune: true}, true, "", nil},
		{directory.Windows, Intent{Protocol: KerberosOnly}, false, "", nil},
		{directory.Windows, Intent{Protocol: KerberosOnly}, true, "", extra},
		{directory.Windows, Intent{Protocol: KerberosOnly, Prune: true}, true, "delete", extra},
		{directory.Windows, Intent{Model: ResourceBased}, false, "", nil},
		{directory.Windows, Intent{Model: GroupBased}, false, "", nil},
		{directory.Samba, Intent{Model: ResourceBased}, false, "add", nil},
		{directory.Samba, Intent{Model: GroupBased}, false, "add", nil},
	} {
		s := goodState(r.kind, 2)
		for i := range s.Hosts {
			if r.set {
				s.Hosts[i].Flags |= directory.FlagTrustedToAuth
			}
		}
		p := mustPlan(t, r.in, s)
		got := ""
		for _, c := range p.Changes {
			if c.Attribute == directory.AttributeFlags {
				got = map[bool]string{true: "add", false: "delete"}[len(c.Add) > 0]
				diff(t, "flags", []string{TrustedToAuth}, append(slices.Clone(c.Add), c.Delete...))
				if c.Before != Digest([][]byte{[]byte("4096")}) && !r.set {
					t.Errorf("before: %s", c.Before)
				}
			}
		}
		if got != r.want || !slices.Equal(codes(p.Findings), r.found) {
			t.Errorf("%+v: %q, %v", r, got, codes(p.Findings))
		}
	}
}

func TestTransitionFindingIsForSourcesOnly(t *testing.T) {
	p := mustPlan(t, Intent{OneWay: []Direction{{"HV01", "HV02"}}}, goodState(directory.Samba, 2))
	f, found := TransitionFinding(p, p.Hosts[0])
	if !found || f.Code != fault.TransitionMissing || f.Severity != finding.Error {
		t.Errorf("source: %v %+v", found, f)
	}
	if _, found = TransitionFinding(p, p.Hosts[1]); found {
		t.Error("destination")
	}
}

func TestUnconstrainedDelegationIsReportedAndNeverTouched(t *testing.T) {
	s := goodState(directory.Samba, 3)
	s.Hosts[0].Flags |= directory.FlagTrustedForAny
	s.Hosts[1].Flags = directory.FlagServerTrust | directory.FlagTrustedForAny
	p := mustPlan(t, Intent{Prune: true}, s)
	diff(t, "findings", []fault.Code{fault.Unconstrained}, codes(p.Findings))
	f := p.Findings[0]
	if f.Severity != finding.Critical || f.Object != "HV01$" || !strings.Contains(f.Fix[0].Line, "for-any-service 'HV01$' off") {
		t.Errorf("%+v", f)
	}
	for _, c := range p.Changes {
		if c.Attribute == directory.AttributeFlags && !slices.Equal(append(c.Add, c.Delete...), []string{TrustedToAuth}) {
			t.Errorf("%+v", c)
		}
	}
}

func TestFindingsAboutHosts(t *testing.T) {
	for name, r := range map[string]struct {
		change func(*directory.Account)
		code   fault.Code
		values []string
	}{
		"disabled":    {func(a *directory.Account) { a.Flags |= directory.FlagDisabled }, fault.HostAccountDisabled, nil},
		"unset types": {func(a *directory.Account) { a.EncryptionTypes = 0 }, fault.HostWithoutAES, nil},
		"only RC4":    {func(a *directory.Account) { a.EncryptionTypes = 4 }, fault.HostWithoutAES, nil},
		"no DNS name": {func(a *directory.Account) { a.DNSHostName = "" }, fault.HostWithoutDNSName, nil},
		"no name for storage": {func(a *directory.Account) { a.ServiceNames = a.ServiceNames[2:] }, fault.ServiceNameMissing,
			[]string{"cifs/HV01", "cifs/hv01.lab.drover.test"}},
		"no twin": {func(a *directory.Account) { a.ServiceNames = slices.DeleteFunc(a.ServiceNames, spn.IsTwin) }, fault.ServiceNameMissing,
			[]string{spn.Twin(spn.Migration + "/HV01"), spn.Twin(spn.Migration + "/hv01.lab.drover.test")}},
	} {
		s := goodState(directory.Samba, 2)
		r.change(&s.Hosts[0])
		p := mustPlan(t, Intent{}, s)
		if len(p.Findings) != 1 {
			t.Errorf("%s: %v", name, codes(p.Findings))
			continue
		}
		f := p.Findings[0]
		if f.Code != r.code || f.Object != "HV01$" || f.DN == "" || f.Attribute == "" || !slices.Equal(f.Values, r.values) || strings.Contains(f.Message, "{") {
			t.Errorf("%s: %+v", name, f)
		}
	}
}

func TestASourceNeedsNoServiceNames(t *testing.T) {
	s := goodState(directory.Windows, 2)
	s.Hosts[0].ServiceNames = nil
	p := mustPlan(t, Intent{OneWay: []Direction{{"HV01", "HV02"}}}, s)
	diff(t, "findings", []finding.Finding(nil), p.Findings)
}

func TestMissingServiceNames(t *testing.T) {
	a := directory.Account{Name: "hv02$", DNSHostName: "HV02.Lab.Drover.Test", ServiceNames: []string{"host/HV02", "HOST/hv02.lab.drover.test", "CIFS/hv02"}}
	services := []string{spn.Migration, spn.Storage}
	m, c := spn.Migration, spn.Storage
	for _, r := range []struct {
		mappings []string
		twins    bool
		want     []string
	}{
		{nil, false, []string{m + "/HV02", m + "/hv02.lab.drover.test", c + "/hv02.lab.drover.test"}},
		{[]string{"CIFS"}, false, []string{m + "/HV02", m + "/hv02.lab.drover.test"}},
		{[]string{"cifs"}, true, []string{m + "/HV02", spn.Twin(m + "/HV02"), m + "/hv02.lab.drover.test", spn.Twin(m + "/hv02.lab.drover.test")}},
	} {
		diff(t, fmt.Sprint(r.mappings, r.twins), r.want, MissingServiceNames(a, services, r.mappings, r.twins))
	}
}

func TestDigestKnowsValuesInAnyOrder(t *testing.T) {
	a := Digest([][]byte{[]byte("a"), []byte("bc")})
	if a != Digest([][]byte{[]byte("bc"), []byte("a")}) || a == Digest([][]byte{[]byte("ab"), []byte("c")}) || a == Digest(nil) {
		t.Error(a)
	}
	if !strings.HasPrefix(a, "sha256:") || len(a) != len("sha256:")+64 {
		t.Error(a)
	}
}

func TestNamesOfFlags(t *testing.T) {
	names := FlagNames(directory.FlagTrustedToAuth | directory.FlagWorkstation | 0x40)
	diff(t, "names", []string{"WORKSTATION_TRUST_ACCOUNT", TrustedToAuth, "0x40"}, names)
	bits, err := FlagBits(names[:2]...)
	if err != nil || bits != directory.FlagTrustedToAuth|directory.FlagWorkstation {
		t.Errorf("0x%x, %v", bits, err)
	}
	if _, err := FlagBits("TRUSTED"); err == nil {
		t.Error("an unknown flag has bits")
	}
}

func BenchmarkNewPlan(b *testing.B) {
	for _, r := range []struct {
		kind  directory.Controller
		model Model
		hosts int
	}{
		{directory.Windows, Constrained, 300}, {directory.Samba, Constrained, 200},
		{directory.Samba, ResourceBased, 500}, {directory.Samba, GroupBased, 500},
	} {
		s := goodState(r.kind, r.hosts)
		in := Intent{Model: r.model}
		after := carryOut(b, mustPlan(b, in, s), s)
		for name, state := range map[string]State{"new": s, "done": after} {
			b.Run(fmt.Sprintf("%s/%s/%d/%s", r.kind, r.model, r.hosts, name), func(b *testing.B) {
				for b.Loop() {
					mustPlan(b, in, state)
				}
			})
		}
	}
}

func TestTheDomainOfADistinguishedName(t *testing.T) {
	for dn, want := range map[string]string{
		"CN=HV01,OU=a, dc=Lab ,DC=test":     "dc=lab,dc=test",
		"DC=lab,DC=test":                    "dc=lab,dc=test",
		`CN=HV01\,DC=evil,DC=lab,DC=test`:   "dc=lab,dc=test",
		`CN=HV01\\,DC=lab,DC=test`:          "dc=lab,dc=test",
		`CN=a\,b\\\,DC=evil,DC=lab,DC=test`: "dc=lab,dc=test",
		"CN=nowhere":                        "",
	} {
		if got := domainDN(dn); got != want {
			t.Errorf("%s is of %q, want %q", dn, got, want)
		}
	}
}

// Otherwise the cure would make the group elsewhere.
func TestTheCommandOfADirectionNamesThePlaceOfANewGroup(t *testing.T) {
	s := goodState(directory.Windows, 2)
	p := mustPlan(t, Intent{Model: GroupBased, GroupOU: "OU=Groups of hosts," + testBase}, s)
	if line := planned(p, p.Pairs[0].Direction)[0].Line; !strings.Contains(line, "--group-ou 'OU=Groups of hosts,"+testBase+"'") {
		t.Error(line)
	}
}

func TestNoCommandTakesAnAccountForAnOption(t *testing.T) {
	c := Commands{samba: true}
	if got := c.AnyService("--configfile=/tmp/x$", false); got != nil {
		t.Errorf("%+v", got)
	}
	if got := c.Member("Hosts", "CN=HV01,DC=lab", false); len(got) != 1 {
		t.Errorf("%+v", got)
	}
}
