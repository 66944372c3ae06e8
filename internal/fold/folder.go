package fold

import (
	"bytes"
	"sync/atomic"

	"github.com/cespare/xxhash/v2"
)

// Stats counts what became of pages.
type Stats struct {
	Pages  uint64 `json:"pages"`  // that were looked at
	Zero   uint64 `json:"zero"`   // of zeros
	Repeat uint64 `json:"repeat"` // the same as one that was sent before
	Delta  uint64 `json:"delta"`  // sent as a difference to a former version
}

// Folder is the sender's side, for one stream. Only Stats may be called while
// another method runs.
//
// Besides the slots, PageSize each and out of the Budget, their memory taken
// in pieces of 1 MiB, a Folder takes at most 6 MiB, on the heap: some 56 bytes for
// each slot that it has, to find it; 2 MiB for when pages were sent that have no
// slot, once there are such; and up to three times the room of a block, in which
// it is put together.
type Folder struct {
	scan  Scanner
	cache cache
	w     writer
	bytes uint64 // that went by, folded or not

	block  Stats // what of the block that is made
	pages  atomic.Uint64
	zero   atomic.Uint64
	repeat atomic.Uint64
	delta  atomic.Uint64
}

// NewFolder makes the folder of a stream. What it remembers comes out of b; when
// nothing is left of that, it goes on with what it has.
func NewFolder(s Scanner, b *Budget) *Folder {
	return &Folder{scan: s, cache: cache{slots: slots{budget: b}, mixer: newMixer()}}
}

// tail is the most that Fold leaves for want of more: more than a page and
// any header. A Scanner that wants more is not asked further.
const tail = 4 * PageSize

// Fold appends one folded block to dst, within its capacity, which should be
// that of the largest block that can be sent and has to be 8 KiB at least. It
// tells how many bytes of src, at most MaxRaw, the block stands for; the rest is
// to be given again, first, with what follows it. When n is 0 there is no block:
// src is empty, or, without last, less than 16 KiB whose end the Scanner wants to
// see. With last, all that there is room for is taken.
//
// A block has to be sent and unfolded: what it tells to remember counts from now on.
func (f *Folder) Fold(dst, src []byte, last bool) (block []byte, n int) {
	if len(src) > MaxRaw {
		src, last = src[:MaxRaw], false
	}
	start := len(dst)
	if cap(dst)-start < minRoom {
		return dst, 0
	}
	f.w.begin(dst[start:cap(dst)])
	f.block = Stats{}
	for n < len(src) {
		room := f.w.room()
		if room < PageSize {
			break
		}
		// What the Scanner finds in that much has room, whatever becomes of it.
		took := f.piece(src[n:min(len(src), n+room)])
		if took == 0 {
			rest := src[n:min(len(src), n+room)]
			if more := n+len(rest) < len(src); more && n > 0 || !more && !last && len(rest) < tail {
				break
			}
			f.w.literal(rest)
			f.scan.Pass(rest)
			took = len(rest)
		}
		n += took
	}
	if n == 0 {
		return dst, 0
	}
	size := f.w.finish(src[:n])
	f.bytes += uint64(n)
	f.count()
	return dst[:start+size], n
}

// piece folds what the Scanner finds at the beginning of b.
func (f *Folder) piece(b []byte) int {
	n, key, page := f.scan.Next(b)
	if page && n == PageSize && len(b) >= PageSize {
		f.page((*[PageSize]byte)(b), key)
		return n
	}
	n = min(max(n, 0), len(b))
	if n > 0 {
		f.w.literal(b[:n])
	}
	return n
}

func (f *Folder) page(p *[PageSize]byte, key uint64) {
	f.block.Pages++
	if bytes.Equal(p[:], zeroPage[:]) {
		// A former version stays as it is: what comes after the zeros may be like it.
		f.block.Zero++
		f.w.zero()
		return
	}
	c, now := &f.cache, uint32((f.bytes/PageSize)+f.block.Pages)
	hash := xxhash.Sum64(p[:])
	own, known := c.own(key)
	k, same := own, known && c.about[own].hash == hash && *c.page(own) == *p
	if !same {
		k, same = c.same(hash, p)
	}
	switch {
	case same:
		f.block.Repeat++
		f.w.repeat(k)
		c.usedFor(k, key, now)
	case known:
		if f.w.delta(own, c.page(own), p) {
			f.block.Delta++
		} else {
			f.w.store(own, p)
		}
		c.usedFor(own, key, now)
		c.put(own, key, hash, p, now, c.about[own].interval)
	default:
		if k, interval, ok := c.place(key, now); ok {
			f.w.store(k, p)
			c.put(k, key, hash, p, now, interval)
		} else {
			f.w.page(p)
		}
	}
}

// Pass tells of bytes that travel as they are, without a folded block.
func (f *Folder) Pass(src []byte) {
	f.bytes += uint64(len(src))
	f.scan.Pass(src)
}

func (f *Folder) count() {
	f.pages.Add(f.block.Pages)
	f.zero.Add(f.block.Zero)
	f.repeat.Add(f.block.Repeat)
	f.delta.Add(f.block.Delta)
}

// Stats counts so far. It may be called at any time, also after Close.
func (f *Folder) Stats() Stats {
	return Stats{Pages: f.pages.Load(), Zero: f.zero.Load(), Repeat: f.repeat.Load(), Delta: f.delta.Load()}
}

// Close gives memory back, but no budget. Nothing may be folded after it; it may
// be called twice.
func (f *Folder) Close() {
	f.cache.free()
	f.cache = cache{}
	f.w = writer{}
}
