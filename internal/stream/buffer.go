package stream

import (
	"sync"

	"drover/internal/fold"
)

// buffer holds one DATA frame.
type buffer [frameSize]byte

var buffers = sync.Pool{New: func() any { return new(buffer) }}

// coded holds one block as a codec makes it, which may be longer than the block
// where that does not shrink.
type coded [frameSize + frameSize/64]byte

func getBuffer() *buffer { return buffers.Get().(*buffer) }

// free gives the buffer back; nobody may hold a slice of it. Free of nil is
// nothing.
func (b *buffer) free() {
	if b != nil {
		buffers.Put(b)
	}
}

// large holds what one folded block stands for.
type large [fold.MaxRaw]byte

var larges = sync.Pool{New: func() any { return new(large) }}

func getLarge() *large { return larges.Get().(*large) }

func (r *large) free() {
	if r != nil {
		larges.Put(r)
	}
}

// from is a part of it; of nil it is empty.
func (r *large) from(start, end int) []byte {
	if r == nil {
		return nil
	}
	return r[start:end]
}
