package doctor

import (
	"slices"
	"testing"

	"drover/internal/fault"
	"drover/internal/finding"
)

// found is an error of a host.
func found(code fault.Code, object string) finding.Finding {
	return finding.Finding{Code: code, Severity: finding.Error, Object: object}
}

// between is one of a direction.
func between(code fault.Code, source, destination string) finding.Finding {
	f := found(code, source+"$")
	f.Source, f.Destination = source, destination
	return f
}

func TestConsequencesStandUnderTheirCause(t *testing.T) {
	for _, tc := range []struct {
		name string
		in   []finding.Finding
		want []string // each cause with how many consequences
		n    []int
	}{
		{"nothing", nil, nil, nil},
		{"a service name that lacks explains refusals to that host, and no others",
			[]finding.Finding{between(fault.DelegationRefused, "HV01", "HV02"), between(fault.DelegationRefused, "HV01", "HV03"), found(fault.ServiceNameMissing, "HV02$")},
			[]string{"service-name-missing", "delegation-refused"}, []int{1, 0}},
		{"a list that lacks values explains the refusals of its direction",
			[]finding.Finding{between(fault.DelegationIncomplete, "HV01", "HV02"), between(fault.DelegationMissing, "HV01", "HV02"), between(fault.DelegationMissing, "HV02", "HV01")},
			[]string{"delegation-incomplete", "delegation-missing"}, []int{1, 0}},
		{"a consequence of a consequence stands under the first of them",
			[]finding.Finding{between(fault.DelegationRefused, "HV01", "HV02"), found(fault.KeytabStale, "HV01$"), found(fault.HostAccountDisabled, "HV01$")},
			[]string{"host-account-disabled"}, []int{2}},
		{"no controller explains all that needs one",
			[]finding.Finding{between(fault.NotChecked, "HV01", "HV02"), found(fault.DirectoryUnreachable, "dc1"), found(fault.KDCUnreachable, "EXAMPLE.ORG"), found(fault.MigrationDisabled, "HV02")},
			[]string{"kdc-unreachable", "migration-disabled"}, []int{2, 0}},
		{"the same in several directions is one",
			[]finding.Finding{between(fault.TransitionMissing, "HV01", "HV02"), between(fault.TransitionMissing, "HV01", "HV03")},
			[]string{"protocol-transition-missing"}, []int{0}},
		{"a host's clock explains what it is part of",
			[]finding.Finding{between(fault.KerberosFailed, "HV01", "HV02"), between(fault.KerberosFailed, "HV03", "HV01"), found(fault.ClockSkew, "HV01")},
			[]string{"clock-skew"}, []int{2}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var codes []string
			var n []int
			for _, c := range Fold(tc.in) {
				codes, n = append(codes, string(c.Code)), append(n, len(c.Consequences))
			}
			if !slices.Equal(codes, tc.want) || !slices.Equal(n, tc.n) {
				t.Errorf("got %v %v, want %v %v", codes, n, tc.want, tc.n)
			}
		})
	}
}

func TestWorstCauseComesFirst(t *testing.T) {
	warning, critical := found(fault.DelegationExtra, "HV01$"), found(fault.Unconstrained, "HV03$")
	warning.Severity, critical.Severity = finding.Warning, finding.Critical
	got := Fold([]finding.Finding{warning, found(fault.DelegationIncomplete, "HV02$"), found(fault.ClockSkew, "HV09"), critical})
	for i, want := range []fault.Code{fault.Unconstrained, fault.ClockSkew, fault.DelegationIncomplete, fault.DelegationExtra} {
		if got[i].Code != want {
			t.Errorf("number %d is %s, want %s", i, got[i].Code, want)
		}
	}
}

func TestDirectionsAreKept(t *testing.T) {
	got := Fold([]finding.Finding{between(fault.TransitionMissing, "HV01", "HV02"), between(fault.TransitionMissing, "HV01", "HV03")})
	if len(got) != 1 || len(got[0].Directions) != 2 || got[0].Source != "" {
		t.Errorf("%+v", got)
	}
}

// A circle would leave findings under each other and show none.
func TestRelationsGoInNoCircle(t *testing.T) {
	under := map[fault.Code][]fault.Code{}
	for _, r := range relations {
		under[r.cause] = append(under[r.cause], r.effects...)
	}
	var walk func(path []fault.Code)
	walk = func(path []fault.Code) {
		for _, next := range under[path[len(path)-1]] {
			if slices.Contains(path, next) {
				t.Errorf("%v comes back to %s", path, next)
				continue
			}
			walk(append(slices.Clone(path), next))
		}
	}
	for _, r := range relations {
		walk([]fault.Code{r.cause})
	}
}

func TestRelationsKnowTheirCodes(t *testing.T) {
	for _, r := range relations {
		for _, c := range append(slices.Clone(r.effects), r.cause) {
			if _, ok := fault.Lookup(c); !ok {
				t.Errorf("%s is no code", c)
			}
		}
	}
}

// What is taken from the wrong object has to be given to the right one.
func TestCureOfAWrongObjectHasThatOfTheRightOne(t *testing.T) {
	lacks, wrong := between(fault.DelegationIncomplete, "HV01", "HV02"), between(fault.DelegationWrongObject, "HV01", "HV02")
	lacks.Fix, lacks.Undo = []finding.Command{{Line: "add"}}, []finding.Command{{Line: "del"}}
	wrong.Object, wrong.Fix, wrong.Undo = "svc-old", []finding.Command{{Line: "take"}}, []finding.Command{{Line: "give"}}
	got := Fold([]finding.Finding{lacks, wrong})
	if len(got) != 1 || got[0].Code != fault.DelegationWrongObject || len(got[0].Fix) != 2 || got[0].Fix[0].Line != "add" || got[0].Undo[1].Line != "del" {
		t.Errorf("%+v", got)
	}
}

// A warning does not hide an error.
func TestWarningExplainsNoError(t *testing.T) {
	warning := found(fault.DNSServerSilent, "192.0.2.1")
	warning.Severity = finding.Warning
	if got := Fold([]finding.Finding{warning, found(fault.DNSNameMissing, "hv01.example.org")}); len(got) != 2 || got[0].Code != fault.DNSNameMissing {
		t.Errorf("%+v", got)
	}
}
