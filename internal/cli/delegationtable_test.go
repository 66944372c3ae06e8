package cli

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"drover/internal/delegation"
	"drover/internal/fault"
	"drover/internal/finding"
)

func aPlan() *delegation.Plan {
	return &delegation.Plan{Time: time.Unix(1_800_000_000, 0), Server: "dc1.example.org", Kind: "samba", Domain: "example.org",
		Intent: delegation.Intent{Model: delegation.Constrained, Protocol: delegation.AnyProtocol, Services: []string{"cifs"}},
		Hosts:  []delegation.Host{{Name: "HV01", Account: "HV01$"}, {Name: "HV02", Account: "HV02$"}},
		Pairs:  []delegation.Pair{{Direction: delegation.Direction{Source: "HV02", Destination: "HV01"}, State: delegation.Unwanted, Extra: []string{"cifs/HV01"}}},
		Changes: []delegation.Change{{DN: "CN=HV01", Account: "HV01$", Attribute: "msDS-AllowedToDelegateTo",
			Add: []string{"a b/HV02", `a\ b/HV02`, "cifs/HV02"}, Delete: []string{"cifs/gone"}}}}
}

func TestPlanNamesAnAttributeOnceAndMarksTwins(t *testing.T) {
	var b bytes.Buffer
	if err := printDelegationPlan(&b, aPlan()); err != nil {
		t.Fatal(err)
	}
	want := `
SOURCE  DESTINATION  STATE     THERE  MISSING  TOO MUCH
HV02    HV01         unwanted  0      0        1
What is too much stays; --prune removes it.

Changes to 1 object:
  HV01$  (CN=HV01)
    msDS-AllowedToDelegateTo
      + a b/HV02  (*)
      + cifs/HV02
      - cifs/gone

(*) and its twin with the blanks escaped, which Samba's controllers look for
`
	_, got, _ := strings.Cut(b.String(), "1 unwanted\n")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestPlanKeepsWithinAScreenWhatItCosts(t *testing.T) {
	plan := aPlan()
	plan.Cost.Text = strings.Repeat("many words ", 30)
	var b bytes.Buffer
	if err := printDelegationPlan(&b, plan); err != nil {
		t.Fatal(err)
	}
	for l := range strings.Lines(b.String()) {
		if len(l) > 80 && strings.Contains(l, "words") {
			t.Errorf("%d characters: %s", len(l), l)
		}
	}
}

func TestPlanCountsFindingsAboveTwenty(t *testing.T) {
	var fs []finding.Finding
	for i := range 25 {
		fs = append(fs, finding.New(finding.Warning, fmt.Sprint(i), fault.New(fault.OperatorDisabled, "", "object", fmt.Sprint(i))))
	}
	var b bytes.Buffer
	if err := printFindings(&b, fs); err != nil || strings.Count(b.String(), "warning:") != 20 || !strings.Contains(b.String(), "... and 5 findings more; -o json") {
		t.Errorf("%v: %s", err, b.String())
	}
}

func TestNothingTakesEffectWhereNothingWasApplied(t *testing.T) {
	for outcome, want := range map[delegation.Outcome]bool{delegation.NotTried: false, delegation.Applied: true} {
		var b bytes.Buffer
		r := &delegation.Result{Server: "dc1", Baseline: "b.ldif", Objects: []delegation.ObjectResult{{Account: "HV01$", Outcome: outcome}}}
		if err := printApplied(&b, aPlan(), r); err != nil {
			t.Fatal(err)
		}
		if got := strings.Contains(b.String(), "takes effect"); got != want {
			t.Errorf("%s: takes effect %v", outcome, got)
		}
		if got := strings.Contains(b.String(), "rollback"); got != want {
			t.Errorf("%s: go back %v", outcome, got)
		}
	}
}
