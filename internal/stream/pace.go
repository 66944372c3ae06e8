package stream

import (
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Direction of bytes, as this host sees it.
type Direction bool

// The two directions.
const (
	In  Direction = false
	Out Direction = true
)

// Pace tells which limits hold for a data stream with this local address just
// now. It is asked for every piece of data, so that changes hold at once. Control
// connections have no pace.
type Pace func(local netip.Addr, d Direction) []*Limit

const (
	// window is how far a limit lets its users get ahead after a pause, which makes
	// up for timers that fire late, as they do on a host with much to do.
	window = 100 * time.Millisecond
	// turn is how much of the rate is a piece.
	turn = 20 * time.Millisecond
	// A piece is what is counted at once: not so small that waiting becomes work,
	// nor so large that others who share the limit starve (their life signs too).
	minPiece, maxPiece = 1 << 10, 64 << 10
	// Shorter waits are not worth a timer; they stay in the limit's books.
	shortest = 5 * time.Millisecond
)

// Limit bounds the bytes per second of one direction, of all streams that have it
// together.
type Limit struct {
	mu    sync.Mutex
	rate  float64
	piece int
	lim   *rate.Limiter
}

// NewLimit makes a limit of some bytes per second, which must be above 0.
func NewLimit(bytesPerSecond float64) *Limit {
	l := &Limit{}
	l.SetRate(bytesPerSecond)
	return l
}

// SetRate changes the limit for what is sent or taken from now on. The books begin
// anew: what many streams have booked at a high rate would keep them all, and their
// life signs, waiting for long at a low one.
func (l *Limit) SetRate(bytesPerSecond float64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.lim != nil && l.rate == bytesPerSecond {
		return
	}
	l.rate = bytesPerSecond
	l.piece = min(max(int(bytesPerSecond*turn.Seconds()), minPiece), maxPiece)
	l.lim = rate.NewLimiter(rate.Limit(bytesPerSecond), max(int(bytesPerSecond*window.Seconds()), l.piece))
}

func (l *Limit) largest() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.piece
}

// reserve books n bytes and tells how long they have to wait.
func (l *Limit) reserve(now time.Time, n int) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	var wait time.Duration
	for n > 0 { // the rate may have sunk since the piece was cut
		step := min(n, l.lim.Burst())
		wait = l.lim.ReserveN(now, step).DelayFrom(now)
		n -= step
	}
	return wait
}

// pieceOf is how much may be booked at once with these limits.
func pieceOf(limits []*Limit, n int) int {
	for _, l := range limits {
		n = min(n, l.largest())
	}
	return n
}

// book books n bytes with every limit; the slowest decides.
func book(limits []*Limit, now time.Time, n int) (wait time.Duration) {
	for _, l := range limits {
		wait = max(wait, l.reserve(now, n))
	}
	return wait
}

// setPace makes the connection keep to limits from now on; before link.start.
func (w *wireConn) setPace(p Pace) {
	if p == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.gone == nil {
		w.gone = make(chan struct{})
		if w.closed {
			close(w.gone)
		}
	}
	w.pace = p
}

func (w *wireConn) limits(d Direction) []*Limit {
	if w.pace == nil {
		return nil
	}
	return w.pace(addrPort(w.Conn.LocalAddr()).Addr(), d)
}

// hold waits until n bytes may pass, or the connection is closed.
func (w *wireConn) hold(limits []*Limit, n int) error {
	wait := book(limits, time.Now(), n)
	if wait < shortest {
		return nil
	}
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-w.gone:
		return errClosed
	}
}
