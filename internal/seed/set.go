package seed

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
)

// Set are the seeds that a move may take from. Its methods may be called by several
// goroutines at a time. After Close a Block is an error, and no seed damaged by it.
type Set struct {
	files []*os.File
	where []spot
	sums  []byte
	taken atomic.Uint64

	damaged []atomic.Bool // by file
	once    sync.Once
	close   func(damaged []bool)
}

type spot struct{ file, block uint32 }

// add takes a file's entries, as far as there is room.
func (s *Set) add(f *os.File, l Ledger) {
	for _, e := range l.Entries {
		if len(s.where) == MostBlocks {
			break
		}
		s.where = append(s.where, spot{uint32(len(s.files)), e.Block})
		s.sums = append(s.sums, e.Sum[:]...)
	}
	s.files = append(s.files, f)
}

// Len is how many blocks there are.
func (s *Set) Len() int { return len(s.where) }

// Sums are the hashes of at most so many blocks from one on.
func (s *Set) Sums(from, most int) []byte {
	from = min(max(from, 0), len(s.where))
	to := min(from+max(most, 0), len(s.where))
	return s.sums[from*SumSize : to*SumSize]
}

// Block implements Source.
func (s *Set) Block(number uint32, proof Proof, p []byte) error {
	if int64(number) >= int64(len(s.where)) || len(p) != BlockSize {
		return fmt.Errorf("%w: block %d of %d", ErrMalformed, number, len(s.where))
	}
	at := s.where[number]
	_, err := s.files[at.file].ReadAt(p, int64(at.block)*BlockSize)
	if errors.Is(err, os.ErrClosed) { // the move has ended, and a stream not yet
		return fmt.Errorf("a block of a seed that was given back: %w", err)
	}
	if err != nil && err != io.EOF {
		s.damaged[at.file].Store(true)
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if err != nil || sha256.Sum256(p) != proof {
		s.damaged[at.file].Store(true)
		return ErrDamaged
	}
	s.taken.Add(BlockSize)
	return nil
}

// Taken is how many bytes came from the seeds so far.
func (s *Set) Taken() uint64 { return s.taken.Load() }

// Close gives the seeds back; a damaged one is dropped. It is safe twice.
func (s *Set) Close() {
	s.once.Do(func() {
		damaged := make([]bool, len(s.files))
		for i, f := range s.files {
			damaged[i] = s.damaged[i].Load()
			f.Close()
		}
		s.close(damaged)
	})
}
