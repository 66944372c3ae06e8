package store

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// writer is the child of TestKilledWriterKeepsWhatItAcknowledged: it writes
// without end, and says on stdout what has been acknowledged.
func writer(path string) {
	ctx := context.Background()
	s, err := Open(ctx, path)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	rows, err := s.Moves(ctx, Filter{Limit: 1})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	next := 1
	if len(rows) > 0 {
		next = int(rows[0].Created.Unix()-at(0).Unix()) + 1
	}
	for i := next; ; i++ {
		m := testMove(i, false)
		for seq := int64(1); seq <= 5; seq++ {
			m.Body = []byte(fmt.Sprintf(`{"seq":%d}`, seq))
			if err := s.PutMove(ctx, m, event(m, seq)); err != nil {
				fmt.Fprintln(os.Stderr, err)
				os.Exit(1)
			}
			fmt.Println(m.ID, seq)
		}
	}
}

func TestKilledWriterKeepsWhatItAcknowledged(t *testing.T) {
	path := filepath.Join(t.TempDir(), "drover.db")
	acked := map[string]int64{}
	for round := range 6 {
		killAfter(t, path, 7+13*round, acked)
		s, err := Open(t.Context(), path)
		if err != nil {
			t.Fatalf("after kill %d: %v", round, err)
		}
		for id, seq := range acked {
			verify(t, s, id, seq)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if len(acked) < 6 {
		t.Fatalf("only %d moves were acknowledged", len(acked))
	}
}

// killAfter runs a writer until it acknowledged n events, kills it, and adds
// every acknowledgement that got out to acked.
func killAfter(t *testing.T, path string, n int, acked map[string]int64) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0])
	cmd.Env = append(os.Environ(), "STORE_TEST_WRITER="+path)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	seen := 0
	for lines := bufio.NewScanner(out); lines.Scan(); seen++ {
		var id string
		var seq int64
		if _, err := fmt.Sscan(lines.Text(), &id, &seq); err != nil {
			t.Fatalf("%q: %v", lines.Text(), err)
		}
		acked[id] = max(acked[id], seq)
		if seen == n {
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	_ = cmd.Wait() // always "signal: killed"
	if seen < n {
		t.Fatalf("the writer ended after %d acknowledgements", seen)
	}
}

// verify: the acknowledged event is there, and record and events agree, because
// they were one transaction.
func verify(t *testing.T, s *Store, id string, seq int64) {
	t.Helper()
	m, err := s.Move(t.Context(), id)
	if err != nil {
		t.Fatalf("acknowledged, and lost: %v", err)
	}
	ev, err := s.Events(t.Context(), id, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	var body struct {
		Seq int64 `json:"seq"`
	}
	if err := json.Unmarshal(m.Body, &body); err != nil {
		t.Fatal(err)
	}
	if int64(len(ev)) < seq || body.Seq < seq || body.Seq != ev[len(ev)-1].Seq {
		t.Errorf("%s: acknowledged %d, record %d, %d events", id, seq, body.Seq, len(ev))
	}
}
