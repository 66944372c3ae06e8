package seed

import (
	"bytes"
	"crypto/sha256"
	"hash/maphash"
	"sync/atomic"
)

// Index finds blocks among those that a destination has. It may be used by
// several goroutines at a time.
type Index struct {
	sums  []byte
	slots []uint32 // numbers of blocks and one, by their sums; 0 is free
	mask  uint32
	seed  maphash.Seed
	found atomic.Uint64
}

// NewIndex makes an Index of hashes, one after the other, of which the first is
// that of block 0. It gives nil for none, for too many, and for what is no row of hashes.
func NewIndex(sums []byte) *Index {
	n := len(sums) / SumSize
	if n == 0 || n > MostBlocks || len(sums)%SumSize != 0 {
		return nil
	}
	size := uint32(1)
	for int(size) < 2*n {
		size *= 2
	}
	x := &Index{sums: sums, slots: make([]uint32, size), mask: size - 1, seed: maphash.MakeSeed()}
	for i := range n {
		at := x.at(x.sum(uint32(i)))
		if x.slots[at] == 0 { // else the content is there already
			x.slots[at] = uint32(i) + 1
		}
	}
	return x
}

// Len is how many blocks the destination has.
func (x *Index) Len() int { return len(x.sums) / SumSize }

func (x *Index) sum(block uint32) []byte { return x.sums[block*SumSize : (block+1)*SumSize] }

// at is the slot that has a sum, or is free for it. Half of all are free. Whoever made
// the sums cannot know which lie side by side, else looking would take for ever.
func (x *Index) at(sum []byte) uint32 {
	for at := uint32(maphash.Bytes(x.seed, sum)) & x.mask; ; at = (at + 1) & x.mask {
		if v := x.slots[at]; v == 0 || bytes.Equal(x.sum(v-1), sum) {
			return at
		}
	}
}

// Find looks for a block with this content.
func (x *Index) Find(content []byte) (block uint32, proof Proof, ok bool) {
	if len(content) != BlockSize || bytes.Equal(content, zeros[:]) {
		return 0, proof, false
	}
	proof = sha256.Sum256(content)
	v := x.slots[x.at(proof[:SumSize])]
	if v == 0 {
		return 0, proof, false
	}
	x.found.Add(1)
	return v - 1, proof, true
}

// Referred is how many bytes were found so far.
func (x *Index) Referred() uint64 { return x.found.Load() * BlockSize }
