package agent

import (
	"context"
	"encoding/json"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"drover/internal/fault"
	"drover/internal/settings"
	"drover/internal/store"
)

func keeperAt(t *testing.T, path string) *settingsKeeper {
	t.Helper()
	journal, err := store.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { journal.Close() })
	k, err := openSettings(t.Context(), "HV01", journal)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func limits(live, storage *int) settings.Change {
	return settings.Change{MaximumMigrations: live, MaximumStorageMigrations: storage}
}

func TestSettingsOutliveTheAgent(t *testing.T) {
	path := filepath.Join(t.TempDir(), "drover.db")
	k := keeperAt(t, path)
	if got := k.get(); got.Revision != 0 || got.Incoming || got.Outgoing || got.MaximumMigrations != 2 {
		t.Errorf("a new host: %+v", got)
	}
	told := 0
	k.changed = append(k.changed, func(actor string, before, after settings.Settings) {
		told++
		if actor != "alice" || before.MaximumMigrations != 2 || after.MaximumMigrations != 5 || k.get().Revision != after.Revision {
			t.Errorf("%s: from %+v to %+v", actor, before, after)
		}
	})
	five := 5
	for range 2 { // the second changes nothing, and nobody is told
		if _, err := k.change(t.Context(), "alice", limits(&five, nil)); err != nil {
			t.Fatal(err)
		}
	}
	if told != 1 || k.get().Revision != 1 {
		t.Errorf("told %d times, revision %d", told, k.get().Revision)
	}
	k.journal.Close()
	if got := keeperAt(t, path).get(); got.Revision != 1 || got.MaximumMigrations != 5 {
		t.Errorf("after a restart: %+v", got)
	}
}

func TestSettingsRefusalsAreAuditedAndChangeNothing(t *testing.T) {
	k := keeperAt(t, filepath.Join(t.TempDir(), "drover.db"))
	many, five, stale := 500, 5, int64(3)
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // who waits for the answer does not decide whether it is done
	if _, err := k.change(ctx, "alice", limits(&many, &five)); !fault.Is(err, fault.SettingsInvalid) {
		t.Errorf("%v", err)
	}
	ch := limits(&five, nil)
	ch.IfRevision = &stale
	if _, err := k.change(ctx, "bob", ch); !fault.Is(err, fault.SettingsChanged) {
		t.Errorf("%v", err)
	}
	if _, err := k.change(ctx, "carol", limits(nil, &five)); err != nil {
		t.Errorf("%v", err)
	}
	if got := k.get(); got.MaximumMigrations != 2 || got.MaximumStorageMigrations != 5 || got.Revision != 1 {
		t.Errorf("%+v", got)
	}
	rows, err := k.journal.Audits(t.Context(), 0, 0)
	if err != nil || len(rows) != 3 {
		t.Fatalf("%v, %v", rows, err)
	}
	for i, want := range []struct{ actor, outcome, says string }{
		{"alice", "settings-invalid", `"maximum_migrations":500`}, {"bob", "settings-changed", `"if_revision":3`}, {"carol", "ok", `"setting":"maximum_storage_migrations","from":"2","to":"5"`},
	} {
		r := rows[i]
		if r.Actor != want.actor || r.Outcome != want.outcome || r.Action != "settings.change" || r.Object != "HV01" || !strings.Contains(string(r.Detail), want.says) {
			t.Errorf("%+v %s", r, r.Detail)
		}
	}
}

func TestSimultaneousSettingsAreAllKept(t *testing.T) {
	k := keeperAt(t, filepath.Join(t.TempDir(), "drover.db"))
	var wg sync.WaitGroup
	for _, ch := range []func(n int) settings.Change{
		func(n int) settings.Change { return limits(&n, nil) }, func(n int) settings.Change { return limits(nil, &n) },
	} {
		wg.Go(func() {
			for n := range 20 {
				if _, err := k.change(t.Context(), "alice", ch(n+10)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if got := k.get(); got.Revision != 40 || got.MaximumMigrations != 29 || got.MaximumStorageMigrations != 29 {
		t.Errorf("%+v", got)
	}
}

func TestSettingsThatCannotBeReadStopTheAgent(t *testing.T) {
	journal, err := store.Open(t.Context(), filepath.Join(t.TempDir(), "drover.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer journal.Close()
	bad := settings.Default()
	bad.MaximumMigrations = -1
	body, err := json.Marshal(bad)
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range [][]byte{body, []byte("{"), []byte(`{"performance_option": "fast"}`)} {
		err := journal.ChangeSettings(t.Context(), func([]byte) (store.SettingsChange, error) {
			return store.SettingsChange{Body: b, Revision: 1, Audit: store.AuditRow{Actor: "x", Action: "x", Outcome: "ok"}}, nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := openSettings(t.Context(), "HV01", journal); !fault.Is(err, fault.StoreFailed) {
			t.Errorf("%s: %v", b, err)
		}
	}
}
