// Package predict says how long a move will take and whether it will end at
// all, from what was measured before it, and learns from how it went. It does
// no I/O.
package predict

import (
	"fmt"
	"math"
	"time"

	"github.com/dustin/go-humanize"

	"drover/internal/record"
)

// Sample is what was measured of guest and link, and what was asked for. Sizes
// in bytes, rates in bytes per second.
type Sample struct {
	MemoryTotal uint64  // what the guest has
	MemoryUsed  uint64  // what is not zero, as far as sampled
	DirtyRate   float64 // memory changed within one second, each page counted once; below 0: unknown
	LinkRate    float64 // payload over the migration networks, no limit exceeded
	// Codings are the ways in which memory may be coded, as they did on a sample;
	// that it goes as it is need not be among them.
	Codings     []Coding
	SendRate    float64 // payload per second that this host's processors can send; 0 unknown
	DiskBytes   uint64  // to be copied
	MaxBlackout time.Duration
	// Elapsed is how long the move took until now; Fixed what it takes besides
	// sending: starting QEMU, connecting, handing over.
	Elapsed, Fixed time.Duration
	// Learned of earlier moves of this VM, or between these hosts.
	Learned Learned
	// Measuring: DirtyRate is unknown only because nobody waits for it.
	Measuring bool
	// AutoConverge, Timeout and Pause are the policy for a guest that is too busy.
	AutoConverge bool
	Timeout      time.Duration
	Pause        bool
}

// Coding is one way to code memory.
type Coding struct {
	Ratio float64 // payload by wire bytes
	Rate  float64 // payload per second that this host's processors can code; 0 unknown
}

// Bound is what holds a transfer up; how well a prediction fits depends on it.
type Bound string

// The link, or this host's processors.
const (
	ByLink Bound = "link"
	ByCPU  Bound = "cpu"
)

// Result is a prediction, and what its scoring needs.
type Result struct {
	record.Prediction
	// Rest is what was still to come, by the model alone: nothing learned.
	Rest time.Duration
	// Certain is what of it the link takes, which nothing that is learned changes.
	Certain time.Duration
	Bound   Bound
}

// switchover is what a blackout takes beside the last pages: the state of the
// devices, and the word between the hosts.
const switchover = 60 * time.Millisecond

// zeroPage is what a page of zeros costs on the wire, of pageSize.
const zeroPage, pageSize = 9.0, 4096.0

// BoundOf says what will hold the transfer up, at which rate of payload.
func BoundOf(s Sample) (Bound, float64) {
	bound, rate, _ := best(s)
	return bound, rate
}

// best is the coding with which most is sent, as a stream finds it out for itself
// while it runs. That pages which are sent again mostly travel as differences is
// left out: how alike they will be cannot be known before.
func best(s Sample) (bound Bound, rate, ratio float64) {
	bound, rate, ratio = within(s, Coding{Ratio: 1})
	for _, c := range s.Codings {
		if b, r, q := within(s, c); r > rate {
			bound, rate, ratio = b, r, q
		}
	}
	return bound, rate, ratio
}

// within is what link and processors let through with one coding.
func within(s Sample, c Coding) (Bound, float64, float64) {
	ratio := max(c.Ratio, 1)
	rate, bound := s.LinkRate*ratio, ByLink
	for _, cpu := range []float64{c.Rate, s.SendRate} {
		if cpu > 0 && cpu < rate {
			rate, bound = cpu, ByCPU
		}
	}
	return bound, rate, ratio
}

// long is from which on a move does not mind the half second that it takes to know
// what the guest changes.
const long = 10 * time.Second

// Decisive tells whether a move waits until it was measured what the guest changes:
// where that says what becomes of a policy that was asked for, and where it makes
// little difference. Otherwise that the guest is too busy is told when it is known.
func Decisive(s Sample) bool {
	if s.AutoConverge || s.Timeout > 0 {
		return true
	}
	_, rate := BoundOf(s)
	return float64(s.MemoryUsed) > rate*long.Seconds()
}

// Predict judges a live move. LinkRate must be known.
func Predict(s Sample) Result {
	if s.MaxBlackout == 0 {
		s.MaxBlackout = 300 * time.Millisecond
	}
	s.MemoryUsed = min(s.MemoryUsed, s.MemoryTotal)
	dirty, known := max(s.DirtyRate, 0), s.DirtyRate >= 0
	bound, rate, ratio := best(s)
	p := Result{Bound: bound, Prediction: record.Prediction{DirtyRate: uint64(dirty), LinkRate: uint64(s.LinkRate), Ratio: math.Round(ratio*100) / 100}}
	factor := s.Learned.Factor()
	if s.Learned.Moves > 0 {
		p.Factor = factor
	}
	disks := seconds(float64(s.DiskBytes) / min(s.LinkRate, orInf(s.SendRate)))
	mid := simulate(s, dirty, rate)
	p.Converges = mid.ends
	total := s.Fixed + disks + mid.time
	p.Rest = total
	if bound == ByLink {
		p.Certain = total - s.Fixed
	}
	switch {
	case !mid.ends:
		p.overBudget(s, mid, rate, disks)
	default:
		quick, worst := simulate(s, dirty*0.75, rate*1.2), simulate(s, dirty*1.3, rate*0.8)
		doubt := s.Learned.doubt()
		if !known {
			doubt = max(doubt, 0.5)
		}
		low := min(s.Fixed+disks+quick.time, scale(total, 1-doubt))
		high := max(s.Fixed+disks+worst.time, scale(total, 1+doubt))
		if !worst.ends {
			high = 2 * total
		}
		correct := func(d time.Duration) time.Duration { return scale(d-p.Certain, factor) + p.Certain }
		p.TotalMS = between(s.Elapsed, max(correct(max(low, total/2)), 0), correct(min(high, 2*total)))
		p.BlackoutMS = record.Range{Low: (min(quick.blackout, mid.blackout) + switchover/2).Milliseconds(),
			// QEMU stops the guest as soon as the rest fits, which may be before the round ends.
			High: (s.MaxBlackout + 2*switchover).Milliseconds()}
	}
	p.Reason = reason(s, p, mid, dirty, rate, known)
	return p
}

// overBudget is a guest that sends no end: what is known of its time is only
// what a policy makes of it.
func (p *Result) overBudget(s Sample, m run, rate float64, disks time.Duration) {
	if s.Timeout == 0 {
		return // it goes on until somebody ends it
	}
	p.Rest = s.Fixed + max(s.Timeout, disks)
	p.TotalMS = between(s.Elapsed, s.Timeout, s.Timeout+s.Fixed)
	if !s.Pause {
		return
	}
	last := seconds(m.remaining / rate)
	p.Rest += last
	p.TotalMS = between(s.Elapsed, s.Timeout, s.Timeout+s.Fixed+2*last)
	p.BlackoutMS = record.Range{Low: (last / 2).Milliseconds(), High: (2*last + 2*switchover).Milliseconds()}
}

func reason(s Sample, p Result, m run, dirty, rate float64, known bool) string {
	speed := func(v float64) string { return humanize.IBytes(uint64(v)) + "/s" }
	switch {
	case !m.ends && s.Timeout > 0 && s.Pause:
		return fmt.Sprintf("the guest changes %s and more of its memory while %s can be sent: after %s it is paused until all is sent", speed(dirty), speed(rate), s.Timeout)
	case !m.ends && s.Timeout > 0:
		return fmt.Sprintf("the guest changes %s and more of its memory while %s can be sent: after %s the move is ended and it runs on", speed(dirty), speed(rate), s.Timeout)
	case !m.ends:
		return fmt.Sprintf("the guest changes %s and more of its memory while %s can be sent: the move will not come to an end by itself", speed(dirty), speed(rate))
	case m.throttled:
		return fmt.Sprintf("the guest changes %s of its memory while %s can be sent: it will be slowed down, step by step, until the move ends", speed(dirty), speed(rate))
	case s.Timeout > 0 && p.Rest > s.Timeout:
		return fmt.Sprintf("%s can be sent, limited by the %s: that takes longer than the %s which the move is given", speed(rate), p.Bound, s.Timeout)
	case !known && s.Measuring:
		return fmt.Sprintf("%s can be sent, limited by the %s; how much memory the guest changes is still being measured", speed(rate), p.Bound)
	case !known:
		return fmt.Sprintf("%s can be sent, limited by the %s; how much memory the guest changes could not be measured", speed(rate), p.Bound)
	}
	return fmt.Sprintf("%s can be sent, limited by the %s, and the guest changes %s of its memory", speed(rate), p.Bound, speed(dirty))
}

// between is a range of whole times from those of what is still to come.
func between(elapsed, low, high time.Duration) record.Range {
	return record.Range{Low: (elapsed + low).Milliseconds(), High: (elapsed + max(low, high)).Milliseconds()}
}

// longest is beyond every wait that an operator would make, and keeps sums of
// times from overflowing.
const longest = 1000 * time.Hour

// seconds is a time from a number that may be huge or no number.
func seconds(s float64) time.Duration {
	if !(s < longest.Seconds()) {
		return longest
	}
	return time.Duration(s * float64(time.Second))
}

func scale(d time.Duration, f float64) time.Duration { return seconds(d.Seconds() * f) }

func orInf(v float64) float64 {
	if v <= 0 {
		return math.Inf(1)
	}
	return v
}
