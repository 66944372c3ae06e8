package cli

import (
	"net/netip"
	"strings"
	"testing"

	"drover/internal/record"
)

func TestPlanTellsWhatWasPassedOverAndDecidedOtherwise(t *testing.T) {
	var b strings.Builder
	p := &record.Plan{VM: "APP01", Kind: "live", Source: "HV01", Destination: "HV02", Codec: "TCPIP (uncompressed)",
		Networks: []record.Route{{Subnet: netip.MustParsePrefix("10.0.9.0/24"), Source: netip.MustParseAddr("10.0.9.1"), Destination: netip.MustParseAddr("10.0.9.2"), Priority: 1}},
		Passed:   []record.Passed{{Subnet: netip.MustParsePrefix("10.0.8.0/24"), Reason: "HV02 does not listen there"}},
		Notes:    []string{"HV02 cannot decompress, so memory goes uncompressed"}}
	if err := printPlan(&b, p); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"10.0.9.1 -> 10.0.9.2", "10.0.8.0/24: HV02 does not listen there", "HV02 cannot decompress", "both hosts' policies turn it off"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, b.String())
		}
	}
}
