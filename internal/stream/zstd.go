package stream

import (
	"errors"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// Compression is the performance option of that name: each block is a Zstandard
// frame of its own (RFC 8878), at the fastest level, so that a block can go as
// soon as it is there.
var Compression Codec = zstdCodec{}

// zstdWindow is the window of encoder and decoder: a whole block, no more.
const zstdWindow = frameSize

type zstdCodec struct{}

func (zstdCodec) Name() string { return "zstd" }
func (zstdCodec) ID() uint8    { return 1 }

// encoders and their counterparts keep some 100 KiB of tables each, and start no
// goroutines.
var (
	zstdEncoders = sync.Pool{New: func() any {
		e, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1),
			zstd.WithWindowSize(zstdWindow), zstd.WithEncoderCRC(false), zstd.WithSingleSegment(true))
		if err != nil {
			return err
		}
		return e
	}}
	zstdDecoders = sync.Pool{New: func() any {
		d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(zstdWindow),
			zstd.WithDecoderMaxMemory(MaxData), zstd.WithDecodeAllCapLimit(true))
		if err != nil {
			return err
		}
		return d
	}}
)

func (zstdCodec) Encode(dst, block []byte) ([]byte, error) {
	switch e := zstdEncoders.Get().(type) {
	case *zstd.Encoder:
		defer zstdEncoders.Put(e)
		return e.EncodeAll(block, dst), nil
	case error:
		return nil, e
	}
	return nil, errors.ErrUnsupported
}

// Decode never writes beyond dst's capacity, whatever the block says of its size.
func (zstdCodec) Decode(dst, coded []byte) ([]byte, error) {
	switch d := zstdDecoders.Get().(type) {
	case *zstd.Decoder:
		defer zstdDecoders.Put(d)
		if cap(dst)-len(dst) > MaxData {
			dst = dst[: len(dst) : len(dst)+MaxData]
		}
		return d.DecodeAll(coded, dst)
	case error:
		return nil, d
	}
	return nil, errors.ErrUnsupported
}
