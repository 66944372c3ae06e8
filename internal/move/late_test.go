package move_test

import (
	"context"
	"database/sql"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"drover/internal/fault"
	"drover/internal/move"
	"drover/internal/store"
)

// full makes every write of a move fail, as a full disk does, until room is called.
func (h *host) full(t *testing.T) (room func()) { return h.refusing(t, "") }

// refusing is full for the moves for which when, as of a trigger, holds.
func (h *host) refusing(t *testing.T, when string) (room func()) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(h.dir, "journal")+"?_pragma=busy_timeout(10000)")
	if err != nil {
		t.Fatal(err)
	}
	do := func(statement string) {
		t.Helper()
		if _, err := db.ExecContext(context.Background(), statement); err != nil {
			t.Error(err)
		}
	}
	do("CREATE TRIGGER full BEFORE INSERT ON moves " + when + " BEGIN SELECT RAISE(FAIL, 'disk is full'); END")
	var once sync.Once
	room = func() { once.Do(func() { do("DROP TRIGGER full"); db.Close() }) }
	t.Cleanup(room)
	return room
}

// TestEndIsJournalledWhenThereIsRoomAgain: a journal that could not be written when a
// move ended has the end as soon as it can be, and not only after the next start.
func TestEndIsJournalledWhenThereIsRoomAgain(t *testing.T) {
	for _, role := range []move.Role{move.Source, move.Destination} {
		t.Run(string(role), func(t *testing.T) {
			t.Parallel()
			w, src, dst := pair(t, vm())
			at := map[move.Role]*host{move.Source: src, move.Destination: dst}[role]
			var room func()
			hit := make(chan struct{})
			at.onceAt(role, move.Transfer, func(*agent) error { defer close(hit); room = at.full(t); return nil })
			id := src.current().begin(t, request())
			<-hit
			at.gone(t, id)
			room()
			dst.over(t, id)
			src.over(t, id)
			w.runsOnlyOn(t, src, dst)
			src.journal(t, id)
		})
	}
}

// gone waits until nobody is at a move any more, the end of which was refused by the journal.
func (h *host) gone(t *testing.T, id string) {
	t.Helper()
	eventually(t, "nobody is at the move any more", func() bool {
		_, err := h.current().m.Cancel(context.Background(), id, operator)
		return fault.Is(err, fault.MoveOver)
	})
	if rec, ok := h.record(id); !ok || rec.Phase.Over() {
		t.Fatalf("the journal could be written: %+v", rec)
	}
}

// TestNoOtherMoveBeforeTheEndIsJournalled: a VM cannot come back to a host whose journal
// still has it leaving, because the next start would remove it for that.
func TestNoOtherMoveBeforeTheEndIsJournalled(t *testing.T) {
	w, src, dst := pair(t, vm())
	var room func()
	src.onceAt(move.Source, move.Confirm, func(*agent) error { room = src.refusing(t, "WHEN NEW.role = 'source'"); return nil })
	id := src.current().begin(t, request())
	wantCode(t, dst.over(t, id), move.Done)
	src.gone(t, id)
	req := request()
	req.Destination = src.name
	wantCode(t, dst.over(t, dst.current().begin(t, req)), move.Failed, fault.VMMoving)
	src.current().crash()
	room()
	src.restart()
	wantCode(t, src.over(t, id), move.Done)
	w.runsOnlyOn(t, dst, src)
	src.journal(t, id)
	w.movesNow(t, dst, src)
}

// TestEndIsJournalledWhenTheAgentStops: not only after a pause that may be long.
func TestEndIsJournalledWhenTheAgentStops(t *testing.T) {
	w, src, dst := pair(t, vm())
	w.with(func(o *move.Options) { o.RetryInterval = time.Hour })
	var room func()
	src.onceAt(move.Source, move.Confirm, func(*agent) error { room = src.full(t); return nil })
	id := src.current().begin(t, request())
	wantCode(t, dst.over(t, id), move.Done)
	src.gone(t, id)
	room()
	src.current().end()
	st, err := store.Open(t.Context(), filepath.Join(src.dir, "journal"))
	if err != nil {
		t.Fatal(err)
	}
	row, err := st.Move(t.Context(), id)
	if err != nil || row.Ended == nil || row.Phase != string(move.Done) {
		t.Errorf("the journal has %+v, %v", row, err)
	}
	if err := st.Close(); err != nil {
		t.Error(err)
	}
	w.options = nil
	src.restart()
	w.runsOnlyOn(t, dst, src)
}

// TestMoveThatWasOvertakenIsNotSettled: what a move did not finish is not done to a VM
// that has moved again since, whatever a journal says.
func TestMoveThatWasOvertakenIsNotSettled(t *testing.T) {
	w, src, dst := pair(t, vm())
	id := src.current().begin(t, request())
	wantCode(t, src.over(t, id), move.Done)
	wantCode(t, dst.over(t, id), move.Done)
	w.movesNow(t, dst, src)
	src.current().end()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(src.dir, "journal")+"?_pragma=busy_timeout(10000)")
	if err != nil {
		t.Fatal(err)
	}
	for _, statement := range []string{
		`UPDATE moves SET phase = 'confirm', ended = NULL, body = CAST(json_set(CAST(body AS TEXT), '$.phase', 'confirm') AS BLOB) WHERE role = 'source'`,
		`DELETE FROM events WHERE kind = 'end' AND move IN (SELECT id FROM moves WHERE role = 'source')`,
	} {
		if _, err := db.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	src.restart()
	wantCode(t, src.over(t, id), move.Done)
	w.runsOnlyOn(t, src, dst)
	src.journal(t, id)
}
