package fold

import (
	"math/bits"
	"math/rand/v2"
)

// index finds slots by 32 bits of a hash: a table of open addressing with linear
// probing, 8 bytes an entry, grown by doubling. It has at most one slot for a
// hash; the later one counts. Whoever asks looks whether the slot is the right
// one: of a full cache of pages about one in 200,000 is lost to another of the
// same hash.
type index struct {
	entries []indexEntry // a power of two, or none
	used    int
	shift   uint // 32 less the logarithm of the length
}

type indexEntry struct {
	hash uint32
	slot uint32 // plus 1; 0 is an empty entry
}

const indexStart = 10 // the logarithm of the first length

// find is the slot with that hash.
func (x *index) find(hash uint32) (slot int, ok bool) {
	if len(x.entries) == 0 {
		return 0, false
	}
	e := x.entries[x.seek(hash)]
	return int(e.slot) - 1, e.slot != 0
}

// seek is where the hash is, or the empty entry at which it belongs.
func (x *index) seek(hash uint32) uint {
	mask := uint(len(x.entries) - 1)
	i := uint(hash >> x.shift)
	for x.entries[i].slot != 0 && x.entries[i].hash != hash {
		i = (i + 1) & mask
	}
	return i
}

// put makes slot the one with that hash.
func (x *index) put(hash uint32, slot int) {
	if x.used*8 >= len(x.entries)*5 {
		x.grow()
	}
	e := &x.entries[x.seek(hash)]
	if e.slot == 0 {
		x.used++
	}
	*e = indexEntry{hash, uint32(slot) + 1}
}

func (x *index) grow() {
	old := x.entries
	size := max(2*len(old), 1<<indexStart)
	x.entries = make([]indexEntry, size)
	x.shift = 32 - uint(bits.TrailingZeros(uint(size)))
	for _, e := range old {
		if e.slot != 0 {
			x.entries[x.seek(e.hash)] = e
		}
	}
}

// remove forgets that slot has that hash, unless another one has it by now.
func (x *index) remove(hash uint32, slot int) {
	if len(x.entries) == 0 {
		return
	}
	gap := x.seek(hash)
	if x.entries[gap].slot != uint32(slot)+1 {
		return
	}
	// What follows moves up, if the gap is on the way from where it belongs.
	mask := uint(len(x.entries) - 1)
	for i := (gap + 1) & mask; x.entries[i].slot != 0; i = (i + 1) & mask {
		home := uint(x.entries[i].hash >> x.shift)
		if (i-home)&mask >= (i-gap)&mask {
			x.entries[gap] = x.entries[i]
			gap = i
		}
	}
	x.entries[gap] = indexEntry{}
	x.used--
}

// mixer spreads keys and hashes of content in a way that nobody outside knows:
// a guest writes its pages itself, and could else choose them so that they all
// meet in one place of a table.
type mixer struct{ a, b uint64 }

func newMixer() mixer { return mixer{rand.Uint64(), rand.Uint64() | 1} }

func (m mixer) mix(v uint64) uint64 {
	hi, lo := bits.Mul64(v^m.a, m.b)
	// Of one product, keys that follow upon each other share too many low bits.
	v = hi ^ lo
	v = (v ^ v>>32) * 0xd6e8feb86659fd93
	return v ^ v>>32
}
