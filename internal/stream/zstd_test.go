package stream

import (
	"bytes"
	"encoding/binary"
	"io"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"drover/internal/fault"
)

// guestLike is a block that compresses about as guests' memory does.
func guestLike(n int) []byte {
	b := make([]byte, n)
	for i := 0; i+8 <= n; i += 8 {
		binary.LittleEndian.PutUint64(b[i:], uint64(i*i)%1021)
	}
	return b
}

func random(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{5}).Read(b)
	return b
}

func TestCompressedBlocksArriveAsTheyWere(t *testing.T) {
	for name, block := range map[string][]byte{
		"one byte": {7}, "zeroes": make([]byte, MaxData), "memory": guestLike(MaxData), "odd": guestLike(4097), "random": random(MaxData),
	} {
		e, err := Compression.Encode(nil, block)
		if err != nil {
			t.Fatal(name, err)
		}
		got, err := Compression.Decode(make([]byte, 0, MaxData), e)
		if err != nil || !bytes.Equal(got, block) {
			t.Errorf("%s: %d bytes of %d, %v", name, len(got), len(block), err)
		}
	}
}

func TestMemoryIsCompressedAndWhatDoesNotShrinkIsNot(t *testing.T) {
	e := newEnv(t, Timing{})
	src, dst := e.pair(t, KindMemory, 0)
	if err := src.SetCodec(Compression); err != nil {
		t.Fatal(err)
	}
	want := append(append(guestLike(4*MaxData), random(2*MaxData)...), 1)
	go func() {
		if _, err := src.Write(want); err != nil {
			t.Error(err)
		}
		_ = src.CloseWrite()
	}()
	got, err := io.ReadAll(dst)
	if err != nil || !bytes.Equal(got, want) {
		t.Fatalf("%d of %d bytes, %v", len(got), len(want), err)
	}
	if c := src.Counters(); c.PayloadSent != uint64(len(want)) || c.WireSent < 2*MaxData || c.WireSent > 3*MaxData {
		t.Errorf("%+v: six blocks of which four shrink", c)
	}
	// The other direction answers in kind, because who codes can decode.
	if _, err := dst.Write(guestLike(MaxData)); err != nil {
		t.Fatal(err)
	}
	if c := dst.Counters(); c.WireSent > MaxData/2 {
		t.Errorf("the way back is not compressed: %+v", c)
	}
}

// bombs are blocks that want more memory than a block may have.
func bombs(t testing.TB) map[string][]byte {
	t.Helper()
	big, err := zstd.NewWriter(nil, zstd.WithSingleSegment(true))
	if err != nil {
		t.Fatal(err)
	}
	huge := big.EncodeAll(make([]byte, 64<<20), nil)
	if len(huge) > MaxData {
		t.Fatalf("%d bytes", len(huge))
	}
	two, _ := Compression.Encode(nil, make([]byte, MaxData/2+1))
	return map[string][]byte{
		"64 MiB of zeroes": huge,
		"two frames":       append(append([]byte(nil), two...), two...),
		"4 GiB are said":   {0x28, 0xb5, 0x2f, 0xfd, 0xa0, 0xff, 0xff, 0xff, 0xff, 0x01, 0, 0},
		"a large window":   {0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xb8, 0x01, 0, 0},
		"an empty frame":   {0x28, 0xb5, 0x2f, 0xfd, 0x20, 0x00, 0x01, 0, 0},
		"noise":            random(100),
	}
}

func TestHostileBlocksEndTheStreamAndTakeNoMemory(t *testing.T) {
	for name, b := range bombs(t) {
		t.Run(name, func(t *testing.T) {
			dst := make([]byte, 0, MaxData)
			got, err := Compression.Decode(dst, b)
			if err == nil && len(got) > 0 || cap(got) > MaxData {
				t.Errorf("%d bytes, room for %d, %v", len(got), cap(got), err)
			}
			e := newEnv(t, Timing{Grace: 100 * time.Millisecond})
			conn, st := e.bare(t, KindMemory, 0)
			frame := make([]byte, headerSize+len(b))
			header{typ: frameData, flags: Compression.ID(), length: len(b)}.put(frame)
			copy(frame[headerSize:], b)
			if _, err := conn.Write(frame); err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadAll(st); !fault.Is(err, fault.ProtocolError) {
				t.Errorf("read: %v", err)
			}
		})
	}
}

func FuzzDecompress(f *testing.F) {
	for _, b := range bombs(f) {
		if len(b) < 1<<16 {
			f.Add(b)
		}
	}
	good, _ := Compression.Encode(nil, guestLike(5000))
	f.Add(good)
	f.Fuzz(func(t *testing.T, in []byte) {
		got, err := Compression.Decode(make([]byte, 0, MaxData), in)
		if cap(got) > MaxData {
			t.Fatalf("room for %d bytes", cap(got))
		}
		if err != nil || len(got) == 0 {
			return
		}
		again, err := Compression.Encode(nil, got)
		if err != nil {
			t.Fatal(err)
		}
		if back, err := Compression.Decode(make([]byte, 0, MaxData), again); err != nil || !bytes.Equal(back, got) {
			t.Fatalf("%d bytes became %d, %v", len(got), len(back), err)
		}
	})
}
