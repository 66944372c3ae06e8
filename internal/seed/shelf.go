package seed

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/oklog/ulid/v2"
)

// DirPrefix begins the name of the directory below a storage root where a host's seeds
// are. No disk may lie there. Each host has its own, as hosts may share a root.
const DirPrefix = ".drover-seeds-"

// Why a file is a seed.
const (
	FailedCopy = "failed-copy" // of a move to this host
	MovedAway  = "moved-away"  // of a VM that moved from here
	Retained   = "retained"    // that as well, and the file stayed where it is
)

// Origin says what a file was.
type Origin struct {
	VM   string `json:"vm"`
	UUID string `json:"uuid"`
	// Host has the content already: where the copy came from, or went. Nobody else
	// is told anything of the seed.
	Host string `json:"host"`
	Move string `json:"move"`
	Path string `json:"path"`
	Kind string `json:"kind"`
}

// Options of a Shelf.
type Options struct {
	// Host is this host's name.
	Host string
	// Dirs are the storage roots, without symbolic links.
	Dirs []string
	// MaxAge and MaxBytes bound what is kept; 0 of either keeps nothing.
	MaxAge   time.Duration
	MaxBytes uint64
	// MinBytes is what a file has to occupy to be worth it.
	MinBytes uint64
	Now      func() time.Time
	Log      *slog.Logger
}

// Shelf has the seeds of a host. Open makes one.
type Shelf struct {
	o      Options
	ctx    context.Context // of what reads files
	stop   context.CancelFunc
	wg     sync.WaitGroup
	turn   chan struct{} // one file is read at a time
	keeper sync.Mutex    // one file is taken in at a time

	mu    sync.Mutex
	seeds []*item // oldest first
}

// item is one seed. Of its files, ID.json is there before it and ID.ledger is made
// of it; ID.disk is it, unless it stayed where it was.
type item struct {
	Origin
	ID   string    `json:"id"`
	Made time.Time `json:"made"`

	dir   string
	ready chan struct{} // closed when the file was read, or could not be
	// Under the Shelf's mu.
	stop   context.CancelFunc // ends the reading
	gone   bool               // its files are removed
	blocks int
	users  int
	doomed bool // to be removed when nobody uses it
}

func (i *item) file(kind string) string { return filepath.Join(i.dir, i.ID+kind) }

// data is the file with the blocks.
func (i *item) data() string {
	if i.Kind == Retained {
		return i.Path
	}
	return i.file(".disk")
}

// fits tells whether the description says what describe would. A file that is not in
// the directory is one below the root that the directory is in: no other is read.
func (i *item) fits() bool {
	if i.Kind == Retained {
		return filepath.Clean(i.Path) == i.Path && strings.HasPrefix(i.Path, filepath.Dir(i.dir)+"/")
	}
	return allocated(i.file(".disk")) > 0
}

// size is what the seed takes of the room of its file system.
func (i *item) size() uint64 { return allocated(i.file(".disk")) + allocated(i.file(".ledger")) }

// Open finds the seeds that there are, and removes what is beyond the bounds, or
// was left by an agent that was killed. Close ends it.
func Open(o Options) *Shelf {
	if o.Now == nil {
		o.Now = time.Now
	}
	s := &Shelf{o: o, turn: make(chan struct{}, 1)}
	s.ctx, s.stop = context.WithCancel(context.Background())
	seen := map[string]bool{}
	for _, root := range o.Dirs {
		dir := s.dir(root)
		if _, err := os.Lstat(dir); err != nil || seen[dir] {
			continue
		}
		seen[dir] = true
		if err := ours(dir); err != nil {
			o.Log.Warn("seeds not taken up", "error", err)
			continue
		}
		s.load(dir)
	}
	slices.SortFunc(s.seeds, func(a, b *item) int { return a.Made.Compare(b.Made) })
	s.mu.Lock() // what reads them also drops some
	for _, i := range s.seeds {
		s.read(i)
	}
	s.mu.Unlock()
	s.Tidy()
	return s
}

// Close ends the reading of files, and waits for it.
func (s *Shelf) Close() {
	s.stop()
	s.wg.Wait()
}

func (s *Shelf) dir(root string) string {
	return filepath.Join(root, DirPrefix+strings.ToLower(s.o.Host))
}

// on tells whether seeds are kept at all.
func (s *Shelf) on() bool { return s.o.MaxAge > 0 && s.o.MaxBytes > 0 }

// load takes up a directory: each seed has its description, everything else goes.
// Nothing is read yet, so that nobody else has the Shelf.
func (s *Shelf) load(dir string) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		s.o.Log.Warn("seeds not found", "directory", dir, "error", err)
		return
	}
	known := map[string]bool{}
	for _, e := range entries {
		id, ok := strings.CutSuffix(e.Name(), ".json")
		if !ok || !validID(id) {
			continue
		}
		i := &item{dir: dir, ready: make(chan struct{})}
		b, err := readLimited(filepath.Join(dir, e.Name()), 64<<10)
		if err == nil {
			err = json.Unmarshal(b, i)
		}
		if err != nil || i.ID != id || !i.fits() {
			continue
		}
		known[id] = true
		s.seeds = append(s.seeds, i)
	}
	for _, e := range entries {
		if id, _, _ := strings.Cut(e.Name(), "."); validID(id) && (!known[id] || strings.HasSuffix(e.Name(), ".tmp")) && e.Type().IsRegular() {
			_ = os.Remove(filepath.Join(dir, e.Name()))
		}
	}
}

func validID(id string) bool {
	_, err := ulid.ParseStrict(id)
	return err == nil
}

// Keep makes the file of a disk, which no VM has any more, a seed. kept is false
// when it is to be none, and then it is still where it was. In no instant are there
// two names for it.
func (s *Shelf) Keep(path string, o Origin) (kept bool) {
	s.keeper.Lock()
	defer s.keeper.Unlock()
	if !s.on() || o.Host == "" {
		return false
	}
	from, size, err := reach(path)
	if err != nil || size < max(BlockSize, s.o.MinBytes) || size > s.o.MaxBytes {
		from.close()
		return false
	}
	defer from.close()
	i, err := s.describe(path, o)
	if err != nil {
		s.o.Log.Info("disk not kept as a seed", "path", path, "error", err)
		return false
	}
	if o.Kind != Retained {
		if err := from.rename(i.data()); err != nil {
			_ = os.Remove(i.file(".json"))
			s.o.Log.Info("disk not kept as a seed", "path", path, "error", err)
			return false
		}
		// Whatever of this fails, the disk is gone from its place.
		if err := errors.Join(private(i.data()), syncDir(i.dir), from.sync()); err != nil {
			s.o.Log.Warn("seed", "file", i.data(), "error", err)
		}
	}
	s.mu.Lock()
	s.seeds = append(s.seeds, i)
	s.read(i)
	s.mu.Unlock()
	s.o.Log.Info("disk kept as a seed", "path", path, "vm", o.VM, "kind", o.Kind, "bytes", size)
	s.Tidy()
	return true
}

// describe makes the description of a seed in the root that path is below.
func (s *Shelf) describe(path string, o Origin) (*item, error) {
	root := ""
	for _, d := range s.o.Dirs {
		if strings.HasPrefix(path, d+"/") && len(d) > len(root) {
			root = d
		}
	}
	if root == "" {
		return nil, fmt.Errorf("%s is below no storage root", path)
	}
	o.Path = path
	now := s.o.Now()
	i := &item{Origin: o, ID: ulid.MustNew(ulid.Timestamp(now), rand.Reader).String(), Made: now.UTC(), dir: s.dir(root), ready: make(chan struct{})}
	if err := os.Mkdir(i.dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	if err := ours(i.dir); err != nil {
		return nil, err
	}
	b, err := json.Marshal(i)
	if err != nil {
		return nil, err
	}
	return i, errors.Join(write(i.file(".json"), b), syncDir(root))
}

// read makes the ledger of a seed that has none, in the background. s.mu is held.
func (s *Shelf) read(i *item) {
	ctx, stop := context.WithCancel(s.ctx)
	i.stop = stop
	s.wg.Go(func() {
		defer close(i.ready)
		defer stop()
		l, err := s.ledger(i)
		if err != nil {
			select {
			case s.turn <- struct{}{}:
			case <-ctx.Done():
				return
			}
			l, err = s.readFile(ctx, i)
			<-s.turn
		}
		switch {
		case !s.readIs(i, len(l.Entries)) || ctx.Err() != nil:
		case err != nil:
			s.o.Log.Warn("seed not read", "file", i.data(), "error", err)
			s.drop(func(o *item) bool { return o == i })
		default:
			s.supersede(i, l)
		}
	})
}

// readIs notes how much there is in a seed. One that was removed meanwhile has no
// use for a ledger.
func (s *Shelf) readIs(i *item, blocks int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if i.gone {
		_ = os.Remove(i.file(".ledger"))
		_ = os.Remove(i.dir)
		return false
	}
	i.blocks = blocks
	return true
}

func (s *Shelf) readFile(ctx context.Context, i *item) (Ledger, error) {
	f, err := open(i.data())
	if err != nil {
		return Ledger{}, err
	}
	defer f.Close()
	l, err := read(ctx, f)
	if err == nil && len(l.Entries) == 0 {
		err = errors.New("there is nothing in it")
	}
	if err != nil {
		return l, err
	}
	return l, write(i.file(".ledger"), l.Encode())
}

func (s *Shelf) ledger(i *item) (Ledger, error) {
	b, err := readLimited(i.file(".ledger"), mostOfLedger)
	if err != nil {
		return Ledger{}, err
	}
	return Decode(b)
}

// supersede drops older seeds of the same disk that have little which the new one
// does not: tries that fail one after the other would else leave as many copies.
func (s *Shelf) supersede(now *item, l Ledger) {
	s.mu.Lock()
	var older []*item
	for _, o := range s.seeds {
		if o != now && o.UUID == now.UUID && o.Host == now.Host && o.Made.Before(now.Made) {
			older = append(older, o)
		}
	}
	s.mu.Unlock()
	if len(older) == 0 {
		return
	}
	have := make(map[Sum]bool, len(l.Entries))
	for _, e := range l.Entries {
		have[e.Sum] = true
	}
	for _, o := range older {
		old, err := s.ledger(o)
		if err != nil {
			continue
		}
		lost := 0
		for _, e := range old.Entries {
			if !have[e.Sum] {
				lost++
			}
		}
		if lost <= len(old.Entries)/16 {
			s.drop(func(i *item) bool { return i == o })
		}
	}
}
