package move

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"hash/fnv"
	"time"

	"drover/internal/predict"
	"drover/internal/record"
	"drover/internal/settings"
	"drover/internal/store"
	"drover/internal/wire"
)

// Measurer is what a prediction needs to know of this host's processors. It may
// be left out; moves are then predicted by their link alone.
type Measurer interface {
	// Pack compresses a sample of memory as the performance option would, and
	// tells how long it became and how long it took; ok is false when it leaves
	// memory as it is.
	Pack(how settings.Performance, sample []byte) (packed int, took time.Duration, ok bool)
	// SendRate is how much payload per second a program here can hand on, bytes.
	SendRate() float64
}

// Bounds of what is measured before a move. All of it together adds about a
// second to a move, as the dirty rate is measured while the hosts negotiate.
const (
	dirtyPeriod  = time.Second
	gaugeLimit   = 3 * time.Second // sample and dirty rate
	probeLimit   = 2 * time.Second
	gaugeLife    = 30 * time.Second // older, because the move waited, it is measured anew
	samplePages  = 512
	pageSize     = 4096
	defaultLimit = 300 * time.Millisecond // of the blackout: QEMU's, made explicit
	// fixedTime is what a move takes besides measuring and sending: the
	// destination's QEMU starts, streams are connected, the VM changes hands.
	// diskTime is what the copy of each disk adds, however small the disk.
	fixedTime, diskTime = 900 * time.Millisecond, 400 * time.Millisecond
)

// foresight is what the source of a move expects of it.
type foresight struct {
	gauge    *gauge
	forecast *forecast
	// paused: the time budget was over and the guest was stopped for the rest;
	// pausing: libvirt was asked for that.
	pausing, paused bool
}

// gauge is a measurement of the guest under way.
type gauge struct {
	started time.Time
	cancel  context.CancelFunc
	done    chan struct{} // after it the rest is there
	dirty   float64       // below 0: unknown
	sample  []byte        // of memory; nil: unknown
}

// forecast is a prediction that was made.
type forecast struct {
	predict.Result
	began, made time.Time
}

// measure begins to measure a guest that runs. Nothing of it can fail a move.
func (s *source) measure(ctx context.Context) {
	if s.kind != wire.Live {
		return
	}
	gctx, cancel := context.WithTimeout(ctx, gaugeLimit)
	g := &gauge{started: s.m.opt.Now(), cancel: cancel, done: make(chan struct{}), dirty: -1}
	s.gauge = g
	go func() {
		defer close(g.done)
		defer cancel()
		h := s.m.opt.Hypervisor
		var err error
		if g.sample, err = h.MemorySample(gctx, s.dom.UUID, samplePages, seedOf(s.rec.ID)); err != nil {
			s.log.Debug("memory not sampled", "error", err)
		}
		rate, err := h.DirtyRate(gctx, s.dom.UUID, dirtyPeriod)
		if err != nil {
			s.log.Debug("dirty rate not measured", "error", err)
			return
		}
		g.dirty = rate
	}()
	s.acquired("measurement", func(context.Context) error { g.end(); return nil })
}

// end waits for the measurement, which ends soon when it was told to.
func (g *gauge) end() {
	g.cancel()
	<-g.done
}

// seedOf makes each move look at other places, and the same move at the same.
func seedOf(id string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(id))
	return h.Sum64()
}

// predict puts into the plan what is to be expected of a live move. It is before
// anything was changed on either host.
func (s *source) predict(ctx context.Context, p *record.Plan) {
	if s.gauge == nil {
		return
	}
	if !s.opened.Facts.Probes {
		s.gauge.end() // nothing is measured any more when the move begins
		return
	}
	if s.m.opt.Now().Sub(s.gauge.started) > gaugeLife {
		s.gauge.end()
		s.measure(ctx)
	}
	g := s.gauge
	pctx, cancel := context.WithTimeout(ctx, probeLimit)
	defer cancel()
	link, err := s.session.Probe(pctx, s.req.Connections)
	select {
	case <-g.done:
	case <-ctx.Done():
	}
	g.end()
	if err != nil || link <= 0 {
		s.log.Debug("link not measured, move not predicted", "error", err)
		return
	}
	now := s.m.opt.Now()
	sample := s.sampleOf(g, link, p)
	sample.Elapsed = now.Sub(g.started)
	learned := s.learned(ctx)
	bound, _ := predict.BoundOf(sample)
	sample.Learned = learned.of(bound)
	f := &forecast{Result: predict.Predict(sample), began: g.started, made: now}
	s.forecast, p.Prediction = f, &f.Prediction
}

// sampleOf is what was measured, and what the operator asked for.
func (s *source) sampleOf(g *gauge, link float64, p *record.Plan) predict.Sample {
	v := predict.Sample{MemoryTotal: s.dom.MemoryBytes, MemoryUsed: s.dom.MemoryBytes, DirtyRate: g.dirty, LinkRate: link, Fixed: fixedTime,
		MaxBlackout: s.maxBlackout(), AutoConverge: s.req.AutoConverge, Pause: s.req.OnTimeout == record.TimeoutPause,
		Timeout: time.Duration(s.req.TimeoutMS) * time.Millisecond}
	for _, d := range p.Disks {
		if d.Action == wire.Copy {
			v.DiskBytes += d.AllocatedBytes
			v.Fixed += diskTime
		}
	}
	used := withoutZeros(g.sample)
	if len(g.sample) > 0 {
		v.MemoryUsed = uint64(float64(v.MemoryTotal) * float64(len(used)) / float64(len(g.sample)))
	}
	m := s.m.opt.Measurer
	if m == nil {
		return v
	}
	v.SendRate = m.SendRate()
	if packed, took, ok := m.Pack(p.Performance, used); ok && packed > 0 && took > 0 {
		v.Ratio = float64(len(used)) / float64(packed)
		v.CodecRate = float64(len(used)) / took.Seconds() * float64(max(p.Connections, 1))
	}
	return v
}

// withoutZeros are the pages of a sample that have content.
func withoutZeros(sample []byte) []byte {
	zero := make([]byte, pageSize)
	var out []byte
	for ; len(sample) >= pageSize; sample = sample[pageSize:] {
		if !bytes.Equal(sample[:pageSize], zero) {
			out = append(out, sample[:pageSize]...)
		}
	}
	return out
}

// lessons are what was learned of a VM, or between two hosts, by what held the
// moves up.
type lessons map[predict.Bound]predict.Learned

// of is what was learned of moves that were held up by b. What only the others
// taught counts half.
func (l lessons) of(b predict.Bound) predict.Learned {
	if known, ok := l[b]; ok {
		return known
	}
	for _, other := range []predict.Bound{predict.ByLink, predict.ByCPU} {
		if known, ok := l[other]; ok {
			return predict.Learned{Log: known.Log / 2, Moves: 1}
		}
	}
	return predict.Learned{}
}

// pairKey is under which the moves to one host are remembered; it is no UUID.
func pairKey(destination string) string { return "to " + destination }

// learned is what is known of this VM, else of moves to this destination.
func (s *source) learned(ctx context.Context) lessons {
	out := s.recall(ctx, pairKey(s.req.Destination))
	for bound, l := range s.recall(ctx, s.dom.UUID) {
		out[bound] = l
	}
	return out
}

func (s *source) recall(ctx context.Context, key string) lessons {
	out := lessons{}
	body, err := s.m.opt.Store.Prediction(ctx, key)
	if err == nil {
		err = json.Unmarshal(body, &out)
	}
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		s.log.Debug("earlier predictions not read", "key", key, "error", err)
	}
	if out == nil { // "null"
		out = lessons{}
	}
	return out
}

// score compares the prediction with the move that is over, and remembers it for
// the next one; nil without a prediction. The VM runs at the destination already.
func (s *source) score() *record.Score {
	f := s.forecast
	if f == nil || !f.Converges || s.paused || s.running.IsZero() {
		return nil
	}
	score := predict.Score(f.Prediction, s.running.Sub(f.began))
	ctx, cancel := context.WithTimeout(context.Background(), journalTimeout)
	defer cancel()
	for _, key := range []string{s.dom.UUID, pairKey(s.req.Destination)} {
		known := s.recall(ctx, key)
		known[f.Bound] = f.Lesson(known[f.Bound], s.running.Sub(f.made))
		body, err := json.Marshal(known)
		if err == nil {
			err = s.m.opt.Store.PutPrediction(ctx, key, s.m.opt.Now(), body)
		}
		if err != nil {
			s.log.Warn("prediction not remembered", "key", key, "error", err)
		}
	}
	return &score
}
