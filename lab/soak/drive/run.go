package drive

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"drover/internal/api"
	"drover/internal/guest"
	"drover/lab"
	"drover/lab/census"
	"drover/lab/faults"
	"drover/lab/soak"
)

// Options of a run.
type Options struct {
	Lab  lab.Options // Name, Rootfs, Assets
	Seed uint64
	// Moves and Limit end the run, whichever comes first.
	Moves int
	Limit time.Duration
	// Only is the one step to try again, with every VM where it is before that; 0 is all.
	Only int
	// Out is the result's file, written after each step. Logs of a run that shows
	// something broken are kept in a directory of its name.
	Out    string
	Stderr io.Writer // what happens
}

// agentProgram is droverd as it is built for tests (build tag faultinject).
const agentProgram = "droverd-faultinject"

// runDir is where an agent has its sockets of moves.
const runDir = "/run/drover/m"

// run is one run.
type run struct {
	Options
	start  time.Time
	plans  []soak.Plan
	result *soak.Result

	lab      *lab.Lab
	base     map[string]faults.Baseline
	clients  map[string]*api.Client // of the hosts' local sockets
	machines []*machine
	quiet    func() // ends the load

	moved    map[string]int // moves of each host, in either role
	samples  []soak.Sample
	before   *growth
	mentions map[string]bool // what is broken and was said
}

// machine is a VM of the run.
type machine struct {
	soak.VM
	vm    *lab.VM
	watch *lab.Watched
	guard *faults.Guard
	at    string
}

// errStop ends a run in which something is so broken that the rest of the plan makes
// no sense. What it is, is in the result.
var errStop = errors.New("the run cannot go on")

// Run raises a lab, makes the run and takes the lab down. The result is there also
// with an error, which is about the lab or the end of ctx; that something is broken is
// for the result to say.
func Run(ctx context.Context, o Options) (_ *soak.Result, err error) {
	r := &run{Options: o, start: time.Now(), plans: soak.Schedule(o.Seed, o.Moves), base: map[string]faults.Baseline{},
		clients: map[string]*api.Client{}, moved: map[string]int{}, mentions: map[string]bool{}}
	if o.Only < 0 || o.Only > len(r.plans) {
		return nil, fmt.Errorf("there is no step %d: the schedule has 1 to %d", o.Only, len(r.plans))
	}
	r.result = &soak.Result{Seed: o.Seed, Planned: o.Moves, Only: o.Only, Limit: o.Limit, Started: r.start.UTC(), VMs: soak.VMs(),
		Broken: []soak.Broken{}, Growth: []soak.Figure{}, Grown: []string{}}
	if err := r.raise(ctx); err != nil {
		return r.result, err
	}
	defer func() { err = errors.Join(err, r.down(ctx, err)) }()
	r.load(ctx)
	defer func() { r.quiet() }()
	err = r.all(ctx)
	if errors.Is(err, errStop) {
		r.result.Stopped, err = "something was broken", nil
	}
	if err != nil {
		if ctx.Err() != nil { // by what signal
			err = context.Cause(ctx)
		}
		r.result.Stopped = err.Error()
	}
	return r.result, errors.Join(err, r.write())
}

// all makes the steps and what belongs before and after them.
func (r *run) all(ctx context.Context) error {
	if r.Only > 0 {
		return r.step(ctx, r.plans[r.Only-1])
	}
	warm := soak.PartsOf(r.Moves).WarmUp
	for _, p := range r.plans {
		if r.result.Moves >= r.Moves {
			break
		}
		if time.Since(r.start) > r.Limit {
			r.result.Stopped = fmt.Sprintf("the limit of %s", r.Limit)
			break
		}
		if err := r.step(ctx, p); err != nil {
			return err
		}
		if p.Step == warm {
			var err error
			if r.before, err = r.measure(ctx); err != nil {
				return err
			}
			r.load(ctx)
		}
	}
	return r.finish(ctx)
}

func (r *run) raise(ctx context.Context) (err error) {
	o := r.Lab
	o.Progress = r.say
	o.Hosts, o.Agent, o.NoAgents, o.Tied = soak.Hosts(), agentProgram, true, true
	if r.lab, err = lab.Up(ctx, o); err != nil {
		return err
	}
	if err := r.furnish(ctx); err != nil {
		return errors.Join(err, r.down(ctx, err))
	}
	return nil
}

// furnish readies hosts and VMs.
func (r *run) furnish(ctx context.Context) (err error) {
	if r.result.Versions, err = r.lab.Versions(ctx); err != nil {
		return err
	}
	if err := r.lab.KInit(ctx, lab.UserOperator); err != nil {
		return err
	}
	for _, m := range r.lab.Hosts() {
		if err := faults.Furnish(ctx, r.lab, m.Name); err != nil {
			return err
		}
		if err := faults.StartAgent(ctx, r.lab, m.Name); err != nil {
			return fmt.Errorf("%w (is there a bin/%s?)", err, agentProgram)
		}
		if r.clients[m.Name], err = r.lab.Local(m.Name); err != nil {
			return err
		}
	}
	at := soak.Places(r.plans, max(r.Only, 1))
	// A shared disk is on all hosts for good, so it belongs to what they have from the
	// start; the others' come after that.
	for _, shared := range []bool{true, false} {
		for i, vm := range soak.VMs() {
			if vm.Shared != shared {
				continue
			}
			if err := r.define(ctx, vm, at[vm.Name], byte(101+i)); err != nil {
				return err
			}
		}
		for _, m := range r.lab.Hosts() {
			if shared {
				// The agent makes it with its first move, and it stays.
				if err := os.MkdirAll(m.Path(runDir), 0o700); err != nil {
					return err
				}
				if r.base[m.Name], err = faults.TakeBaseline(ctx, r.lab, m.Name); err != nil {
					return err
				}
			}
		}
	}
	return r.boot(ctx)
}

func (r *run) define(ctx context.Context, vm soak.VM, host string, number byte) error {
	p := guest.DefaultParams()
	p.Memory, p.Rewrite = int64(vm.MemoryMiB)<<20, int64(vm.WriteMiB)<<20
	disk := lab.VMDisk{MiB: vm.DiskMiB}
	if vm.Shared {
		disk.Path = lab.SharedDir + "/" + vm.Name + ".qcow2"
	}
	defined, err := r.lab.DefineVM(ctx, host, lab.VMOptions{Name: vm.Name, Number: number, MemoryMiB: 192, Disks: []lab.VMDisk{disk}, Params: &p})
	if err != nil {
		return err
	}
	r.machines = append(r.machines, &machine{VM: vm, vm: defined, at: host})
	return nil
}

// boot starts all VMs and waits until they are at work.
func (r *run) boot(ctx context.Context) (err error) {
	for _, m := range r.machines {
		if _, err := r.lab.Virsh(ctx, m.at, "start", m.Name); err != nil {
			return err
		}
		if m.watch, err = r.lab.Observe(m.vm); err != nil {
			return err
		}
		if m.guard, err = faults.NewGuard(ctx, r.lab, m.Name); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	for _, m := range r.machines {
		if _, err := m.watch.Alive(ctx); err != nil {
			return fmt.Errorf("%s does not come up: %w", m.Name, err)
		}
	}
	r.say("%d VMs are at work", len(r.machines))
	return nil
}

// down ends what was begun. Logs are kept where there is something to look for.
func (r *run) down(ctx context.Context, failed error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Minute)
	defer cancel()
	if failed != nil || !r.result.Sound() {
		to := strings.TrimSuffix(r.Out, filepath.Ext(r.Out)) + "-logs"
		if err := errors.Join(os.RemoveAll(to), r.lab.SaveLogs(ctx, to)); err != nil {
			r.say("logs are not kept: %v", err)
		} else {
			r.say("logs are in %s", to)
		}
	}
	var errs []error
	for _, m := range r.machines {
		if m.guard != nil {
			errs = append(errs, m.guard.Close())
		}
		if m.watch != nil {
			errs = append(errs, m.watch.Close())
		}
	}
	for _, c := range r.clients {
		errs = append(errs, c.Close())
	}
	errs = append(errs, r.lab.Down(ctx))
	faults.Unfurnish(r.lab)
	return errors.Join(errs...)
}

// write replaces the result's file in one step.
func (r *run) write() error {
	r.result.Sum()
	r.result.DurationMS = time.Since(r.start).Milliseconds()
	r.result.Growth = append([]soak.Figure{}, soak.AgentFigures(r.samples)...)
	if r.before != nil {
		r.result.Growth = append(r.result.Growth, r.before.figures...)
	}
	raw, err := json.MarshalIndent(r.result, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(r.Out), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(r.Out+".new", append(raw, '\n'), 0o644); err != nil {
		return err
	}
	return os.Rename(r.Out+".new", r.Out)
}

func (r *run) say(format string, args ...any) {
	_, _ = fmt.Fprintf(r.Stderr, "%7.1f s  %s\n", time.Since(r.start).Seconds(), fmt.Sprintf(format, args...))
}

// broken notes a promise that was not kept, each once: what is left behind is seen
// after every later step too.
func (r *run) broken(b soak.Broken) {
	key := b.VM + b.Move + b.What
	if r.mentions[key] {
		return
	}
	r.mentions[key] = true
	r.result.Broken = append(r.result.Broken, b)
	r.say("BROKEN: %s", b)
}

// sample takes down what each host's agent takes now.
func (r *run) sample(ctx context.Context) error {
	for _, m := range r.lab.Hosts() {
		a, err := census.AgentOf(ctx, m)
		if err != nil {
			return err
		}
		r.samples = append(r.samples, soak.Sample{Host: m.Name, Moves: r.moved[m.Name], Agent: a})
	}
	return nil
}
