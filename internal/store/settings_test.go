package store

import (
	"context"
	"errors"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
)

func auditOf(actor string) AuditRow {
	return AuditRow{Time: at(1), Actor: actor, Action: "settings.change", Object: "HV01", Outcome: "ok"}
}

func TestSettingsChangesLoseNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "drover.db")
	s := openTest(t, path)
	if _, err := s.Settings(t.Context()); !errors.Is(err, ErrNotFound) {
		t.Fatalf("nothing was set yet: %v", err)
	}
	const each, clients = 25, 4
	var wg sync.WaitGroup
	for c := range clients {
		wg.Go(func() {
			for range each {
				err := s.ChangeSettings(context.Background(), func(old []byte) (SettingsChange, error) {
					n, _ := strconv.Atoi(string(old))
					return SettingsChange{Body: []byte(strconv.Itoa(n + 1)), Revision: int64(n + 1), Audit: auditOf("client " + strconv.Itoa(c))}, nil
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openTest(t, path)
	body, err := s.Settings(t.Context())
	if err != nil || string(body) != strconv.Itoa(each*clients) {
		t.Errorf("%s, %v", body, err)
	}
	if rows, err := s.Audits(t.Context(), 0, 0); err != nil || len(rows) != each*clients {
		t.Errorf("%d rows of audit, %v", len(rows), err)
	}
}

func TestSettingsAndAuditAreOneStep(t *testing.T) {
	s := openTest(t, filepath.Join(t.TempDir(), "drover.db"))
	change := func(c SettingsChange, err error) error {
		return s.ChangeSettings(t.Context(), func([]byte) (SettingsChange, error) { return c, err })
	}
	why := errors.New("no")
	if err := change(SettingsChange{Body: []byte("a"), Audit: auditOf("nobody")}, why); !errors.Is(err, why) {
		t.Errorf("%v", err)
	}
	if rows, err := s.Audits(t.Context(), 0, 0); err != nil || len(rows) != 0 {
		t.Errorf("%v, %v", rows, err)
	}
	if err := change(SettingsChange{Body: []byte("b"), Revision: 1, Audit: auditOf("alice")}, nil); err != nil {
		t.Fatal(err)
	}
	if err := change(SettingsChange{Audit: auditOf("bob")}, nil); err != nil {
		t.Fatal(err)
	}
	body, err := s.Settings(t.Context())
	rows, aerr := s.Audits(t.Context(), 0, 0)
	if err != nil || aerr != nil || string(body) != "b" || len(rows) != 2 || rows[1].Actor != "bob" {
		t.Errorf("%s %+v %v %v", body, rows, err, aerr)
	}
}
