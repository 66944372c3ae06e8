package move

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
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
	// Codings are the ways in which the performance option may code memory, as they
	// do on a sample; none when it leaves memory as it is.
	Codings(how settings.Performance, sample []byte) []predict.Coding
	// SendRate is how much payload per second a program here can hand on, bytes.
	SendRate() float64
}

const (
	defaultLimit = 300 * time.Millisecond // of the blackout: QEMU's, made explicit
	// fixedTime is what a move takes beside sending, from the destination's word that
	// it takes the VM: its QEMU starts, streams are connected, the VM changes hands.
	// leastFixed is the last of these. diskTime is what the copy of each disk adds,
	// however small the disk.
	fixedTime, leastFixed, diskTime = 900 * time.Millisecond, 250 * time.Millisecond, 400 * time.Millisecond
)

// foresight is what the source of a move expects of it.
type foresight struct {
	gauge   *gauge
	link    *linkProbe
	telling *telling
	// agreed is when the destination had admitted the VM.
	agreed   time.Time
	forecast *forecast
	// paused: the time budget was over and the guest was stopped for the rest;
	// pausing: libvirt was asked for that.
	pausing, paused bool
}

// forecast is a prediction that was made.
type forecast struct {
	predict.Result
	sample      predict.Sample
	began, made time.Time
}

// telling is the plan on its way to the journal and to whoever watches.
type telling struct {
	done chan struct{}
	err  error // after done
}

// tell journals the plan, which is complete, and lets everybody know.
func (s *source) tell(p record.Plan) error {
	s.update(func(rec *Record, _ *private) { rec.Plan = &p })
	return s.note(Event{Kind: EventPlan, Plan: &p})
}

// foretell tells the plan with what is to be expected of the move. Where there is
// nothing to be waited for that is at once; else it is while the destination makes
// itself ready, see foretold.
func (s *source) foretell(ctx context.Context, p record.Plan) error {
	s.agreed = s.m.opt.Now()
	if s.gauge == nil || s.req.DryRun {
		s.predict(ctx, &p)
		return s.tell(p)
	}
	ctx, cancel := context.WithCancel(ctx)
	t := &telling{done: make(chan struct{})}
	s.telling = t
	go func() {
		defer close(t.done)
		defer cancel()
		s.predict(ctx, &p)
		t.err = s.tell(p) // also of a move that fails, for which nothing is predicted
	}()
	s.acquired("plan", func(context.Context) error { cancel(); <-t.done; return nil })
	return nil
}

// foretold waits until the plan was told, and the link is free: nothing of the
// guest travels before.
func (s *source) foretold(ctx context.Context) error {
	s.link.wait(ctx)
	if s.telling == nil {
		return context.Cause(ctx)
	}
	select {
	case <-s.telling.done:
		return s.telling.err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// predict puts into the plan what is to be expected of a live move. It waits for
// what the guest changes where predict.Decisive says so, and where nothing else is to
// be done; else late looks at it.
func (s *source) predict(ctx context.Context, p *record.Plan) {
	g := s.gauge
	if g == nil {
		return
	}
	link := s.link.wait(ctx)
	if link <= 0 {
		g.cancel() // to no end
		return
	}
	if !await(ctx, g.sampled) {
		return
	}
	sample := s.sampleOf(g.sample, link, p)
	if s.req.DryRun || predict.Decisive(sample) {
		if !await(ctx, g.measured) {
			return
		}
	}
	select {
	case <-g.measured:
		sample.DirtyRate = g.dirty
	default:
		sample.Measuring = true
	}
	now := s.m.opt.Now()
	sample.Elapsed = now.Sub(g.started)
	sample.Fixed += max(fixedTime-now.Sub(s.agreed), leastFixed)
	learned := s.learned(ctx)
	bound, _ := predict.BoundOf(sample)
	sample.Learned = learned.of(bound)
	f := &forecast{Result: predict.Predict(sample), sample: sample, began: g.started, made: now}
	s.forecast, p.Prediction = f, &f.Prediction
}

// unmeasured is closed when it is known what a guest changes whose move did not
// wait for that; nil when there is nothing to wait for.
func (s *source) unmeasured() <-chan struct{} {
	if s.forecast == nil || !s.forecast.sample.Measuring {
		return nil
	}
	return s.gauge.measured
}

// late looks at what the guest changes once more, when the transfer has begun
// already. Only that the move will not end is worth another word.
func (s *source) late() {
	sample := s.forecast.sample
	sample.DirtyRate, sample.Measuring = s.gauge.dirty, false
	r := predict.Predict(sample)
	if r.Converges {
		return
	}
	s.forecast = &forecast{Result: r, sample: sample, began: s.forecast.began, made: s.forecast.made}
	s.log.Info("the guest is too busy", "reason", r.Reason)
	s.update(func(rec *Record, _ *private) {
		p := *rec.Plan
		p.Prediction = &r.Prediction
		rec.Plan = &p
	})
	if err := s.note(Event{Kind: EventNotice, Text: r.Reason}); err != nil {
		s.log.Error("notice not journalled", "error", err)
	}
}

// sampleOf is what was measured but for the dirty rate, and what the operator
// asked for.
func (s *source) sampleOf(memory []byte, link float64, p *record.Plan) predict.Sample {
	v := predict.Sample{MemoryTotal: s.dom.MemoryBytes, MemoryUsed: s.dom.MemoryBytes, DirtyRate: -1, LinkRate: link,
		MaxBlackout: s.maxBlackout(), AutoConverge: s.req.AutoConverge, Pause: s.req.OnTimeout == record.TimeoutPause,
		Timeout: time.Duration(s.req.TimeoutMS) * time.Millisecond}
	for _, d := range p.Disks {
		if d.Action == wire.Copy {
			v.DiskBytes += d.AllocatedBytes
			v.Fixed += diskTime
		}
	}
	v.DiskBytes -= min(v.DiskBytes, s.seedBytes)
	used := withoutZeros(memory)
	if len(memory) > 0 {
		v.MemoryUsed = uint64(float64(v.MemoryTotal) * float64(len(used)) / float64(len(memory)))
	}
	if m := s.m.opt.Measurer; m != nil {
		v.SendRate, v.Codings = m.SendRate(), m.Codings(p.Performance, used)
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

// score compares the prediction with the move that is over; nil without a
// prediction that can be judged.
func (s *source) score() *record.Score {
	f := s.judged()
	if f == nil {
		return nil
	}
	score := predict.Score(f.Prediction, s.running.Sub(f.began))
	return &score
}

// judged is the prediction, if the move that is over shows whether it was right.
func (s *source) judged() *forecast {
	if f := s.forecast; f != nil && f.Converges && !s.paused && !s.running.IsZero() {
		return f
	}
	return nil
}

// remember learns from the move for the next one. The VM runs at the destination
// already.
func (s *source) remember() {
	f := s.judged()
	if f == nil {
		return
	}
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
}
