package fold

import (
	"bytes"
	"errors"
	"testing"
)

func FuzzUnfold(f *testing.F) {
	page, text := randomBytes(PageSize, 1), []byte("some text")
	two := append(append([]byte(nil), page...), page...)
	changed := append([]byte(nil), two...)
	copy(changed[PageSize+4091:], "12345")
	f.Add(block(text, nil, nil, text, op(opLiteral, 9)), []byte{})
	f.Add(block(two, page, nil, nil, op(opStore, 0), op(opRepeat, zigzag(-1))), block(page, nil, nil, nil, op(opRepeat, 0)))
	f.Add(block(changed, page, []byte("12345"), nil, op(opStore, 0), op(opDelta, zigzag(-1)), 5, 4091, 0), block(two, two, nil, nil, op(opPages, 2)))
	f.Add(block(make([]byte, 3*PageSize), nil, nil, nil, op(opZero, 3)), block(two, two, nil, nil, op(opStore, 0), op(opStore, 0)))
	space := make([]byte, MaxRaw+1)
	f.Fuzz(func(t *testing.T, a, b []byte) {
		const slots = 3
		budget := NewBudget(slots)
		u := NewUnfolder(budget)
		defer u.Close()
		for _, block := range [][]byte{a, b} {
			space[MaxRaw] = 77
			out, err := u.Unfold(space[:0:MaxRaw], block)
			if err == nil && (len(out) == 0 || &out[0] != &space[0]) || err != nil && (len(out) > 0 || !errors.Is(err, ErrBlock)) {
				t.Errorf("%d bytes, %v", len(out), err)
			}
			if space[MaxRaw] != 77 {
				t.Error("written beyond the room")
			}
			if n := u.slots.count + int(budget.left.Load()); n != slots || len(u.slots.chunks) > 1 {
				t.Errorf("%d slots, %d left", u.slots.count, budget.left.Load())
			}
		}
	})
}

// program reads what a fuzzer wants, zeros after its end.
type program []byte

func (p *program) next() int {
	if len(*p) == 0 {
		return 0
	}
	v := (*p)[0]
	*p = (*p)[1:]
	return int(v)
}

// stream makes pieces and their bytes: pages of few keys, with content that is
// zero, new, old or a little changed, between headers of any length.
func (p *program) stream() (src []byte, pieces []piece) {
	var pages [8][PageSize]byte
	for len(*p) > 0 && len(src) < MaxRaw {
		what, n := p.next(), p.next()
		key := n % len(pages)
		page := &pages[key]
		switch what % 8 {
		case 0:
			pieces, src = append(pieces, piece{size: n + 1}), append(src, randomBytes(n+1, uint64(n))...)
			continue
		case 1:
			clear(page[:])
		case 2:
			copy(page[:], randomBytes(PageSize, uint64(n)))
		case 3: // the content of another one
			*page = pages[n/8%len(pages)]
		case 4: // one byte
			page[p.next()<<4|n&15]++
		case 5: // some bytes, here and there
			for i := p.next(); i < PageSize; i += n + 1 {
				page[i] ^= 0x55
			}
		case 6: // a stretch
			at := p.next() << 4
			copy(page[at:], randomBytes(n<<3, uint64(what)))
		}
		pieces, src = append(pieces, piece{PageSize, true, uint64(key)}), append(src, page[:]...)
	}
	return src, pieces
}

func FuzzFoldRoundTrip(f *testing.F) {
	f.Add([]byte{0, 7, 2, 1, 0, 7, 4, 1, 9, 0, 7, 4, 1, 200, 1, 1, 3, 8, 6, 2, 17, 5, 2, 3}, []byte{}, uint8(2))
	f.Add([]byte{2, 1, 2, 2, 2, 3, 2, 4, 4, 1, 1, 4, 2, 1, 4, 3, 1, 2, 4, 4, 4, 3, 4, 4, 5}, []byte{0, 255, 1, 20, 2, 3, 255}, uint8(1))
	f.Add([]byte{0, 255, 0, 255, 2, 1, 5, 1, 77, 7, 1, 7, 1, 7, 1}, []byte{1, 1, 1, 2, 1, 1}, uint8(0))
	dst, out := make([]byte, 0, blockRoom), make([]byte, 0, MaxRaw)
	f.Fuzz(func(t *testing.T, p, how []byte, slots uint8) {
		src, pieces := (*program)(&p).stream()
		w := &wire{t: t, f: NewFolder(&fakeScanner{pieces: pieces}, NewBudget(int(slots%16))),
			u: NewUnfolder(NewBudget(int(slots % 16))), out: out}
		defer w.f.Close()
		defer w.u.Close()
		steps := program(how)
		given := 0 // bytes of src that the folder was shown
		for len(src) > 0 {
			step := steps.next()
			given = min(max(given, 1+steps.next()*(step>>3)), len(src))
			switch {
			case step%4 == 1:
				w.f.Pass(src[:given])
				src, given = src[given:], 0
			default:
				w.dst = dst[: 0 : minRoom+(step>>4)*(PageSize+3)]
				last := step%4 == 2 || len(steps) == 0
				if last && len(steps) == 0 {
					given = len(src)
				}
				n := w.fold(src[:given], last)
				if n == 0 && (last || given >= tail) {
					t.Fatalf("nothing taken of %d bytes, last %t", given, last)
				}
				src, given = src[n:], given-n
			}
		}
	})
}

func FuzzDelta(f *testing.F) {
	f.Add([]byte("abcdefgh"), []byte("abcdefgi"), 1)
	f.Add([]byte{0, 1}, []byte{1, 0}, 9)
	f.Fuzz(func(t *testing.T, a, b []byte, step int) {
		var old, page, got [PageSize]byte
		step = max(step%PageSize, 1)
		for i := 0; i < PageSize; i += step {
			copy(old[i:], a)
			copy(page[i:], b)
		}
		const before = 3
		ops, data, ok := appendDelta(make([]byte, before), make([]byte, before), &old, &page)
		if !ok {
			return
		}
		if n := len(ops) + len(data) - 2*before; n > maxDelta {
			t.Fatalf("%d bytes", n)
		}
		r := reader{raw: PageSize, ops: ops[before:], deltas: data[before:]}
		u := NewUnfolder(NewBudget(1))
		defer u.Close()
		if err := u.slots.add(); err != nil {
			t.Fatal(err)
		}
		*u.slots.page(0) = old
		if err := u.delta(&r, 0, &got); err != nil || got != page || len(r.ops)+len(r.deltas) > 0 {
			t.Fatalf("%v, %d and %d bytes left", err, len(r.ops), len(r.deltas))
		}
		if !bytes.Equal(u.slots.page(0)[:], page[:]) {
			t.Fatal("the slot has another page")
		}
	})
}
