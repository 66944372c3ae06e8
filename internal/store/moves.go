package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"
)

// MoveRow is one move as the journal has it. Times are kept to the microsecond.
type MoveRow struct {
	ID, Role, Phase, VM, UUID, Peer string

	Created, Updated time.Time
	Ended            *time.Time // nil: unfinished
	Body             []byte     // the record as JSON
	Private          []byte     // JSON that the API never shows: undo list, cookies
}

// EventRow is one event of a move. Seq counts from 1 per move.
type EventRow struct {
	Move string
	Seq  int64
	Time time.Time
	Kind string
	Body []byte // the event as JSON
}

// Filter selects moves; the zero value selects all.
type Filter struct {
	Role       string
	VM         string // name or UUID
	Unfinished bool
	Limit      int // 0: no limit
}

// PutMove inserts or replaces a move, and appends the events that are not nil, in
// one transaction. When it returns nil, all are on the disk; when it returns
// an error, none is.
func (s *Store) PutMove(ctx context.Context, m MoveRow, events ...*EventRow) error {
	err := s.inTx(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `
INSERT INTO moves (id, role, phase, vm, uuid, peer, created, updated, ended, body, private)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (id) DO UPDATE SET role = excluded.role, phase = excluded.phase, vm = excluded.vm, uuid = excluded.uuid,
	peer = excluded.peer, created = excluded.created, updated = excluded.updated, ended = excluded.ended,
	body = excluded.body, private = excluded.private`,
			m.ID, m.Role, m.Phase, m.VM, m.UUID, m.Peer, m.Created.UnixMicro(), m.Updated.UnixMicro(),
			optional(m.Ended), blob(m.Body), blob(m.Private))
		for _, e := range events {
			if err == nil && e != nil {
				_, err = tx.ExecContext(ctx, `INSERT INTO events (move, seq, time, kind, body) VALUES (?, ?, ?, ?, ?)`,
					e.Move, e.Seq, e.Time.UnixMicro(), e.Kind, blob(e.Body))
			}
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("move %s: %w", m.ID, err)
	}
	return nil
}

const moveColumns = `SELECT id, role, phase, vm, uuid, peer, created, updated, ended, body, private FROM moves`

// Move finds one; ErrNotFound if there is none.
func (s *Store) Move(ctx context.Context, id string) (MoveRow, error) {
	m, err := scanMove(s.read.QueryRowContext(ctx, moveColumns+` WHERE id = ?`, id))
	if errors.Is(err, sql.ErrNoRows) {
		err = ErrNotFound
	}
	if err != nil {
		return MoveRow{}, fmt.Errorf("move %s: %w", id, err)
	}
	return m, nil
}

// Moves lists those that f selects, newest first.
func (s *Store) Moves(ctx context.Context, f Filter) ([]MoveRow, error) {
	var where []string
	var args []any
	if f.Role != "" {
		where, args = append(where, "role = ?"), append(args, f.Role)
	}
	if f.VM != "" {
		where, args = append(where, "(vm = ? OR uuid = ?)"), append(args, f.VM, f.VM)
	}
	if f.Unfinished {
		where = append(where, "ended IS NULL")
	}
	q := moveColumns
	if len(where) > 0 {
		q += " WHERE " + strings.Join(where, " AND ")
	}
	args = append(args, limit(f.Limit))
	out, err := all(ctx, s.read, scanMove, q+" ORDER BY created DESC, id DESC LIMIT ?", args...)
	if err != nil {
		return nil, fmt.Errorf("moves: %w", err)
	}
	return out, nil
}

// Later is the ID of the newest move of the same VM that was put after this one, "" if
// there is none. It does not go by the clock, which may have been set back.
func (s *Store) Later(ctx context.Context, id string) (string, error) {
	var later string
	err := s.read.QueryRowContext(ctx, `
SELECT b.id FROM moves a JOIN moves b ON b.uuid = a.uuid AND b.rowid > a.rowid
WHERE a.id = ? ORDER BY b.rowid DESC LIMIT 1`, id).Scan(&later)
	if errors.Is(err, sql.ErrNoRows) {
		err = nil
	}
	if err != nil {
		return "", fmt.Errorf("moves after %s: %w", id, err)
	}
	return later, nil
}

// Events lists those of a move with a seq above afterSeq, in order, limit 0
// means all. A move that does not exist has none.
func (s *Store) Events(ctx context.Context, move string, afterSeq int64, n int) ([]EventRow, error) {
	out, err := all(ctx, s.read, scanEvent,
		`SELECT move, seq, time, kind, body FROM events WHERE move = ? AND seq > ? ORDER BY seq LIMIT ?`,
		move, afterSeq, limit(n))
	if err != nil {
		return nil, fmt.Errorf("events of move %s: %w", move, err)
	}
	return out, nil
}

// Prune forgets moves that ended before `before`, with their events, except the
// keepLast newest of all ended moves, and audit entries older than `before`.
// An unfinished move is never touched. It returns how many moves went.
func (s *Store) Prune(ctx context.Context, before time.Time, keepLast int) (int, error) {
	var n int64
	err := s.inTx(ctx, func(tx *sql.Tx) error {
		r, err := tx.ExecContext(ctx, `
DELETE FROM moves WHERE ended IS NOT NULL AND ended < ?
	AND id NOT IN (SELECT id FROM moves WHERE ended IS NOT NULL ORDER BY ended DESC, id DESC LIMIT ?)`,
			before.UnixMicro(), max(keepLast, 0))
		if err != nil {
			return err
		}
		if n, err = r.RowsAffected(); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `DELETE FROM audit WHERE time < ?`, before.UnixMicro())
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("prune: %w", err)
	}
	return int(n), nil
}

type row interface{ Scan(...any) error }

func scanMove(r row) (m MoveRow, err error) {
	var created, updated int64
	var ended sql.NullInt64
	err = r.Scan(&m.ID, &m.Role, &m.Phase, &m.VM, &m.UUID, &m.Peer, &created, &updated, &ended, &m.Body, &m.Private)
	m.Created, m.Updated = stamp(created), stamp(updated)
	if ended.Valid {
		t := stamp(ended.Int64)
		m.Ended = &t
	}
	return m, err
}

func scanEvent(r row) (e EventRow, err error) {
	var at int64
	err = r.Scan(&e.Move, &e.Seq, &at, &e.Kind, &e.Body)
	e.Time = stamp(at)
	return e, err
}

// all runs a query to its end.
func all[T any](ctx context.Context, db *sql.DB, scan func(row) (T, error), q string, args ...any) ([]T, error) {
	rows, err := db.QueryContext(ctx, q, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []T
	for rows.Next() {
		v, err := scan(rows)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, rows.Err()
}

func stamp(us int64) time.Time { return time.UnixMicro(us).UTC() }

func optional(t *time.Time) any {
	if t == nil {
		return nil
	}
	return t.UnixMicro()
}

// blob: nil would be NULL.
func blob(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// limit: SQLite takes a negative number for none.
func limit(n int) int {
	if n <= 0 {
		return -1
	}
	return n
}
