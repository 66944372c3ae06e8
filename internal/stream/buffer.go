package stream

import "sync"

// buffer holds one DATA frame.
type buffer [frameSize]byte

var buffers = sync.Pool{New: func() any { return new(buffer) }}

// coded holds one block as a codec makes it, which may be longer than the block
// where that does not shrink.
type coded [frameSize + frameSize/64]byte

var codedBuffers = sync.Pool{New: func() any { return new(coded) }}

func getBuffer() *buffer { return buffers.Get().(*buffer) }

// free gives the buffer back; nobody may hold a slice of it. Free of nil is
// nothing.
func (b *buffer) free() {
	if b != nil {
		buffers.Put(b)
	}
}
