package fold

import (
	"errors"
	"fmt"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// Budget bounds the pages that the streams of one move remember, on one host, in
// one direction. Both ends make one of the same size.
//
// A slot that was taken is never given back, not even when its stream is closed;
// only the memory is. That is what lets the two ends count alike without a word
// between them: the sender takes a slot before the block goes that fills it, so
// what the receiver has taken is at any time a part of what the sender has, in
// whichever order the streams come. Were slots given back, a sender's stream that
// ends early could let another one take what the receiver's still holds. So a
// Budget is made for one attempt at a move and dropped with it; and where both
// directions fold, each has its own.
type Budget struct{ left atomic.Int64 }

// NewBudget makes a budget of so many slots.
func NewBudget(slots int) *Budget {
	b := &Budget{}
	b.left.Store(int64(slots))
	return b
}

// take takes one slot, if there is one.
func (b *Budget) take() bool {
	for {
		n := b.left.Load()
		if n <= 0 {
			return false
		}
		if b.left.CompareAndSwap(n, n-1) {
			return true
		}
	}
}

// Memory for slots comes in pieces of 1 MiB, outside of Go's heap: the collector
// would let the heap grow to twice of it, and Close gives it back at once. A piece is
// made present as a whole, which takes a fifth less time than page by page, but not
// the first ones: a peer may open many streams, and have one page remembered on each.
const (
	chunkShift = 8
	chunkSlots = 1 << chunkShift
	chunkSize  = chunkSlots * PageSize

	chunksByPage = 8
)

// errBudget is that no slot is left to be taken.
var errBudget = errors.New("no slot is left")

// slots are the numbered pages of one stream, on either side.
type slots struct {
	budget *Budget
	chunks [][]byte
	count  int
}

// page is slot k, which has to be below count.
func (s *slots) page(k int) *[PageSize]byte {
	at := (k & (chunkSlots - 1)) * PageSize
	return (*[PageSize]byte)(s.chunks[k>>chunkShift][at:])
}

// add takes one more slot, number count. Its content is undefined.
func (s *slots) add() error {
	if !s.budget.take() {
		return errBudget
	}
	if s.count == len(s.chunks)<<chunkShift {
		flags := unix.MAP_ANON | unix.MAP_PRIVATE
		if len(s.chunks) >= chunksByPage {
			flags |= unix.MAP_POPULATE
		}
		c, err := unix.Mmap(-1, 0, chunkSize, unix.PROT_READ|unix.PROT_WRITE, flags)
		if err != nil {
			return fmt.Errorf("memory for pages to be remembered: %w", err)
		}
		if len(s.chunks) < chunksByPage {
			_ = unix.Madvise(c, unix.MADV_NOHUGEPAGE) // it fails where there are none
		}
		s.chunks = append(s.chunks, c)
	}
	s.count++
	return nil
}

// free gives the memory back, not the budget.
func (s *slots) free() {
	for _, c := range s.chunks {
		// It fails only for memory that is not of unix.Mmap.
		_ = unix.Munmap(c)
	}
	s.chunks, s.count = nil, 0
}
