package fold

import (
	"encoding/binary"

	"github.com/cespare/xxhash/v2"
)

// writer puts a block together. Pages go to their place at once, the other
// columns behind them when it is known how many there are.
type writer struct {
	dst                   []byte // the block to be, with all its room
	pages                 int    // bytes
	ops, literals, deltas []byte

	kind uint64 // of the operation that may be counted up
	run  uint64 // how far; 0 is none
	next int    // the slot after the last that was named
}

func (w *writer) begin(dst []byte) {
	*w = writer{dst: dst, ops: w.ops[:0], literals: w.literals[:0], deltas: w.deltas[:0]}
}

// room is how many more bytes there may be in the columns of data, after one more operation.
func (w *writer) room() int {
	return len(w.dst) - headerSize - w.pages - len(w.deltas) - len(w.literals) - len(w.ops) - maxOp
}

// finish makes the block, for raw, and tells how long it is.
func (w *writer) finish(raw []byte) int {
	w.flush()
	h := w.dst[:headerSize]
	binary.BigEndian.PutUint32(h[atVersion:], version<<24)
	binary.BigEndian.PutUint32(h[atRaw:], uint32(len(raw)))
	binary.BigEndian.PutUint64(h[atSum:], xxhash.Sum64(raw))
	binary.BigEndian.PutUint32(h[atOps:], uint32(len(w.ops)))
	binary.BigEndian.PutUint32(h[atLiterals:], uint32(len(w.literals)))
	binary.BigEndian.PutUint32(h[atDeltas:], uint32(len(w.deltas)))
	n := headerSize + w.pages
	n += copy(w.dst[n:], w.deltas)
	n += copy(w.dst[n:], w.literals)
	n += copy(w.dst[n:], w.ops)
	return n
}

func (w *writer) flush() {
	if w.run != 0 {
		w.op(w.kind, w.run)
		w.run = 0
	}
}

func (w *writer) op(kind, arg uint64) {
	w.ops = binary.AppendUvarint(w.ops, arg<<kindBits|kind)
}

// count adds n to what the last operation does, or begins one.
func (w *writer) count(kind uint64, n int) {
	if w.kind != kind {
		w.flush()
		w.kind = kind
	}
	w.run += uint64(n)
}

func (w *writer) slot(kind uint64, k int) {
	w.flush()
	w.op(kind, zigzag(k-w.next))
	w.next = k + 1
}

func (w *writer) literal(b []byte) {
	w.count(opLiteral, len(b))
	w.literals = append(w.literals, b...)
}

func (w *writer) zero() { w.count(opZero, 1) }

func (w *writer) page(p *[PageSize]byte) {
	w.count(opPages, 1)
	w.pages += copy(w.dst[headerSize+w.pages:], p[:])
}

func (w *writer) store(k int, p *[PageSize]byte) {
	w.slot(opStore, k)
	w.pages += copy(w.dst[headerSize+w.pages:], p[:])
}

func (w *writer) repeat(k int) { w.slot(opRepeat, k) }

// delta writes p as its differences to old, the content of slot k, unless that
// takes too much.
func (w *writer) delta(k int, old, p *[PageSize]byte) bool {
	w.flush()
	ops, deltas, next := len(w.ops), len(w.deltas), w.next
	w.slot(opDelta, k)
	var ok bool
	w.ops, w.deltas, ok = appendDelta(w.ops, w.deltas, old, p)
	if !ok {
		w.ops, w.deltas, w.next = w.ops[:ops], w.deltas[:deltas], next
	}
	return ok
}
