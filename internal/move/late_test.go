package move_test

import (
	"context"
	"database/sql"
	"path/filepath"
	"sync"
	"testing"

	"drover/internal/fault"
	"drover/internal/move"
)

// full makes every write of a move fail, as a full disk does, until room is called.
func (h *host) full(t *testing.T) (room func()) {
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
	do("CREATE TRIGGER full BEFORE INSERT ON moves BEGIN SELECT RAISE(FAIL, 'disk is full'); END")
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
			eventually(t, "nobody is at the move any more", func() bool {
				_, err := at.current().m.Cancel(context.Background(), id, operator)
				return fault.Is(err, fault.MoveOver)
			})
			if rec, ok := at.record(id); !ok || rec.Phase.Over() {
				t.Fatalf("the journal could be written: %+v", rec)
			}
			room()
			dst.over(t, id)
			src.over(t, id)
			w.runsOnlyOn(t, src, dst)
			src.journal(t, id)
		})
	}
}
