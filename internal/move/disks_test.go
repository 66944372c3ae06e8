package move_test

import (
	"context"
	"errors"
	"io"
	"path"
	"slices"
	"strings"
	"sync"

	"drover/internal/fault"
	"drover/internal/wire"
)

// disks are the image files of a host, which outlive its agents.
type disks struct {
	mu     sync.Mutex
	files  map[string]string // path: content
	probes map[string]string
}

// on gives the files that path is of: storage below /shared is the world's.
func (h *host) filesOf(p string) *disks {
	if strings.HasPrefix(p, "/shared/") {
		return h.w.shared
	}
	return h.disks
}

func newDisks() *disks {
	return &disks{files: map[string]string{}, probes: map[string]string{}}
}

func (d *disks) put(p, content string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.files[p] = content
}

func (d *disks) list() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	var out []string
	for p := range d.files {
		out = append(out, p)
	}
	slices.Sort(out)
	return out
}

// storage is one agent's view of its host's disks.
type storage struct {
	a *agent
}

var roots = []string{"/vms", "/alt", "/shared"}

func (s storage) Place(dir, source string) (string, error) {
	if err := s.a.h.fault("Place"); err != nil {
		return "", err
	}
	p := path.Clean(source)
	if dir != "" {
		p = path.Join(dir, path.Base(source))
	} else if !underRoot(p) {
		p = path.Join(roots[0], path.Base(source))
	}
	if !underRoot(p) {
		return "", fault.New(fault.StoragePathOutside, s.a.h.name, "path", p, "roots", strings.Join(roots, ", "))
	}
	return p, nil
}

func underRoot(p string) bool {
	return slices.ContainsFunc(roots, func(r string) bool { return strings.HasPrefix(p, r+"/") })
}

func (s storage) IsDir(p string) bool { return underRoot(path.Join(p, "disk")) && path.Ext(p) == "" }

func (s storage) Exists(p string) bool {
	d := s.a.h.filesOf(p)
	d.mu.Lock()
	defer d.mu.Unlock()
	_, ok := d.files[p]
	return ok
}

func (s storage) WriteProbe(disk string) (wire.Probe, func(), error) {
	if err := s.a.gate(); err != nil {
		return wire.Probe{}, nil, err
	}
	d := s.a.h.filesOf(disk)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.probes[disk] = "nonce of " + s.a.h.name
	return wire.Probe{Name: "probe", Nonce: d.probes[disk]}, func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		delete(d.probes, disk)
	}, nil
}

func (s storage) SeesProbe(p string, want wire.Probe) bool {
	d := s.a.h.filesOf(p)
	d.mu.Lock()
	defer d.mu.Unlock()
	return underRoot(p) && d.probes[p] != "" && d.probes[p] == want.Nonce
}

func (s storage) Reserve(vm string, _, _ uint64, _ map[string]uint64) (func(), error) {
	if err := errors.Join(s.a.gate(), s.a.h.fault("Reserve")); err != nil {
		return nil, err
	}
	s.a.count("reservation", 1)
	s.a.h.ledger.acquire("reservation")
	var once sync.Once
	return func() {
		once.Do(func() { s.a.count("reservation", -1); s.a.h.ledger.release("reservation") })
	}, nil
}

func (s storage) Create(_ context.Context, p, _ string, _ uint64, vm string) error {
	if err := errors.Join(s.a.gate(), s.a.h.fault("Create")); err != nil {
		return err
	}
	d := s.a.h.filesOf(p)
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, ok := d.files[p]; ok {
		return fault.New(fault.DiskExists, s.a.h.name, "path", p, "vm", vm)
	}
	d.files[p] = ""
	s.a.h.ledger.acquire("file " + p)
	return nil
}

func (s storage) Remove(p string) error {
	if err := errors.Join(s.a.gate(), s.a.h.fault("Remove")); err != nil {
		return err
	}
	d := s.a.h.filesOf(p)
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, ok := d.files[p]; ok {
		delete(d.files, p)
		s.a.h.ledger.release("file " + p)
	}
	return nil
}

func (s storage) Discard(p string) error { return s.Remove(p) }

func (s storage) Serve(_ context.Context, p, _, _ string) (io.Closer, error) {
	if err := errors.Join(s.a.gate(), s.a.h.fault("Serve")); err != nil {
		return nil, err
	}
	s.a.count("disk server", 1)
	s.a.h.ledger.acquire("server of " + p)
	return &diskServer{a: s.a, path: p}, nil
}

type diskServer struct {
	a    *agent
	path string
	once sync.Once
}

func (d *diskServer) Close() error {
	d.once.Do(func() { d.a.count("disk server", -1); d.a.h.ledger.release("server of " + d.path) })
	return nil
}

// Push carries nothing; that the right sockets are joined is the agent's part.
func (s storage) Push(ctx context.Context, _, _, _ string, progress func(done, total uint64)) error {
	if err := errors.Join(s.a.gate(), s.a.h.fault("Push")); err != nil {
		return err
	}
	progress(1, 2)
	progress(2, 2)
	return ctx.Err()
}

// ledger notes what is acquired and given back, in order.
type ledger struct {
	mu      sync.Mutex
	entries []string
}

func (l *ledger) add(s string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.entries = append(l.entries, s)
}
func (l *ledger) acquire(what string) { l.add("+" + what) }
func (l *ledger) release(what string) { l.add("-" + what) }

func (l *ledger) all() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.entries)
}

// unbalanced says what was not undone, or not in reverse order.
func (l *ledger) unbalanced() string {
	var stack []string
	for _, e := range l.all() {
		if e[0] == '+' {
			stack = append(stack, e[1:])
			continue
		}
		if len(stack) == 0 || stack[len(stack)-1] != e[1:] {
			return "released out of order: " + strings.Join(l.all(), " ")
		}
		stack = stack[:len(stack)-1]
	}
	if len(stack) > 0 {
		return "never released: " + strings.Join(stack, ", ") + " of " + strings.Join(l.all(), " ")
	}
	return ""
}

// take removes a file behind everybody's back and gives what was in it.
func (d *disks) take(p string) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	content := d.files[p]
	delete(d.files, p)
	return content
}
