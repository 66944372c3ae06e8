package labtest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"drover/internal/fault"
	"drover/internal/record"
	"drover/lab"
)

// stopDir is where a test asks agents to stand still at a phase (DROVERD_INJECT).
const stopDir = "/run/habits"

// libvirtTimeout is how long agents of these tests wait for a call of libvirt: less than
// they do in service, so that calls that hang are over soon.
const libvirtTimeout = 10 * time.Second

// scene is a VM that moves between two hosts while something happens to libvirt.
type scene struct {
	*site
	vm    *machine
	at    string // where the VM is
	guard *guard
	env   []string
	// broken: a case did not come to its end.
	broken bool
}

// lost are the codes of a transfer that broke on either side.
var lost = []fault.Code{fault.TransferFailed, fault.SocketLost, fault.PeerGone, fault.HypervisorDown}

// newScene raises a lab whose agents can be stopped at any phase.
func newScene(t *testing.T, name, vm string, number byte, env ...string) *scene {
	t.Helper()
	// With TCP, virsh can migrate by itself.
	o := lab.Options{Name: name, Hosts: twoHosts, LibvirtTCP: true, Libvirt: lab.Monolithic}
	s := &scene{site: startSite(t, o), at: lab.HV01,
		env: append(env, "DROVERD_INJECT=hold:"+stopDir)}
	for _, h := range twoHosts {
		if err := os.Mkdir(s.Member(h).Path(stopDir), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := s.RestartAgent(t.Context(), h, s.env...); err != nil {
			t.Fatal(err)
		}
	}
	s.guard = s.guardLibvirt(t)
	s.vm = s.newVM(t, lab.HV01, vm, number)
	t.Cleanup(func() { s.vm.watch.Close() }) // the last one's: cases may begin another
	return s
}

// hop is the next move of the scene's VM.
func (s *scene) hop() hop { return hop{s.at, other(s.at)} }

// stop is an agent that stands still at a phase.
type stop struct {
	s    *scene
	id   string // of the move
	h    hop
	path string
}

// moveTo begins a move and waits until the agent of that role stands at the phase.
func (s *scene) moveTo(t *testing.T, role record.Role, p record.Phase, flags ...string) *stop {
	t.Helper()
	st := &stop{s: s, h: s.hop()}
	st.path = s.Member(st.h.host(role)).Path(filepath.Join(stopDir, fmt.Sprintf("%s.%s", role, p)))
	if err := os.WriteFile(st.path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.clear(t) })
	st.id = s.detach(t, s.vm, st.h.from, st.h.to, flags...)
	eventually(t, 2*time.Minute, func(context.Context) error {
		_, err := os.Stat(st.path + ".here")
		return err
	})
	return st
}

// goOn lets the agent go on.
func (st *stop) goOn(t *testing.T) {
	t.Helper()
	if err := os.Remove(st.path + ".here"); err != nil {
		t.Fatal(err)
	}
}

func (st *stop) clear(t *testing.T) {
	for _, p := range []string{st.path, st.path + ".here"} {
		if err := os.Remove(p); err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Error(err)
		}
	}
}

// ends waits for the end of the move on both hosts and checks all that is promised. want
// is where the VM has to be, "" for either host.
func (st *stop) ends(t *testing.T, want string, codes ...fault.Code) {
	t.Helper()
	s := st.s
	s.awaitOver(t, st.h.from)
	s.awaitOver(t, st.h.to)
	if want == "" {
		running := s.whereRunning(t, s.vm)
		if len(running) != 1 {
			t.Fatalf("%s runs on %v", s.vm.Name, running)
		}
		want = running[0]
	}
	s.at = s.settled(t, s.vm, st.h, st.id, want)
	rec, err := s.show(t.Context(), st.h.from, st.id)
	if err != nil {
		t.Fatal(err)
	}
	s.assertCode(t, rec, codes...)
}

// assertCode checks that a record gives one of the codes, with a hint.
func (s *scene) assertCode(t *testing.T, rec record.Record, codes ...fault.Code) {
	t.Helper()
	if rec.Error == nil {
		return
	}
	// Whatever else happened, a libvirtd that crashes is a cause of its own.
	crashed := rec.Error.Code == fault.HypervisorDown && s.guard.hasCrashed()
	if len(codes) > 0 && !slices.Contains(codes, rec.Error.Code) && !crashed {
		t.Errorf("the move ended with %s, want one of %v: %v", rec.Error.Code, codes, rec.Error)
	}
	if rec.Error.Hint() == "" {
		t.Errorf("%s has no hint", rec.Error.Code)
	}
}

// awaitOver is awaitIdle for hosts whose libvirt may have to answer first.
func (s *scene) awaitOver(t *testing.T, host string) {
	t.Helper()
	eventually(t, 3*time.Minute, func(ctx context.Context) error {
		active, err := s.moves(ctx, host, "--active")
		if err == nil && len(active) > 0 {
			err = fmt.Errorf("%s: move %s is still in %s: %v", host, active[0].ID, active[0].Phase, active[0].Error)
		}
		return err
	})
}

// awaitError waits until a host's record of a move shows a code.
func (s *scene) awaitError(t *testing.T, host, id string, code fault.Code) {
	t.Helper()
	eventually(t, 3*time.Minute, func(ctx context.Context) error {
		rec, err := s.show(ctx, host, id)
		if err == nil && (rec.Error == nil || rec.Error.Code != code) {
			err = fmt.Errorf("move %s on %s is in %s with %v, want %s", id, host, rec.Phase, rec.Error, code)
		}
		return err
	})
}

// guard starts a libvirtd again that ended by itself, as systemd does: 9.0 crashes now and
// then around migrations. It says so, to tell such a failure from one of Drover's.
type guard struct {
	s  *site
	mu sync.Mutex // held while a test itself ends a daemon
	// crashed counts the daemons that ended by themselves, see hasCrashed.
	crashed int
}

func (s *site) guardLibvirt(t *testing.T) *guard {
	g := &guard{s: s}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	for _, m := range s.Hosts() {
		wg.Go(func() {
			for ctx.Err() == nil {
				status, err := m.Wait(ctx, lab.LibvirtService)
				if err == nil {
					g.revive(ctx, t, m, status)
				}
			}
		})
	}
	t.Cleanup(func() { cancel(); wg.Wait() })
	return g
}

// hasCrashed tells whether a daemon has ended by itself since it was last asked.
func (g *guard) hasCrashed() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	defer func() { g.crashed = 0 }()
	return g.crashed > 0
}

func (g *guard) revive(ctx context.Context, t *testing.T, m *lab.Member, status lab.ServiceStatus) {
	g.mu.Lock()
	defer g.mu.Unlock()
	services, err := m.Services(ctx)
	i := slices.IndexFunc(services, func(s lab.ServiceStatus) bool { return s.Name == lab.LibvirtService })
	if err != nil || i < 0 || services[i].Running { // the test itself ended it, and has started it
		return
	}
	g.crashed++
	t.Logf("libvirtd of %s ended by itself: status %d, signal %d; started again", m.Name, status.ExitCode, status.Signal)
	if err := g.s.StartLibvirt(ctx, m.Name); err != nil && ctx.Err() == nil {
		t.Errorf("libvirtd of %s: %v", m.Name, err)
	}
}

// restart restarts a host's libvirtd as `systemctl restart` does, which kills one that does
// not end.
func (g *guard) restart(t *testing.T, host string) {
	t.Helper()
	g.mu.Lock()
	defer g.mu.Unlock()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	err := g.s.StopLibvirt(ctx, host, syscall.SIGTERM)
	cancel()
	if err != nil {
		t.Logf("libvirtd of %s does not end (%v); killed", host, err)
		err = g.s.StopLibvirt(t.Context(), host, syscall.SIGKILL)
	}
	if err := errors.Join(err, g.s.StartLibvirt(t.Context(), host)); err != nil {
		t.Fatal(err)
	}
}

// freeze stops a host's libvirtd without ending it: nothing is answered, and nothing ends.
func (s *scene) freeze(t *testing.T, host string) (thaw func()) {
	t.Helper()
	signal := func(n syscall.Signal) {
		if err := s.Member(host).Signal(context.Background(), lab.LibvirtService, n); err != nil {
			t.Error(err)
		}
	}
	signal(syscall.SIGSTOP)
	var once sync.Once
	thaw = func() { once.Do(func() { signal(syscall.SIGCONT) }) }
	t.Cleanup(thaw)
	return thaw
}

// run is one case; after one that ended in the middle the rest would begin where nobody
// looked.
func (s *scene) run(t *testing.T, name string, f func(t *testing.T)) {
	t.Helper()
	if s.broken {
		return
	}
	t.Run(name, func(t *testing.T) {
		s.broken = true
		f(t)
		s.broken = false
	})
	if s.broken {
		s.diagnose(t, s.vm)
	}
}

// lastMove shows that the hosts are as good as before.
func (s *scene) lastMove(t *testing.T) {
	t.Helper()
	if s.broken {
		return
	}
	rec := s.mustMove(t, s.vm, s.at, other(s.at))
	s.at = s.settled(t, s.vm, s.hop(), rec.ID, other(s.at))
}
