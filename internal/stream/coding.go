package stream

import (
	"fmt"

	"drover/internal/fold"
	"drover/internal/tune"
)

// Tuner chooses how the blocks of one stream are coded, and learns from them.
// Both methods are called in the order of the stream, by two goroutines.
type Tuner interface {
	Next() tune.Mode
	Done(tune.Block)
}

// Coding is how Relay makes what the local program writes smaller. The zero
// Coding leaves it as it is.
type Coding struct {
	// Tuner chooses for each block; without one all go as they are.
	Tuner Tuner
	// Scanner finds pages for folding; without one nothing is folded.
	Scanner fold.Scanner
	// Budget is what the pages come out of that are remembered; nil is that of the
	// stream's session.
	Budget *fold.Budget
	// Encoders compress; without them the stream does it by itself.
	Encoders *Encoders
}

// SetCoding says how Relay codes what it sends on the stream. It must be called
// before Relay. Only the streams of memory and disks take a coding.
func (s *Stream) SetCoding(c Coding) error {
	if !s.info.Kind.codes() {
		return fmt.Errorf("stream: a coding on a %s stream", s.info.Kind)
	}
	s.coding = c
	return nil
}

// codes tells whether blocks of such streams may be coded.
func (k Kind) codes() bool { return k == KindMemory || k == KindDisk }
