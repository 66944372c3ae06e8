package tune

import (
	"math"
	"time"
)

// model is what was learnt of the stages that a block goes through. All times are
// in nanoseconds per byte of the stream as it was before coding.
type model struct {
	wait    average // for the program that sends
	pass    average // to keep the scanner in step
	fold    average // to scan and fold
	elapsed rate    // of the whole, as it went
	spent   average // of processors, in all threads of this stream
	modes   [modeCount]struct {
		encode average
		work   average // what of encode is on a processor
		saving average // -ln(wire/raw): 0 is no smaller, and 0.7 is half
		excess float64 // what it took in truth, as a part of what it was thought to take
	}
}

// Before anything was measured: one core of a common server, and the memory of a
// common guest. Only how they relate matters for long: what is measured of one
// mode moves the others with it.
var priors = [modeCount]struct{ encode, ratio float64 }{
	Carry:    {0, 1},
	S2:       {0.61, 0.476},
	FoldS2:   {0.61, 0.46},
	FoldFast: {2.36, 0.42},
	FoldMore: {3.02, 0.415},
	FoldMost: {6.00, 0.40},
}

const (
	priorFold = 0.5
	priorPass = 0.03
	// Reading takes about readCost of a processor's time per byte, and encrypting
	// and sending writeCost per byte that is sent. What is measured there is mostly
	// waiting, so these are not.
	readCost  = 0.15
	writeCost = 0.45
)

const minSaving, maxSaving = 0.01, 6.0

func newModel() model {
	var m model
	m.pass.v, m.fold.v = priorPass, priorFold
	for i, p := range priors {
		m.modes[i].encode.v, m.modes[i].work.v = p.encode, p.encode
		m.modes[i].excess = 1
		m.modes[i].saving.v = max(-math.Log(p.ratio), minSaving)
	}
	return m
}

// average forgets: what was measured some forget bytes ago counts for little.
type average struct {
	v    float64
	n    int // measured values, up to a few
	last int // number of the block that it was measured at last
}

const (
	// forget is after how many bytes a value has lost two thirds of its weight.
	forget = 6 << 20
	// A value that is older than stale blocks counts as a guess.
	stale = 64
	// A value that is so many times the average is cut, and the first one at so many
	// times what was thought: it is also of what is made at the first use.
	outlier, unheard = 4, 8
	// After sure blocks in a mode what changes is the world.
	sure = 4
	// A block of less than this says little: most of its time is not for its bytes.
	// One of less than tiny says nothing of its mode.
	small, tiny = 128 << 10, 8 << 10
)

// learn takes a value of a block of raw bytes, and returns by how much the
// average changed. Outliers are cut: a thread that did not run for a while says
// nothing about the block that it had at that time.
func (a *average) learn(x float64, raw, now int) (factor float64) {
	n := a.n
	if now-a.last > stale {
		n = min(n, 2)
	}
	size := min(1, float64(raw)/small)
	gain := max(min(float64(raw)/forget, 0.25), 1/float64(n+1)) * size
	gain = max(gain, 1.0/64)
	old := a.v
	switch {
	case n > 0:
		x = min(x, outlier*old+0.1)
	case old > 0:
		x = min(x, unheard*old)
	}
	a.v += gain * (x - old)
	a.n, a.last = min(n+1, 8), now
	if old <= 0 || a.v <= 0 {
		return 1
	}
	return a.v / old
}

// rate is a mean of what went by, in which nothing is cut: stalls are part of it.
type rate struct{ time, bytes float64 }

func (r *rate) learn(x float64, raw int) {
	keep := math.Exp(-float64(raw) / (2 * forget))
	r.time = r.time*keep + x*float64(raw)
	r.bytes = r.bytes*keep + float64(raw)
}

func (r *rate) value() float64 { return max(r.time/max(r.bytes, 1), 0.01) }

// perByte is a duration in ns per byte, within what makes sense.
func perByte(d time.Duration, raw int) float64 {
	return min(float64(max(d, 0))/float64(raw), 1e5)
}

// learn takes a block's measurements; current is the mode in use, of which other
// blocks are but trials.
func (m *model) learn(b Block, current Mode, now int) {
	raw := b.Raw
	wait, fold, encode := perByte(b.Wait, raw), perByte(b.Fold, raw), perByte(b.Encode, raw)
	work := encode
	if b.Work > 0 {
		work = min(perByte(b.Work, raw), encode)
	}
	ratio := min(float64(max(b.Wire, 0))/float64(raw), 1)
	// A pause of the program that sends is no fault of the mode.
	pause := max(0, wait-outlier*m.wait.v-0.1)
	if was := m.wait.v; wait < was && m.wait.n >= sure && wait+fold < 0.9*m.elapsed.value() {
		// Others held the reader up meanwhile, and the program went on: it is no faster
		// for that. It takes no longer than everything together, either.
		m.wait.v = min(was, m.elapsed.value())
		wait = m.wait.v + (wait-m.wait.v)/64
	}
	m.wait.learn(wait, raw, now)
	m.elapsed.learn(max(0, perByte(b.Idle, raw)-pause)+perByte(b.Write, raw), raw)
	m.spent.learn(readCost+fold+work+ratio*writeCost, raw, now)
	if b.Mode.Folds() {
		m.fold.learn(fold, raw, now)
	} else {
		m.pass.learn(fold, raw, now)
	}
	m.forget(now)
	if b.Mode == Carry || raw < tiny {
		return
	}
	// What the mode in use shows holds for the others in proportion: the processors
	// are taken, or the content changed. A trial says something about its mode alone,
	// unless the mode in use says nothing; and so do the first blocks in a mode.
	own := &m.modes[b.Mode]
	all := (b.Mode == current || current == Carry) && (own.encode.n >= sure || !m.measured(b.Mode))
	slower := own.encode.learn(max(encode, 0.01), raw, now)
	harder := own.work.learn(max(work, 0.01), raw, now)
	before := own.saving.v
	own.saving.learnRatio(ratio, raw, now)
	if !all {
		return
	}
	for i := range m.modes {
		if o := &m.modes[i]; Mode(i) != Carry && o != own {
			o.encode.v *= slower
			o.work.v *= harder
			o.saving.v = min(max(o.saving.v*own.saving.v/before, minSaving), maxSaving)
		}
	}
}

// forget lets what was found slow long ago seem what it was thought to be before:
// that it is slow keeps it from being measured again.
func (m *model) forget(now int) {
	m.fold.fade(priorFold, now)
	for i, p := range priors {
		m.modes[i].encode.fade(p.encode, now)
		m.modes[i].work.fade(p.encode, now)
	}
}

func (a *average) fade(prior float64, now int) {
	if now-a.last > 16*stale && a.v > prior {
		a.v += (prior - a.v) / (4 * stale)
	}
}

// measured tells whether another mode than this one was.
func (m *model) measured(mode Mode) bool {
	for i := range m.modes {
		if Mode(i) != mode && m.modes[i].encode.n > 0 {
			return true
		}
	}
	return false
}

// learnRatio learns in terms of bytes, since it is those whose sum counts.
func (a *average) learnRatio(ratio float64, raw, now int) {
	r := average{math.Exp(-a.v), a.n, a.last}
	r.learn(ratio, raw/2, now)
	a.v, a.n, a.last = min(max(-math.Log(r.v), minSaving), maxSaving), r.n, r.last
}

// ratio is how many bytes of one travel in a mode.
func (m *model) ratio(mode Mode) float64 {
	if mode == Carry {
		return 1
	}
	return math.Exp(-m.modes[mode].saving.v)
}
