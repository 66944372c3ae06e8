// Package tune chooses, block by block, how a stream is to be coded, from what
// was measured of the blocks before: the way that takes the least time, and of
// those that take about the same, the one that takes the least of the
// processors. It does no I/O.
package tune

import (
	"sync"
	"time"
)

// Mode is a way to code a block.
type Mode uint8

// The modes, each more work than the one before.
const (
	Carry     Mode = iota // as it is
	S2                    // compressed with S2
	FoldS2                // folded (package fold) and compressed with S2
	FoldFast              // folded, and Zstandard at its fastest level
	FoldMore              // folded, and Zstandard at its default level
	FoldMost              // folded, and Zstandard at its better level
	modeCount = int(FoldMost) + 1
)

// String is the mode in the words that users see.
func (m Mode) String() string {
	switch m {
	case Carry:
		return "none"
	case S2:
		return "s2"
	case FoldS2:
		return "pages + s2"
	case FoldFast:
		return "pages + zstd 1"
	case FoldMore:
		return "pages + zstd 3"
	case FoldMost:
		return "pages + zstd 7"
	}
	return "unknown"
}

// Folds tells whether blocks are folded.
func (m Mode) Folds() bool { return m >= FoldS2 }

// Block is what was measured of one block that was sent.
type Block struct {
	Mode      Mode
	Raw, Wire int           // bytes before and after coding
	Wait      time.Duration // until the program that sends had given it
	Fold      time.Duration // for scanning and folding, which one goroutine does
	Encode    time.Duration // for compressing, on one of the host's encoders
	// Work is what of Encode the encoder was running on a processor; 0 is not known.
	Work time.Duration
	// Idle is how long the writing goroutine had nothing to write before this
	// block, so that Idle and Write of all blocks together are the time that went
	// by. Without it nobody can tell a link that is full from one that is not.
	Idle  time.Duration
	Write time.Duration // in writing to the connection, waiting for the link and for limits included
}

// Host is what a Tuner has to know of the processors.
type Host interface {
	// Encoders is how many threads may compress for this stream.
	Encoders() float64
	// Idle is how many processors have had nothing to do of late.
	Idle() float64
}

// Tuner chooses for one stream. Its methods may be called by two goroutines.
type Tuner struct {
	host Host

	mu      sync.Mutex
	m       model
	link    link
	current Mode
	trial   Mode // worth a block now and then; current when there is none
	chosen  int  // blocks since the last trial
	every   int  // how many there are to be
	done    int  // blocks that were measured
	steady  int  // of those, in the current mode since it was chosen
}

// New makes the Tuner of a stream.
func New(h Host) *Tuner {
	return &Tuner{host: h, m: newModel(), link: newLink(), current: start, trial: start, steady: dwell, every: trialEvery}
}

// start is the mode of the first blocks: not far from the best one on any link,
// and what it shows of folding and of compression is what the others are judged by.
const start = FoldS2

// Expect tells the Tuner how fast the link of its stream is thought to be, in
// bytes per second, where that was measured before. It is for before the first
// block.
func (t *Tuner) Expect(bytesPerSecond float64) {
	if bytesPerSecond <= 0 {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.link.ns, t.link.known = 1e9/bytesPerSecond, true
	t.choose()
}

// How often a block is a trial of another mode: soon in the beginning, when
// little was measured, and more rarely as they lead to nothing.
const (
	trialEvery = 32
	trialMost  = 128
	trialFirst = 6 // while less than trialSoon blocks were measured
	trialSoon  = 48
)

// Next is the mode for the next block.
func (t *Tuner) Next() Mode {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.chosen++
	every := t.every
	if t.done < trialSoon {
		every = trialFirst
	}
	if t.chosen < every || t.trial == t.current {
		return t.current
	}
	t.chosen, t.every = 0, min(t.every*3/2, trialMost)
	return t.trial
}

// Done takes the measurements of a block, in the order of sending.
func (t *Tuner) Done(b Block) {
	if b.Raw <= 0 || b.Mode >= Mode(modeCount) {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.done++
	if b.Mode == t.current {
		if t.steady++; t.steady == settle {
			t.m.elapsed = rate{} // what went before was another mode's
		}
	}
	t.m.learn(b, t.current, t.done)
	t.link.learn(b.Wire, b.Idle, b.Write)
	t.choose()
}
