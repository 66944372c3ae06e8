package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"
	_ "modernc.org/sqlite" // the driver "sqlite"

	"drover/internal/fault"
)

// ErrNotFound: no row has this id.
var ErrNotFound = errors.New("not found")

// Store is an open journal. Its methods are safe for concurrent use.
type Store struct {
	write *sql.DB // one connection
	read  *sql.DB
	lock  *os.File

	logged bell // rung when the event log grew

	// writing is held for reading by each transaction, so that Close gives the file
	// to nobody else while one is under way.
	writing sync.RWMutex

	closing sync.Once
	closed  error
}

// Open opens or creates the journal at path (its directory too), checks its
// integrity and brings its schema up to date. A file that cannot be used, is
// damaged, is newer than this program or is open in another process is a
// "store-failed" fault.
func Open(ctx context.Context, path string) (*Store, error) {
	s, err := open(ctx, path)
	if err != nil {
		return nil, fault.Wrap(fmt.Errorf("%s: %w", path, err), fault.StoreFailed, "")
	}
	return s, nil
}

func open(ctx context.Context, path string) (*Store, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	s := &Store{}
	if err := s.start(ctx, path); err != nil {
		_ = s.Close()
		return nil, err
	}
	return s, nil
}

func (s *Store) start(ctx context.Context, path string) (err error) {
	if s.lock, err = lockFile(path + ".lock"); err != nil {
		return err
	}
	if err := touch(path); err != nil {
		return err
	}
	if s.write, err = connect(path, "&_txlock=immediate", 1); err != nil {
		return err
	}
	if err := check(ctx, s.write); err != nil {
		return err
	}
	if err := migrate(ctx, s.write); err != nil {
		return err
	}
	s.read, err = connect(path, "&_pragma=query_only(1)", 4)
	return err
}

// lockFile keeps a second process away; the lock ends with the process.
func lockFile(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, errors.New("another process has the journal open")
		}
		return nil, fmt.Errorf("lock: %w", err)
	}
	return f, nil
}

// touch makes the file readable by its owner only, because it holds cookies of
// migrations; SQLite gives its other files the same mode. The directory entry
// is made durable, which SQLite does not do for a file that is there already.
func touch(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}

func connect(path, more string, conns int) (*sql.DB, error) {
	u := url.URL{Scheme: "file", Path: path}
	db, err := sql.Open("sqlite", u.String()+
		"?_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=foreign_keys(1)"+more)
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(conns)
	db.SetMaxIdleConns(conns)
	return db, nil
}

func check(ctx context.Context, db *sql.DB) error {
	var verdict string
	if err := db.QueryRowContext(ctx, "PRAGMA quick_check(1)").Scan(&verdict); err != nil {
		return fmt.Errorf("integrity check: %w", err)
	}
	if verdict != "ok" {
		return fmt.Errorf("integrity check: %s", verdict)
	}
	return nil
}

// Check reports whether the journal can be written at present.
func (s *Store) Check(ctx context.Context) error {
	return s.inTx(ctx, func(tx *sql.Tx) error { return nil })
}

// inTx runs f in the one write transaction. After an error nothing of it holds;
// after nil all of it is on the disk.
func (s *Store) inTx(ctx context.Context, f func(*sql.Tx) error) error {
	s.writing.RLock()
	defer s.writing.RUnlock()
	tx, err := s.write.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	if err := f(tx); err != nil {
		_ = tx.Rollback()
		return err
	}
	if err := tx.Commit(); err != nil {
		_ = tx.Rollback()
		return fmt.Errorf("commit: %w", err)
	}
	return nil
}

// Close ends the use of the file, after a transaction that is under way. It is safe to call twice.
func (s *Store) Close() error {
	s.closing.Do(func() {
		s.writing.Lock()
		defer s.writing.Unlock()
		var errs []error
		for _, db := range []*sql.DB{s.read, s.write} {
			if db != nil {
				errs = append(errs, db.Close())
			}
		}
		if s.lock != nil {
			errs = append(errs, s.lock.Close())
		}
		s.closed = errors.Join(errs...)
	})
	return s.closed
}
