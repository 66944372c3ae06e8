package fold

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// blockRoom is what a frame carries.
const blockRoom = 256<<10 - 8

// piece is part of a stream, as a fakeScanner knows it.
type piece struct {
	size int
	page bool
	key  uint64
}

// fakeScanner knows beforehand what comes: pieces, of which it wants to see the
// whole, and nothing it understands after them.
type fakeScanner struct {
	pieces []piece
	inside int // bytes of the first piece that are gone
}

func (s *fakeScanner) Next(b []byte) (n int, key uint64, page bool) {
	if len(s.pieces) == 0 || len(b) == 0 {
		return len(b), 0, false
	}
	p := s.pieces[0]
	if s.inside == 0 && len(b) < p.size {
		return 0, 0, false
	}
	whole := s.inside == 0
	n = min(len(b), p.size-s.inside)
	s.Pass(b[:n])
	return n, p.key, p.page && whole
}

func (s *fakeScanner) Pass(b []byte) {
	for n := len(b); n > 0 && len(s.pieces) > 0; {
		took := min(n, s.pieces[0].size-s.inside)
		n -= took
		if s.inside += took; s.inside == s.pieces[0].size {
			s.pieces, s.inside = s.pieces[1:], 0
		}
	}
}

// everyPage is a scanner of nothing but pages, with running keys.
type everyPage struct {
	key  uint64
	last uint64 // the keys begin anew after it
}

func (s *everyPage) Next(b []byte) (int, uint64, bool) {
	if len(b) < PageSize {
		return 0, 0, false
	}
	key := s.key
	if s.key++; s.key == s.last {
		s.key = 0
	}
	return PageSize, key, true
}

func (s *everyPage) Pass(b []byte) { s.key += uint64(len(b) / PageSize) }

// wire is a folder and an unfolder of the same stream.
type wire struct {
	t    testing.TB
	f    *Folder
	u    *Unfolder
	sent int // bytes of blocks
	dst  []byte
	out  []byte
}

func newWire(t testing.TB, s Scanner, slots int) *wire {
	return join(t, s, NewBudget(slots), NewBudget(slots))
}

func join(t testing.TB, s Scanner, sender, receiver *Budget) *wire {
	w := &wire{t: t, f: NewFolder(s, sender), u: NewUnfolder(receiver),
		dst: make([]byte, 0, blockRoom), out: make([]byte, 0, MaxRaw)}
	t.Cleanup(func() {
		w.f.Close()
		w.u.Close()
	})
	return w
}

// fold sends as much of src as becomes one block, and tells how much that is.
func (w *wire) fold(src []byte, last bool) int {
	w.t.Helper()
	block, n := w.f.Fold(w.dst, src, last)
	if n == 0 {
		if len(block) > 0 {
			w.t.Fatalf("a block of %d bytes for nothing", len(block))
		}
		return 0
	}
	w.sent += len(block)
	out, err := w.u.Unfold(w.out, block)
	if err != nil {
		w.t.Fatal(err)
	}
	if !bytes.Equal(out, src[:n]) {
		w.t.Fatalf("%d bytes became others", n)
	}
	if w.f.cache.count != w.u.slots.count {
		w.t.Fatalf("the sender counts %d slots, the receiver %d", w.f.cache.count, w.u.slots.count)
	}
	return n
}

// all sends all of src.
func (w *wire) all(src []byte) {
	w.t.Helper()
	for len(src) > 0 {
		n := w.fold(src, true)
		if n == 0 {
			w.t.Fatal("nothing taken of the end of a stream")
		}
		src = src[n:]
	}
}

func randomBytes(n int, seed uint64) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)}).Read(b)
	return b
}
