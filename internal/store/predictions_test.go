package store_test

import (
	"errors"
	"path/filepath"
	"testing"
	"time"

	"drover/internal/store"
)

func TestPredictionsAreKept(t *testing.T) {
	s, err := store.Open(t.Context(), filepath.Join(t.TempDir(), "journal"))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	want := func(key, body string) {
		t.Helper()
		b, err := s.Prediction(t.Context(), key)
		if body == "" && !errors.Is(err, store.ErrNotFound) || body != "" && (err != nil || string(b) != body) {
			t.Errorf("%s: %q, %v; want %q", key, b, err, body)
		}
	}
	put := func(key, body string, at time.Time) {
		t.Helper()
		if err := s.PutPrediction(t.Context(), key, at, []byte(body)); err != nil {
			t.Fatal(err)
		}
	}
	now := time.Now()
	want("a", "")
	put("a", "1", now)
	put("b", "2", now.Add(-300*24*time.Hour))
	put("a", "3", now)
	want("a", "3")
	want("b", "2")
	put("a", "4", now.Add(100*24*time.Hour))
	want("b", "")
	want("a", "4")
}
