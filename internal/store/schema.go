package store

import (
	"context"
	"database/sql"
	"fmt"
)

// migrations bring a file from user_version i to i+1. An entry is never changed
// once it was released; a change of the schema is a new entry.
var migrations = []string{
	`
CREATE TABLE moves (
	id      TEXT PRIMARY KEY,
	role    TEXT NOT NULL,
	phase   TEXT NOT NULL,
	vm      TEXT NOT NULL,
	uuid    TEXT NOT NULL,
	peer    TEXT NOT NULL,
	created INTEGER NOT NULL, -- times: microseconds since 1970, UTC
	updated INTEGER NOT NULL,
	ended   INTEGER,
	body    BLOB NOT NULL,
	private BLOB NOT NULL
) STRICT;
CREATE INDEX moves_created ON moves (created);
CREATE INDEX moves_unfinished ON moves (created) WHERE ended IS NULL;
CREATE TABLE events (
	move TEXT NOT NULL REFERENCES moves (id) ON DELETE CASCADE,
	seq  INTEGER NOT NULL,
	time INTEGER NOT NULL,
	kind TEXT NOT NULL,
	body BLOB NOT NULL,
	PRIMARY KEY (move, seq)
) STRICT, WITHOUT ROWID;
CREATE TABLE audit (
	id      INTEGER PRIMARY KEY AUTOINCREMENT,
	time    INTEGER NOT NULL,
	actor   TEXT NOT NULL,
	action  TEXT NOT NULL,
	object  TEXT NOT NULL,
	outcome TEXT NOT NULL,
	detail  BLOB NOT NULL
) STRICT;
CREATE INDEX audit_time ON audit (time);
`,
	`
CREATE TABLE settings (
	one      INTEGER PRIMARY KEY CHECK (one = 1),
	revision INTEGER NOT NULL,
	body     BLOB NOT NULL
) STRICT;
CREATE TABLE log (
	seq   INTEGER PRIMARY KEY AUTOINCREMENT,
	time  INTEGER NOT NULL,
	id    INTEGER NOT NULL, -- number of the kind of event
	level TEXT NOT NULL,
	vm    TEXT NOT NULL,
	move  TEXT NOT NULL,
	body  BLOB NOT NULL
) STRICT;
CREATE INDEX log_time ON log (time);
CREATE TABLE predictions (
	uuid    TEXT PRIMARY KEY,
	updated INTEGER NOT NULL,
	body    BLOB NOT NULL
) STRICT;
`,
}

func migrate(ctx context.Context, db *sql.DB) error {
	var have int
	if err := db.QueryRowContext(ctx, "PRAGMA user_version").Scan(&have); err != nil {
		return fmt.Errorf("schema version: %w", err)
	}
	if have > len(migrations) {
		return fmt.Errorf("schema version %d is newer than this program's %d", have, len(migrations))
	}
	for ; have < len(migrations); have++ {
		if err := step(ctx, db, have); err != nil {
			return fmt.Errorf("schema version %d: %w", have+1, err)
		}
	}
	return nil
}

// step makes one migration and its version one transaction.
func step(ctx context.Context, db *sql.DB, from int) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // after Commit it does nothing
	if _, err := tx.ExecContext(ctx, migrations[from]); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, fmt.Sprintf("PRAGMA user_version = %d", from+1)); err != nil {
		return err
	}
	return tx.Commit()
}
