package storage

import (
	"context"
	"os"
	"path/filepath"
	"testing"
)

func TestStatesOfRoots(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	got := NewWatch([]string{dir, filepath.Join(dir, "missing"), file}).States(t.Context())
	if s := got[0]; s.Dir != dir || s.Problem != "" || s.Total == 0 || s.Free > s.Total {
		t.Errorf("%+v", s)
	}
	for i, want := range []string{"", "does not exist", "is no directory"} {
		if got[i].Problem != want {
			t.Errorf("%+v, want %q", got[i], want)
		}
	}
}

// A file system that does not answer is asked once, however often somebody wants to know,
// and keeps nobody waiting.
func TestARootThatDoesNotAnswer(t *testing.T) {
	asked, release := make(chan string, 10), make(chan struct{})
	w := NewWatch([]string{"/gone", "/there"})
	w.look = func(dir string) State {
		asked <- dir
		if dir == "/gone" {
			<-release
		}
		return State{Dir: dir, Free: 1}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for range 3 {
		if s := w.States(ctx)[0]; s.Dir != "/gone" || s.Problem != "does not answer" {
			t.Errorf("%+v", s)
		}
	}
	gone := w.ask("/gone")
	close(release)
	<-gone.answered
	if s := w.States(t.Context()); s[0].Problem != "" || s[1].Free != 1 {
		t.Errorf("%+v", s)
	}
	times := 0
	for len(asked) > 0 {
		if <-asked == "/gone" {
			times++
		}
	}
	if times != 2 { // while it hung, and after that
		t.Errorf("asked %d times", times)
	}
}
