package delegation

import (
	"slices"
	"strings"
	"testing"

	"drover/internal/directory"
	"drover/internal/directory/secdesc"
	"drover/internal/fault"
	"drover/internal/finding"
)

const (
	hv01, hv02, hv03 = testDomain + "-1101", testDomain + "-1102", testDomain + "-1103"
	foreign          = testDomain + "-2000"
)

func descriptor(t *testing.T, trustees ...string) []byte {
	t.Helper()
	b, err := secdesc.Merge(nil, sids(trustees), nil)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestTrusteesAreAddedAndOnlyPruneRemoves(t *testing.T) {
	for _, prune := range []bool{false, true} {
		s := goodState(directory.Windows, 3)
		s.Others = []directory.Account{{Name: "FS01$", SID: foreign}}
		s.Hosts[1].ActOnBehalf = descriptor(t, hv01, hv02, foreign, testDomain+"-9")
		s.Hosts[2].ActOnBehalf = descriptor(t, hv01)
		p := mustPlan(t, Intent{Model: ResourceBased, Prune: prune, OneWay: []Direction{{"HV01", "HV02"}, {"HV03", "HV02"}}}, s)
		diff(t, "pairs", []Pair{
			{Direction: Direction{"HV01", "HV02"}, State: Complete, Present: []string{"HV01$"}},
			{Direction: Direction{"HV01", "HV03"}, State: Unwanted, Extra: []string{"HV01$"}},
			{Direction: Direction{"HV02", "HV02"}, State: Unwanted, Extra: []string{"HV02$"}},
			{Direction: Direction{"HV03", "HV02"}, State: Absent, Missing: []string{"HV03$"}},
		}, p.Pairs)
		diff(t, "other", []string{"FS01$", testDomain + "-9"}, p.Hosts[1].Other)
		want := []Change{{DN: s.Hosts[1].DN, Account: "HV02$", Attribute: directory.AttributeActOnBehalf, Add: []string{hv03}, Before: Digest([][]byte{s.Hosts[1].ActOnBehalf})}}
		if prune {
			want[0].Delete = []string{hv02, foreign, testDomain + "-9"}
			want = append(want, Change{DN: s.Hosts[2].DN, Account: "HV03$", Attribute: directory.AttributeActOnBehalf, Delete: []string{hv01},
				Before: Digest([][]byte{s.Hosts[2].ActOnBehalf})})
		}
		diff(t, "changes", want, p.Changes)
	}
}

func TestADescriptorThatCannotBeUsedIsLeftAlone(t *testing.T) {
	// O:BAD:(D;;CR;;;HV01): an entry that denies.
	sid, _ := secdesc.SID(hv01).Bytes()
	denied := descriptor(t, hv01)
	at := strings.Index(string(denied), string(sid)) - entryHeader
	denied[at] = 1 // ACCESS_DENIED_ACE_TYPE (MS-DTYP 2.4.4.1)
	for name, value := range map[string][]byte{"malformed": []byte("no descriptor"), "denies": denied} {
		s := goodState(directory.Windows, 3)
		s.Hosts[1].ActOnBehalf = value
		p := mustPlan(t, Intent{Model: ResourceBased}, s)
		diff(t, name, []fault.Code{fault.ResourceDelegationUnusable}, codes(p.Findings))
		f := p.Findings[0]
		if f.Severity != finding.Error || f.Object != "HV02$" || f.Destination != "HV02" || strings.Contains(f.Message, "{") {
			t.Errorf("%s: %+v", name, f)
		}
		if changeOf(p, "HV02$", directory.AttributeActOnBehalf).DN != "" || changeOf(p, "HV03$", directory.AttributeActOnBehalf).DN == "" {
			t.Errorf("%s: %+v", name, p.Changes)
		}
		if p.Pairs[0].Direction != (Direction{"HV01", "HV02"}) || p.Pairs[0].State != Absent {
			t.Errorf("%s: %+v", name, p.Pairs[0])
		}
	}
}

func TestFindingsOfADestination(t *testing.T) {
	s := goodState(directory.Windows, 3)
	s.Hosts[2].ActOnBehalf = descriptor(t, hv01)
	p := mustPlan(t, Intent{Model: ResourceBased, OneWay: []Direction{{"HV01", "HV02"}}}, s)
	missing, extra := PairFindings(p, p.Pairs[0]), PairFindings(p, p.Pairs[1])
	diff(t, "codes", []fault.Code{fault.ResourceDelegationAbsent, fault.DelegationExtra}, append(codes(missing), codes(extra)...))
	f := missing[0]
	if f.Object != "HV02$" || f.Source != "HV01" || f.Destination != "HV02" || !slices.Equal(f.Values, []string{"HV01$"}) || f.Severity != finding.Error {
		t.Errorf("%+v", f)
	}
	diff(t, "fix", "$t = (Get-ADComputer -Identity 'HV01$').DistinguishedName; $c = Get-ADComputer -Identity 'HV02$' -Properties PrincipalsAllowedToDelegateToAccount; "+
		"Set-ADComputer -Identity $c -PrincipalsAllowedToDelegateToAccount (@($c.PrincipalsAllowedToDelegateToAccount) + $t)", f.Fix[2].Line)
	if f = extra[0]; f.Object != "HV03$" || f.Severity != finding.Warning || !strings.Contains(f.Message, "HV01$") {
		t.Errorf("%+v", f)
	}
}

func TestADescriptorThatIsTooLongIsRefused(t *testing.T) {
	s := goodState(directory.Windows, 2)
	var many []string
	for n := range MaxTrustees - 1 {
		many = append(many, secdescSID(n))
	}
	s.Hosts[1].ActOnBehalf = descriptor(t, many...)
	in := Intent{Model: ResourceBased, OneWay: []Direction{{"HV01", "HV02"}}}
	_, err := NewPlan(in, s)
	if f := fault.From(err); f.Code != fault.DelegationTooLarge || f.Args["attribute"] != directory.AttributeActOnBehalf {
		t.Error(err)
	}
	in.Prune = true
	mustPlan(t, in, s)
}

func secdescSID(n int) string { return string(secdesc.SID(goodHost(9000+n, false).SID)) }

func TestANewGroup(t *testing.T) {
	s := goodState(directory.Samba, 3)
	p := mustPlan(t, Intent{Model: GroupBased, Protocol: KerberosOnly, OneWay: []Direction{{"HV01", "HV03"}, {"HV02", "HV03"}}}, s)
	diff(t, "group", &directory.NewGroup{DN: "CN=Drover Hosts,CN=Users," + testBase, Name: "Drover Hosts", Description: p.NewGroup.Description,
		Members: []string{s.Hosts[0].DN, s.Hosts[1].DN}}, p.NewGroup)
	diff(t, "changes", []Change{{DN: s.Hosts[2].DN, Account: "HV03$", Attribute: directory.AttributeActOnBehalf, Add: []string{GroupTrustee}, Before: Digest(nil)}}, p.Changes)
	diff(t, "pair", Pair{Direction: Direction{"HV01", "HV03"}, State: Absent, Missing: []string{"HV01$", "Drover Hosts"}}, p.Pairs[0])
	if p.Cost.Values != 3 || p.Cost.ValuesPerHost != 1 {
		t.Errorf("%+v", p.Cost)
	}
	p = mustPlan(t, Intent{Model: GroupBased, Group: "Movers", GroupOU: "OU=Groups, dc=lab,DC=drover,dc=TEST"}, s)
	if p.NewGroup.DN != "CN=Movers,OU=Groups, dc=lab,DC=drover,dc=TEST" || len(p.NewGroup.Members) != 3 {
		t.Errorf("%+v", p.NewGroup)
	}
}

func TestAGroupThatIsThere(t *testing.T) {
	for _, prune := range []bool{false, true} {
		s := goodState(directory.Windows, 4)
		other := "CN=HV09,CN=Computers," + testBase
		s.Group = &directory.Group{DN: "CN=Drover Hosts,CN=Users," + testBase, Name: "Drover Hosts", SID: testDomain + "-5000",
			Members: []string{strings.ToLower(s.Hosts[0].DN), s.Hosts[3].DN, other}}
		s.Hosts[2].ActOnBehalf = descriptor(t, testDomain+"-5000", hv01)
		s.Hosts[3].ActOnBehalf = descriptor(t, testDomain+"-5000")
		p := mustPlan(t, Intent{Model: GroupBased, Prune: prune, OneWay: []Direction{{"HV01", "HV03"}, {"HV02", "HV03"}}}, s)
		diff(t, "pairs", []Pair{
			{Direction: Direction{"HV01", "HV03"}, State: Complete, Present: []string{"HV01$", "Drover Hosts"}, Extra: []string{"HV01$"}},
			{Direction: Direction{"HV01", "HV04"}, State: Unwanted, Extra: []string{"Drover Hosts"}},
			{Direction: Direction{"HV02", "HV03"}, State: Incomplete, Present: []string{"Drover Hosts"}, Missing: []string{"HV02$"}},
			{Direction: Direction{"HV02", "HV04"}, State: Unwanted, Extra: []string{"Drover Hosts"}},
			{Direction: Direction{"HV04", "HV03"}, State: Unwanted, Extra: []string{"Drover Hosts"}},
		}, p.Pairs)
		group := Change{DN: s.Group.DN, Account: "Drover Hosts", Attribute: directory.AttributeMember, Add: []string{s.Hosts[1].DN}, Before: Digest(asBytes(s.Group.Members))}
		want := []Change{group}
		if prune {
			want[0].Delete = []string{s.Hosts[3].DN, other}
			want = append(want,
				Change{DN: s.Hosts[2].DN, Account: "HV03$", Attribute: directory.AttributeActOnBehalf, Delete: []string{hv01}, Before: Digest([][]byte{s.Hosts[2].ActOnBehalf})},
				Change{DN: s.Hosts[3].DN, Account: "HV04$", Attribute: directory.AttributeActOnBehalf, Delete: []string{testDomain + "-5000"}, Before: Digest([][]byte{s.Hosts[3].ActOnBehalf})})
		}
		diff(t, "changes", want, p.Changes)
		diff(t, "findings", []fault.Code{fault.DelegationExtra}, codes(p.Findings))
		diff(t, "members too many", []string{s.Hosts[3].DN, other}, p.Findings[0].Values)

		f := PairFindings(p, p.Pairs[2])[0]
		if f.Code != fault.ResourceDelegationAbsent || f.Attribute != directory.AttributeMember || f.Object != "Drover Hosts" ||
			f.Fix[2].Line != "Add-ADGroupMember -Identity 'Drover Hosts' -Members 'HV02$'" {
			t.Errorf("%+v", f)
		}
		if f = PairFindings(p, p.Pairs[4])[0]; f.Fix[0].Line != "Remove-ADGroupMember -Identity 'Drover Hosts' -Members 'HV04$' -Confirm:$false" {
			t.Errorf("a source that is none: %+v", f)
		}
		if f = PairFindings(p, p.Pairs[1])[0]; !strings.Contains(f.Fix[0].Line, "Get-ADGroup -Identity 'Drover Hosts'") || f.Object != "HV04$" {
			t.Errorf("a destination that is none: %+v", f)
		}
	}
}

func TestSambaTakesDescriptorsOnTheControllerOnly(t *testing.T) {
	p := mustPlan(t, Intent{Model: ResourceBased}, goodState(directory.Samba, 2))
	f := PairFindings(p, p.Pairs[0])[0]
	diff(t, "fix", []finding.Command{{Tool: finding.SambaTool, Line: "samba-tool delegation add-principal 'HV02$' 'HV01$'"}}, f.Fix)
	diff(t, "undo", []finding.Command{{Tool: finding.SambaTool, Line: "samba-tool delegation del-principal 'HV02$' 'HV01$'"}}, f.Undo)
}
