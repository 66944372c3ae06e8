package move

import (
	"context"
	"hash/fnv"
	"sync"
	"time"

	"drover/internal/plan"
	"drover/internal/wire"
)

// Bounds of what is measured of guest and link. A move waits for little of it: it
// goes on while the hosts agree and the destination starts its QEMU.
const (
	dirtyPeriod = time.Second
	gaugeLimit  = 3 * time.Second // sample and dirty rate
	probeLimit  = 2 * time.Second
	gaugeLife   = 30 * time.Second // older, because the move waited, it is measured anew
	samplePages = 512
	pageSize    = 4096
	// fastProbe is the time in which the probe of a link is over that is fast enough
	// for several connections, by its bounds in bytes.
	fastProbe = 100 * time.Millisecond
)

// gauge is a measurement of the guest under way.
type gauge struct {
	started  time.Time
	cancel   context.CancelFunc
	wg       sync.WaitGroup
	sampled  chan struct{} // after it sample is there
	measured chan struct{} // after it dirty is there
	dirty    float64       // below 0: unknown
	sample   []byte        // of memory; nil: unknown
}

// measure begins to measure a guest that runs. Nothing of it can fail a move.
func (s *source) measure(ctx context.Context) {
	if s.kind != wire.Live {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, gaugeLimit)
	g := &gauge{started: s.m.opt.Now(), cancel: cancel, sampled: make(chan struct{}), measured: make(chan struct{}), dirty: -1}
	s.gauge = g
	h := s.m.opt.Hypervisor
	g.wg.Go(func() { // first what takes longest
		defer close(g.measured)
		rate, err := h.DirtyRate(ctx, s.dom.UUID, dirtyPeriod)
		if err != nil {
			s.log.Debug("dirty rate not measured", "error", err)
			return
		}
		g.dirty = rate
	})
	g.wg.Go(func() {
		defer close(g.sampled)
		var err error
		if g.sample, err = h.MemorySample(ctx, s.dom.UUID, samplePages, seedOf(s.rec.ID)); err != nil {
			s.log.Debug("memory not sampled", "error", err)
		}
	})
	s.acquired("measurement", func(context.Context) error { g.end(); return nil })
}

// end waits for the measurement, which ends soon when it was told to. It is safe
// twice, and on none.
func (g *gauge) end() {
	if g == nil {
		return
	}
	g.cancel()
	g.wg.Wait()
}

// measureAgain measures anew what was measured too long ago.
func (s *source) measureAgain(ctx context.Context) {
	if s.gauge != nil && s.m.opt.Now().Sub(s.gauge.started) > gaugeLife {
		s.gauge.end()
		s.measure(ctx)
	}
}

// seedOf makes each move look at other places, and the same move at the same.
func seedOf(id string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(id))
	return h.Sum64()
}

// linkProbe is a measurement of the link under way.
type linkProbe struct {
	started time.Time
	slow    chan struct{} // closed when the link is known not to be fast
	done    chan struct{} // after it rate is there
	rate    float64       // bytes per second; 0: unknown
}

// probe begins to measure the link, if the destination takes that.
func (s *source) probe(ctx context.Context) {
	if s.kind == wire.Offline || s.kind == wire.Paused && s.req.Connections > 0 || !s.opened.Facts.Probes {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, probeLimit)
	l := &linkProbe{started: time.Now(), slow: make(chan struct{}), done: make(chan struct{})}
	s.link = l
	connections := max(s.req.Connections, len(s.session.Networks()))
	go func() {
		defer close(l.done)
		defer cancel()
		rate, err := s.session.Probe(ctx, connections, sync.OnceFunc(func() { close(l.slow) }))
		if err != nil {
			s.log.Debug("link not measured", "error", err)
			return
		}
		l.rate = max(rate, 0)
	}()
	s.acquired("probe of the link", func(context.Context) error { cancel(); <-l.done; return nil })
}

// wait gives the link's rate, 0 if it is not known.
func (l *linkProbe) wait(ctx context.Context) float64 {
	if l == nil || !await(ctx, l.done) {
		return 0
	}
	return l.rate
}

// soon gives the rate of a link that is fast, and tells of one that is not. What is
// known already counts also when the time is over.
func (l *linkProbe) soon(ctx context.Context) (rate float64, slow bool) {
	if l == nil {
		return 0, false
	}
	ctx, cancel := context.WithDeadline(ctx, l.started.Add(fastProbe))
	defer cancel()
	select {
	case <-l.slow:
	case <-l.done:
	case <-ctx.Done():
	}
	select {
	case <-l.done:
		return l.rate, false
	default:
	}
	select {
	case <-l.slow:
		return 0, true
	default:
		return 0, false
	}
}

// await tells whether c was closed before ctx ended.
func await(ctx context.Context, c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	case <-ctx.Done():
		return false
	}
}

// chooseConnections decides how many connections memory takes. A move that only asks has
// the time to know the link.
func (s *source) chooseConnections(ctx context.Context) {
	own, err := s.facts(ctx)
	old := err != nil || plan.CheckParallel(s.m.opt.Host, own.LibvirtVersion, own.QEMUVersion) != nil ||
		plan.CheckParallel(s.req.Destination, s.opened.Facts.LibvirtVersion, s.opened.Facts.QEMUVersion) != nil
	l := plan.Link{Asked: s.req.Connections, Kind: s.kind, Networks: len(s.session.Networks()), Cores: own.CPUs, TheirCores: s.opened.Facts.CPUs, Old: old}
	switch {
	case l.Asked > 0:
	case s.req.DryRun:
		l.Rate = s.link.wait(ctx)
	default:
		l.Rate, l.Slow = s.link.soon(ctx)
	}
	s.connections, s.reason = plan.Connections(l)
}
