package tune

import "time"

// link learns what a byte on the wire takes, in ns. A window of writes shows two
// bounds: what they took with the time between them (the link is no slower, since
// it did that), and what they took by themselves (it is no faster, where they had
// to wait; where not, nobody would notice). Where the link is what everything
// waits for, the two are the same. In between, what was learnt before stays.
type link struct {
	ns      float64
	known   bool
	wire    int
	idle    time.Duration
	write   time.Duration
	doubt   float64 // by how much a window of doubt takes ns down
	doubted bool    // ns is less than what was measured
	filled  bool    // the link was once what everything waited for
}

const (
	windowBytes = 1 << 20
	windowFirst = 384 << 10 // more than buffers take
	windowTime  = 50 * time.Millisecond
	windowLeast = 64 << 10
	// Doubts: a link that is not used to the full may have become faster. Each
	// window lets it seem so, by less when it turned out not to be.
	doubtMost, doubtLeast = 1.0 / 16, 1.0 / 2048
	doubtGuess            = 1.0 / 4 // while it was never used to the full
)

// newLink begins with 1 GB/s: fast, so that the first blocks show what it is.
func newLink() link { return link{ns: 1, doubt: doubtMost} }

func (l *link) learn(wire int, idle, write time.Duration) {
	l.wire += min(max(wire, 0), 1<<30)
	l.idle += min(max(idle, 0), time.Minute)
	l.write += min(max(write, 0), time.Minute)
	size := windowBytes
	if !l.known {
		size = windowFirst
	}
	if l.wire < windowLeast || l.wire < size && l.idle+l.write < windowTime {
		return
	}
	least := float64(l.write) / float64(l.wire)
	most := float64(l.write+l.idle) / float64(l.wire)
	l.filled = l.filled || l.write > 4*l.idle
	l.wire, l.idle, l.write = 0, 0, 0
	gain := 0.5
	if !l.known {
		gain, l.known = 1, true
	}
	switch {
	case l.ns < least:
		if l.doubted && least > 1.1*l.ns {
			l.doubt, l.doubted = max(l.doubt/2, doubtLeast), false
		}
		l.ns += gain * (min(least, max(8*l.ns, 1)) - l.ns)
	case l.ns > most:
		if most < 0.8*l.ns && l.doubted {
			l.doubt = doubtMost
		}
		l.ns += gain * (most - l.ns)
	case l.ns > 1.1*least:
		doubt := l.doubt
		if !l.filled {
			doubt = doubtGuess
		}
		l.ns -= doubt * (l.ns - least)
		l.doubted = true
	}
}
