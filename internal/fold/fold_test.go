package fold

import (
	"bytes"
	"errors"
	"testing"

	"github.com/cespare/xxhash/v2"
)

func TestUnknownBytesTravelAsTheyAre(t *testing.T) {
	w := newWire(t, &fakeScanner{}, 16)
	src := randomBytes(3<<20, 1)
	w.all(src)
	if over := w.sent - len(src); over > len(src)/500 {
		t.Errorf("%d bytes too many", over)
	}
	if got := w.f.Stats(); got != (Stats{}) {
		t.Errorf("pages where there are none: %+v", got)
	}
}

func TestIncompressiblePagesCostNextToNothing(t *testing.T) {
	for _, slots := range []int{0, MaxSlots} {
		var pieces []piece
		for i := range uint64(1000) {
			pieces = append(pieces, piece{size: 8}, piece{size: PageSize, page: true, key: i * PageSize})
		}
		w := newWire(t, &fakeScanner{pieces: pieces}, slots)
		src := randomBytes(1000*(PageSize+8), 2)
		w.all(src)
		if over := w.sent - len(src); over > len(src)/500 {
			t.Errorf("with %d slots: %d bytes too many, of %d", slots, over, len(src))
		}
	}
}

func TestEachKindOfPage(t *testing.T) {
	a, b, zero := randomBytes(PageSize, 3), randomBytes(PageSize, 4), make([]byte, PageSize)
	a2 := bytes.Clone(a)
	a2[100]++
	a2[4095]++
	a3 := bytes.Clone(a2)
	a3[2000]++
	for _, tc := range []struct {
		name  string
		slots int
		keys  []uint64
		pages [][]byte
		most  int // bytes of blocks, but for the header
		want  Stats
	}{
		{"zeros", 4, []uint64{1, 2, 3}, [][]byte{zero, zero, zero}, 1, Stats{Pages: 3, Zero: 3}},
		{"new", 4, []uint64{1, 2}, [][]byte{a, b}, 2*PageSize + 2, Stats{Pages: 2}},
		{"the same again", 4, []uint64{1, 1}, [][]byte{a, a}, PageSize + 3, Stats{Pages: 2, Repeat: 1}},
		{"the same of another key", 4, []uint64{1, 2}, [][]byte{a, a}, PageSize + 3, Stats{Pages: 2, Repeat: 1}},
		{"a difference", 4, []uint64{1, 1}, [][]byte{a, a2}, PageSize + 12, Stats{Pages: 2, Delta: 1}},
		{"a difference to a difference", 4, []uint64{1, 1, 1}, [][]byte{a, a2, a3}, PageSize + 20, Stats{Pages: 3, Delta: 2}},
		{"back to what it was", 4, []uint64{1, 1, 1}, [][]byte{a, a2, a}, PageSize + 24, Stats{Pages: 3, Delta: 2}},
		{"all different", 4, []uint64{1, 1, 1}, [][]byte{a, b, b}, 2*PageSize + 8, Stats{Pages: 3, Repeat: 1}},
		{"zeros between", 4, []uint64{1, 1, 1}, [][]byte{a, zero, a2}, PageSize + 16, Stats{Pages: 3, Zero: 1, Delta: 1}},
		{"no slots", 0, []uint64{1, 1}, [][]byte{a, a}, 2*PageSize + 2, Stats{Pages: 2}},
		{"one slot, taken over by what comes again", 1, []uint64{1, 2, 2, 2}, [][]byte{a, b, b, b}, 3*PageSize + 6, Stats{Pages: 4, Repeat: 1}},
		{"a slot of another key", 1, []uint64{1, 2, 2, 2, 1}, [][]byte{b, a, a, a2, a2}, 3*PageSize + 20, Stats{Pages: 5, Delta: 1, Repeat: 1}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var pieces []piece
			for _, k := range tc.keys {
				pieces = append(pieces, piece{PageSize, true, k})
			}
			w := newWire(t, &fakeScanner{pieces: pieces}, tc.slots)
			w.all(bytes.Join(tc.pages, nil))
			if got := w.f.Stats(); got != tc.want {
				t.Errorf("got %+v, want %+v", got, tc.want)
			}
			if got := w.sent - headerSize; got > tc.most {
				t.Errorf("%d bytes, want at most %d", got, tc.most)
			}
		})
	}
}

// The hash is not one that nobody can find two pages for.
func TestPagesAreComparedNotOnlyTheirHashes(t *testing.T) {
	a, b := randomBytes(PageSize, 3), randomBytes(PageSize, 4)
	for _, key := range []uint64{1, 2} {
		w := newWire(t, &fakeScanner{pieces: []piece{{PageSize, true, 1}, {PageSize, true, key}}}, 4)
		w.all(a)
		w.f.cache.put(0, 1, xxhash.Sum64(b), (*[PageSize]byte)(a), 1, never) // as if it were that of a
		w.all(b)
		if got, want := w.f.Stats(), (Stats{Pages: 2}); got != want {
			t.Errorf("key %d: got %+v, want %+v", key, got, want)
		}
	}
}

func TestSamePagesInOtherBlocksAndPassedBlocksBetween(t *testing.T) {
	const pages = 600
	w := newWire(t, &everyPage{last: pages}, pages)
	src := randomBytes(pages*PageSize, 5)
	w.all(src)
	w.f.scan.(*everyPage).key = 0
	w.f.Pass(src[:300*PageSize]) // the receiver's other path
	first := w.sent
	w.all(src[300*PageSize:])
	if got := w.sent - first; got > 2*headerSize+2*300 {
		t.Errorf("%d bytes for pages that are there", got)
	}
	if got, want := w.f.Stats(), (Stats{Pages: 900, Repeat: 300}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestAPageThatIsNotThereYetIsLeft(t *testing.T) {
	w := newWire(t, &everyPage{}, 4)
	src := randomBytes(2*PageSize, 6)
	if n := w.fold(src[:PageSize+100], false); n != PageSize {
		t.Fatalf("%d bytes taken", n)
	}
	if n := w.fold(src[PageSize:PageSize+100], false); n != 0 {
		t.Fatalf("%d bytes taken of a page's beginning", n)
	}
	if n := w.fold(src[PageSize:], false); n != PageSize {
		t.Fatalf("%d bytes taken of a page", n)
	}
	if n := w.fold(src[:100], true); n != 100 {
		t.Fatalf("%d bytes taken of the last", n)
	}
}

// stubborn wants more, always.
type stubborn struct{ passed int }

func (s *stubborn) Next([]byte) (int, uint64, bool) { return 0, 0, false }
func (s *stubborn) Pass(b []byte)                   { s.passed += len(b) }

func TestAScannerThatNeverHasEnoughHoldsNothingUp(t *testing.T) {
	s := &stubborn{}
	w := newWire(t, s, 4)
	src := randomBytes(MaxRaw, 7)
	for rest := src; len(rest) >= tail; {
		n := w.fold(rest, false)
		if n == 0 {
			t.Fatalf("%d bytes are left", len(rest))
		}
		rest = rest[n:]
	}
	if s.passed < MaxRaw-tail {
		t.Errorf("the scanner was told of %d bytes", s.passed)
	}
}

// wrong finds pieces that are not there.
type wrong struct {
	n    int
	page bool
}

func (s wrong) Next([]byte) (int, uint64, bool) { return s.n, 0, s.page }
func (s wrong) Pass([]byte)                     {}

func TestAWrongScannerChangesNoByte(t *testing.T) {
	for _, s := range []wrong{{-1, false}, {-1, true}, {MaxRaw * 2, false}, {MaxRaw * 2, true}, {17, true}, {PageSize, true}} {
		w := newWire(t, s, 4)
		w.all(randomBytes(300<<10+13, 8))
	}
}

func TestSmallRoom(t *testing.T) {
	for room := 0; room < 3*PageSize; room += 61 {
		w := newWire(t, &everyPage{}, 4)
		w.dst = make([]byte, 0, room)
		n := w.fold(randomBytes(2*PageSize+100, 9), true)
		if room >= 2*PageSize && n < PageSize {
			t.Fatalf("%d bytes taken with room for %d", n, room)
		}
		w.f.Close()
		w.u.Close()
	}
}

func TestBlocksAreAppended(t *testing.T) {
	f, u := NewFolder(&everyPage{}, NewBudget(4)), NewUnfolder(NewBudget(4))
	defer f.Close()
	defer u.Close()
	src := randomBytes(2*PageSize, 10)
	block, n := f.Fold(append(make([]byte, 0, 64<<10), "head"...), src, true)
	if n != len(src) || string(block[:4]) != "head" {
		t.Fatalf("%d bytes, after %q", n, block[:4])
	}
	out, err := u.Unfold(append(make([]byte, 0, len(src)+5), "begin"...), block[4:])
	if err != nil || string(out) != "begin"+string(src) {
		t.Fatalf("%d bytes, %v", len(out), err)
	}
}

func TestWhatHasNoRoomIsRefused(t *testing.T) {
	f, u := NewFolder(&everyPage{}, NewBudget(0)), NewUnfolder(NewBudget(0))
	block, _ := f.Fold(make([]byte, 0, 64<<10), randomBytes(2*PageSize, 11), true)
	if out, err := u.Unfold(make([]byte, 3, 2*PageSize+2), block); !errors.Is(err, ErrBlock) || len(out) != 3 {
		t.Errorf("%d bytes, %v", len(out), err)
	}
}

func TestFoldingAllocatesNothing(t *testing.T) {
	const pages = 256
	w := newWire(t, &everyPage{last: pages}, 200)
	src := randomBytes(pages*PageSize, 12)
	round := func() {
		src[700]++
		for rest := src; len(rest) > 0; {
			block, n := w.f.Fold(w.dst, rest, true)
			if _, err := w.u.Unfold(w.out, block); err != nil {
				t.Fatal(err)
			}
			rest = rest[n:]
		}
	}
	for range 3 {
		round()
	}
	if n := testing.AllocsPerRun(20, round); n > 0 {
		t.Errorf("%v allocations a round", n)
	}
}
