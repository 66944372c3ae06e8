package move_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"drover/internal/move"
	"drover/internal/settings"
	"drover/internal/store"
	"drover/internal/virt"
	"drover/internal/virt/virttest"
	"drover/internal/wire"
)

// world is a set of hosts that can reach each other, with one eye on the guest.
type world struct {
	t      *testing.T
	virt   *virttest.World
	shared *disks // what is below /shared on every host

	mu     sync.Mutex
	hosts  map[string]*host
	pipes  []*pipe
	rules  func(side string, k wire.Kind) action
	split  bool
	forged []forgery
	answer time.Duration // AnswerTimeout of agents started from now on
	// options changes those of agents started from now on.
	options func(*move.Options)
}

// host is what outlives its agents: libvirt's domains, files, the journal.
type host struct {
	w      *world
	name   string
	dir    string
	fake   *virttest.FakeHost
	disks  *disks
	ledger ledger

	mu     sync.Mutex
	auto   map[string]bool
	images map[string][]virt.Disk // by VM
	faults map[string]error
	inject func(context.Context, *agent, move.Role, move.Phase) error
	agent  *agent
	// settings are the host's; a test changes them before or between moves.
	settings settings.Settings
	waited   []move.Record // what Options.Waits was told
	happened []move.Event  // what Options.Happened was told
	link     float64       // that a probe finds, bytes per second; 0: 1 Gbit/s
	kept     kept
	channels int // of multifd, as libvirt was told last
	// flows says that each look at a source's streams finds more than the last.
	flows atomic.Bool
	more  atomic.Uint64
}

// agent is one life of a host's droverd.
type agent struct {
	h      *host
	m      *move.Manager
	store  *store.Store
	ctx    context.Context
	stop   context.CancelFunc
	wg     sync.WaitGroup // Serve
	dead   chan struct{}  // crashed: nothing it does has an effect
	buried chan struct{}  // the test is over: what still hangs may return
	killed sync.Once

	mu     sync.Mutex
	ended  bool
	conns  []io.Closer // to libvirt
	pipes  []*pipe
	counts map[string]int
}

var errDead = errors.New("this agent was killed")

func newWorld(t *testing.T, names ...string) *world {
	t.Helper()
	w := &world{t: t, answer: 2 * time.Second, virt: virttest.NewWorld(), shared: newDisks(), hosts: map[string]*host{}}
	for _, n := range names {
		h := &host{w: w, name: n, dir: t.TempDir(), fake: w.virt.Host(n), disks: newDisks(), settings: enabled(), auto: map[string]bool{},
			images: map[string][]virt.Disk{}, faults: map[string]error{}}
		w.mu.Lock()
		w.hosts[n] = h
		w.mu.Unlock()
		h.start()
	}
	t.Cleanup(func() {
		for _, n := range names {
			if a := w.host(n).current(); a != nil {
				a.end()
			}
		}
		if twice := w.virt.Twice(); len(twice) > 0 {
			t.Errorf("the guest ran twice: %v", twice)
		}
	})
	return w
}

func (w *world) host(name string) *host {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.hosts[name]
}

// rule is what happens to a message; the test's rules decide.
func (w *world) rule(side string, k wire.Kind) action {
	w.mu.Lock()
	f := w.rules
	w.mu.Unlock()
	if f == nil {
		return pass
	}
	return f(side, k)
}

func (w *world) setRules(f func(side string, k wire.Kind) action) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.rules = f
}

// once applies act to the first message of the kind from that side.
func (w *world) once(side string, k wire.Kind, act action) {
	var done sync.Once
	w.setRules(func(s string, kind wire.Kind) action {
		out := pass
		if s == side && kind == k {
			done.Do(func() { out = act })
		}
		return out
	})
}

func (w *world) partitioned() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.split
}

// partition keeps new connections from being made.
func (w *world) partition(on bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.split = on
}

// cut ends every control stream there is.
func (w *world) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, p := range w.pipes {
		p.cut()
	}
}

func (h *host) start() *agent {
	h.w.t.Helper()
	st, err := store.Open(context.Background(), filepath.Join(h.dir, "journal"))
	if err != nil {
		h.w.t.Fatal(err)
	}
	a := &agent{h: h, store: st, dead: make(chan struct{}), buried: make(chan struct{}), counts: map[string]int{}}
	a.ctx, a.stop = context.WithCancel(context.Background())
	o := move.Options{Host: h.name, RunDir: filepath.Join(h.dir, "run"), Settings: h.set, Roots: roots,
		Hypervisor: hyper{a}, Storage: storage{a}, Seeds: shelf{a}, Connector: connector{a}, Store: st, Log: slog.New(slog.DiscardHandler),
		UnwindTimeout: 3 * time.Second, AnswerTimeout: h.w.answer, StatsInterval: time.Millisecond, LibvirtGrace: 200 * time.Millisecond, RetryInterval: 2 * time.Millisecond,
		QueueInterval: 2 * time.Millisecond, Waits: h.heard, Happened: h.saw,
		Inject: func(ctx context.Context, r move.Role, p move.Phase) error {
			h.mu.Lock()
			f := h.inject
			h.mu.Unlock()
			if f == nil {
				return nil
			}
			return f(ctx, a, r, p)
		}}
	if h.w.options != nil {
		h.w.options(&o)
	}
	a.m = move.NewManager(o)
	h.mu.Lock()
	h.agent = a
	h.mu.Unlock()
	if err := a.m.Settle(context.Background()); err != nil {
		h.w.t.Fatal(err)
	}
	return a
}

// current is the agent that runs, nil if none does.
func (h *host) current() *agent {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.agent
}

// gate is the beginning of everything an agent does to the outside.
func (a *agent) gate() error {
	select {
	case <-a.dead:
		<-a.buried
		return errDead
	default:
		return nil
	}
}

// crash is kill -9: connections end, and nothing is undone by the agent.
func (a *agent) crash() {
	a.killed.Do(func() {
		close(a.dead)
		_ = a.store.Close() // before anybody hears of it: the next life may begin then
		a.mu.Lock()
		conns, pipes := slices.Clone(a.conns), slices.Clone(a.pipes)
		a.conns = nil
		a.mu.Unlock()
		for _, c := range conns {
			_ = c.Close()
		}
		for _, p := range pipes {
			p.cut()
		}
		a.h.mu.Lock()
		if a.h.agent == a {
			a.h.agent = nil
		}
		a.h.mu.Unlock()
		a.h.w.t.Cleanup(a.bury)
	})
}

// bury lets what hangs of a killed agent return, and waits for it.
func (a *agent) bury() {
	close(a.buried)
	a.end()
}

// end stops an agent in good order.
func (a *agent) end() {
	done, cancel := context.WithCancel(context.Background())
	cancel()
	a.stop()
	a.m.Drain(done)
	a.mu.Lock()
	a.ended = true // no connection comes in from here on
	a.mu.Unlock()
	a.wg.Wait()
	_ = a.store.Close()
}

// restart is the next life after a crash or an end.
func (h *host) restart() *agent { return h.start() }

func (a *agent) serve(i *inbound) {
	a.mu.Lock()
	ended := a.ended
	if !ended {
		a.wg.Add(1)
	}
	a.mu.Unlock()
	if ended {
		_ = i.Close()
		return
	}
	go func() {
		defer a.wg.Done()
		defer i.Close()
		_ = a.m.Serve(a.ctx, i)
	}()
}

func (a *agent) owns(p *pipe) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.pipes = append(a.pipes, p)
}

func (a *agent) opened(c io.Closer) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.conns = append(a.conns, c)
}

func (a *agent) closed(c io.Closer) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.conns = slices.DeleteFunc(a.conns, func(o io.Closer) bool { return o == c })
}

func (a *agent) count(what string, n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.counts[what] += n
}

// held lists what the agent holds at present.
func (a *agent) held() (out []string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for what, n := range a.counts {
		if n != 0 {
			out = append(out, what)
		}
	}
	if len(a.conns) > 0 {
		out = append(out, "connection to libvirt")
	}
	for _, p := range a.pipes {
		select {
		case <-p.closed:
		default:
			out = append(out, "control stream")
		}
	}
	return out
}

// fail makes the named call of a host fail; nil heals.
func (h *host) fail(call string, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.faults[call] = err
}

func (h *host) fault(call string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.faults[call]
}

// at sets what happens when an agent of the host enters a phase.
func (h *host) at(f func(context.Context, *agent, move.Role, move.Phase) error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.inject = f
}

func (h *host) add(d virt.Domain) {
	h.remember(d.UUID, d.Disks)
	h.mu.Lock()
	h.auto[d.UUID] = d.Autostart
	h.mu.Unlock()
	d.Disks, d.Autostart = nil, false
	h.fake.Add(d)
}

func (h *host) remember(uuid string, disks []virt.Disk) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.images[uuid] = disks
}

// dress adds what the fake does not keep.
func (h *host) dress(d virt.Domain) virt.Domain {
	h.mu.Lock()
	defer h.mu.Unlock()
	d.Disks, d.Autostart = slices.Clone(h.images[d.UUID]), h.auto[d.UUID]
	return d
}

func (h *host) known() (out []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for uuid := range h.images {
		out = append(out, uuid)
	}
	return out
}

func (h *host) setAutostart(uuid string, on bool) (changed bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	changed = h.auto[uuid] != on
	h.auto[uuid] = on
	return changed
}

func (h *host) autostart(uuid string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.auto[uuid]
}

// sockets lists what is left of the moves' sockets.
func (h *host) sockets() (out []string) {
	entries, err := os.ReadDir(filepath.Join(h.dir, "run", "m"))
	if err != nil {
		return nil
	}
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return out
}

// set gives the host's settings as of now.
func (h *host) set() settings.Settings {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.settings
}

// change changes the host's settings.
func (h *host) change(f func(*settings.Settings)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	f(&h.settings)
}

// enabled are the settings of a host whose live migration is on.
func enabled() settings.Settings {
	s := settings.Default()
	s.Incoming, s.Outgoing = true, true
	return s
}
