package move

import (
	"context"
	"fmt"
	"slices"
	"time"

	"drover/internal/fault"
	"drover/internal/wire"
)

// Adjust changes the longest blackout of a move, also while it transfers. It is
// the source's to do; "move-over" at the end, "move-not-adjustable" where the
// guest does not run during the move, or stands still already.
func (m *Manager) Adjust(ctx context.Context, id string, maxBlackout time.Duration, by string) (Record, error) {
	r := m.lookup(id)
	if r == nil {
		rec, err := m.Get(ctx, id)
		if err != nil {
			return Record{}, err
		}
		return rec, fault.New(fault.MoveOver, m.opt.Host, "move", id, "phase", string(rec.Phase))
	}
	r.mu.Lock()
	why := r.notAdjustable()
	if why == "" {
		// Before libvirt is told: what is opened from now on has the new limit.
		r.rec.Request.MaxBlackoutMS = int(maxBlackout.Milliseconds())
	}
	tell := r.limitBlackout
	r.mu.Unlock()
	if why != "" {
		return r.record(), fault.New(fault.MoveNotAdjustable, m.opt.Host, "move", id, "reason", why)
	}
	if tell != nil {
		if err := tell(ctx, maxBlackout); err != nil {
			return r.record(), withFault(err, fault.MoveNotAdjustable, m.opt.Host, "move", id, "reason", err.Error())
		}
	}
	r.log.Info("longest blackout changed", "to", maxBlackout, "by", by)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.rec.Ended != nil { // meanwhile, and nothing follows the end in a journal
		return r.rec, fault.New(fault.MoveOver, m.opt.Host, "move", id, "phase", string(r.rec.Phase))
	}
	err := r.journal(Event{Kind: EventNotice, Text: fmt.Sprintf("%s set the longest blackout to %s", by, maxBlackout)})
	return r.rec, err
}

// adjustablePhases are those in which the guest still runs here.
var adjustablePhases = []Phase{Queued, Negotiate, Authorise, Prepare, Connect, Transfer}

// notAdjustable says why a move takes no other limit now, "" when it does. The
// caller holds mu.
func (r *run) notAdjustable() string {
	switch {
	case r.rec.Role != Source:
		return "it is adjusted at its source, " + r.rec.Peer
	case r.rec.Kind != wire.Live:
		return "the VM does not run during the move"
	case r.committed || !slices.Contains(adjustablePhases, r.rec.Phase):
		return "the VM was handed over already"
	}
	return ""
}

// maxBlackout is the limit as of now: what was asked for, or QEMU's default.
func (r *run) maxBlackout() time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	if ms := r.rec.Request.MaxBlackoutMS; ms > 0 {
		return time.Duration(ms) * time.Millisecond
	}
	return defaultLimit
}

// adjustable lets the limit be changed in libvirt from now on: the migration was
// opened with one, and it may have been changed since.
func (s *source) adjustable(ctx context.Context, given time.Duration) error {
	s.mu.Lock()
	s.limitBlackout = s.tellLimit
	s.mu.Unlock()
	if now := s.maxBlackout(); s.kind == wire.Live && now != given {
		return s.tellLimit(ctx, now)
	}
	return nil
}
