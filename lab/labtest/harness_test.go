package labtest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"drover/internal/guest"
	"drover/internal/record"
	"drover/internal/seed"
	"drover/lab"
)

// agentProgram is droverd with fault injection (`make unit` builds it). Without
// DROVERD_INJECT it does what droverd does.
const agentProgram = "droverd-faultinject"

// site is a lab whose hosts run agents, and an operator who has signed in.
type site struct{ *lab.Lab }

// rootfsEnv chooses what the hosts of all these tests run on: "trixie" for Debian
// 13, with its QEMU and libvirt, instead of the machine's own packages.
const rootfsEnv = "DROVER_LAB_ROOTFS"

// directoryEnv chooses which Samba the domain controller of these tests is: "trixie"
// for Debian 13's (4.22) instead of the machine's own.
const directoryEnv = "DROVER_LAB_DIRECTORY"

// startSite raises a lab for one test. o.Name tells labs of one program apart.
func startSite(t *testing.T, o lab.Options) *site {
	t.Helper()
	o.Agent = agentProgram
	if o.Rootfs == "" {
		o.Rootfs = os.Getenv(rootfsEnv)
	}
	if o.Directory == "" {
		o.Directory = os.Getenv(directoryEnv)
	}
	s := &site{lab.Start(t, o)}
	for _, m := range s.Hosts() {
		if services, err := m.Services(t.Context()); err != nil || !slices.ContainsFunc(services, isAgent) {
			t.Fatalf("%s has no agent (%v): `make build` and `make unit` build bin/%s", m.Name, err, agentProgram)
		}
	}
	s.guardLogs(t)
	s.signIn(t, lab.UserOperator)
	return s
}

func isAgent(s lab.ServiceStatus) bool { return s.Name == lab.AgentService }

func (s *site) signIn(t *testing.T, user string) {
	t.Helper()
	if err := s.KInit(t.Context(), user); err != nil {
		t.Fatal(err)
	}
}

// machine is a running guest under observation.
type machine struct {
	*lab.VM
	watch *lab.Watched
}

// newVM boots a small guest with one disk and waits until it has filled and
// checked its memory. change, when given, alters the options.
func (s *site) newVM(t *testing.T, host, name string, number byte, change ...func(*lab.VMOptions)) *machine {
	t.Helper()
	o := smallVM(name, number)
	for _, f := range change {
		f(&o)
	}
	vm, err := s.DefineVM(t.Context(), host, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.RemoveVM(context.Background(), vm) })
	s.virsh(t, host, "start", name)
	m := &machine{VM: vm}
	s.observe(t, m)
	return m
}

// observe watches a VM that was just started and waits until it is at work.
func (s *site) observe(t *testing.T, vm *machine) {
	t.Helper()
	watch, err := s.Observe(vm.VM)
	if err != nil {
		t.Fatal(err)
	}
	vm.watch = watch
	t.Cleanup(func() { watch.Close() })
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if _, err := watch.Alive(ctx); err != nil {
		t.Fatalf("the guest does not come up: %v", err)
	}
}

// smallVM is a guest that boots and moves quickly, with one disk.
func smallVM(name string, number byte) lab.VMOptions {
	p := guest.DefaultParams()
	p.Memory, p.Rewrite = 64<<20, 4<<20
	return lab.VMOptions{Name: name, Number: number, Disks: []lab.VMDisk{{MiB: 64}}, Params: &p}
}

func (s *site) virsh(t *testing.T, host string, args ...string) string {
	t.Helper()
	out, err := s.Virsh(t.Context(), host, args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// drover runs drover as the operator on the workstation.
func (s *site) drover(t *testing.T, args ...string) lab.Result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	r, err := s.Drover(ctx, lab.UserOperator, args...)
	if err != nil {
		t.Fatalf("drover %s: %v", strings.Join(args, " "), err)
	}
	return r
}

// moveArgs is the command line of a move with its storage.
func moveArgs(vm *machine, from, to string, flags ...string) []string {
	return append([]string{"move", vm.Name, "--host", from, "--to", to, "--include-storage", "-o", "json"}, flags...)
}

// move moves a VM to the end and gives the record that drover printed.
func (s *site) move(t *testing.T, vm *machine, from, to string, flags ...string) (record.Record, lab.Result) {
	t.Helper()
	r := s.drover(t, moveArgs(vm, from, to, flags...)...)
	var rec record.Record
	if err := json.Unmarshal([]byte(r.Stdout), &rec); err != nil {
		t.Errorf("drover printed no record: %v\n%s%s", err, r.Stdout, r.Stderr)
	}
	return rec, r
}

// mustMove is a move that has to succeed.
func (s *site) mustMove(t *testing.T, vm *machine, from, to string, flags ...string) record.Record {
	t.Helper()
	rec, r := s.move(t, vm, from, to, flags...)
	if r.Status != 0 || rec.Phase != record.Done {
		t.Fatalf("move from %s to %s: status %d, phase %q\n%s%s", from, to, r.Status, rec.Phase, r.Stdout, r.Stderr)
	}
	return rec
}

// detach starts a move and gives its id.
func (s *site) detach(t *testing.T, vm *machine, from, to string, flags ...string) string {
	t.Helper()
	r := s.drover(t, moveArgs(vm, from, to, append(flags, "--detach")...)...)
	var rec record.Record
	if err := json.Unmarshal([]byte(r.Stdout), &rec); err != nil || r.Status != 0 || rec.ID == "" {
		t.Fatalf("move --detach: status %d: %s%s", r.Status, r.Stdout, r.Stderr)
	}
	return rec.ID
}

// moves lists what a host's agent knows, newest first.
func (s *site) moves(ctx context.Context, host string, flags ...string) ([]record.Record, error) {
	var recs []record.Record
	err := s.DroverJSON(ctx, lab.UserOperator, &recs, append([]string{"move", "list", "--host", host}, flags...)...)
	return recs, err
}

// show gives one move as a host knows it.
func (s *site) show(ctx context.Context, host, id string) (record.Record, error) {
	var rec record.Record
	err := s.DroverJSON(ctx, lab.UserOperator, &rec, "move", "show", id, "--host", host)
	return rec, err
}

// awaitPhase waits until a host's record of a move is in a phase that is wanted.
func (s *site) awaitPhase(t *testing.T, host, id string, limit time.Duration, wanted ...record.Phase) (rec record.Record) {
	t.Helper()
	eventually(t, limit, func(ctx context.Context) (err error) {
		if rec, err = s.show(ctx, host, id); err == nil && !slices.Contains(wanted, rec.Phase) {
			err = fmt.Errorf("move %s on %s is in phase %s, want %v", id, host, rec.Phase, wanted)
		}
		return err
	})
	return rec
}

// whereRunning lists the hosts on which libvirt says that the VM runs.
func (s *site) whereRunning(t *testing.T, vm *machine) (hosts []string) {
	t.Helper()
	for _, m := range s.Hosts() {
		if slices.Contains(strings.Fields(s.virsh(t, m.Name, "list", "--name", "--state-running")), vm.Name) {
			hosts = append(hosts, m.Name)
		}
	}
	return hosts
}

// leftovers names what a host has of moves that are over, or of VMs that are not
// defined there.
func (s *site) leftovers(ctx context.Context, host string) (found []string, err error) {
	m := s.Member(host)
	active, err := s.moves(ctx, host, "--active")
	if err != nil {
		return nil, err
	}
	for _, r := range active {
		found = append(found, fmt.Sprintf("unfinished move %s (%s, %s)", r.ID, r.Role, r.Phase))
	}
	domains, err := s.Virsh(ctx, host, "list", "--all", "--name")
	if err != nil {
		return nil, err
	}
	var files []string
	for _, name := range strings.Fields(domains) {
		disks, err := s.Virsh(ctx, host, "domblklist", name)
		if err != nil {
			return nil, err
		}
		for _, line := range strings.Split(disks, "\n") {
			if f := strings.Fields(line); len(f) == 2 {
				files = append(files, f[1])
			}
		}
	}
	for _, dir := range []string{lab.VMDir, "/run/drover/m"} {
		entries, err := filepath.Glob(m.Path(dir) + "/*")
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			inside := filepath.Join(dir, filepath.Base(e))
			if strings.HasPrefix(filepath.Base(e), seed.DirPrefix) { // kept on purpose, and bounded
				continue
			}
			if !slices.Contains(files, inside) {
				found = append(found, inside)
			}
		}
	}
	processes, err := m.Run(ctx, "ps", "-e", "-o", "args=")
	if err != nil {
		return nil, err
	}
	running, err := s.Virsh(ctx, host, "list", "--name")
	if err != nil {
		return nil, err
	}
	qemus := 0
	for _, p := range strings.Split(processes, "\n") {
		switch {
		case strings.Contains(p, "qemu-nbd"):
			found = append(found, p)
		case strings.Contains(p, "qemu-system") && strings.Contains(p, "-name guest="):
			qemus++
		}
	}
	if n := len(strings.Fields(running)); qemus != n {
		found = append(found, fmt.Sprintf("%d QEMU processes for %d active domains", qemus, n))
	}
	return found, nil
}

// assertClean waits until a host has nothing of the VM, and nothing left of any move.
func (s *site) assertClean(t *testing.T, vm *machine, host string) {
	t.Helper()
	eventually(t, 20*time.Second, func(ctx context.Context) error {
		domains, err := s.Virsh(ctx, host, "list", "--all", "--name")
		if err != nil {
			return err
		}
		if slices.Contains(strings.Fields(domains), vm.Name) {
			return fmt.Errorf("%s still has %s", host, vm.Name)
		}
		return s.tidy(ctx, host)
	})
}

// tidy is an error while a host has leftovers.
func (s *site) tidy(ctx context.Context, host string) error {
	found, err := s.leftovers(ctx, host)
	if err == nil && len(found) > 0 {
		err = fmt.Errorf("left on %s: %s", host, strings.Join(found, "; "))
	}
	return err
}

// assertTidy waits until a host that keeps its VMs has nothing left of any move.
func (s *site) assertTidy(t *testing.T, host string) {
	t.Helper()
	eventually(t, 20*time.Second, func(ctx context.Context) error { return s.tidy(ctx, host) })
}

// verify has the guest check all of its memory and disk, and holds what was seen
// of it against one machine that ran on.
func (vm *machine) verify(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	if _, err := vm.watch.VerifyNow(ctx); err != nil {
		t.Fatalf("the guest's memory and disk: %v", err)
	}
	if err := vm.watch.Snapshot().Sound(); err != nil {
		t.Fatal(err)
	}
}

// slow, in bits per second, makes a small guest's transfer last some ten seconds.
const slow = 60_000_000

// rate limits the migration network, 0 for no limit.
func (s *site) rate(t *testing.T, bitsPerSecond uint64) {
	t.Helper()
	if err := s.SetRate(t.Context(), lab.Migration, bitsPerSecond); err != nil {
		t.Fatal(err)
	}
}

// awaitTransfer waits until memory has begun to arrive and is not all there.
func (s *site) awaitTransfer(t *testing.T, host, id string) {
	t.Helper()
	eventually(t, 2*time.Minute, func(ctx context.Context) error {
		rec, err := s.show(ctx, host, id)
		switch {
		case err != nil:
			return err
		case rec.Phase.Over():
			t.Fatalf("the move was too quick for this test: %s, %v", rec.Phase, rec.Error)
		case rec.Phase != record.Transfer || rec.Progress == nil || rec.Progress.Memory.Done == 0:
			return fmt.Errorf("phase %s, progress %+v", rec.Phase, rec.Progress)
		}
		return nil
	})
}

// assertBeats waits for answers that the guest has yet to give.
func (s *site) assertBeats(t *testing.T, vm *machine) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
	defer cancel()
	from := vm.watch.Snapshot().Sent
	if _, err := vm.watch.Wait(ctx, func(st guest.Status) bool { return st.Seq > from+20 }); err != nil {
		t.Fatal(err)
	}
}

// eventually asks until there is no error; the last one fails the test.
func eventually(t *testing.T, limit time.Duration, ask func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	var last error
	for {
		err := ask(ctx)
		if err == nil {
			return
		}
		if last == nil || !errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
			last = err
		}
		select {
		case <-ctx.Done():
			t.Fatalf("after %s: %v", limit, last)
		case <-tick.C:
		}
	}
}
