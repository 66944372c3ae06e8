package stream

import (
	"errors"
	"sync"

	"github.com/klauspost/compress/zstd"

	"drover/internal/tune"
)

// zstdWindow is the window of encoder and decoder: a whole block, no more.
const zstdWindow = frameSize

// levels are those of the modes that use Zstandard.
var levels = [...]zstd.EncoderLevel{zstd.SpeedFastest, zstd.SpeedDefault, zstd.SpeedBetterCompression}

func levelOf(m tune.Mode) int { return int(m - tune.FoldFast) }

// Encoders and decoders keep from some 100 KiB to some MiB of tables each, and
// start no goroutines.
var (
	zstdEncoders [len(levels)]sync.Pool
	zstdDecoders = sync.Pool{New: func() any {
		d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(zstdWindow),
			zstd.WithDecoderMaxMemory(MaxData), zstd.WithDecodeAllCapLimit(true))
		if err != nil {
			return err
		}
		return d
	}}
)

func newZstdEncoder(l zstd.EncoderLevel) (*zstd.Encoder, error) {
	return zstd.NewWriter(nil, zstd.WithEncoderLevel(l), zstd.WithEncoderConcurrency(1),
		zstd.WithWindowSize(zstdWindow), zstd.WithEncoderCRC(false), zstd.WithSingleSegment(true))
}

func zstdEncode(level int, dst, block []byte) ([]byte, error) {
	e, ok := zstdEncoders[level].Get().(*zstd.Encoder)
	if !ok {
		var err error
		if e, err = newZstdEncoder(levels[level]); err != nil {
			return nil, err
		}
	}
	defer zstdEncoders[level].Put(e)
	return e.EncodeAll(block, dst), nil
}

// zstdDecode appends to dst within its capacity, whatever the block says of its
// size. The library counts after each of Zstandard's own blocks, of 128 KiB at
// most, so it may have taken room for one more by the time it refuses; dst is given
// back without it then.
func zstdDecode(dst, coded []byte) ([]byte, error) {
	switch d := zstdDecoders.Get().(type) {
	case *zstd.Decoder:
		defer zstdDecoders.Put(d)
		if cap(dst)-len(dst) > MaxData {
			dst = dst[: len(dst) : len(dst)+MaxData]
		}
		b, err := d.DecodeAll(coded, dst)
		if err != nil {
			return dst, err
		}
		return b, nil
	case error:
		return nil, d
	}
	return nil, errors.ErrUnsupported
}
