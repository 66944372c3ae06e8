package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"drover/internal/fault"
	"drover/internal/record"
)

type moveOptions struct {
	target      target
	vm          string
	to          string
	storage     bool
	storagePath string
	retain      bool
	connections int
	blackout    time.Duration
	dryRun      bool
	detach      bool
	yes         bool
}

func newMove(p *program) *cobra.Command {
	var o moveOptions
	cmd := &cobra.Command{
		Use:   "move VM --to HOST",
		Short: "Move a VM to another host, and look after moves",
		Long: `Move a VM from one host to another. A running VM moves live, a paused one stays
paused, a shut-off one moves by definition and storage.

The plan is printed first, then progress on stderr, then a summary. The move is
done by the agents: Ctrl-C asks whether to cancel it, a second Ctrl-C cancels
without asking, and so does SIGINT or SIGTERM where nobody can be asked. If
drover is killed or loses its connection, the move goes on; see it with
"drover move watch ID".

A VM that is called like one of the verbs below is given with --vm.`,
		Example: `  drover move APP01 --host HV01 --to HV02 --include-storage
  drover move APP01 --host HV01 --to HV02 --dry-run
  drover move APP01 --to HV02 --detach        on HV01 itself, by the local socket
  drover move --vm watch --host HV01 --to HV02`,
		Args: func(cmd *cobra.Command, args []string) error { return o.takeVM(cmd, args) },
		RunE: p.signalVerb(func(ctx context.Context, signals <-chan os.Signal, _ []string) error {
			return p.runMove(ctx, signals, o)
		}),
	}
	f := cmd.Flags()
	o.target.flags(f)
	f.StringVar(&o.vm, "vm", "", "the VM, for `name`s that are also verbs")
	f.StringVar(&o.to, "to", "", "`name` of the destination host")
	f.BoolVar(&o.storage, "include-storage", false, "copy the disks that the destination cannot see")
	f.StringVar(&o.storagePath, "destination-storage-path", "", "`directory` on the destination for the copied disks")
	f.BoolVar(&o.retain, "retain-vhd-copies-on-source", false, "keep the source's disk files after the move")
	f.IntVar(&o.connections, "connections", 0, "`number` of parallel memory connections, 1 to 16 (default: one plain connection)")
	f.DurationVar(&o.blackout, "max-blackout", 0, "longest blackout that QEMU may plan for, `duration` such as 300ms (default: QEMU's, 300ms)")
	f.BoolVar(&o.dryRun, "dry-run", false, "stop after the plan; nothing is changed on either host")
	f.BoolVar(&o.detach, "detach", false, "start the move, print its id and return")
	f.BoolVar(&o.yes, "yes", false, "answer questions with yes: Ctrl-C cancels at once")
	cmd.AddCommand(newMoveWatch(p), newMoveCancel(p), newMoveShow(p), newMoveList(p), newMoveResolve(p))
	return cmd
}

// takeVM finds the VM among argument and flag.
func (o *moveOptions) takeVM(cmd *cobra.Command, args []string) error {
	switch {
	case len(args) == 1 && o.vm == "":
		o.vm = args[0]
	case len(args) == 1:
		return fmt.Errorf("the VM is given twice: %q and --vm %q", args[0], o.vm)
	case len(args) > 1:
		return fmt.Errorf("move takes one VM, not %q%s", args, didYouMean(cmd, args[0]))
	}
	return nil
}

func (o *moveOptions) check() error {
	switch {
	case o.vm == "":
		return misuse("name the VM to move: drover move VM --host SOURCE --to DESTINATION")
	case o.to == "":
		return misuse("name the destination host with --to")
	case o.connections < 0 || o.connections > 16:
		return misuse("--connections %d is not between 1 and 16", o.connections)
	case o.blackout != 0 && (o.blackout < time.Millisecond || o.blackout > time.Minute):
		return misuse("--max-blackout %s is not between 1ms and 1m", o.blackout)
	case o.storagePath != "" && !o.storage:
		return misuse("--destination-storage-path needs --include-storage")
	case o.storagePath != "" && o.storagePath[0] != '/':
		return misuse("--destination-storage-path %q is not an absolute path", o.storagePath)
	case o.retain && !o.storage:
		return misuse("--retain-vhd-copies-on-source needs --include-storage")
	case o.detach && o.dryRun:
		return misuse("--detach and --dry-run exclude each other: a dry run ends with its plan")
	}
	return checkHost("--to", o.to)
}

func (o *moveOptions) request() record.Request {
	return record.Request{
		VM: o.vm, Destination: o.to, IncludeStorage: o.storage, DestinationStoragePath: o.storagePath,
		RetainVHDCopiesOnSource: o.retain, Connections: o.connections,
		MaxBlackoutMS: int(o.blackout / time.Millisecond), DryRun: o.dryRun,
	}
}

// runMove starts a move and stays with it to its end.
func (p *program) runMove(ctx context.Context, signals <-chan os.Signal, o moveOptions) error {
	if err := o.check(); err != nil {
		return err
	}
	lost := make(chan string, 1)
	a, err := p.openWatching(ctx, o.target, tellLost(lost))
	if err != nil {
		return err
	}
	defer func() { _ = a.Close() }()
	rec, pending, err := p.start(ctx, a, o, signals)
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
func (p *program) start(ctx context.Context, a agent, o moveOptions, signals <-chan os.Signal) (rec record.Record, pending os.Signal, err error) {
	ctx, giveUp := context.WithCancel(ctx)
	defer giveUp()
	var wg sync.WaitGroup
	defer wg.Wait()
	ended := make(chan struct{})
	wg.Go(func() {
		defer close(ended)
		rec, err = a.StartMove(ctx, o.request())
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
			p.screen.line("%s was asked to start the move and has not answered yet; interrupt again to give up", o.target)
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
