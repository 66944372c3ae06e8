package fold

import (
	"encoding/binary"
	"math/bits"
)

// A folded block is a header and four columns, each of one kind of bytes, so that
// what compresses it finds like beside like and pages on whole ones:
//
//	header | pages | differences | literals | operations
//
// The header has the lengths of the last three; the pages are the rest.
const (
	headerSize = 28
	version    = 1

	// The fields of the header, by where they begin. Big endian.
	atVersion  = 0 // u8, and three bytes of zero
	atRaw      = 4 // u32: how many bytes it stands for
	atSum      = 8 // u64: xxhash64 of them
	atOps      = 16
	atLiterals = 20
	atDeltas   = 24
)

// An operation is a varint: kind in the low three bits, above them a count or a
// slot. A slot is written as its distance to the one after the last that the
// block named, 0 at its beginning, as a signed number (zigzag): slots are mostly
// met in order, and take one byte then.
const (
	opLiteral = 0 // so many bytes of the literals
	opZero    = 1 // so many pages of zeros
	opPages   = 2 // so many of the pages
	opStore   = 3 // the next one of the pages, which the slot then has
	opRepeat  = 4 // the page that the slot has
	opDelta   = 5 // that with differences; the slot then has the result

	kindBits = 3
)

// maxOp is room for one operation, and for one that waits to be counted up.
const maxOp = 2 * binary.MaxVarintLen32

// minRoom is the least that Fold needs for a block: that of one page.
const minRoom = headerSize + PageSize + maxOp

func zigzag(n int) uint64 { return uint64(n<<1 ^ n>>(bits.UintSize-1)) }

func unzigzag(v uint64) int64 { return int64(v>>1) ^ -int64(v&1) }

// zeroPage is what pages are compared with.
var zeroPage [PageSize]byte
