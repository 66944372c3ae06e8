package cli

import (
	"context"
	"errors"
	"slices"
	"testing"

	"drover/internal/delegation"
	"drover/internal/doctor"
	"drover/internal/fault"
	"drover/internal/finding"
)

// A host that the directory does not have stops nothing but its own directions.
func TestAnUnknownHostStopsNoFix(t *testing.T) {
	unknown := finding.New(finding.Error, "HV09", fault.New(fault.HostNotInDirectory, "", "domain", "example.org", "name", "HV09"))
	wide := finding.New(finding.Error, "HV01$", fault.New(fault.TransitionMissing, "HV01", "account", "HV01$"))
	wide.Host = "HV01"
	r := doctor.Report{Causes: doctor.Fold([]finding.Finding{unknown, wide}),
		Pairs: []delegation.Direction{{Source: "HV01", Destination: "HV02"}, {Source: "HV01", Destination: "hv09.example.org"}, {Source: "HV09", Destination: "HV01"}}}
	tr := treat(newProgram(nil, nil, nil), &r)
	if !slices.Equal(tr.directions, []delegation.Direction{{Source: "HV01", Destination: "HV02"}}) || len(tr.rest) != 1 || tr.rest[0].Code != fault.HostNotInDirectory {
		t.Errorf("%v, left to a person: %+v", tr.directions, tr.rest)
	}
	// One that the question names in full is meant by the short name, too.
	r.Pairs[0].Source = "hv01.example.org"
	if tr := treat(newProgram(nil, nil, nil), &r); len(tr.directions) != 1 {
		t.Errorf("%v", tr.directions)
	}
}

// What is planned for one cause already is not left to a person for the next.
func TestWhatIsTreatedForAnotherIsTreated(t *testing.T) {
	wide := finding.New(finding.Error, "HV01$", fault.New(fault.TransitionMissing, "HV01", "account", "HV01$"))
	wide.Host = "HV01"
	lacks := finding.New(finding.Error, "HV01$", fault.New(fault.DelegationIncomplete, "HV01", "account", "HV01$"))
	lacks.Source, lacks.Destination = "HV01", "HV02"
	r := doctor.Report{Causes: doctor.Fold([]finding.Finding{wide, lacks}), Pairs: []delegation.Direction{{Source: "HV01", Destination: "HV02"}}}
	if tr := treat(newProgram(nil, nil, nil), &r); len(r.Causes) != 2 || len(tr.directions) != 1 || len(tr.rest) != 0 {
		t.Errorf("%v, left to a person: %+v", tr.directions, tr.rest)
	}
}

func TestAPlanThatFailsIsARepairThatFailed(t *testing.T) {
	tr := &treatment{directions: []delegation.Direction{{Source: "HV01", Destination: "HV02"}}}
	broken := func() (*delegation.Plan, error) { return nil, errors.New("no such host") }
	if failed, err := tr.planWith(t.Context(), broken); err != nil || len(failed) != 1 || failed[0].Error == nil || tr.plan != nil {
		t.Errorf("%+v, %v", failed, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := tr.planWith(ctx, broken); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

// The flag of protocol transition lets a host do more, and is set only where that it
// lacks is what was found.
func TestTransitionIsSetWhereItLacks(t *testing.T) {
	lacks := finding.New(finding.Error, "HV01$", fault.New(fault.DelegationIncomplete, "HV01", "account", "HV01$"))
	lacks.Source, lacks.Destination = "HV01", "HV02"
	flag := finding.New(finding.Error, "HV01$", fault.New(fault.TransitionMissing, "HV01", "account", "HV01$"))
	flag.Host = "HV01"
	meant := flag
	meant.Severity = finding.Warning
	for _, c := range []struct {
		found []finding.Finding
		want  delegation.Protocol
		rest  int
	}{
		{[]finding.Finding{lacks}, delegation.KerberosOnly, 0},
		{[]finding.Finding{lacks, meant}, delegation.KerberosOnly, 1},
		{[]finding.Finding{lacks, flag}, delegation.AnyProtocol, 0},
	} {
		r := doctor.Report{Causes: doctor.Fold(c.found), Pairs: []delegation.Direction{{Source: "HV01", Destination: "HV02"}}}
		tr := treat(newProgram(nil, nil, nil), &r)
		if in := tr.intent(); in.Protocol != c.want || len(in.OneWay) != 1 || len(tr.rest) != c.rest {
			t.Errorf("%+v, left to a person: %+v", in, tr.rest)
		}
	}
}
