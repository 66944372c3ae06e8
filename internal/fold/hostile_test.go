package fold

import (
	"encoding/binary"
	"errors"
	"testing"

	"github.com/cespare/xxhash/v2"
)

// block makes a block of columns, with the checksum of raw.
func block(raw []byte, pages, deltas, literals []byte, ops ...uint64) []byte {
	var o []byte
	for _, v := range ops {
		o = binary.AppendUvarint(o, v)
	}
	b := make([]byte, headerSize)
	b[0] = version
	binary.BigEndian.PutUint32(b[atRaw:], uint32(len(raw)))
	binary.BigEndian.PutUint64(b[atSum:], xxhash.Sum64(raw))
	binary.BigEndian.PutUint32(b[atOps:], uint32(len(o)))
	binary.BigEndian.PutUint32(b[atLiterals:], uint32(len(literals)))
	binary.BigEndian.PutUint32(b[atDeltas:], uint32(len(deltas)))
	for _, c := range [][]byte{pages, deltas, literals, o} {
		b = append(b, c...)
	}
	return b
}

func op(kind, arg uint64) uint64 { return arg<<kindBits | kind }

// set is b with a field of its header changed.
func set(b []byte, at int, v uint32) []byte {
	binary.BigEndian.PutUint32(b[at:], v)
	return b
}

func TestBadBlocksAreRefused(t *testing.T) {
	page := randomBytes(PageSize, 1)
	two := append(append([]byte(nil), page...), page...)
	text := []byte("some text")
	store, repeat, delta := op(opStore, 0), op(opRepeat, zigzag(-1)), op(opDelta, zigzag(-1))
	good := func() []byte { return block(text, nil, nil, text, op(opLiteral, 9)) }
	for name, b := range map[string][]byte{
		"nothing":                         nil,
		"half a header":                   good()[:headerSize-1],
		"another version":                 set(good(), atVersion, 2<<24),
		"reserved bits":                   set(good(), atVersion, version<<24|1),
		"for nothing":                     set(good(), atRaw, 0),
		"for too much":                    set(good(), atRaw, MaxRaw+1),
		"for more than it makes":          set(good(), atRaw, 10),
		"for less than it makes":          set(good(), atRaw, 8),
		"another checksum":                set(good(), atSum, 7),
		"operations beyond the end":       set(good(), atOps, 1<<31),
		"literals beyond the end":         set(good(), atLiterals, 11),
		"differences beyond the end":      set(good(), atDeltas, 0xffffffff),
		"differences instead of literals": set(set(good(), atDeltas, 9), atLiterals, 0),
		"a byte too many":                 block(text, []byte{0}, nil, text, op(opLiteral, 9)),
		"a literal too many":              block(text, nil, nil, append(text, '!'), op(opLiteral, 9)),
		"a difference too many":           block(text, nil, []byte{1}, text, op(opLiteral, 9)),
		"half a varint":                   block(text, nil, nil, text, op(opLiteral, 9))[:headerSize+9],
		"unknown operation 6":             block(page, page, nil, nil, op(6, 1)),
		"unknown operation 7":             block(page, page, nil, nil, op(7, 1)),
		"too many zeros":                  block(make([]byte, PageSize), nil, nil, nil, op(opZero, 2)),
		"very many zeros":                 block(make([]byte, PageSize), nil, nil, nil, op(opZero, 1<<60-1)),
		"very many pages":                 block(page, page, nil, nil, op(opPages, 1<<52)),
		"pages that are not there":        block(two, page, nil, nil, op(opPages, 2)),
		"half a page":                     block(page, page[:2048], nil, nil, op(opPages, 1)),
		"half a page to store":            block(page, page[:2048], nil, nil, store),
		"literals that are not there":     block(page, nil, nil, page[:10], op(opLiteral, PageSize)),
		"very many literals":              block(text, nil, nil, text, op(opLiteral, 1<<60)),
		"an empty slot":                   block(page, nil, nil, nil, op(opRepeat, 0)),
		"a slot below the first":          block(two, page, nil, nil, store, op(opRepeat, zigzag(-2))),
		"a slot far below":                block(page, nil, nil, nil, op(opRepeat, 1<<60-1)),
		"a slot far above":                block(page, page, nil, nil, op(opStore, 1<<60-2)),
		"a slot left out":                 block(page, page, nil, nil, op(opStore, zigzag(1))),
		"more slots than the budget":      block(append(two, page...), append(two, page...), nil, nil, store, store, store),
		"a difference to nothing":         block(page, nil, nil, nil, op(opDelta, 0), 0),
		"differences without end":         block(two, page, nil, nil, store, delta),
		"a difference beyond the page":    block(two, page, page[:5], nil, store, delta, 5, PageSize-4, 0),
		"a difference far beyond":         block(two, page, page[:5], nil, store, delta, 5, 1<<63, 0),
		"a difference far too long":       block(two, page, page[:5], nil, store, delta, 1<<63, 5, 0),
		"the second one beyond":           block(two, page, page[:8], nil, store, delta, 4, 4090, 4, 0, 0),
		"differences that are not there":  block(two, page, page[:4], nil, store, delta, 5, 0, 0),
		"no operations":                   block(text, nil, nil, text),
		"more after the end":              block(two, page, nil, nil, store, repeat, repeat),
	} {
		t.Run(name, func(t *testing.T) {
			u := NewUnfolder(NewBudget(2))
			defer u.Close()
			if out, err := u.Unfold(make([]byte, 0, MaxRaw), b); !errors.Is(err, ErrBlock) || len(out) > 0 {
				t.Errorf("%d bytes, %v", len(out), err)
			} else {
				t.Log(err)
			}
			if u.slots.count > 2 || len(u.slots.chunks) > 1 {
				t.Errorf("%d slots in %d pieces", u.slots.count, len(u.slots.chunks))
			}
		})
	}
}

// So that the test above does not refuse for another reason than it says.
func TestGoodBlocksOfThatKindAreTaken(t *testing.T) {
	page, text := randomBytes(PageSize, 1), []byte("some text")
	two := append(append([]byte(nil), page...), page...)
	changed := append([]byte(nil), two...)
	copy(changed[PageSize+4091:], "12345")
	for name, tc := range map[string]struct{ raw, block []byte }{
		"literals": {text, block(text, nil, nil, text, op(opLiteral, 9))},
		"pages":    {two, block(two, two, nil, nil, op(opPages, 2))},
		"repeated": {two, block(two, page, nil, nil, op(opStore, 0), op(opRepeat, zigzag(-1)))},
		"stored":   {two, block(two, two, nil, nil, op(opStore, 0), op(opStore, 0))},
		"over":     {two, block(two, two, nil, nil, op(opStore, 0), op(opStore, zigzag(-1)))},
		"changed":  {changed, block(changed, page, []byte("12345"), nil, op(opStore, 0), op(opDelta, zigzag(-1)), 5, 4091, 0)},
		"zeros":    {make([]byte, MaxRaw), block(make([]byte, MaxRaw), nil, nil, nil, op(opZero, MaxRaw/PageSize))},
	} {
		t.Run(name, func(t *testing.T) {
			u := NewUnfolder(NewBudget(2))
			defer u.Close()
			if out, err := u.Unfold(make([]byte, 0, MaxRaw), tc.block); err != nil || string(out) != string(tc.raw) {
				t.Errorf("%d bytes, %v", len(out), err)
			}
		})
	}
}

func TestNoByteOfABlockCanBeChangedUnseen(t *testing.T) {
	page := randomBytes(PageSize, 1)
	raw := append(append(append([]byte(nil), page...), page...), "some text"...)
	raw[PageSize+7] ^= 1
	b := block(raw, page, raw[PageSize+7:PageSize+8], []byte("some text"),
		op(opStore, 0), op(opDelta, zigzag(-1)), 1, 7, 0, op(opLiteral, 9))
	u := NewUnfolder(NewBudget(2))
	defer u.Close()
	space := make([]byte, 0, MaxRaw)
	for i := range b {
		for bit := range 8 {
			b[i] ^= 1 << bit
			// Another slot makes the same bytes.
			if out, err := u.Unfold(space, b); !errors.Is(err, ErrBlock) && string(out) != string(raw) {
				t.Errorf("byte %d, bit %d: %d bytes, %v", i, bit, len(out), err)
			}
			b[i] ^= 1 << bit
		}
	}
}
