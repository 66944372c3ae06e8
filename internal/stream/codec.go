package stream

import (
	"errors"
	"fmt"
	"slices"

	"github.com/klauspost/compress"
	"github.com/klauspost/compress/s2"

	"drover/internal/tune"
)

// The flags of a DATA frame: the number of the codec that its payload was
// compressed with, and whether what comes out of that is a folded block. So the
// sender may change with every block.
const (
	codecNone uint8 = 0
	codecZstd uint8 = 1 // Zstandard frames (RFC 8878); one of ours
	codecS2   uint8 = 2 // one S2 block
	codecBits uint8 = 0x0f
	folded    uint8 = 0x10
)

var errDecoded = errors.New("a block of a size that is not allowed")

// pack appends to dst what the mode makes of block. The result is not longer
// than what coded has room for.
func pack(mode tune.Mode, dst, block []byte) ([]byte, uint8, error) {
	switch mode {
	case tune.S2, tune.FoldS2:
		room := dst[len(dst):cap(dst)]
		if s2.MaxEncodedLen(len(block)) > len(room) {
			return nil, 0, errDecoded
		}
		return dst[:len(dst)+len(s2.Encode(room, block))], codecS2, nil
	case tune.FoldFast, tune.FoldMore, tune.FoldMost:
		b, err := zstdEncode(levelOf(mode), dst, block)
		return b, codecZstd, err
	}
	return dst, codecNone, nil
}

// unpack appends the block that was compressed to dst, within its capacity and
// at most MaxData bytes, whatever the block says of its size.
func unpack(codec uint8, dst, coded []byte) ([]byte, error) {
	switch codec {
	case codecZstd:
		return zstdDecode(dst, coded)
	case codecS2:
		n, err := s2.DecodedLen(coded)
		if err != nil {
			return nil, err
		}
		room := dst[len(dst):cap(dst)]
		if n > min(len(room), MaxData) {
			return nil, errDecoded
		}
		b, err := s2.Decode(room[:n], coded)
		return dst[:len(dst)+len(b)], err
	}
	return nil, fmt.Errorf("unknown codec %d", codec)
}

// Codec compresses like a stream in some mode, but without folding, for those who
// want to know what a stream would make of such bytes.
type Codec tune.Mode

// Encode appends the coded form of block, at most MaxData bytes, to dst. A block
// that does not shrink may become longer than it was.
func (c Codec) Encode(dst, block []byte) ([]byte, error) {
	b, _, err := pack(tune.Mode(c), slices.Grow(dst, s2.MaxEncodedLen(len(block))), block)
	return b, err
}

// shrinks is what a block must lose for it to be worth decoding: one part in so
// many.
const shrinks = 32

// sampleSize is how much of a block is looked at before it is compressed, in
// samples pieces.
const sampleSize, samples = 4 << 10, 4

// hopeless tells whether a block looks as if no codec could make it smaller. It
// takes a small part of the time of compressing it, and may be wrong.
func hopeless(block []byte) bool {
	if len(block) < 4*sampleSize {
		return false
	}
	var room [sampleSize]byte
	const piece = sampleSize / samples
	step := len(block) / samples
	for i := range samples {
		copy(room[i*piece:(i+1)*piece], block[i*step:])
	}
	return compress.Estimate(room[:]) < 0.05
}
