package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"drover/internal/fault"
)

func TestMain(m *testing.M) {
	if path := os.Getenv("STORE_TEST_WRITER"); path != "" {
		writer(path)
		return
	}
	goleak.VerifyTestMain(m)
}

func openTest(t *testing.T, path string) *Store {
	t.Helper()
	s, err := Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func at(sec int) time.Time { return time.Unix(1_700_000_000+int64(sec), 123000).UTC() }

func testMove(i int, over bool) MoveRow {
	m := MoveRow{ID: fmt.Sprintf("01M%05d", i), Role: "source", Phase: "transfer", VM: "APP01", UUID: "u-1", Peer: "HV02",
		Created: at(i), Updated: at(i + 1), Body: []byte(`{"a":1}`), Private: []byte(`{"undo":[]}`)}
	if over {
		e := at(i + 2)
		m.Phase, m.Ended = "done", &e
	}
	return m
}

func event(m MoveRow, seq int64) *EventRow {
	return &EventRow{Move: m.ID, Seq: seq, Time: m.Updated, Kind: "phase", Body: []byte(fmt.Sprintf(`{"seq":%d}`, seq))}
}

func put(t *testing.T, s *Store, m MoveRow, e *EventRow) {
	t.Helper()
	if err := s.PutMove(t.Context(), m, e); err != nil {
		t.Fatal(err)
	}
}

func ids(t *testing.T, s *Store, f Filter) []string {
	t.Helper()
	rows, err := s.Moves(t.Context(), f)
	if err != nil {
		t.Fatal(err)
	}
	out := []string{}
	for _, r := range rows {
		out = append(out, r.ID)
	}
	return out
}

func TestMoveComesBackAsItWasPutAlsoAfterReopening(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state dir?%41", "drover.db")
	s := openTest(t, path)
	running, over := testMove(1, false), testMove(2, true)
	put(t, s, running, event(running, 1))
	put(t, s, over, nil)
	running.Phase, running.Body = "handover", []byte(`{"a":2}`)
	put(t, s, running, event(running, 2))
	for range 2 {
		for _, want := range []MoveRow{running, over} {
			got, err := s.Move(t.Context(), want.ID)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(want, got); d != "" {
				t.Error(d)
			}
		}
		ev, err := s.Events(t.Context(), running.ID, 0, 0)
		want := []EventRow{*event(running, 1), *event(running, 2)}
		if d := cmp.Diff(want, ev); err != nil || d != "" {
			t.Error(err, d)
		}
		if err := errors.Join(s.Close(), s.Close()); err != nil {
			t.Fatal(err)
		}
		s = openTest(t, path)
	}
	for _, f := range []string{path, path + "-wal"} {
		if i, err := os.Stat(f); err != nil || i.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v %v", f, i, err)
		}
	}
}

func TestMoveAndEventAreOneTransaction(t *testing.T) {
	s := openTest(t, filepath.Join(t.TempDir(), "drover.db"))
	m := testMove(1, false)
	put(t, s, m, event(m, 1))
	m.Phase = "handover"
	if err := s.PutMove(t.Context(), m, event(m, 1)); err == nil {
		t.Fatal("a second event with the same seq was taken")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.PutMove(ctx, m, event(m, 2)); !errors.Is(err, context.Canceled) {
		t.Fatalf("ended context: %v", err)
	}
	got, err := s.Move(t.Context(), m.ID)
	if err != nil || got.Phase != "transfer" {
		t.Errorf("phase %q after failures, %v", got.Phase, err)
	}
	if _, err := s.Move(t.Context(), "nothing"); !errors.Is(err, ErrNotFound) {
		t.Errorf("unknown id: %v", err)
	}
}

func TestFilters(t *testing.T) {
	s := openTest(t, filepath.Join(t.TempDir(), "drover.db"))
	for i := range 4 {
		m := testMove(i, i%2 == 0)
		if i == 3 {
			m.Role, m.VM, m.UUID = "destination", "DB01", "u-2"
		}
		put(t, s, m, nil)
	}
	for name, c := range map[string]struct {
		f    Filter
		want []string
	}{
		"all, newest first": {Filter{}, []string{"01M00003", "01M00002", "01M00001", "01M00000"}},
		"limit":             {Filter{Limit: 2}, []string{"01M00003", "01M00002"}},
		"role":              {Filter{Role: "destination"}, []string{"01M00003"}},
		"name":              {Filter{VM: "DB01"}, []string{"01M00003"}},
		"uuid":              {Filter{VM: "u-1", Limit: 1}, []string{"01M00002"}},
		"unfinished":        {Filter{Unfinished: true}, []string{"01M00003", "01M00001"}},
		"nothing":           {Filter{VM: "X"}, []string{}},
	} {
		if d := cmp.Diff(c.want, ids(t, s, c.f)); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
}

func TestPruneKeepsUnfinishedAndNewest(t *testing.T) {
	s := openTest(t, filepath.Join(t.TempDir(), "drover.db"))
	for i := range 6 {
		m := testMove(i, i != 0)
		put(t, s, m, event(m, 1))
	}
	for i := range 2 {
		if err := s.Audit(t.Context(), AuditRow{Time: at(i * 100), Actor: "kim", Action: "move.start", Object: "APP01", Outcome: "ok"}); err != nil {
			t.Fatal(err)
		}
	}
	n, err := s.Prune(t.Context(), at(50), 2)
	if err != nil || n != 3 {
		t.Errorf("pruned %d, %v", n, err)
	}
	if d := cmp.Diff([]string{"01M00005", "01M00004", "01M00000"}, ids(t, s, Filter{})); d != "" {
		t.Error(d)
	}
	if ev, err := s.Events(t.Context(), "01M00001", 0, 0); err != nil || len(ev) != 0 {
		t.Errorf("events of a pruned move: %v %v", ev, err)
	}
	if ev, err := s.Events(t.Context(), "01M00000", 0, 0); err != nil || len(ev) != 1 {
		t.Errorf("events of an unfinished move: %v %v", ev, err)
	}
	a, err := s.Audits(t.Context(), 0, 0)
	if err != nil || len(a) != 1 || !a[0].Time.Equal(at(100)) || a[0].Actor != "kim" {
		t.Errorf("audit: %v %v", a, err)
	}
	if n, err := s.Prune(t.Context(), at(0), 0); err != nil || n != 0 {
		t.Errorf("nothing is that old: %d %v", n, err)
	}
}

func TestDurabilitySettingsHoldOnEveryConnection(t *testing.T) {
	s := openTest(t, filepath.Join(t.TempDir(), "drover.db"))
	for pragma, want := range map[string]string{"journal_mode": "wal", "synchronous": "2", "foreign_keys": "1", "busy_timeout": "10000"} {
		var got string
		if err := s.write.QueryRow("PRAGMA " + pragma).Scan(&got); err != nil || got != want {
			t.Errorf("%s = %q, %v", pragma, got, err)
		}
	}
	if _, err := s.read.Exec("DELETE FROM moves"); err == nil {
		t.Error("a reading connection can write")
	}
	if err := s.Check(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestUnusableFilesAreStoreFailed(t *testing.T) {
	dir := t.TempDir()
	open := filepath.Join(dir, "open.db")
	openTest(t, open)
	newer := filepath.Join(dir, "newer.db")
	s := openTest(t, newer)
	if _, err := s.write.Exec("PRAGMA user_version = 99"); err != nil {
		t.Fatal(err)
	}
	_ = s.Close()
	garbage := filepath.Join(dir, "garbage.db")
	if err := os.WriteFile(garbage, []byte("this is no database, whatever its name says............"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{open, newer, garbage, damaged(t, dir), filepath.Join(garbage, "below-a-file.db")} {
		s, err := Open(t.Context(), path)
		if !fault.Is(err, fault.StoreFailed) {
			t.Errorf("%s: %v", path, err)
		}
		if s != nil {
			t.Errorf("%s: a store beside the error", path)
		}
	}
}

// damaged makes a database with one page of its tables overwritten.
func damaged(t *testing.T, dir string) string {
	t.Helper()
	path := filepath.Join(dir, "damaged.db")
	s := openTest(t, path)
	for i := range 200 {
		m := testMove(i, false)
		put(t, s, m, event(m, 1))
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := 2 * 4096; i < len(b); i++ {
		b[i] ^= 0x5a
	}
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestLaterGoesByTheOrderOfTheJournal(t *testing.T) {
	s := openTest(t, filepath.Join(t.TempDir(), "drover.db"))
	first, other, second := testMove(5, false), testMove(6, true), testMove(3, true) // the clock was set back
	other.UUID = "u-2"
	for _, m := range []MoveRow{first, other, second} {
		put(t, s, m, nil)
	}
	put(t, s, first, nil) // a change does not make it later
	for id, want := range map[string]string{first.ID: second.ID, other.ID: "", second.ID: "", "nothing": ""} {
		if got, err := s.Later(t.Context(), id); err != nil || got != want {
			t.Errorf("after %s: %q, %v; want %q", id, got, err, want)
		}
	}
}
