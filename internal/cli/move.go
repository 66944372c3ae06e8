package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"drover/internal/fault"
	"drover/internal/record"
)

type moveOptions struct {
	target   target
	vms      []string
	vm       string // by --vm
	all      bool
	to       string
	how      moveFlags
	priority int
	noWait   bool
	dryRun   bool
	detach   bool
	yes      bool
	noDoctor bool
}

func newMove(p *program) *cobra.Command {
	var o moveOptions
	cmd := &cobra.Command{
		Use:   "move VM... --to HOST",
		Short: "Move VMs to another host, and look after moves",
		Long: `Move VMs from one host to another. A running VM moves live, a paused one stays
paused, a shut-off one moves by definition and storage.

The plan is printed first, then progress on stderr, then a summary. The move is
done by the agents: Ctrl-C asks whether to cancel it, a second Ctrl-C cancels
without asking, and so does SIGINT or SIGTERM where nobody can be asked. If
drover is killed or loses its connection, the move goes on; see it with
"drover move watch ID".

Several VMs are started together, and drover stays with all of them: a line for
each on stderr, then a table of how each ended. --all moves every VM of the
host, and asks first. When one move fails for a reason that names, network, Kerberos
or the directory may have, what "drover doctor" finds first is shown below the error.
A host carries out only so many moves at once (see
"drover host show"); those above the limit of either host wait, by --priority
and then in the order of their start, unless --no-wait is given.

A VM that is called like one of the verbs below is given with --vm.`,
		Example: `  drover move APP01 --host HV01 --to HV02 --include-storage
  drover move APP01 --host HV01 --to HV02 --dry-run
  drover move APP01 --to HV02 --detach        on HV01 itself, by the local socket
  drover move APP01 APP02 --host HV01 --to HV02 --include-storage --priority 10
  drover move --all --host HV01 --to HV02 --include-storage --yes
  drover move --vm watch --host HV01 --to HV02`,
		Args: func(cmd *cobra.Command, args []string) error { return o.takeVMs(cmd, args) },
		RunE: p.signalVerb(func(ctx context.Context, signals <-chan os.Signal, _ []string) error {
			if err := o.check(); err != nil {
				return err
			}
			if o.all || len(o.vms) > 1 {
				return p.runMoves(ctx, signals, o)
			}
			return p.askDoctor(ctx, signals, o, p.runMove(ctx, signals, o))
		}),
	}
	f := cmd.Flags()
	o.target.flags(f)
	f.StringVar(&o.vm, "vm", "", "the VM, for `name`s that are also verbs")
	f.BoolVar(&o.all, "all", false, "all VMs of the host, also those that are shut off")
	f.StringVar(&o.to, "to", "", "`name` of the destination host")
	o.how.flags(f)
	f.IntVar(&o.priority, "priority", 0, "of the moves that wait the one with the higher `number` goes first, -100 to 100")
	f.BoolVar(&o.noWait, "no-wait", false, "fail at once where a limit of simultaneous migrations is reached")
	f.BoolVar(&o.dryRun, "dry-run", false, "stop after the plan; nothing is changed on either host")
	f.BoolVar(&o.detach, "detach", false, "start the move, print its id and return")
	f.BoolVar(&o.yes, "yes", false, "answer questions with yes: --all moves at once, and so Ctrl-C cancels")
	f.BoolVar(&o.noDoctor, "no-doctor", false, "when the move fails, do not look for the cause")
	cmd.AddCommand(newMoveWatch(p), newMoveCancel(p), newMoveSet(p), newMoveShow(p), newMoveList(p), newMoveResolve(p))
	return cmd
}

// takeVMs finds the VMs among arguments and flags.
func (o *moveOptions) takeVMs(cmd *cobra.Command, args []string) error {
	switch {
	case o.vm != "" && len(args) > 0:
		return fmt.Errorf("the VM is given twice: %q and --vm %q", args[0], o.vm)
	case o.all && (o.vm != "" || len(args) > 0):
		return fmt.Errorf("--all and the name of a VM exclude each other")
	case len(args) > 1 && o.to == "" && didYouMean(cmd, args[0]) != "":
		return fmt.Errorf("%s has no verb %q%s", cmd.CommandPath(), args[0], didYouMean(cmd, args[0]))
	case o.vm != "":
		o.vms = []string{o.vm}
	default:
		o.vms = args
	}
	for i, vm := range o.vms {
		if vm == "" || slices.Contains(o.vms[:i], vm) {
			return fmt.Errorf("the name %q is empty or given twice", vm)
		}
	}
	return nil
}

func (o *moveOptions) check() error {
	switch {
	case len(o.vms) == 0 && !o.all:
		return misuse("name the VM to move: drover move VM --host SOURCE --to DESTINATION")
	case o.to == "":
		return misuse("name the destination host with --to")
	case o.priority < -100 || o.priority > 100:
		return misuse("--priority %d is not between -100 and 100", o.priority)
	case len(o.vms) > maxVMs:
		return misuse("%d VMs are more than %d; use --all or several commands", len(o.vms), maxVMs)
	case o.detach && o.dryRun:
		return misuse("--detach and --dry-run exclude each other: a dry run ends with its plan")
	}
	if err := o.how.check(); err != nil {
		return err
	}
	return checkHost("--to", o.to)
}

// maxVMs keeps the connections of one command below what an agent serves.
const maxVMs = 200

// request asks for the move of one VM.
func (o *moveOptions) request(vm string) record.Request {
	q := record.Request{VM: vm, Destination: o.to, Priority: o.priority, NoWait: o.noWait, DryRun: o.dryRun}
	o.how.apply(&q)
	return q
}

// runMove starts a move and stays with it to its end.
func (p *program) runMove(ctx context.Context, signals <-chan os.Signal, o moveOptions) error {
	lost := make(chan string, 1)
	a, err := p.openWatching(ctx, o.target, tellLost(lost))
	if err != nil {
		return err
	}
	defer func() { _ = a.Close() }()
	rec, pending, err := p.start(ctx, a, o.target, o.request(o.vms[0]), signals)
	if err != nil {
		return err
	}
	if o.detach && pending == nil {
		return p.detached(&rec)
	}
	f := &follower{p: p, a: a, target: o.target, rec: rec, yes: o.yes, leaveUnknown: true, pending: pending, retrying: lost, signals: signals}
	return p.stay(ctx, f)
}

// tellLost hands the news of a lost connection to the follower, and drops what
// it does not take: only the first matters.
func tellLost(lost chan<- string) func(error, time.Duration) {
	return func(err error, _ time.Duration) {
		select {
		case lost <- fault.From(err).Message():
		default:
		}
	}
}

// start asks the agent to start. A signal meanwhile is kept for the follower,
// because the move may have started already; a second one gives up.
func (p *program) start(ctx context.Context, a agent, t target, q record.Request, signals <-chan os.Signal) (rec record.Record, pending os.Signal, err error) {
	ctx, giveUp := context.WithCancel(ctx)
	defer giveUp()
	var wg sync.WaitGroup
	defer wg.Wait()
	ended := make(chan struct{})
	wg.Go(func() {
		defer close(ended)
		rec, err = a.StartMove(ctx, q)
	})
	for {
		select {
		case <-ended:
			return rec, pending, err
		case s := <-signals:
			if pending != nil {
				giveUp()
				continue
			}
			pending = s
			p.screen.line("%s was asked to start the move and has not answered yet; interrupt again to give up", t)
		}
	}
}

// stay follows a move and reports how it ended.
func (p *program) stay(ctx context.Context, f *follower) error {
	f.view, f.draw = newView(&f.rec, p.now()), newDrawer(p.screen)
	err := f.follow(ctx)
	if errors.Is(err, errDetached{}) {
		return p.detached(&f.rec)
	}
	if err != nil {
		if !fault.Is(err, fault.Cancelled) {
			p.screen.line("move %s may go on without being watched: drover move watch %s%s", f.rec.ID, f.rec.ID, f.target.again())
		}
		return p.left(&f.rec, err)
	}
	// The agent's record has more than the events told; do without if it is gone.
	if rec, err := f.a.Move(ctx, f.rec.ID); err == nil {
		f.rec = rec
	}
	return p.ended(&f.rec, f.target)
}

// ended prints the result of a move that is over.
func (p *program) ended(r *record.Record, t target) error {
	end := outcome(r, t)
	if p.out != table {
		if err := p.out.write(p.stdout, withError(r, end)); err != nil || end == nil {
			return err
		}
		return reported{end}
	}
	switch {
	case end != nil:
		return end
	case r.Request.DryRun:
		_, err := fmt.Fprintln(p.stdout, "Dry run: nothing was changed on either host.")
		return err
	}
	return printSummary(p.stdout, r)
}

// left reports why a move was left before its end. JSON has the record, because
// the id in it leads back to the move.
func (p *program) left(r *record.Record, why error) error {
	if p.out == table {
		return why
	}
	if err := p.out.write(p.stdout, withError(r, why)); err != nil {
		return err
	}
	return reported{why}
}

// withError gives a record of which JSON always says why it did not succeed.
func withError(r *record.Record, end error) *record.Record {
	if end == nil || r.Error != nil {
		return r
	}
	c := *r
	c.Error = fault.From(end)
	return &c
}

// detached prints what leads back to a move that goes on alone.
func (p *program) detached(r *record.Record) error {
	if p.out != table {
		return p.out.write(p.stdout, r)
	}
	_, err := fmt.Fprintln(p.stdout, clean(r.ID))
	return err
}
