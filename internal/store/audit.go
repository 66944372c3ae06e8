package store

import (
	"context"
	"database/sql"
	"fmt"
	"time"
)

// AuditRow is one thing that somebody did or was refused.
type AuditRow struct {
	ID      int64 // given by Audit; order of the entries
	Time    time.Time
	Actor   string // principal or local user
	Action  string // e.g. move.start
	Object  string // e.g. the VM or the move's id
	Outcome string // "ok" or a fault code
	Detail  []byte // JSON
}

// Audit appends an entry; its ID is ignored. It is durable when Audit returns nil.
func (s *Store) Audit(ctx context.Context, a AuditRow) error {
	err := s.inTx(ctx, func(tx *sql.Tx) error { return insertAudit(ctx, tx, a) })
	if err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	return nil
}

func insertAudit(ctx context.Context, tx *sql.Tx, a AuditRow) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO audit (time, actor, action, object, outcome, detail) VALUES (?, ?, ?, ?, ?, ?)`,
		a.Time.UnixMicro(), a.Actor, a.Action, a.Object, a.Outcome, blob(a.Detail))
	return err
}

// Audits lists entries with an ID above `after`, in order; n 0 means all.
func (s *Store) Audits(ctx context.Context, after int64, n int) ([]AuditRow, error) {
	out, err := all(ctx, s.read, scanAudit,
		`SELECT id, time, actor, action, object, outcome, detail FROM audit WHERE id > ? ORDER BY id LIMIT ?`, after, limit(n))
	if err != nil {
		return nil, fmt.Errorf("audit: %w", err)
	}
	return out, nil
}

func scanAudit(r row) (a AuditRow, err error) {
	var at int64
	err = r.Scan(&a.ID, &at, &a.Actor, &a.Action, &a.Object, &a.Outcome, &a.Detail)
	a.Time = stamp(at)
	return a, err
}
