package delegation

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"drover/internal/directory"
	"drover/internal/fault"
	"drover/internal/finding"
	"drover/internal/spn"
)

const (
	migration = spn.Migration
	fullTwo   = "hv02.lab.drover.test"
)

// listOf gives the list of HV01 and the only pair from it, in a plan from HV01 to HV02.
func listOf(t *testing.T, kind directory.Controller, in Intent, list ...string) (Pair, *Plan) {
	t.Helper()
	s := goodState(kind, 2)
	s.Hosts[0].DelegateTo = list
	in.OneWay = []Direction{{"HV01", "HV02"}}
	p := mustPlan(t, in, s)
	return p.Pairs[0], p
}

func changeOf(p *Plan, account, attribute string) Change {
	for _, c := range p.Changes {
		if c.Account == account && c.Attribute == attribute {
			return c
		}
	}
	return Change{}
}

func TestWantedValues(t *testing.T) {
	plain := []string{migration + "/HV02", migration + "/" + fullTwo, "cifs/HV02", "cifs/" + fullTwo}
	pair, p := listOf(t, directory.Windows, Intent{})
	diff(t, "Windows", Pair{Direction: Direction{"HV01", "HV02"}, State: Absent, Missing: plain}, pair)
	diff(t, "change", Change{DN: "CN=HV01,CN=Computers," + testBase, Account: "HV01$", Attribute: directory.AttributeDelegateTo, Add: plain, Before: Digest(nil)},
		changeOf(p, "HV01$", directory.AttributeDelegateTo))
	pair, _ = listOf(t, directory.Samba, Intent{})
	diff(t, "Samba", spn.Stored(true, plain...), pair.Missing)

	s := goodState(directory.Windows, 2)
	s.Hosts[1].DNSHostName = ""
	p = mustPlan(t, Intent{OneWay: []Direction{{"HV01", "HV02"}}}, s)
	diff(t, "without DNS name", []string{migration + "/HV02", "cifs/HV02"}, p.Pairs[0].Missing)
	diff(t, "notice", []fault.Code{fault.HostWithoutDNSName}, codes(p.Findings))
}

func TestValuesAreComparedWithoutCaseButATwinIsAValueOfItsOwn(t *testing.T) {
	in := Intent{Services: []string{migration}}
	plain, twin, full := migration+"/HV02", spn.Twin(migration+"/HV02"), migration+"/"+fullTwo
	for name, r := range map[string]struct {
		kind             directory.Controller
		list             []string
		present, missing []string
		extra            []string
	}{
		"other case": {directory.Windows, []string{strings.ToUpper(plain), strings.ToUpper(full)},
			[]string{strings.ToUpper(plain), strings.ToUpper(full)}, nil, nil},
		"in two cases": {directory.Windows, []string{plain, strings.ToUpper(plain), full},
			[]string{plain, full, strings.ToUpper(plain)}, nil, nil},
		"twin lacks": {directory.Samba, []string{plain, full, spn.Twin(full)}, []string{plain, full, spn.Twin(full)}, []string{twin}, nil},
		"only twin":  {directory.Samba, []string{twin, full, spn.Twin(full)}, []string{twin, full, spn.Twin(full)}, []string{plain}, nil},
		"twin on Windows": {directory.Windows, []string{plain, full, twin},
			[]string{plain, full, twin}, nil, nil},
	} {
		pair, p := listOf(t, r.kind, in, r.list...)
		diff(t, name+": present", r.present, pair.Present)
		diff(t, name+": missing", r.missing, pair.Missing)
		diff(t, name+": extra", r.extra, pair.Extra)
		diff(t, name+": added", r.missing, changeOf(p, "HV01$", directory.AttributeDelegateTo).Add)
	}
}

// Beside the controller that was asked there may be one of Samba's, which needs them.
func TestPruningOnWindowsLeavesTwins(t *testing.T) {
	in := Intent{Services: []string{migration}, OneWay: []Direction{{"HV01", "HV02"}}, Prune: true}
	plain, full, unwanted := migration+"/HV02", migration+"/"+fullTwo, migration+"/HV03"
	_, p := listOf(t, directory.Windows, in, plain, full, spn.Twin(plain), spn.Twin(full), unwanted, spn.Twin(unwanted))
	diff(t, "deleted", []string{unwanted, spn.Twin(unwanted)}, changeOf(p, "HV01$", directory.AttributeDelegateTo).Delete)
}

func TestWhatIsTooMuch(t *testing.T) {
	for name, r := range map[string]struct {
		value string
		pair  Direction // "" for none: Host.Other
		stale bool
	}{
		"direction not wanted":    {"cifs/HV03", Direction{"HV01", "HV03"}, false},
		"to itself":               {"cifs/HV01", Direction{"HV01", "HV01"}, false},
		"with a port":             {"cifs/" + fullTwo + ":445", Direction{"HV01", "HV02"}, false},
		"with an instance":        {"cifs/HV02/x", Direction{"HV01", "HV02"}, false},
		"another class":           {"MSSQLSvc/HV02:1433", Direction{}, false},
		"another host":            {"cifs/fs01", Direction{}, false},
		"another host's DNS name": {"cifs/FS01.lab.drover.test", Direction{}, false},
		"another host's alias":    {"cifs/files", Direction{}, false},
		"gone":                    {"cifs/hv09", Direction{}, true},
		"gone, full":              {"cifs/hv09.lab.drover.test", Direction{}, true},
		"a user's name":           {"cifs/jane", Direction{}, true},
		"another domain":          {"cifs/hv09.other.test", Direction{}, false},
		"no service name":         {"nonsense", Direction{}, false},
	} {
		for _, prune := range []bool{false, true} {
			s := goodState(directory.Samba, 3)
			s.Others = []directory.Account{
				{Class: directory.Computer, Name: "FS01$", DNSHostName: "fs01.lab.drover.test", ServiceNames: []string{"cifs/files"}},
				{Class: directory.User, Name: "jane"}}
			s.Hosts[0].DelegateTo = []string{r.value}
			p := mustPlan(t, Intent{Prune: prune, OneWay: []Direction{{"HV01", "HV02"}}}, s)
			var extra Direction
			for _, pair := range p.Pairs {
				if len(pair.Extra) > 0 {
					extra = pair.Direction
					diff(t, name+": extra", []string{r.value}, pair.Extra)
					if (pair.State == Unwanted) != (pair.Destination != "HV02") {
						t.Errorf("%s: %s", name, pair.State)
					}
				}
			}
			if extra != r.pair || (extra == Direction{}) != slices.Equal(p.Hosts[0].Other, []string{r.value}) {
				t.Errorf("%s: extra of %v, other %v", name, extra, p.Hosts[0].Other)
			}
			if got := slices.Contains(codes(p.Findings), fault.DelegationStaleName); got != r.stale {
				t.Errorf("%s: stale %v", name, got)
			}
			c := changeOf(p, "HV01$", directory.AttributeDelegateTo)
			if got := slices.Equal(c.Delete, []string{r.value}); got != prune || len(c.Add) != 6 {
				t.Errorf("%s: prune %v: %+v", name, prune, c)
			}
		}
	}
}

func TestNoNameIsCalledGoneBeforeItWasLookedFor(t *testing.T) {
	s := goodState(directory.Windows, 2)
	s.Hosts[0].DelegateTo = []string{"cifs/FS02", "cifs/fs02", "cifs/HV02", "MSSQLSvc/db", `Microsoft\ Virtual\ System\ Migration\ Service/fs01`}
	diff(t, "to be looked for", []string{"fs01", "fs02"}, UncarriedHosts(Intent{}, s))
	s.NamesRead = false
	if p := mustPlan(t, Intent{}, s); len(p.Findings) > 0 {
		t.Errorf("%v", codes(p.Findings))
	}
}

func TestDomainsAreNotCrossedByLists(t *testing.T) {
	s := goodState(directory.Windows, 3)
	s.Hosts[2].DN = "CN=HV03,CN=Computers,DC=child," + testBase
	if _, err := NewPlan(Intent{}, s); !fault.Is(err, fault.DelegationCrossDomain) {
		t.Error(err)
	}
	mustPlan(t, Intent{OneWay: []Direction{{"HV01", "HV02"}}}, s)
	mustPlan(t, Intent{Model: ResourceBased}, s)
	if _, err := NewPlan(Intent{Model: GroupBased}, s); !fault.Is(err, fault.Usage) {
		t.Errorf("a global group with a member of another domain: %v", err)
	}
}

func TestListsThatAreTooLongAreRefused(t *testing.T) {
	mustPlan(t, Intent{}, goodState(directory.Windows, 301))
	for kind, hosts := range map[directory.Controller]int{directory.Windows: 302, directory.Samba: 202} {
		_, err := NewPlan(Intent{}, goodState(kind, hosts))
		f := fault.From(err)
		if f.Code != fault.DelegationTooLarge || f.Args["hosts"] != fmt.Sprint(hosts) || f.Args["limit"] != "1200" || strings.Contains(f.Message(), "{") {
			t.Errorf("%s: %v", kind, err)
		}
		mustPlan(t, Intent{Model: GroupBased}, goodState(kind, hosts))
	}
	s := goodState(directory.Windows, 2)
	for i := range MaxValues {
		s.Hosts[0].DelegateTo = append(s.Hosts[0].DelegateTo, fmt.Sprintf("MSSQLSvc/db%d", i))
	}
	if _, err := NewPlan(Intent{}, s); !fault.Is(err, fault.DelegationTooLarge) {
		t.Errorf("other values count too: %v", err)
	}
	mustPlan(t, Intent{Prune: true}, s)
}

func TestCostOfLists(t *testing.T) {
	p := mustPlan(t, Intent{}, goodState(directory.Samba, 4))
	want := Cost{ValuesPerHost: 18, Limit: 1200, Values: 72, Text: "constrained delegation of 4 hosts: 18 values on one account at most, 72 in the directory; " +
		"an account holds about 1,200, which is reached at 200 hosts (on Windows at 300; Samba needs names with blanks twice)"}
	diff(t, "cost", want, p.Cost)
}

func TestFindingsOfADirection(t *testing.T) {
	m, mf, c, cf := migration+"/HV02", migration+"/"+fullTwo, "cifs/HV02", "cifs/"+fullTwo
	for name, r := range map[string]struct {
		list   []string
		code   fault.Code
		values []string
	}{
		"nothing":              {nil, fault.DelegationIncomplete, []string{m, mf, c, cf}},
		"only short":           {[]string{m, c}, fault.DelegationShortOnly, []string{mf, cf}},
		"only full":            {[]string{mf, cf}, fault.DelegationFullOnly, []string{m, c}},
		"one full name lacks":  {[]string{m, c, cf}, fault.DelegationIncomplete, []string{mf}},
		"one short name lacks": {[]string{m, mf, cf}, fault.DelegationIncomplete, []string{c}},
		"one service lacks":    {[]string{c, cf}, fault.DelegationIncomplete, []string{m, mf}},
		"one name of one":      {[]string{c}, fault.DelegationIncomplete, []string{m, mf, cf}},
		"too much":             {[]string{m, mf, c, cf, c + ":445"}, fault.DelegationExtra, []string{c + ":445"}},
	} {
		pair, p := listOf(t, directory.Windows, Intent{}, r.list...)
		fs := PairFindings(p, pair)
		if len(fs) != 1 {
			t.Errorf("%s: %v", name, codes(fs))
			continue
		}
		f := fs[0]
		diff(t, name, r.values, f.Values)
		if f.Code != r.code || f.Source != "HV01" || f.Destination != "HV02" || f.Object != "HV01$" || strings.Contains(f.Message+f.Hint, "{") ||
			f.Attribute != directory.AttributeDelegateTo || len(f.Fix) == 0 || len(f.Undo) == 0 {
			t.Errorf("%s: %+v", name, f)
		}
		for _, v := range r.values {
			if !strings.Contains(f.Message, v) {
				t.Errorf("%s: %q is not in %q", name, v, f.Message)
			}
		}
	}
}

func TestCommandsOfADirection(t *testing.T) {
	in := Intent{Services: []string{migration}, Protocol: KerberosOnly}
	plan := []finding.Command{
		{Tool: finding.Drover, Line: "drover delegation plan HV01 HV02 --one-way HV01:HV02 --protocol kerberos --services 'Microsoft Virtual System Migration Service' -o json > plan.json"},
		{Tool: finding.Drover, Line: "drover delegation apply plan.json"}}
	full, twin := migration+"/"+fullTwo, spn.Twin(migration+"/"+fullTwo)

	pair, p := listOf(t, directory.Samba, in, migration+"/HV02", spn.Twin(migration+"/HV02"))
	f := PairFindings(p, pair)[0]
	samba := func(verb, value string) finding.Command {
		return finding.Command{Tool: finding.SambaTool, Line: "samba-tool delegation " + verb + "-service 'HV01$' '" + value + "' -H ldap://dc1.lab.drover.test -U Administrator"}
	}
	diff(t, "Samba", append(slices.Clone(plan), samba("add", full), samba("add", twin)), f.Fix)
	diff(t, "Samba, back", []finding.Command{samba("del", full), samba("del", twin)}, f.Undo)
	if strings.Contains(f.Message, twin) {
		t.Errorf("the twin is shown beside its plain name: %s", f.Message)
	}

	pair, p = listOf(t, directory.Windows, in, migration+"/HV02")
	f = PairFindings(p, pair)[0]
	line := "Set-ADObject -Identity 'CN=HV01,CN=Computers," + testBase + "' -Add @{'msDS-AllowedToDelegateTo'='" + full + "'}"
	diff(t, "Windows", append(slices.Clone(plan), finding.Command{Tool: finding.PowerShell, Line: line}), f.Fix)
}

func TestAValueThatIsNoLineOfTextIsPutIntoNoCommand(t *testing.T) {
	pair, p := listOf(t, directory.Samba, Intent{}, "cifs/HV02:1\nreboot")
	for _, f := range PairFindings(p, pair) {
		for _, c := range append(f.Fix, f.Undo...) {
			if strings.Contains(c.Line, "reboot") {
				t.Errorf("%q", c.Line)
			}
		}
	}
}
