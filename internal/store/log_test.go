package store

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func openLog(t *testing.T) *Store {
	t.Helper()
	s, err := Open(t.Context(), filepath.Join(t.TempDir(), "drover.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// fill appends n entries; number i is i minutes after the first, alternately an
// error about APP01 with id 2004 and information about APP02 with id 2003.
func fill(t *testing.T, s *Store, n int) {
	t.Helper()
	for i := 1; i <= n; i++ {
		r := LogRow{Time: at(0).Add(time.Duration(i) * time.Minute), ID: 2003, Level: "information", VM: "APP02", Move: "M2", Body: []byte(fmt.Sprintf(`{"n":%04d}`, i))}
		if i%2 == 0 {
			r.ID, r.Level, r.VM, r.Move = 2004, "error", "APP01", "M1"
		}
		if seq, err := s.AppendLog(t.Context(), r); err != nil || seq != int64(i) {
			t.Fatal(seq, err)
		}
	}
}

func seqs(t *testing.T, s *Store, f LogFilter) (out []int64) {
	t.Helper()
	rows, err := s.Log(t.Context(), f)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rows {
		out = append(out, r.Seq)
	}
	return out
}

func TestLogIsSelected(t *testing.T) {
	s := openLog(t)
	fill(t, s, 8)
	for name, tc := range map[string]struct {
		f    LogFilter
		want []int64
	}{
		"all":          {LogFilter{}, []int64{1, 2, 3, 4, 5, 6, 7, 8}},
		"after":        {LogFilter{After: 6}, []int64{7, 8}},
		"since":        {LogFilter{Since: at(0).Add(7 * time.Minute)}, []int64{7, 8}},
		"levels":       {LogFilter{Levels: []string{"error", "warning"}}, []int64{2, 4, 6, 8}},
		"ids":          {LogFilter{IDs: []int{2003, 1}}, []int64{1, 3, 5, 7}},
		"vm":           {LogFilter{VM: "APP01"}, []int64{2, 4, 6, 8}},
		"move":         {LogFilter{Move: "M2", After: 4}, []int64{5, 7}},
		"newest":       {LogFilter{VM: "APP01", Newest: 2}, []int64{6, 8}},
		"first":        {LogFilter{After: 2, First: 2}, []int64{3, 4}},
		"nothing":      {LogFilter{VM: "APP09"}, nil},
		"no injection": {LogFilter{VM: "' OR 1=1 --"}, nil},
	} {
		if d := cmp.Diff(tc.want, seqs(t, s, tc.f)); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
	rows, err := s.Log(t.Context(), LogFilter{First: 1})
	want := LogRow{Seq: 1, Time: at(0).Add(time.Minute), ID: 2003, Level: "information", VM: "APP02", Move: "M2", Body: []byte(`{"n":0001}`)}
	if err != nil || cmp.Diff([]LogRow{want}, rows) != "" {
		t.Error(cmp.Diff([]LogRow{want}, rows), err)
	}
}

func TestLogIsBoundedByAgeNumberAndSize(t *testing.T) {
	s := openLog(t)
	fill(t, s, 10)
	for _, tc := range []struct {
		name    string
		before  time.Time
		entries int
		bytes   int64
		gone    int
		first   int64
	}{
		{"nothing is too old or too much", at(0), 10, 100, 0, 1},
		{"age", at(0).Add(3 * time.Minute), 100, 1000, 2, 3},
		{"number", at(0), 6, 1000, 2, 5},
		{"size", at(0), 100, 35, 3, 8}, // 10 bytes each
	} {
		n, err := s.PruneLog(t.Context(), tc.before, tc.entries, tc.bytes)
		if got := seqs(t, s, LogFilter{First: 1}); err != nil || n != tc.gone || got[0] != tc.first {
			t.Errorf("%s: %d went, first is %v: %v", tc.name, n, got, err)
		}
	}
	if n, err := s.PruneLog(t.Context(), at(0), 0, 0); err != nil || n != 3 {
		t.Error(n, err)
	}
	if seq, err := s.AppendLog(t.Context(), LogRow{Time: at(0)}); err != nil || seq != 11 {
		t.Errorf("number %d is used again: %v", seq, err)
	}
}

// TestLogIsMeasuredBesideTheWriter: a move that journals does not wait for that.
func TestLogIsMeasuredBesideTheWriter(t *testing.T) {
	s := openLog(t)
	fill(t, s, 10)
	tx, err := s.write.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if n, err := s.PruneLog(ctx, at(0), 10, 100); err != nil || n != 0 {
		t.Errorf("%d went: %v", n, err)
	}
}

func TestLogWakesFollowersAndOutlivesTheProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "drover.db")
	s, err := Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	one, two := s.LogChanged(), s.LogChanged()
	fill(t, s, 1)
	for _, c := range []<-chan struct{}{one, two} {
		select {
		case <-c:
		default:
			t.Error("a follower was not woken")
		}
	}
	select {
	case <-s.LogChanged():
		t.Error("nothing came since, and it woke")
	default:
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if s, err = Open(t.Context(), path); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if got := seqs(t, s, LogFilter{}); len(got) != 1 {
		t.Error(got)
	}
	if _, err := s.AppendLog(t.Context(), LogRow{Time: at(0)}); err != nil {
		t.Error(err)
	}
	if got := seqs(t, s, LogFilter{After: 1}); len(got) != 1 || got[0] != 2 {
		t.Error(got)
	}
}
