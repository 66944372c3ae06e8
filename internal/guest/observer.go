package guest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"time"
)

// ObserverConfig is what an Observer watches.
type ObserverConfig struct {
	// Target is where requests go: the guest's address, or the broadcast
	// address of its network, which every copy of the guest hears.
	Target net.Addr
	// Interval is the time between two requests, and so the resolution of
	// Snapshot.Blackout.
	Interval time.Duration
	// Name is the guest (Params.Name); answers of others are ignored. "" takes
	// every answer and is for networks with a single guest.
	Name string
}

// Snapshot is what an Observer has seen so far.
type Snapshot struct {
	// Sent counts requests, Answered those with at least one answer.
	Sent, Answered uint64
	// Blackout is the largest gap between consecutive answers since the start
	// or the last ResetGaps, by the observer's monotonic clock; BlackoutEnd is
	// when it ended. A gap that has not ended yet is Silence only.
	Blackout    time.Duration
	BlackoutEnd time.Time
	// Silence is the time since the last answer.
	Silence time.Duration
	// Doubles counts answers whose number (Status.Serial) the same boot had
	// used before in another answer: two copies of the guest run.
	// FirstDouble describes the first.
	Doubles     uint64
	FirstDouble string
	// Repeats counts requests that one machine answered more than once. They
	// are harmless: the destination of a migration finds the broadcasts in its
	// network queue that arrived while it waited.
	Repeats uint64
	// Restarts counts changes of the boot nonce.
	Restarts uint64
	// Regressions counts answers whose counters were behind those of an
	// earlier answer of the same boot: the guest's past was brought back.
	// On a network that reorders datagrams it may count wrongly.
	Regressions     uint64
	FirstRegression string
	// Last is the answer to the newest request, LastFrom its sender. Zero
	// while there was none.
	Last     Status
	LastFrom string
}

// Observer asks a guest for its heartbeat and draws conclusions from outside.
// Run it once; the other methods may be called from any goroutine meanwhile.
type Observer struct {
	conn net.PacketConn
	cfg  ObserverConfig
	id   uint64

	mu        sync.Mutex
	snap      Snapshot
	lastAt    time.Time
	answers   map[uint64]answer // the last ones, by Status.Serial
	answered  map[uint64]bool   // the last requests, by Request.Seq
	resetFrom uint64            // a reset is repeated until an answer from here on
	token     uint64            // a verify-now is repeated until it is done
	changed   chan struct{}     // closed and replaced with each answer
}

// keepAnswers is for how many answers a second one is still recognised. Beyond
// that, a second copy is seen as a regression.
const keepAnswers = 1 << 14

// NewObserver takes an open UDP socket, which stays the caller's.
func NewObserver(conn net.PacketConn, cfg ObserverConfig) *Observer {
	return &Observer{
		conn: conn, cfg: cfg, id: rand.Uint64(), //nolint:gosec // an identity, not a secret
		answers: make(map[uint64]answer), answered: make(map[uint64]bool), changed: make(chan struct{}),
	}
}

// Run sends a request each interval and records the answers until ctx ends,
// then returns nil. Requests that cannot be sent (no route, no such host) are
// lost requests, not errors: they are what an outage looks like.
func (o *Observer) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	// A deadline in the past wakes the reader without closing the caller's socket.
	stop := context.AfterFunc(ctx, func() { _ = o.conn.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	wg.Go(func() { o.send(ctx) })
	return o.receive(ctx)
}

func (o *Observer) send(ctx context.Context) {
	t := time.NewTicker(o.cfg.Interval)
	defer t.Stop()
	start := time.Now()
	for {
		req := o.request(int64(time.Since(start)))
		if b, err := req.Encode(); err == nil {
			_ = o.conn.SetWriteDeadline(time.Now().Add(time.Second))
			_, _ = o.conn.WriteTo(b, o.cfg.Target)
		}
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
	}
}

func (o *Observer) request(sent int64) Request {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.snap.Sent++
	req := Request{Op: OpPing, Observer: o.id, Seq: o.snap.Sent, SentNs: sent}
	switch {
	case o.resetFrom != 0:
		req.Op = OpReset
	case o.token != 0:
		req.Op, req.Token = OpVerify, o.token
	}
	return req
}

func (o *Observer) receive(ctx context.Context) error {
	buf := make([]byte, maxMessage+1)
	for {
		n, from, err := o.conn.ReadFrom(buf)
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, net.ErrClosed), errors.Is(err, os.ErrDeadlineExceeded):
			return fmt.Errorf("observer: %w", err)
		case err != nil:
			continue // such as "connection refused", which ICMP reports
		}
		now := time.Now()
		s, err := DecodeStatus(buf[:n])
		if err != nil || (o.cfg.Name != "" && s.Name != o.cfg.Name) {
			continue
		}
		o.note(s, from.String(), now)
	}
}

func (o *Observer) note(s Status, from string, now time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if s.Seq == 0 || s.Seq > o.snap.Sent {
		return // the answer to somebody else's request
	}
	o.noteDouble(s, from)
	o.noteGap(now)
	o.noteState(s)
	if o.resetFrom != 0 && s.Seq >= o.resetFrom {
		o.resetFrom = 0
	}
	if s.VerifyDone == o.token {
		o.token = 0
	}
	if s.Seq >= o.snap.Last.Seq {
		o.snap.Last, o.snap.LastFrom = s, from
	}
	close(o.changed)
	o.changed = make(chan struct{})
}

// answer is what tells two answers with one number apart: a datagram that the
// network delivered twice is the same in all of it.
type answer struct {
	nonce, seq uint64
	uptime     int64
	from       string
}

// noteDouble looks for two histories of one machine. That a request is answered
// twice proves nothing (see Snapshot.Repeats), but a machine numbers its answers
// in its memory, so one that runs once never uses a number twice.
func (o *Observer) noteDouble(s Status, from string) {
	this := answer{s.Nonce, s.Seq, s.UptimeNs, from}
	first, again := o.answers[s.Serial]
	switch {
	case !again || first.nonce != s.Nonce:
		delete(o.answers, s.Serial-keepAnswers)
		o.answers[s.Serial] = this
	case first == this:
		return
	default:
		o.snap.Doubles++
		if o.snap.FirstDouble == "" {
			o.snap.FirstDouble = fmt.Sprintf("boot %016x gave its answer %d twice: to request %d from %s after %s of uptime, and to request %d from %s after %s",
				s.Nonce, s.Serial, first.seq, first.from, time.Duration(first.uptime), s.Seq, from, time.Duration(s.UptimeNs))
		}
		return
	}
	if o.answered[s.Seq] {
		o.snap.Repeats++
		return
	}
	delete(o.answered, s.Seq-keepAnswers)
	o.answered[s.Seq] = true
	o.snap.Answered++
}

func (o *Observer) noteGap(now time.Time) {
	if gap := now.Sub(o.lastAt); !o.lastAt.IsZero() && gap > o.snap.Blackout {
		o.snap.Blackout, o.snap.BlackoutEnd = gap, now
	}
	o.lastAt = now
}

func (o *Observer) noteState(s Status) {
	last := o.snap.Last
	switch {
	case last.Seq == 0 || s.Seq <= last.Seq:
	case s.Nonce != last.Nonce:
		o.snap.Restarts++
	default:
		if what := behind(s, last); what != "" {
			o.snap.Regressions++
			if o.snap.FirstRegression == "" {
				o.snap.FirstRegression = fmt.Sprintf("request %d: %s", s.Seq, what)
			}
		}
	}
}

// behind says which counter of s is less than it was in an earlier answer.
func behind(s, earlier Status) string {
	counters := [][3]any{
		{"answers", s.Serial, earlier.Serial},
		{"generation sum", s.Memory.GenerationSum, earlier.Memory.GenerationSum},
		{"pages verified", s.Memory.Verified, earlier.Memory.Verified},
	}
	for i := range min(len(s.Disks), len(earlier.Disks)) {
		counters = append(counters, [3]any{"records flushed", s.Disks[i].Flushed, earlier.Disks[i].Flushed})
	}
	for _, c := range counters {
		if now, before := c[1].(uint64), c[2].(uint64); now < before {
			return fmt.Sprintf("%s fell from %d to %d", c[0], before, now)
		}
	}
	return ""
}

// Sound is an error when what was seen cannot be one machine that ran on
// without restart and without losing any of its past.
func (s Snapshot) Sound() error {
	switch {
	case s.Doubles > 0:
		return fmt.Errorf("two copies of the guest answered, %d times: %s", s.Doubles, s.FirstDouble)
	case s.Regressions > 0:
		return fmt.Errorf("the guest's state went back, %d times: %s", s.Regressions, s.FirstRegression)
	case s.Restarts > 0:
		return fmt.Errorf("the guest was restarted %d times", s.Restarts)
	case s.Last.Errors() > 0:
		return fmt.Errorf("the guest found %d wrong pages or records, first: %s", s.Last.Errors(), s.Last.FirstError())
	}
	return nil
}

// Snapshot is a copy of what was seen so far.
func (o *Observer) Snapshot() Snapshot {
	o.mu.Lock()
	defer o.mu.Unlock()
	snap := o.snap
	snap.Last.Disks = append([]DiskStatus(nil), snap.Last.Disks...)
	if !o.lastAt.IsZero() {
		snap.Silence = time.Since(o.lastAt)
	}
	return snap
}

// ResetGaps forgets the blackout and has the guest forget its gaps, so that
// the next Snapshot is about what comes now.
func (o *Observer) ResetGaps() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.snap.Blackout, o.snap.BlackoutEnd = 0, time.Time{}
	o.resetFrom = o.snap.Sent + 1
}

// Wait blocks until an answer satisfies ok and returns it, or returns ctx's
// error with what was seen last. Run must be running.
func (o *Observer) Wait(ctx context.Context, ok func(Status) bool) (Status, error) {
	for {
		o.mu.Lock()
		last, changed := o.snap.Last, o.changed
		o.mu.Unlock()
		if last.Seq != 0 && ok(last) {
			return last, nil
		}
		select {
		case <-ctx.Done():
			return last, fmt.Errorf("heartbeat of %q, last answer %+v: %w", o.cfg.Name, last, ctx.Err())
		case <-changed:
		}
	}
}

// VerifyNow has the guest check all memory and all disk records once more and
// returns the status after that; a wrong page or record is an error.
func (o *Observer) VerifyNow(ctx context.Context) (Status, error) {
	token := rand.Uint64() | 1 //nolint:gosec // an identity, not a secret
	o.mu.Lock()
	o.token = token
	o.mu.Unlock()
	s, err := o.Wait(ctx, func(s Status) bool { return s.VerifyDone == token })
	if err != nil {
		return s, err
	}
	if n := s.Errors(); n > 0 {
		return s, fmt.Errorf("guest %s: %d wrong pages or records, first: %s", s.Name, n, s.FirstError())
	}
	return s, nil
}
