package store

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"time"
)

// LogRow is one entry of the host's event log.
type LogRow struct {
	Seq   int64 // given by AppendLog; counts up for ever
	Time  time.Time
	ID    int // number of the kind of event
	Level string
	VM    string
	Move  string
	Body  []byte // the entry as JSON, without Seq
}

// LogFilter selects entries; zero members select all.
type LogFilter struct {
	After  int64     // only those with a higher Seq
	Since  time.Time // not before
	Levels []string  // any of these
	IDs    []int     // any of these
	VM     string
	Move   string
	Newest int // at most so many, the newest
	First  int // at most so many, the first; not together with Newest
}

// AppendLog appends an entry, wakes whoever waits for LogChanged, and gives the
// entry's number. The entry is on the disk when it returns nil.
func (s *Store) AppendLog(ctx context.Context, r LogRow) (int64, error) {
	var seq int64
	err := s.inTx(ctx, func(tx *sql.Tx) error {
		res, err := tx.ExecContext(ctx, `INSERT INTO log (time, id, level, vm, move, body) VALUES (?, ?, ?, ?, ?, ?)`,
			r.Time.UnixMicro(), r.ID, r.Level, r.VM, r.Move, blob(r.Body))
		if err != nil {
			return err
		}
		seq, err = res.LastInsertId()
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("event log: %w", err)
	}
	s.logged.wake()
	return seq, nil
}

// LogChanged is closed when an entry is appended after this call. Whoever waits
// takes it before looking, so that nothing comes unnoticed in between.
func (s *Store) LogChanged() <-chan struct{} { return s.logged.next() }

// Log lists entries that f selects, in the order of Seq.
func (s *Store) Log(ctx context.Context, f LogFilter) ([]LogRow, error) {
	where, args := f.where()
	q := `SELECT seq, time, id, level, vm, move, body FROM log` + where
	if f.Newest > 0 {
		q, args = q+" ORDER BY seq DESC LIMIT ?", append(args, f.Newest)
	} else {
		q, args = q+" ORDER BY seq LIMIT ?", append(args, limit(f.First))
	}
	out, err := all(ctx, s.read, scanLog, q, args...)
	if err != nil {
		return nil, fmt.Errorf("event log: %w", err)
	}
	if f.Newest > 0 {
		slices.Reverse(out)
	}
	return out, nil
}

func (f LogFilter) where() (string, []any) {
	var conds []string
	var args []any
	add := func(cond string, values ...any) { conds, args = append(conds, cond), append(args, values...) }
	if f.After > 0 {
		add("seq > ?", f.After)
	}
	if !f.Since.IsZero() {
		add("time >= ?", f.Since.UnixMicro())
	}
	if f.VM != "" {
		add("vm = ?", f.VM)
	}
	if f.Move != "" {
		add("move = ?", f.Move)
	}
	if n := len(f.Levels); n > 0 {
		add("level IN ("+marks(n)+")", anys(f.Levels)...)
	}
	if n := len(f.IDs); n > 0 {
		add("id IN ("+marks(n)+")", anys(f.IDs)...)
	}
	if len(conds) == 0 {
		return "", nil
	}
	return " WHERE " + strings.Join(conds, " AND "), args
}

func marks(n int) string { return strings.TrimSuffix(strings.Repeat("?,", n), ",") }

func anys[T any](vs []T) []any {
	out := make([]any, len(vs))
	for i, v := range vs {
		out[i] = v
	}
	return out
}

// PruneLog removes entries from before `before`, then the oldest until there are
// at most maxEntries whose bodies have at most maxBytes together. It returns how
// many went. The number of an entry is not used again.
//
// To find them takes a moment in a long log, and a move whose guest stands still
// may wait for the journal just then: it is done beside the journal's writer.
func (s *Store) PruneLog(ctx context.Context, before time.Time, maxEntries int, maxBytes int64) (int, error) {
	var last int64 // of those that are too much
	var old bool
	err := s.read.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM log WHERE time < ?), max(
	coalesce((SELECT seq FROM log ORDER BY seq DESC LIMIT 1 OFFSET ?), 0),
	coalesce((SELECT max(seq) FROM
		(SELECT seq, sum(length(body)) OVER (ORDER BY seq DESC) AS total FROM log) WHERE total > ?), 0))`,
		before.UnixMicro(), max(maxEntries, 0), max(maxBytes, 0)).Scan(&old, &last)
	if err != nil {
		return 0, fmt.Errorf("prune the event log: %w", err)
	}
	if !old && last == 0 {
		return 0, nil
	}
	var n int64
	err = s.inTx(ctx, func(tx *sql.Tx) error {
		r, err := tx.ExecContext(ctx, `DELETE FROM log WHERE time < ? OR seq <= ?`, before.UnixMicro(), last)
		if err != nil {
			return err
		}
		n, err = r.RowsAffected()
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("prune the event log: %w", err)
	}
	return int(n), nil
}

func scanLog(r row) (l LogRow, err error) {
	var at int64
	err = r.Scan(&l.Seq, &at, &l.ID, &l.Level, &l.VM, &l.Move, &l.Body)
	l.Time = stamp(at)
	return l, err
}

// LogTop is the number of the newest entry, 0 when there is none.
func (s *Store) LogTop(ctx context.Context) (int64, error) {
	var top sql.NullInt64
	if err := s.read.QueryRowContext(ctx, `SELECT max(seq) FROM log`).Scan(&top); err != nil {
		return 0, fmt.Errorf("event log: %w", err)
	}
	return top.Int64, nil
}
