package doctor

import (
	"slices"
	"strings"
	"testing"
	"time"

	"drover/internal/fault"
	"drover/internal/finding"
)

func TestCasesAreToldApart(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range Cases() {
		if c.Name == "" || c.Break == nil || c.Restore == nil || seen[c.Name] {
			t.Errorf("case %q", c.Name)
		}
		if _, known := fault.Lookup(c.Want); !known {
			t.Errorf("%s wants %q", c.Name, c.Want)
		}
		seen[c.Name] = true
	}
	if len(seen) < 60 {
		t.Errorf("%d cases", len(seen))
	}
}

// Two faults of one kind would change the same thing.
func TestCouplesAreOfDifferentKinds(t *testing.T) {
	seen, times := map[string]bool{}, map[string]int{}
	for _, pair := range couples() {
		var kinds []string
		for _, c := range pair {
			kind, _, _ := strings.Cut(c.Name, ":")
			if c.Break == nil {
				t.Fatalf("%s + %s: a case that is not there", pair[0].Name, pair[1].Name)
			}
			kinds = append(kinds, kind)
			times[c.Name]++
		}
		name := together(pair[0], pair[1]).Name
		if kinds[0] == kinds[1] || seen[name] || seen[together(pair[1], pair[0]).Name] {
			t.Errorf("%s", name)
		}
		seen[name] = true
	}
	for _, name := range common {
		if times[name] != 2*len(distances) {
			t.Errorf("%s is in %d couples", name, times[name])
		}
	}
	if len(common) != 20 {
		t.Errorf("%d are common", len(common))
	}
}

func TestPage(t *testing.T) {
	yes, no := true, false
	m := &Matrix{Time: time.Date(2026, 11, 22, 3, 0, 0, 0, time.UTC), Versions: map[string]string{"drover": "devel"}, Hosts: 4, Seconds: 1.25,
		Outcomes: []Outcome{
			{Case: "a | b", Expected: fault.PortClosed, First: fault.PortClosed, Fixed: map[finding.Tool]bool{finding.LDIF: true, finding.Drover: true},
				Undone: map[finding.Tool]bool{finding.LDIF: true}, Moved: &yes, Seconds: 0.25},
			{Case: "c", Expected: fault.ClockSkew, First: fault.ClockSkew, Person: "somebody", Moved: &no},
			{Case: "d", Expected: fault.NoTicket, False: []string{"error x: y"}},
			{Case: "e", Expected: fault.PortClosed, First: fault.PortClosed, Fixed: map[finding.Tool]bool{finding.Shell: true}, NoUndo: "none is printed"},
		},
		Couples: []Couple{{Case: "both: a + c", Found: []fault.Code{fault.PortClosed, fault.PortClosed}, Missed: []fault.Code{fault.ClockSkew}}}}
	s := &Scale{Hosts: 200, Looks: []Look{{Name: "well", Found: []fault.Code{}, Wanted: []fault.Code{}, Seconds: 3}, {Name: "ill", Wanted: []fault.Code{fault.NoTicket}}}}
	got := m.markdown(s)
	for _, line := range []string{
		"- 4 faults, 3 of them named first; 1 false findings.",
		"- On the healthy lab of 4 hosts, before and after all that: 0 findings, at most 1.2 s.",
		"- 3 cures, 2 of them work as printed in every form; 1 take a person.",
		"- 1 cures were taken back as printed, after which the same was found first in 1, and made again.",
		"- After 2 cases a guest was to be moved there and back: it was in 1.",
		`| a \| b | ` + "`port-closed` |  | drover, ldif | ldif | yes | 0.2 |",
		"| c | `clock-skew` |  | a person: somebody |  | **no** | 0.0 |",
		"| d | **nothing** | error x: y | none |  |  | 0.0 |",
		"| e | `port-closed` |  | shell | none is printed |  | 0.0 |",
		"| a + c | `port-closed` | `clock-skew` |  | 0.0 |",
		"| well | 0 | 0 | 3.0 |",
		"| ill | 0, **1 are right** | 0 | 0.0 |",
	} {
		if !slices.Contains(strings.Split(got, "\n"), line) {
			t.Errorf("no line %s", line)
		}
	}
	if t.Failed() {
		t.Log(got)
	}
	if strings.Contains(m.markdown(nil), "Many hosts") {
		t.Error("hosts that nobody has counted")
	}
}

func TestRunsArePutTogether(t *testing.T) {
	m := new(Matrix)
	m.merge(&Matrix{Hosts: 4, Seconds: 2, Outcomes: []Outcome{{Case: "a"}, {Case: "b"}}, Couples: []Couple{{Case: "a + b"}}})
	m.merge(&Matrix{Hosts: 3, Seconds: 1, Quick: true, Healthy: []string{"x"}, Outcomes: []Outcome{{Case: "c"}, {Case: "a", Person: "p"}}})
	if len(m.Outcomes) != 3 || m.Outcomes[0].Person != "p" || m.Outcomes[2].Case != "c" || len(m.Couples) != 1 || m.Hosts != 3 || m.Seconds != 2 || !m.Quick || len(m.Healthy) != 1 {
		t.Errorf("%+v", m)
	}
	if p := m.markdown(nil); !strings.Contains(p, ", in 2 runs\n") {
		t.Error(p)
	}
}
