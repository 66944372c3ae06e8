package move

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"

	"drover/internal/fault"
	"drover/internal/store"
	"drover/internal/virt"
	"drover/internal/wire"
)

// private is the part of a journal entry that only settling needs.
type private struct {
	// Files were created here for the move (destination).
	Files []string `json:"files,omitempty"`
	// Remove are the source's files that go after confirm.
	Remove []string `json:"remove,omitempty"`
	// Retain are those that stay because the operator said so.
	Retain []string `json:"retain,omitempty"`
	// Owner is the host account that may ask for the outcome (destination).
	Owner string `json:"owner,omitempty"`
	// Verdict is the destination's decision, or what the source learned of it.
	Verdict wire.Verdict `json:"verdict,omitempty"`
	// NVRAM is the file among those that has UEFI variables, and is never a seed.
	NVRAM string `json:"nvram,omitempty"`
	// Fenced says that the VM was ended here before it was known to run (destination).
	Fenced bool `json:"fenced,omitempty"`
	// Autostart is the flag to give back, or to carry over.
	Autostart bool `json:"autostart,omitempty"`
}

// run is one move in progress on this host: its record, its journal and who
// watches it. Source and destination embed it.
type run struct {
	m   *Manager
	log *slog.Logger

	// order is held from an event's journalling until it was told of, so that those
	// of two goroutines are told of in their order; taken before mu.
	order sync.Mutex

	mu        sync.Mutex
	rec       Record
	priv      private
	seq       int64
	progress  *Event // newest, not journalled
	changed   chan struct{}
	committed bool // past the point of no return: no cancel
	cancel    context.CancelCauseFunc
	ended     chan struct{}
	// limitBlackout tells libvirt of another limit; nil while libvirt has no part in it.
	limitBlackout func(context.Context, time.Duration) error

	// unwritten says that the journal has the move, and not yet that it is over.
	unwritten bool

	undo   []*undoStep
	owed   []*undoStep // those that failed and must be done
	ticket *ticket     // in the queue of this host; nil for a dry run
}

// undoStep undoes one acquisition. A step without do was kept: what it would
// undo now belongs to somebody.
type undoStep struct {
	what string
	do   func(context.Context) error
	// must says that the move may not end before this is done, by again if do has failed.
	must  bool
	again func(context.Context) error
}

func (u *undoStep) keep() { u.do = nil }

// enter is the only function that changes the phase. It makes the change
// durable, then lets everybody know, then hosts fault injection. A context that
// has ended stops it, except past the point of no return, where only the
// destination's word ends a move. Several phases are made durable in one step.
func (r *run) enter(ctx context.Context, phases ...Phase) error {
	if err := r.change(ctx, phases); err != nil {
		return err
	}
	for _, p := range phases {
		r.log.Info("phase", "phase", p)
		if r.m.opt.Inject == nil {
			continue
		}
		if err := r.m.opt.Inject(ctx, r.rec.Role, p); err != nil {
			return err
		}
	}
	return nil
}

func (r *run) change(ctx context.Context, phases []Phase) error {
	r.order.Lock()
	defer r.order.Unlock()
	r.mu.Lock()
	if cause := context.Cause(ctx); cause != nil {
		r.mu.Unlock()
		return cause
	}
	var events []Event
	for _, p := range phases {
		r.committed = r.committed || p == Handover || p == Finish
		r.rec.Phase = p
		events = append(events, Event{Kind: EventPhase, Phase: p})
	}
	err := r.journal(events...)
	rec, seq := r.rec, r.seq
	r.mu.Unlock()
	if err != nil {
		return err
	}
	for i, p := range phases {
		rec.Phase = p
		r.happened(rec, seq-int64(len(phases)-1-i), Event{Kind: EventPhase})
	}
	return nil
}

// note journals an event that changes no phase.
func (r *run) note(e Event) error {
	r.order.Lock()
	defer r.order.Unlock()
	r.mu.Lock()
	err := r.journal(e)
	rec, seq := r.rec, r.seq
	r.mu.Unlock()
	if err == nil {
		r.happened(rec, seq, e)
	}
	return err
}

// happened tells whoever asked to be told of what is journalled now.
func (r *run) happened(rec Record, seq int64, e Event) {
	if r.m.opt.Happened != nil {
		e.Seq, e.Move, e.Time, e.Phase = seq, rec.ID, rec.Updated, rec.Phase
		r.m.opt.Happened(rec, e)
	}
}

// journal writes record and events in one durable transaction; events of no phase
// are of the record's. The caller holds mu.
func (r *run) journal(events ...Event) error {
	now, before := r.m.opt.Now(), r.seq
	r.rec.Updated = now
	for i := range events {
		r.seq++
		e := &events[i]
		e.Seq, e.Move, e.Time, e.Phase = r.seq, r.rec.ID, now, cmp.Or(e.Phase, r.rec.Phase)
	}
	row, evs, err := r.rows(events)
	if err == nil {
		// A durable change must not be half asked for: not the move's context.
		ctx, cancel := context.WithTimeout(context.Background(), journalTimeout)
		defer cancel()
		err = r.m.opt.Store.PutMove(ctx, row, evs...)
	}
	if err != nil {
		r.seq = before // the numbers have no gaps
		return fault.Wrap(err, fault.StoreFailed, r.m.opt.Host)
	}
	if r.rec.Waiting != nil {
		r.showWaiting() // after what was just journalled
	}
	r.wake()
	return nil
}

const journalTimeout = 30 * time.Second

func (r *run) rows(events []Event) (row store.MoveRow, evs []*store.EventRow, err error) {
	body, err := json.Marshal(r.rec)
	if err != nil {
		return row, nil, err
	}
	priv, err := json.Marshal(r.priv)
	if err != nil {
		return row, nil, err
	}
	for _, e := range events {
		evBody, err := json.Marshal(e)
		if err != nil {
			return row, nil, err
		}
		evs = append(evs, &store.EventRow{Move: e.Move, Seq: e.Seq, Time: e.Time, Kind: string(e.Kind), Body: evBody})
	}
	row = store.MoveRow{ID: r.rec.ID, Role: string(r.rec.Role), Phase: string(r.rec.Phase), VM: r.rec.VM, UUID: r.rec.UUID,
		Peer: r.rec.Peer, Created: r.rec.Created, Updated: r.rec.Updated, Ended: r.rec.Ended, Body: body, Private: priv}
	return row, evs, nil
}

// wake tells watchers to look again. The caller holds mu.
func (r *run) wake() {
	close(r.changed)
	r.changed = make(chan struct{})
}

// report shows progress to whoever watches; it is not journalled.
func (r *run) report(p Progress) {
	r.mu.Lock()
	defer r.mu.Unlock()
	p.Time, p.Phase = r.m.opt.Now(), r.rec.Phase
	p.ElapsedMS = p.Time.Sub(r.rec.Created).Milliseconds()
	r.rec.Progress = &p
	r.progress = &Event{Seq: r.seq, Move: r.rec.ID, Time: p.Time, Kind: EventProgress, Phase: p.Phase, Progress: &p}
	r.wake()
}

// update changes the record and the private part under the lock.
func (r *run) update(f func(*Record, *private)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f(&r.rec, &r.priv)
}

func (r *run) record() Record {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.rec
}

// acquired records how to undo what was just acquired, or is about to be.
func (r *run) acquired(what string, undo func(context.Context) error) *undoStep {
	u := &undoStep{what: what, do: undo}
	r.undo = append(r.undo, u)
	return u
}

// owe is acquired for what must be undone before the move may end.
func (r *run) owe(what string, undo func(context.Context) error) *undoStep {
	u := r.acquired(what, undo)
	u.must, u.again = true, undo
	return u
}

// unwind undoes everything acquired, last first, within its own deadline. A
// step that fails is logged and the rest goes on.
func (r *run) unwind() {
	ctx, cancel := context.WithTimeout(context.Background(), r.m.opt.UnwindTimeout)
	defer cancel()
	for i := len(r.undo) - 1; i >= 0; i-- {
		u := r.undo[i]
		if u.do == nil {
			continue
		}
		if err := u.do(ctx); err != nil {
			r.log.Warn("undo failed", "what", u.what, "error", err)
			if u.must {
				r.owed = append(r.owed, u)
			}
		}
	}
	r.undo = nil
}

// errLeave ends the work on a move without ending the move: the agent stops
// while the outcome is still the other side's. Nothing is undone; the journal
// has it, and the next start settles it.
var errLeave = errors.New("left for the next start to settle")

// end closes the move's record. A nil error is success.
func (r *run) end(err error) {
	if errors.Is(err, errLeave) {
		r.log.Warn("move left unsettled", "phase", r.record().Phase)
		return
	}
	final := Done
	if err != nil {
		final = Failed
		if e := fault.From(err); e.Code == fault.Cancelled {
			final = Cancelled
		}
	}
	r.m.queue.leave(r) // before anybody hears that there is a free place
	r.waits(nil)
	if err == nil {
		r.spent()
	}
	r.conclude(final, err)
}

// conclude writes the end into the journal and lets everybody know.
func (r *run) conclude(final Phase, err error) {
	r.mu.Lock()
	now := r.m.opt.Now()
	r.rec.Phase, r.rec.Ended, r.rec.Error = final, &now, fault.From(err)
	last := Event{Kind: EventEnd, Summary: r.rec.Summary, Error: r.rec.Error}
	jerr := r.journal(last)
	r.unwritten = jerr != nil && r.seq > 0
	r.mu.Unlock()
	if jerr != nil {
		r.m.late.Go(func() { r.endLater(last) })
	}
	if r.m.opt.Ended != nil {
		r.m.opt.Ended(r.record())
	}
	switch {
	case jerr != nil:
		r.log.Error("end of move not journalled", "phase", final, "error", jerr)
	case err != nil:
		r.log.Warn("move ended", "phase", final, "error", err, "code", r.rec.Error.Code)
	default:
		r.log.Info("move ended", "phase", final)
	}
}

// endLater goes on trying to write a move's end until the journal has it, for the last
// time when this agent stops. Until then the VM has no other move here: the next start
// would take this one for unfinished, and undo or complete it over what the other did.
func (r *run) endLater(last Event) {
	pause := backoff.NewExponentialBackOff()
	pause.InitialInterval, pause.MaxInterval = r.m.opt.RetryInterval, 30*time.Second
	for stopping := false; !stopping; {
		t := time.NewTimer(pause.NextBackOff())
		select {
		case <-t.C:
		case <-r.m.base.Done():
			t.Stop()
			stopping = true
		}
		r.mu.Lock()
		err := r.journal(last)
		r.unwritten = r.unwritten && err != nil
		r.mu.Unlock()
		if err == nil {
			r.log.Info("end of move journalled after all")
			r.m.written(r)
			return
		}
	}
}

// withFault gives err the code, unless it already carries one.
func withFault(err error, code fault.Code, host string, kv ...string) error {
	var e *fault.Error
	if err == nil || errors.As(err, &e) || errors.Is(err, context.Canceled) {
		return err
	}
	return fault.Wrap(err, code, host, kv...)
}

// call sends one request and waits for its answer.
func call(ctx context.Context, c Conn, host, peer string, k wire.Kind, req any, want wire.Kind, resp any) error {
	env, err := wire.Seal(k, req)
	if err != nil {
		return fmt.Errorf("encode %s: %w", k, err)
	}
	if err := c.Send(ctx, env); err != nil {
		return withFault(err, fault.PeerGone, host, "peer", peer)
	}
	var answer wire.Envelope
	if err := c.Receive(ctx, &answer); err != nil {
		return withFault(err, fault.PeerGone, host, "peer", peer)
	}
	return wire.Unseal(answer, want, host, peer, resp)
}

// makeSocketDir makes the directory of the move's sockets, for QEMU's user and
// nobody else: what passes through them is the guest's memory.
func (r *run) makeSocketDir(f virt.HostFacts) (string, error) {
	dir := r.m.socketDir(r.rec.ID)
	if err := os.MkdirAll(filepath.Dir(dir), 0o711); err != nil {
		return "", fmt.Errorf("sockets of the move: %w", err)
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return "", fmt.Errorf("sockets of the move: %w", err)
	}
	r.acquired("sockets", func(context.Context) error { return os.RemoveAll(dir) })
	if os.Geteuid() != 0 || f.QEMUUser == 0 {
		return dir, nil // an agent without root shares its user with QEMU
	}
	return dir, os.Chown(dir, f.QEMUUser, f.QEMUGroup)
}
