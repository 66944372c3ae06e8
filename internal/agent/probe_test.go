package agent

import (
	"log/slog"
	"path/filepath"
	"testing"

	"drover/internal/api"
	"drover/internal/config"
	"drover/internal/doctor"
	"drover/internal/fault"
	"drover/internal/store"
)

// On the local socket there is no ticket to be tried; whoever asks is recorded
// also when nothing is tried.
func TestProbeByTicketNeedsATicketAndIsRecorded(t *testing.T) {
	journal, err := store.Open(t.Context(), filepath.Join(t.TempDir(), "journal.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer journal.Close()
	b := &backend{cfg: &config.Config{Host: "HV01"}, store: journal, reasons: &explainer{log: slog.New(slog.DiscardHandler)}, log: slog.New(slog.DiscardHandler)}
	_, err = b.ProbeDelegation(t.Context(), api.Caller{Principal: "operator@R", Local: true},
		api.ProbeRequest{DestinationServices: []string{"cifs/HV02"}, Operator: "operator@R", Method: doctor.ByTicket})
	if !fault.Is(err, fault.Usage) {
		t.Errorf("%v", err)
	}
	rows, err := journal.Audits(t.Context(), 0, 10)
	if err != nil || len(rows) != 1 || rows[0].Action != "delegation.probe" || rows[0].Object != "operator@R" || rows[0].Outcome != string(fault.Usage) {
		t.Errorf("%+v %v", rows, err)
	}
}
