package storage

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// State is what a directory in which disks may lie is like at present. Sizes in bytes.
type State struct {
	Dir         string
	Total, Free uint64 // Free as users other than root may use it
	Problem     string // why no disk can be made there, to be read after the path; "" for none
}

// rootPatience is how long a file system is waited for: one on the network whose server
// is gone never answers.
const rootPatience = 2 * time.Second

// Watch looks at roots and waits for none for long. It is safe for several goroutines.
type Watch struct {
	dirs []string
	look func(dir string) State

	mu   sync.Mutex
	open map[string]*question
}

// question is one that may not have been answered; no second one is asked meanwhile.
type question struct {
	answered chan struct{}
	state    State
}

// NewWatch makes a Watch of directories.
func NewWatch(dirs []string) *Watch {
	return &Watch{dirs: dirs, look: stateOf, open: map[string]*question{}}
}

// States looks at all directories at once, and gives them in their order.
func (w *Watch) States(ctx context.Context) []State {
	ctx, cancel := context.WithTimeout(ctx, rootPatience)
	defer cancel()
	asked := make([]*question, len(w.dirs))
	for i, d := range w.dirs {
		asked[i] = w.ask(d)
	}
	out := make([]State, len(w.dirs))
	for i, q := range asked {
		select {
		case <-q.answered:
			out[i] = q.state
		case <-ctx.Done():
			out[i] = State{Dir: w.dirs[i], Problem: "does not answer"}
		}
	}
	return out
}

func (w *Watch) ask(dir string) *question {
	w.mu.Lock()
	defer w.mu.Unlock()
	if q := w.open[dir]; q != nil {
		return q
	}
	q := &question{answered: make(chan struct{})}
	w.open[dir] = q
	go func() {
		q.state = w.look(dir)
		w.mu.Lock()
		delete(w.open, dir)
		w.mu.Unlock()
		close(q.answered)
	}()
	return q
}

func stateOf(dir string) State {
	s := State{Dir: dir}
	fi, err := os.Stat(dir)
	var st unix.Statfs_t
	if err == nil {
		err = unix.Statfs(dir, &st)
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		s.Problem = "does not exist"
	case err != nil:
		s.Problem = "cannot be read: " + err.Error()
	case !fi.IsDir():
		s.Problem = "is no directory"
	case st.Flags&unix.ST_RDONLY != 0:
		s.Problem = "is read-only for droverd"
	}
	if err == nil {
		s.Total, s.Free = st.Blocks*uint64(st.Bsize), st.Bavail*uint64(st.Bsize)
	}
	return s
}
