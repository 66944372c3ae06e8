package stream

import (
	"net"
	"sync"
	"time"

	"drover/internal/fold"
	"drover/internal/tune"
)

// Bounds of what a sender has under way. What lies here is ahead of what a guest
// that is paused still has to send, so it is bounded by the time that the link
// takes for it too.
const (
	maxBlocks = 6                     // from reading to written
	pieceTime = 25 * time.Millisecond // of the link, for one block
	aheadTime = 60 * time.Millisecond // of the link, for all blocks together
	leastRead = 64 << 10              // at once, however slow the link is
	leastLoad = 64 << 10              // under way, however slow the link is
	maxRatio  = 8                     // that is believed to go on
	smallest  = 16 << 10              // less is compressed on the spot if nothing else is to do
	recent    = 8                     // blocks that the measured rate is of, about
)

// sender codes one direction of one stream. Three parts work at the same time:
// the reader (which folds), the host's encoders, and the writer, which keeps the
// order. While nothing is under way the reader writes by itself.
//
// What is read goes as soon as nothing is under way before it. Only then: a piece
// of a page waits for its rest as long as a block before it is under way, and
// goes when that has gone, whatever is missing.
type sender struct {
	s      *Stream
	c      Coding
	local  *source
	folder *fold.Folder // nil: nothing is folded
	turn   *place       // among the streams that compress
	most   int          // blocks under way
	// patient: a wait for more can be interrupted, so that pieces may be held.
	patient bool

	// Of the reader.
	window     *large // what was read and not folded yet, from start to end
	start, end int
	lastMode   tune.Mode
	ended      error // io.EOF, or why the local program cannot be read any more

	wrote time.Time   // when the last write ended; of the one who writes
	queue chan *block // from the reader to the writer, in order

	mu      sync.Mutex
	change  sync.Cond
	blocks  int // under way
	events  int // that can have made room
	load    int // bytes under way, as they will travel as far as that is known
	waiting bool
	err     error // why the writer gave up

	// What was measured, under mu.
	sent    float64 // bytes lately
	spent   float64 // seconds that they took to write
	rawSent float64 // bytes of the program lately
	misses  int     // blocks in a row that did not shrink
}

func newSender(s *Stream, local net.Conn) *sender {
	u := &sender{s: s, c: s.coding, local: newSource(local), queue: make(chan *block, maxBlocks), wrote: time.Now()}
	u.change.L = &u.mu
	u.turn, u.most = u.c.Encoders.join(), maxBlocks
	if u.c.Encoders != nil { // one is compressed by each, one waits, one is written
		u.most = min(max(u.c.Encoders.Limit()+2, 3), maxBlocks)
	}
	u.patient = local.SetReadDeadline(time.Time{}) == nil
	if u.c.Scanner != nil {
		budget := u.c.Budget
		if budget == nil {
			budget = s.budgets.sending(s.info.Kind)
		}
		u.folder = fold.NewFolder(u.c.Scanner, budget)
	}
	return u
}

// close gives everything back; reader and writer must have ended.
func (u *sender) close() {
	u.turn.leave()
	if u.folder != nil {
		u.folder.Close()
	}
	u.window.free()
	u.window = nil
}

// write is the writer. It ends when the queue is closed; fail is told at once of
// what goes wrong.
func (u *sender) write(fail func(error)) {
	var failed error
	for b := range u.queue {
		<-b.ready
		if failed == nil {
			if failed = u.put(b); failed != nil {
				fail(failed)
			}
		}
		u.gone(b, failed)
	}
}

// put writes one block. The one who writes is the reader while nothing is under
// way, and the writer else.
func (u *sender) put(b *block) error {
	if b.err != nil {
		return b.err
	}
	begun := time.Now()
	b.m.Idle = begun.Sub(u.wrote)
	err := u.s.link.write(b.frame)
	u.wrote = time.Now()
	if err != nil {
		return err
	}
	b.m.Write = u.wrote.Sub(begun)
	u.s.payloadOut.Add(uint64(b.m.Raw))
	u.s.cmu.Lock()
	b.countIn(&u.s.coded)
	u.s.cmu.Unlock()
	u.c.Tuner.Done(b.m)

	u.mu.Lock()
	defer u.mu.Unlock()
	u.sent += (float64(b.m.Wire) - u.sent) / recent
	u.spent += (b.m.Write.Seconds() - u.spent) / recent
	u.rawSent += (float64(b.m.Raw) - u.rawSent) / recent
	switch {
	case b.shrank():
		u.misses = 0
	case b.m.Mode != tune.Carry:
		u.misses++
	}
	return nil
}

// submit gives a block on, in order.
func (u *sender) submit(b *block) error {
	u.mu.Lock()
	idle := u.blocks == 0
	b.doubt = u.misses > 0
	now := b.m.Mode == tune.Carry || b.n < smallest
	if !idle || !now {
		u.blocks++
		b.load = b.n
		u.load += b.load
	}
	u.mu.Unlock()
	if idle && now {
		defer b.free()
		b.encode()
		return u.put(b)
	}
	u.queue <- b // has room for as many as there can be
	if now {
		b.run()
	} else {
		u.turn.do(b.run)
	}
	return nil
}

// encoded takes note of how long a block became.
func (u *sender) encoded(b *block) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.load -= b.load
	b.load = len(b.frame)
	u.load += b.load
	u.happened()
}

// happened wakes the reader. Under mu.
func (u *sender) happened() {
	u.events++
	u.change.Signal()
}

// gone takes note of a block that is out, or never will be.
func (u *sender) gone(b *block, err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.blocks--
	u.load -= b.load
	b.free()
	if u.err == nil {
		u.err = err
	}
	if u.waiting && (u.blocks == 0 || u.err != nil) {
		u.waiting = false
		_ = u.local.conn.SetReadDeadline(past)
	}
	u.happened()
}

var past = time.Unix(1, 0)

// await waits until another block may be made in this mode. Meanwhile it takes what
// the local program writes, as far as it is to be folded: a socket holds less than
// a block should have.
func (u *sender) await(mode tune.Mode) error {
	for {
		u.mu.Lock()
		full, seen, err := u.full(mode), u.events, u.err
		u.mu.Unlock()
		if err != nil || !full {
			return err
		}
		if mode.Folds() && u.folder != nil {
			want, _ := u.piece()
			if err := u.top(want); err != nil {
				return err
			}
		}
		u.mu.Lock()
		if u.events == seen {
			u.change.Wait()
		}
		u.mu.Unlock()
	}
}

// full tells that no other block may be made now. Under mu.
func (u *sender) full(mode tune.Mode) bool {
	return u.blocks > 0 && (u.blocks >= u.most || u.load >= u.limit(aheadTime, leastLoad, maxBlocks*MaxData) ||
		// What is only carried is carried best by one goroutine.
		mode == tune.Carry && u.lastMode == tune.Carry)
}

// limit is what the link takes in some time, within bounds. Under mu.
func (u *sender) limit(d time.Duration, least, most int) int {
	if u.spent == 0 {
		return most
	}
	return int(min(max(u.sent/u.spent*d.Seconds(), float64(least)), float64(most)))
}

// piece is how much of what the program sends is a block's worth: folded and not.
func (u *sender) piece() (large, small int) {
	u.mu.Lock()
	defer u.mu.Unlock()
	n := u.limit(pieceTime, leastRead/maxRatio, fold.MaxRaw)
	if u.sent > 0 {
		n = int(float64(n) * min(u.rawSent/u.sent, maxRatio))
	}
	n = max(n, leastRead)
	return min(n, fold.MaxRaw), min(n, MaxData)
}
