package tune

import "math"

const (
	// Modes whose times differ by less than this take the same time.
	same = 1.03
	// keep is what the mode in use is favoured by, so that two equal ones do not
	// take turns.
	keep = 0.98
	// plain is what the mode without any work is favoured by: it has no surprises.
	plain = 0.95
	// A link that a mode uses for less than this part of the time is left alone;
	// above it, a nanosecond of the link is worth one of a processor.
	calm = 0.5
	// A nanosecond of a processor is worth so much more when none is idle.
	scarce = 4
	// Folding pays later, when pages come again that it has seen.
	foldLater, foldNow = 0.85, 0.98
	// After settle blocks in a mode, what was under way before it is gone.
	settle = 8
	// A mode is used for dwell blocks, so that what it takes is seen, unless another
	// one is clearly better.
	dwell, clear = 24, 0.87
)

// How the model is held against what happens: by excessGain a block for the mode
// in use, within bounds. What is held against the others is forgotten by excessFade.
const (
	excessGain, excessFade  = 1.0 / 16, 1.0 / 1024
	excessLeast, excessMost = 0.7, 2.5
)

// price is what a mode takes per byte of the stream, in ns: of time, of the link,
// and of processors.
type price struct{ time, link, cpu float64 }

// supply is what there is to pay with.
type supply struct{ threads, processors, idle float64 }

func (t *Tuner) supply() supply {
	threads, idle := max(t.host.Encoders(), 0.1), max(t.host.Idle(), 0)
	used := t.m.spent.v / t.m.elapsed.value()
	// What is idle can be had, and what is used can be used otherwise. Some can be
	// had in any case: if that is not so, encoding shows it by its time.
	return supply{threads, max(1, threads, idle+used), idle}
}

// price of a mode, if encoding took slower times as long as it is thought to,
// and the wire carried larger times as much.
func (t *Tuner) price(mode Mode, s supply, slower, larger float64) price {
	m := &t.m
	scan := m.pass.v
	if mode.Folds() {
		scan = m.fold.v
	}
	encode, work := m.modes[mode].encode.v*slower, m.modes[mode].work.v*slower
	ratio := min(m.ratio(mode)*larger, 1)
	p := price{link: ratio * t.link.ns, cpu: readCost + scan + work + ratio*writeCost}
	if mode.Folds() {
		p.link *= foldNow
	}
	p.time = max(m.wait.v+scan, encode/s.threads, p.link, p.cpu/s.processors, 0.01)
	return p
}

// choose decides the mode in use, and what would be worth a trial.
func (t *Tuner) choose() {
	if !t.link.known {
		return // what is written first goes into buffers
	}
	s := t.supply()
	var prices [modeCount]price
	best := math.Inf(1)
	for i := range prices {
		prices[i] = t.price(Mode(i), s, 1, 1)
	}
	t.compare(prices[t.current].time)
	for i := range prices {
		prices[i].time *= t.m.modes[i].excess
		if Mode(i) == Carry {
			prices[i].time *= plain
		}
		if Mode(i) == t.current {
			prices[i].time *= keep
		}
		best = min(best, prices[i].time)
	}
	mode, least := t.current, math.Inf(1)
	for i, p := range prices {
		if p.time > best*same {
			continue
		}
		if c := cost(Mode(i), p, best, t.current, s.idle); c < least {
			mode, least = Mode(i), c
		}
	}
	if now := prices[t.current].time; mode != t.current && (t.steady >= dwell || best < clear*now) {
		t.current, t.steady, t.every = mode, 0, trialEvery
	}
	t.trial = t.worthTrying(s, prices[t.current].time)
}

// compare holds what the mode in use was thought to take against what it took.
func (t *Tuner) compare(thought float64) {
	if t.steady < settle+4 {
		return
	}
	now := &t.m.modes[t.current].excess
	took := min(max(t.m.elapsed.value()/thought, excessLeast), excessMost)
	*now += excessGain * (took - *now)
	for i := range t.m.modes {
		t.m.modes[i].excess += excessFade * min(0, *now-t.m.modes[i].excess)
	}
}

// cost weighs processors against the link, among modes that take the same time.
// Where no processor is idle, what a mode takes is taken from others, and the
// program that sends is one of them.
func cost(mode Mode, p price, time float64, current Mode, idle float64) float64 {
	link := p.link
	if mode.Folds() {
		link *= foldLater
	}
	c := p.cpu*(1+scarce*max(0, 1-2*idle)) + max(0, link-calm*time)
	if mode == current {
		c *= keep
	}
	return c
}

// worthTrying is a mode that would be the best if what is not known of it were in
// its favour: the one of those that was not tried for longest. It never is one
// that would hold the others up.
func (t *Tuner) worthTrying(s supply, time float64) Mode {
	trial, oldest := t.current, -1
	for i := range t.m.modes {
		mode, own := Mode(i), &t.m.modes[i]
		age := t.done - own.encode.last
		if mode == Carry || mode == t.current || age <= oldest {
			continue
		}
		slower, larger := t.hope(mode)
		if own.encode.v*slower > 3*max(time, 0.7) {
			continue
		}
		if p := t.price(mode, s, slower, larger); p.time*own.excess < time/same {
			trial, oldest = mode, age
		}
	}
	return trial
}

// hope is how much better a mode may be than it is thought to be.
func (t *Tuner) hope(mode Mode) (slower, larger float64) {
	e := &t.m.modes[mode].encode
	age := t.done - e.last
	switch {
	case e.n == 0:
		return 0.5, 0.85
	case t.current == Carry && age > stale/2: // nothing is known of the content since
		return 0.5, 0.5
	}
	return max(0.5, 0.9-float64(age)/1024), max(0.25, 0.9-float64(age)/512)
}
