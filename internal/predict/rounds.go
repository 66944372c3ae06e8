package predict

import (
	"math"
	"time"
)

// run is one simulated transfer of memory.
type run struct {
	ends      bool
	throttled bool          // with auto-converge the guest was slowed down
	time      time.Duration // until the guest is stopped and all is sent
	blackout  time.Duration // of it with the guest stopped
	remaining float64       // bytes, where the rounds stay when they do not end
	rounds    int
}

// maxRounds is when a transfer is taken not to end, and stall the least by which
// the remainder must shrink in a round.
const (
	maxRounds = 400
	stall     = 0.995
)

// simulate sends memory round by round, as QEMU does: first what is used, then
// what the guest has changed meanwhile, until the rest fits into the blackout.
//
// The guest is taken to change pages at random within what it uses, so that of
// a long round it changes all at most and of a short one more than its share of
// the measured second.
func simulate(s Sample, dirty, rate float64) run {
	used := float64(s.MemoryUsed)
	zero := float64(s.MemoryTotal) - used
	var r run
	t := zero * zeroPage / pageSize / rate
	intensity := dirtying(dirty, used)
	fits := rate * s.MaxBlackout.Seconds()
	left := used
	for {
		if left <= fits {
			r.ends = true
			r.blackout = seconds(left / rate)
			r.time = seconds(t + left/rate)
			return r
		}
		r.rounds++
		dt := left / rate
		t += dt
		speed := intensity
		if s.AutoConverge {
			if slow := throttle(r.rounds); slow > 0 && intensity*dt > left/2 {
				speed, r.throttled = intensity*(1-slow), true
			}
		}
		next := changed(speed, dt, used)
		if r.rounds >= maxRounds || next > left*stall && !s.AutoConverge {
			r.remaining, r.time, r.throttled = next, seconds(t), false
			return r
		}
		left = next
	}
}

// dirtying is how fast pages are written, given how much of used was found
// changed after one second: a page that was written twice counted once.
func dirtying(measured, used float64) float64 {
	if measured <= 0 || used <= 0 {
		return 0
	}
	share := min(measured/used, 0.98)
	return -used * math.Log1p(-share)
}

// changed is how much of used differs after so many seconds.
func changed(intensity, dt, used float64) float64 {
	if used <= 0 {
		return 0
	}
	return -used * math.Expm1(-intensity*dt/used)
}

// throttle is by how much QEMU's auto-converge slows the guest down in a round:
// by 20 % after two rounds that did not help, then by 10 % more each.
func throttle(round int) float64 {
	if round <= 2 {
		return 0
	}
	return min(0.2+0.1*float64(round-3), 0.99)
}
