package agent

import (
	"log/slog"
	"testing"

	"drover/internal/api"
	"drover/internal/doctor"
	"drover/internal/eventlog"
	"drover/internal/fault"
)

// On the local socket there is no ticket to be tried; whoever asks is recorded
// also when nothing is tried.
func TestProbeByTicketNeedsATicketAndIsRecorded(t *testing.T) {
	l := newLogBench(t)
	b, journal := l.b, l.store
	b.reasons = &explainer{log: slog.New(slog.DiscardHandler)}
	_, err := b.ProbeDelegation(t.Context(), api.Caller{Principal: "operator@R", Local: true},
		api.ProbeRequest{DestinationServices: []string{"cifs/HV02"}, Operator: "operator@R", Method: doctor.ByTicket})
	if !fault.Is(err, fault.Usage) {
		t.Errorf("%v", err)
	}
	rows, err := journal.Audits(t.Context(), 0, 10)
	if err != nil || len(rows) != 1 || rows[0].Action != "delegation.probe" || rows[0].Object != "operator@R" || rows[0].Outcome != string(fault.Usage) {
		t.Errorf("%+v %v", rows, err)
	}
	if got := l.entries(t, api.EventFilter{}); len(got) != 1 || got[0].ID != eventlog.DelegationTried || got[0].Actor != "operator@R" {
		t.Errorf("%+v", got)
	}
}
