package fold

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cespare/xxhash/v2"
)

// Unfolder is the receiver's side, for one stream. It trusts nothing in a block.
// It takes no memory but that of the slots, PageSize each and out of the Budget,
// in pieces of 1 MiB.
type Unfolder struct{ slots slots }

// NewUnfolder makes the unfolder of a stream; what it has to remember comes out
// of b.
func NewUnfolder(b *Budget) *Unfolder { return &Unfolder{slots{budget: b}} }

// Unfold appends what a block stands for to dst, at most MaxRaw bytes and only
// within its capacity. On an error dst has nothing more than before, and the
// stream cannot go on; it is ErrBlock, with what is wrong, for all that can be
// wrong with a block, and another one when this host has no memory left.
func (u *Unfolder) Unfold(dst, block []byte) ([]byte, error) {
	var r reader
	if err := r.begin(block); err != nil {
		return dst, err
	}
	if r.raw > cap(dst)-len(dst) {
		return dst, bad("of %d bytes, with room for %d", r.raw, cap(dst)-len(dst))
	}
	out := dst[len(dst) : len(dst)+r.raw]
	for len(r.ops) > 0 {
		if err := u.step(&r, out); err != nil {
			return dst, err
		}
	}
	if r.done != r.raw || len(r.pages)+len(r.deltas)+len(r.literals) > 0 {
		return dst, bad("%d of %d bytes made, %d not used", r.done, r.raw, len(r.pages)+len(r.deltas)+len(r.literals))
	}
	if xxhash.Sum64(out) != r.sum {
		return dst, bad("wrong checksum")
	}
	return dst[:len(dst)+r.raw], nil
}

// Close gives memory back, but no budget. Nothing may be unfolded after it; it may
// be called twice.
func (u *Unfolder) Close() { u.slots.free() }

func bad(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrBlock, fmt.Sprintf(format, args...))
}

// reader is where in a block an Unfolder is: what is left of each column.
type reader struct {
	raw, done                    int // bytes to be made, and made
	sum                          uint64
	pages, deltas, literals, ops []byte
	next                         int // the slot after the last that was named
}

func (r *reader) begin(block []byte) error {
	if len(block) < headerSize {
		return bad("of %d bytes", len(block))
	}
	if v := binary.BigEndian.Uint32(block[atVersion:]); v != version<<24 {
		return bad("version %#x", v)
	}
	raw := binary.BigEndian.Uint32(block[atRaw:])
	if raw == 0 || raw > MaxRaw {
		return bad("stands for %d bytes", raw)
	}
	r.raw, r.sum = int(raw), binary.BigEndian.Uint64(block[atSum:])
	body := block[headerSize:]
	for _, c := range []struct {
		at     int
		column *[]byte
	}{{atOps, &r.ops}, {atLiterals, &r.literals}, {atDeltas, &r.deltas}} {
		n := binary.BigEndian.Uint32(block[c.at:])
		if uint64(n) > uint64(len(body)) {
			return bad("columns longer than the block")
		}
		at := len(body) - int(n)
		body, *c.column = body[:at], body[at:]
	}
	r.pages = body
	return nil
}

// varint takes a number from the operations.
func (r *reader) varint() (uint64, error) {
	if len(r.ops) > 0 && r.ops[0] < 0x80 {
		v := r.ops[0]
		r.ops = r.ops[1:]
		return uint64(v), nil
	}
	v, n := binary.Uvarint(r.ops)
	if n <= 0 {
		return 0, bad("an operation ends early or is too long")
	}
	r.ops = r.ops[n:]
	return v, nil
}

// take takes n bytes from a column.
func take(column *[]byte, n uint64) ([]byte, error) {
	if n > uint64(len(*column)) {
		return nil, bad("a column ends early")
	}
	b := (*column)[:n]
	*column = (*column)[n:]
	return b, nil
}

// slot takes the slot that an operation names, which has to be below limit.
func (r *reader) slot(arg uint64, limit int) (int, error) {
	k := int64(r.next) + unzigzag(arg)
	if k < 0 || k >= int64(limit) {
		return 0, bad("slot %d of %d", k, limit)
	}
	r.next = int(k) + 1
	return int(k), nil
}

// step does one operation.
func (u *Unfolder) step(r *reader, out []byte) error {
	v, err := r.varint()
	if err != nil {
		return err
	}
	kind, arg := v&(1<<kindBits-1), v>>kindBits
	out = out[r.done:]
	if kind == opLiteral {
		b, err := take(&r.literals, arg)
		if err != nil {
			return err
		}
		if len(b) > len(out) {
			return bad("makes more bytes than it says")
		}
		r.done += copy(out, b)
		return nil
	}
	n := uint64(1) // pages
	if kind == opZero || kind == opPages {
		n = arg
	}
	if n > uint64(len(out)/PageSize) {
		return bad("makes more bytes than it says")
	}
	out = out[:n*PageSize]
	r.done += len(out)
	switch kind {
	case opZero:
		clear(out)
		return nil
	case opPages:
		b, err := take(&r.pages, n*PageSize)
		copy(out, b)
		return err
	case opStore:
		return u.store(r, arg, (*[PageSize]byte)(out))
	case opRepeat:
		k, err := r.slot(arg, u.slots.count)
		if err != nil {
			return err
		}
		copy(out, u.slots.page(k)[:])
		return nil
	case opDelta:
		return u.delta(r, arg, (*[PageSize]byte)(out))
	}
	return bad("operation %d", kind)
}

// store makes out of the next page, and remembers it.
func (u *Unfolder) store(r *reader, arg uint64, out *[PageSize]byte) error {
	b, err := take(&r.pages, PageSize)
	if err != nil {
		return err
	}
	k, err := r.slot(arg, u.slots.count+1)
	if err != nil {
		return err
	}
	if k == u.slots.count {
		if err := u.slots.add(); errors.Is(err, errBudget) {
			return bad("slot %d: %v", k, err)
		} else if err != nil {
			return err
		}
	}
	copy(out[:], b)
	copy(u.slots.page(k)[:], b)
	return nil
}

// delta makes out of a slot and the differences to it, and remembers it.
func (u *Unfolder) delta(r *reader, arg uint64, out *[PageSize]byte) error {
	k, err := r.slot(arg, u.slots.count)
	if err != nil {
		return err
	}
	page := u.slots.page(k)
	for at := uint64(0); ; {
		n, err := r.varint()
		if err != nil {
			return err
		}
		if n == 0 {
			break
		}
		skip, err := r.varint()
		if err != nil {
			return err
		}
		if skip > PageSize-at || n > PageSize-at-skip {
			return bad("a difference beyond the end of its page")
		}
		b, err := take(&r.deltas, n)
		if err != nil {
			return err
		}
		at += skip
		at += uint64(copy(page[at:], b))
	}
	copy(out[:], page[:])
	return nil
}
