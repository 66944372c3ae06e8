package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// predictionLife is how long what was learned of a VM that moves no more stays.
const predictionLife = 365 * 24 * time.Hour

// Prediction gives what was learned of a VM, by its UUID, or of a pair of hosts,
// by a key that is no UUID; ErrNotFound when nothing was.
func (s *Store) Prediction(ctx context.Context, key string) ([]byte, error) {
	var body []byte
	err := s.read.QueryRowContext(ctx, `SELECT body FROM predictions WHERE uuid = ?`, key).Scan(&body)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("prediction: %w", err)
	}
	return body, nil
}

// PutPrediction replaces it, and forgets what nobody has asked for in a year.
func (s *Store) PutPrediction(ctx context.Context, key string, now time.Time, body []byte) error {
	err := s.inTx(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `DELETE FROM predictions WHERE updated < ?`, now.Add(-predictionLife).UnixMicro()); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `INSERT INTO predictions (uuid, updated, body) VALUES (?, ?, ?)
			ON CONFLICT (uuid) DO UPDATE SET updated = excluded.updated, body = excluded.body`, key, now.UnixMicro(), blob(body))
		return err
	})
	if err != nil {
		return fmt.Errorf("prediction: %w", err)
	}
	return nil
}
