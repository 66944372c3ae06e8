package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
)

// Settings gives the host's settings as they were kept; ErrNotFound if nothing
// was ever set.
func (s *Store) Settings(ctx context.Context) ([]byte, error) {
	var body []byte
	err := s.read.QueryRowContext(ctx, `SELECT body FROM settings`).Scan(&body)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return nil, ErrNotFound
	case err != nil:
		return nil, fmt.Errorf("settings: %w", err)
	}
	return body, nil
}

// SettingsChange is what a change of settings leaves behind.
type SettingsChange struct {
	Body     []byte // nil: the settings stay, and only the audit is written
	Revision int64
	Audit    AuditRow
}

// ChangeSettings gives change the settings that are kept, nil if nothing was ever
// set, and keeps what it returns, with the audit, as one step: a change that is
// made at the same time sees what this one left, or comes first. After an error,
// which may be change's own, nothing is kept.
func (s *Store) ChangeSettings(ctx context.Context, change func(old []byte) (SettingsChange, error)) error {
	err := s.inTx(ctx, func(tx *sql.Tx) error {
		var old []byte
		if err := tx.QueryRowContext(ctx, `SELECT body FROM settings`).Scan(&old); err != nil && !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		c, err := change(old)
		if err != nil {
			return err
		}
		if c.Body != nil {
			if _, err := tx.ExecContext(ctx, `INSERT INTO settings (one, revision, body) VALUES (1, ?, ?)
				ON CONFLICT (one) DO UPDATE SET revision = excluded.revision, body = excluded.body`, c.Revision, c.Body); err != nil {
				return err
			}
		}
		return insertAudit(ctx, tx, c.Audit)
	})
	if err != nil {
		return fmt.Errorf("settings: %w", err)
	}
	return nil
}
