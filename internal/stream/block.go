package stream

import (
	"sync"
	"time"

	"drover/internal/fold"
	"drover/internal/record"
	"drover/internal/tune"
)

// block is one block on its way from the local program to the connection.
type block struct {
	plain buffer // room for a header, then what was read or its folded form
	coded coded  // room for a header, then what was compressed

	m     tune.Block
	flags uint8
	n     int  // bytes in plain
	doubt bool // the block before did not shrink
	pages fold.Stats

	frame []byte // what travels, once it is compressed
	err   error
	load  int // what it counts among the bytes under way, under sender.mu

	owner *sender
	ready chan struct{} // told when frame or err is there
	run   func()        // encode, kept so that to ask for it makes no allocation
}

var blocks = sync.Pool{New: func() any {
	b := &block{ready: make(chan struct{}, 1)}
	b.run = func() {
		b.encode()
		b.owner.encoded(b)
		b.ready <- struct{}{}
	}
	return b
}}

func getBlock(owner *sender, mode tune.Mode) *block {
	b := blocks.Get().(*block)
	b.owner, b.m, b.flags, b.n, b.doubt, b.frame, b.err, b.load = owner, tune.Block{Mode: mode}, codecNone, 0, false, nil, nil, 0
	b.pages = fold.Stats{}
	return b
}

func (b *block) free() {
	b.owner = nil
	blocks.Put(b)
}

// data is the payload before it is compressed.
func (b *block) data() []byte { return b.plain[headerSize : headerSize+b.n] }

// room is where the payload goes.
func (b *block) room() []byte { return b.plain[headerSize:] }

// encode makes the frame. A payload that does not shrink goes as it is.
func (b *block) encode() {
	b.frame = b.plain[:headerSize+b.n]
	if b.m.Mode != tune.Carry && !(b.doubt && hopeless(b.data())) {
		start, work := time.Now(), threadTime()
		out, codec, err := pack(b.m.Mode, b.coded[headerSize:headerSize], b.data())
		b.m.Encode, b.m.Work = time.Since(start), threadTime()-work
		if err != nil {
			b.err = err
			return
		}
		if len(out) > 0 && len(out) <= b.n-max(b.n/shrinks, 1) && &out[0] == &b.coded[headerSize] { // and the codec kept to its room
			b.frame = b.coded[:headerSize+len(out)]
			b.flags |= codec
		}
	}
	b.m.Wire = len(b.frame) - headerSize
	header{typ: frameData, flags: b.flags, length: b.m.Wire}.put(b.frame)
}

// countIn adds the block, which was sent, to what became of all.
func (b *block) countIn(c *record.Coding) {
	t := &c.None
	switch b.flags & codecBits {
	case codecS2:
		t = &c.S2
	case codecZstd:
		t = &c.Zstd
	}
	t.Add(b.m.Raw, b.m.Wire)
	if b.flags&folded != 0 {
		c.Folded.Add(b.m.Raw, b.m.Wire)
		c.Pages = record.Pages{Seen: b.pages.Pages, Zero: b.pages.Zero, Repeated: b.pages.Repeat, Differences: b.pages.Delta}
	}
}

// shrank tells whether compressing was worth it.
func (b *block) shrank() bool { return b.flags&codecBits != codecNone }
