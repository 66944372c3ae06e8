package move_test

import (
	"context"
	"slices"
	"sync"
	"testing"

	"drover/internal/fault"
	"drover/internal/move"
)

// Everything that can go wrong at every phase of either side, and who then has
// the VM: the promise of package move as a table.

type trouble string

const (
	fails   trouble = "error"
	cancels trouble = "cancel"
	hangs   trouble = "hang"
	cuts    trouble = "peer gone"
	crashes trouble = "crash and restart"
	stops   trouble = "stop and restart"
)

var (
	troubles = []trouble{fails, cancels, hangs, cuts, crashes, stops}
	acting   = []move.Phase{move.Negotiate, move.Authorise, move.Prepare, move.Connect, move.Transfer, move.Handover, move.Finish, move.Confirm}
)

func before(p, q move.Phase) bool { return slices.Index(order, p) < slices.Index(order, q) }

// expected tells who has the VM in the end, and how the source's record ends.
func expected(role move.Role, p move.Phase, what trouble) (moved bool, end move.Phase) {
	switch {
	case role == move.Source && what == cuts && before(p, move.Prepare): // there is nothing to cut yet
		return true, move.Done
	case role == move.Source && p == move.Handover:
		// The message has not left. A hang or a cancel is too late to matter, and so
		// is a stop.
		if what == hangs || what == cancels || what == stops {
			return true, move.Done
		}
		return false, move.Failed
	case role == move.Source && !before(p, move.Handover):
		return true, move.Done
	case role == move.Destination && p == move.Confirm:
		return true, move.Done
	case role == move.Destination && p == move.Finish:
		// Journalled, but libvirt was not asked yet.
		moved = what != fails && what != crashes
	case role == move.Destination && p == move.Handover:
		moved = what == cancels || what == hangs || what == cuts
	}
	switch {
	case moved:
		return true, move.Done
	case what == cancels || what == hangs:
		return false, move.Cancelled
	}
	return false, move.Failed
}

// codes are what the source's record may give as the reason.
func codes(role move.Role, what trouble) []fault.Code {
	switch {
	case what == cancels || what == hangs:
		return []fault.Code{fault.Cancelled}
	case what == fails && role == move.Source:
		return []fault.Code{fault.DiskUnsupported}
	case what == fails:
		return []fault.Code{fault.DiskUnsupported, fault.FinishFailed}
	case what == crashes && role == move.Source:
		return []fault.Code{fault.MoveInterrupted}
	case what == stops && role == move.Source:
		return []fault.Code{fault.ShuttingDown}
	case what == stops:
		return []fault.Code{fault.ShuttingDown, fault.PeerGone, fault.TransferFailed, fault.FinishFailed}
	}
	return []fault.Code{fault.PeerGone, fault.TransferFailed, fault.FinishFailed}
}

func TestEveryPhase(t *testing.T) {
	for _, role := range []move.Role{move.Source, move.Destination} {
		for _, p := range acting {
			for _, what := range troubles {
				t.Run(string(role)+"/"+string(p)+"/"+string(what), func(t *testing.T) {
					t.Parallel()
					w, src, dst := pair(t, vm())
					at := src
					if role == move.Destination {
						at = dst
					}
					c := &mishap{t: t, w: w, src: src, at: at, role: role, phase: p, what: what}
					id := c.run()
					moved, end := expected(role, p, what)
					rec := src.over(t, id)
					if end == move.Done {
						wantCode(t, rec, end)
					} else {
						wantCode(t, rec, end, codes(role, what)...)
					}
					winner, loser := src, dst
					if moved {
						winner, loser = dst, src
					}
					c.checkDestination(id, dst, moved)
					w.runsOnlyOn(t, winner, loser)
					src.journal(t, id)
					if !moved && what != crashes {
						for _, h := range []*host{src, dst} {
							if s := h.ledger.unbalanced(); s != "" {
								t.Errorf("%s: %s", h.name, s)
							}
						}
					}
					w.movesNow(t, winner, loser)
				})
			}
		}
	}
}

// mishap is one cell of the table.
type mishap struct {
	t       *testing.T
	w       *world
	src, at *host
	role    move.Role
	phase   move.Phase
	what    trouble
}

// run starts the move, lets the trouble happen once, and does what follows it:
// a cancel of what hangs, a restart of what was killed.
func (c *mishap) run() (id string) {
	c.t.Helper()
	var (
		once    sync.Once
		started = make(chan string, 1)
		hit     = make(chan struct{}, 1)
		release = make(chan struct{})
		stopped = make(chan struct{})
	)
	c.at.at(func(ctx context.Context, a *agent, r move.Role, p move.Phase) (err error) {
		if r != c.role || p != c.phase {
			return nil
		}
		once.Do(func() {
			id := <-started
			defer func() { hit <- struct{}{} }()
			switch c.what {
			case fails:
				err = fault.New(fault.DiskUnsupported, a.h.name, "disk", "vda", "vm", vmName, "reason", "injected")
			case cancels:
				c.cancel(id)
			case cuts:
				c.w.cut()
			case stops:
				go func() { defer close(stopped); a.end() }()
				if before(p, move.Finish) {
					<-ctx.Done()
				}
			case crashes:
				a.crash()
			}
		})
		if c.what == crashes {
			return a.gate()
		}
		if c.what == hangs {
			select {
			case <-ctx.Done():
				return context.Cause(ctx)
			case <-release:
			}
		}
		return err
	})
	id = c.src.current().begin(c.t, request())
	started <- id
	<-hit
	switch c.what {
	case hangs:
		c.cancel(id)
		if c.role == move.Destination && before(c.phase, move.Handover) {
			c.src.over(c.t, id) // the source does not wait for a destination that hangs
		}
		close(release)
	case crashes:
		c.at.restart()
	case stops:
		<-stopped
		c.at.restart()
	}
	return id
}

// cancel asks the source to cancel, which is too late from handover on.
func (c *mishap) cancel(id string) {
	_, err := c.src.current().m.Cancel(context.Background(), id, operator)
	late := !before(c.phase, move.Handover)
	if late && !fault.Is(err, fault.CancelTooLate) && !fault.Is(err, fault.MoveOver) {
		c.t.Errorf("cancel: %v, want that it is too late", err)
	}
	if !late && err != nil {
		c.t.Errorf("cancel: %v", err)
	}
}

// checkDestination looks at the destination's record, if the move came that far.
func (c *mishap) checkDestination(id string, dst *host, moved bool) {
	c.t.Helper()
	if c.role == move.Source && before(c.phase, move.Prepare) && !moved {
		if rec, ok := dst.record(id); ok {
			c.t.Errorf("the destination has a record: %+v", rec)
		}
		return
	}
	rec := dst.over(c.t, id)
	if moved {
		wantCode(c.t, rec, move.Done)
	} else if rec.Phase == move.Done || rec.Error == nil {
		c.t.Errorf("the destination's record ends as %s, error %v", rec.Phase, rec.Error)
	}
	dst.journal(c.t, id)
}
