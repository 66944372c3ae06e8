package move

import (
	"context"
	"sync"
	"time"

	"drover/internal/plan"
	"drover/internal/virt"
	"drover/internal/wire"
)

// QEMU stops a guest as soon as what is left fits into the limit of the blackout, in
// the middle of the first round too, although it could stop most guests for much less
// a moment later. So a move tries at first for a part of the limit, and has QEMU use
// the whole of it once further rounds bring little.
const (
	aimPart  = 10 // the limit by this
	leastAim = 30 * time.Millisecond
	// A guest that changes more than this part of what can be sent meanwhile leaves
	// not much less to each further round, and after aimRounds it is enough in any case.
	aimShare  = 0.5
	aimRounds = 6
	// aimLooks is how often in a StatsInterval a transfer is looked at that may need
	// the whole limit.
	aimLooks = 5
)

// aim is how long a blackout QEMU is told to try for.
type aim struct {
	mu    sync.Mutex // while it is told
	whole bool
}

// of is what QEMU is told where limit is the longest blackout. Under mu.
func (a *aim) of(limit time.Duration) time.Duration {
	if a.whole {
		return limit
	}
	return max(limit/aimPart, min(limit, leastAim))
}

// tellLimit has a transfer keep to another limit.
func (s *source) tellLimit(ctx context.Context, limit time.Duration) error {
	s.aim.mu.Lock()
	defer s.aim.mu.Unlock()
	return s.out.SetMaxDowntime(ctx, s.aim.of(limit))
}

// firstLimit is what QEMU is told to begin with: the whole limit for a guest that stands
// still, and for one whose writes could be missed in a round more.
func (s *source) firstLimit() time.Duration {
	qemu := ""
	if s.own != nil {
		qemu = s.own.QEMUVersion
	}
	s.aim.mu.Lock()
	defer s.aim.mu.Unlock()
	s.aim.whole = s.kind != wire.Live || plan.LosesWrites(s.dom.Type, qemu)
	return s.aim.of(s.maxBlackout())
}

// judge gives QEMU the whole limit when rounds over memory leave hardly less to each
// other. The result is when to look next.
func (s *source) judge(ctx context.Context, st virt.JobStats) time.Duration {
	often := s.m.opt.StatsInterval / aimLooks
	s.aim.mu.Lock()
	defer s.aim.mu.Unlock()
	switch {
	case s.aim.whole:
		return s.m.opt.StatsInterval
	case st.Iteration < 2: // the first round; the next one is to be seen early
		left := time.Duration(float64(st.MemoryRemaining) / max(float64(st.MemoryBPS), 1) * float64(time.Second))
		return max(often, min(left/2, s.m.opt.StatsInterval))
	case st.Iteration < aimRounds && float64(st.DirtyRate) <= aimShare*float64(st.MemoryBPS):
		return often
	}
	s.aim.whole = true
	limit := s.maxBlackout()
	if err := s.out.SetMaxDowntime(ctx, limit); err != nil {
		if ctx.Err() == nil {
			s.log.Warn("the limit of the blackout stays shorter than asked for", "limit", limit, "error", err)
		}
		s.aim.whole = false // at the next look
	}
	return s.m.opt.StatsInterval
}
