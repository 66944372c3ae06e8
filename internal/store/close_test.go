package store

import (
	"context"
	"database/sql"
	"path/filepath"
	"testing"

	"drover/internal/fault"
)

// Another process must not have the file before the last transaction is over.
func TestCloseWaitsForTheTransactionUnderWay(t *testing.T) {
	ctx, path := context.Background(), filepath.Join(t.TempDir(), "journal")
	s, err := Open(ctx, path)
	if err != nil {
		t.Fatal(err)
	}
	begun, goOn, wrote, closed := make(chan struct{}), make(chan struct{}), make(chan error, 1), make(chan error, 1)
	go func() {
		wrote <- s.inTx(ctx, func(*sql.Tx) error {
			close(begun)
			<-goOn
			return nil
		})
	}()
	<-begun
	go func() { closed <- s.Close() }()
	for s.writing.TryRLock() { // until Close waits
		s.writing.RUnlock()
	}
	if other, err := Open(ctx, path); !fault.Is(err, fault.StoreFailed) {
		t.Errorf("opened beside a transaction: %v", err)
		_ = other.Close()
	}
	close(goOn)
	if err := <-wrote; err != nil {
		t.Errorf("transaction: %v", err)
	}
	if err := <-closed; err != nil {
		t.Errorf("close: %v", err)
	}
	if s, err = Open(ctx, path); err != nil {
		t.Fatal(err)
	}
	_ = s.Close()
}
