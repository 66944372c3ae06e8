package cli

import (
	"context"
	"fmt"
	"os"
	"sync"
	"time"

	"drover/internal/fault"
	"drover/internal/record"
)

// follower watches one move to its end, draws it, and turns Ctrl-C into a
// question and a cancel. follow owns all goroutines and ends with none left.
type follower struct {
	p      *program
	a      agent
	target target
	view   *view
	draw   drawer
	rec    record.Record
	// yes: Ctrl-C cancels without a question.
	yes bool
	// onlyWatch: Ctrl-C ends the watching and leaves the move alone.
	onlyWatch bool
	// leaveUnknown ends with "outcome-unknown" as soon as the move is unknown,
	// instead of waiting until it is settled.
	leaveUnknown bool
	// pending is a signal that came before there was a move to cancel.
	pending os.Signal
	// retrying tells of connections that are being made again.
	retrying <-chan string

	signals   <-chan os.Signal
	wg        sync.WaitGroup
	items     chan item
	cancelled chan error
	question  *question
	lost      bool
}

type item struct {
	ev  record.Event
	err error
}

// errDetached: the operator left the move to itself.
type errDetached struct{}

func (errDetached) Error() string { return "detached" }

// follow returns when the move is over, when the operator detached
// (errDetached), or when the agent cannot be heard any more.
func (f *follower) follow(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	defer f.wg.Wait()
	defer stop()
	f.question = newQuestion(f.p, &f.wg)
	f.items, f.cancelled = make(chan item), make(chan error, 1)
	f.wg.Go(func() { f.pump(ctx) })
	ticks := time.NewTicker(time.Second)
	defer ticks.Stop()
	if f.pending != nil {
		if err := f.signal(ctx, f.pending); err != nil {
			return err
		}
	}
	for {
		over, err := f.step(ctx, ticks.C)
		if over || err != nil {
			f.tell(f.question.withdraw())
			f.draw.clear()
			return err
		}
	}
}

// pump carries events from the agent to step.
func (f *follower) pump(ctx context.Context) {
	for ev, err := range f.a.Watch(ctx, f.rec.ID, 0) {
		select {
		case f.items <- item{ev, err}:
		case <-ctx.Done():
			return
		}
	}
}

// step waits for one thing to happen and deals with it.
func (f *follower) step(ctx context.Context, ticks <-chan time.Time) (over bool, err error) {
	select {
	case it := <-f.items:
		if it.err != nil {
			return true, it.err
		}
		return f.event(it.ev)
	case <-ticks:
		if !f.question.open() {
			f.draw.tick(f.view, f.p.now())
		}
	case text := <-f.retrying:
		if !f.lost {
			f.lost = true
			f.notice("lost the connection to %s: %s; trying again", f.target, text)
		}
	case s := <-f.signals:
		return false, f.signal(ctx, s)
	case a := <-f.question.answers:
		return false, f.answer(ctx, a)
	case err := <-f.cancelled:
		if err != nil {
			f.view.cancelling = false
			f.notice("not cancelled: %s", fault.From(err).Error())
		}
	case <-ctx.Done():
		return true, context.Cause(ctx)
	}
	return false, nil
}

// event takes one event; the last one ends the following.
func (f *follower) event(ev record.Event) (over bool, err error) {
	if f.lost {
		f.lost = false
		f.notice("connected to %s again", f.target)
	}
	now := f.p.now()
	f.view.apply(ev, now)
	f.rec.Phase = ev.Phase
	if ev.Plan != nil {
		f.rec.Plan = ev.Plan
		if err := f.plan(); err != nil {
			return true, err
		}
	}
	if !f.question.open() {
		f.draw.event(f.view, ev, now)
	}
	if ev.Kind == record.EventEnd || (f.leaveUnknown && ev.Phase == record.Unknown) {
		f.rec.Summary, f.rec.Error = ev.Summary, ev.Error
		if f.view.cancelling && ev.Phase == record.Done {
			f.notice("not cancelled: the move was done before")
		}
		return true, nil
	}
	return false, nil
}

func (f *follower) plan() error {
	if f.p.out != table {
		return nil
	}
	f.draw.clear()
	return printPlan(f.p.stdout, f.rec.Plan)
}

func (f *follower) notice(format string, args ...any) {
	f.tell([]string{fmt.Sprintf(format, args...)})
}

// tell shows notices, after the question when one is open.
func (f *follower) tell(notices []string) {
	if f.question.open() {
		f.question.kept = append(f.question.kept, notices...)
		return
	}
	for _, text := range notices {
		f.draw.notice(text)
	}
}

// signal deals with SIGINT and SIGTERM.
func (f *follower) signal(ctx context.Context, s os.Signal) error {
	switch {
	case f.onlyWatch:
		f.draw.clear()
		f.draw.notice(fmt.Sprintf("no longer watching; move %s goes on (`drover move watch %s%s`)", f.rec.ID, f.rec.ID, f.target.again()))
		return fault.New(fault.Cancelled, "")
	case f.view.cancelling:
		f.draw.clear()
		f.draw.notice(fmt.Sprintf("no longer waiting; see `drover move show %s%s` for how the move ends", f.rec.ID, f.target.again()))
		return fault.New(fault.Cancelled, "")
	case f.question.open():
		f.tell(f.question.withdraw())
		f.cancel(ctx)
	case s == os.Interrupt && !f.yes && f.p.asker.able():
		f.draw.clear()
		f.question.ask(ctx, fmt.Sprintf("Cancel the move of %s? [y/N/d=detach]", f.view.vm))
	default:
		f.cancel(ctx)
	}
	return nil
}

func (f *follower) answer(ctx context.Context, a answer) error {
	f.tell(f.question.close())
	if a.err != nil {
		return a.err
	}
	switch a.text {
	case "y", "yes":
		f.cancel(ctx)
	case "d", "detach":
		return errDetached{}
	}
	f.draw.tick(f.view, f.p.now())
	return nil
}

// cancel asks the agent to cancel; the move's end comes as an event.
func (f *follower) cancel(ctx context.Context) {
	f.view.cancelling = true
	f.notice("cancelling the move of %s", f.view.vm)
	f.wg.Go(func() {
		_, err := f.a.CancelMove(ctx, f.rec.ID)
		f.cancelled <- err
	})
}

// outcome is how a move ended, as an error: nil when it is done.
func outcome(r *record.Record, t target) error {
	host := t.String()
	if r.Plan != nil {
		host = r.Plan.Source
	}
	switch {
	case r.Error != nil:
		return r.Error
	case r.Phase == record.Cancelled:
		return fault.New(fault.Cancelled, "")
	case r.Phase == record.Unknown:
		return fault.New(fault.OutcomeUnknown, host, "move", r.ID, "vm", r.VM, "destination", r.Request.Destination)
	case r.Phase == record.Failed:
		return fault.Wrap(fmt.Errorf("move %s failed and gave no reason", r.ID), fault.Internal, host)
	}
	return nil
}
