package finding

import (
	"testing"

	"drover/internal/fault"
)

func TestWorstDecidesTheExitStatus(t *testing.T) {
	for want, fs := range map[int][]Finding{
		0:  nil,
		10: {{Severity: Info}, {Severity: Warning}},
		11: {{Severity: Error}, {Severity: Info}},
		12: {{Severity: Warning}, {Severity: Critical}, {Severity: Error}},
	} {
		if got := Worst(fs).ExitStatus(); got != want {
			t.Errorf("%v: exit status %d, want %d", fs, got, want)
		}
	}
	if got := Worst([]Finding{{Severity: Info}}).ExitStatus(); got != 0 {
		t.Errorf("info: exit status %d", got)
	}
}

func TestSortPutsTheWorstFirst(t *testing.T) {
	fs := []Finding{{Severity: Info, Object: "a"}, {Severity: Critical, Object: "z"}, {Severity: Critical, Object: "b"}}
	Sort(fs)
	if fs[0].Object != "b" || fs[1].Object != "z" || fs[2].Object != "a" {
		t.Errorf("%+v", fs)
	}
}

func TestKeyTellsFindingsApartAndKnowsThemAgain(t *testing.T) {
	f := New(Error, "HV01$", fault.New(fault.DelegationMissing, "HV01", "account", "HV01$"))
	g := f
	g.Evidence = "read a second time"
	if f.Key() != g.Key() {
		t.Error("the evidence is part of the key")
	}
	g.Values = []string{"cifs/HV02"}
	if f.Key() == g.Key() {
		t.Error("other values, same key")
	}
	if f.Message == "" || f.Hint == "" {
		t.Errorf("no texts: %+v", f)
	}
}
