package stream

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"syscall"
	"testing"
	"time"

	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"

	"drover/internal/fault"
	"drover/internal/fold"
	"drover/internal/tune"
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

// modes are all that there are.
var modes = []tune.Mode{tune.Carry, tune.S2, tune.FoldS2, tune.FoldFast, tune.FoldMore, tune.FoldMost}

func TestCompressedBlocksArriveAsTheyWere(t *testing.T) {
	for name, block := range map[string][]byte{
		"one byte": {7}, "zeroes": make([]byte, MaxData), "memory": guestLike(MaxData), "odd": guestLike(4097), "random": random(MaxData),
	} {
		for _, mode := range modes[1:] {
			var room coded
			b, codec, err := pack(mode, room[headerSize:headerSize], block)
			if err != nil {
				t.Fatal(name, mode, err)
			}
			if &b[:1][0] != &room[headerSize] {
				t.Errorf("%s, %s: does not lie where it was to lie", name, mode)
			}
			got, err := unpack(codec, make([]byte, 0, MaxData), b)
			if err != nil || !bytes.Equal(got, block) {
				t.Errorf("%s, %s: %d bytes of %d, %v", name, mode, len(got), len(block), err)
			}
		}
	}
}

func TestWhatLooksHopelessIs(t *testing.T) {
	text := bytes.Repeat([]byte("how a stream is told to code, and how much it may take for that. "), MaxData/60)[:MaxData]
	half := append(random(MaxData/2), text[:MaxData/2]...)
	for name, tc := range map[string]struct {
		block []byte
		want  bool
	}{
		"random": {random(MaxData), true}, "little": {random(1000), false}, "text": {text, false}, "memory": {guestLike(MaxData), false},
		"zeroes": {make([]byte, MaxData), false}, "half of it": {half, false},
	} {
		if got := hopeless(tc.block); got != tc.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// bomb is a block that wants more memory than a block may have.
type bomb struct {
	flags byte
	block []byte
}

// zstdBlock is the most that one block of a Zstandard frame holds (RFC 8878,
// 3.1.1.2.4).
const zstdBlock = 128 << 10

// zeroes is a Zstandard frame of n such blocks of zeroes that does not say how much
// it holds.
func zeroes(n int) []byte {
	frame := []byte{0x28, 0xb5, 0x2f, 0xfd, 0x00, 7 << 3}
	for i := range n {
		header := zstdBlock<<3 | 1<<1
		if i == n-1 {
			header |= 1
		}
		frame = append(frame, byte(header), byte(header>>8), byte(header>>16), 0)
	}
	return frame
}

func bombs(t testing.TB) map[string]bomb {
	t.Helper()
	big, err := zstd.NewWriter(nil, zstd.WithSingleSegment(true))
	if err != nil {
		t.Fatal(err)
	}
	huge := big.EncodeAll(make([]byte, 64<<20), nil)
	if len(huge) > MaxData {
		t.Fatalf("%d bytes", len(huge))
	}
	two, _ := Codec(tune.FoldFast).Encode(nil, make([]byte, MaxData/2+1))
	folded, _ := Codec(tune.FoldFast).Encode(nil, random(100))
	return map[string]bomb{
		"64 MiB of zeroes":       {1, huge},
		"two frames":             {1, append(append([]byte(nil), two...), two...)},
		"4 GiB are said":         {1, []byte{0x28, 0xb5, 0x2f, 0xfd, 0xa0, 0xff, 0xff, 0xff, 0xff, 0x01, 0, 0}},
		"a large window":         {1, []byte{0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xb8, 0x01, 0, 0}},
		"no size is said":        {1, zeroes(MaxData/zstdBlock + 1)},
		"an empty frame":         {1, []byte{0x28, 0xb5, 0x2f, 0xfd, 0x20, 0x00, 0x01, 0, 0}},
		"noise":                  {1, random(100)},
		"2 MiB of zeroes, s2":    {2, s2.Encode(nil, make([]byte, 2<<20))},
		"a byte too many, s2":    {2, s2.Encode(nil, make([]byte, MaxData+1))},
		"4 GiB are said, s2":     {2, []byte{0xff, 0xff, 0xff, 0xff, 0x0f, 0, 0}},
		"an empty block, s2":     {2, []byte{0}},
		"noise, s2":              {2, random(100)},
		"noise, folded":          {0x10, random(100)},
		"noise, folded and zstd": {0x11, folded},
		"noise, folded and s2":   {0x12, s2.Encode(nil, random(100))},
	}
}

func TestHostileBlocksEndTheStreamAndTakeNoMemory(t *testing.T) {
	for name, b := range bombs(t) {
		for _, kind := range []Kind{KindMemory, KindDisk} {
			t.Run(fmt.Sprint(name, " ", kind), func(t *testing.T) {
				if b.flags < folded {
					got, err := unpack(b.flags, make([]byte, 0, MaxData), b.block)
					if err == nil && len(got) > 0 || cap(got) > MaxData {
						t.Errorf("%d bytes, room for %d, %v", len(got), cap(got), err)
					}
				}
				if err := refusal(t, kind, b); !fault.Is(err, fault.ProtocolError) {
					t.Errorf("read: %v", err)
				}
			})
		}
	}
}

// refusal is what the receiver of a block on a stream of some kind says.
func refusal(t *testing.T, kind Kind, b bomb) error {
	t.Helper()
	e := newEnv(t, Timing{Grace: 100 * time.Millisecond})
	conn, st := e.bare(t, kind, 0)
	frame := make([]byte, headerSize+len(b.block))
	header{typ: frameData, flags: b.flags, length: len(b.block)}.put(frame)
	copy(frame[headerSize:], b.block)
	if _, err := conn.Write(frame); err != nil {
		t.Fatal(err)
	}
	_, err := io.ReadAll(st)
	return err
}

// starved is an unfolder on a host without memory.
type starved struct{}

func (starved) Unfold(dst, _ []byte) ([]byte, error) {
	return dst, fmt.Errorf("memory for pages to be remembered: %w", syscall.ENOMEM)
}

func (starved) Close() {}

func TestHostWithoutMemoryDoesNotBlameThePeer(t *testing.T) {
	e := newEnv(t, Timing{Grace: 100 * time.Millisecond})
	src, dst := e.pair(t, KindMemory, 0)
	dst.unfolder = starved{}
	frame := make([]byte, headerSize+100)
	header{typ: frameData, flags: folded, length: 100}.put(frame)
	if err := src.link.write(frame); err != nil {
		t.Fatal(err)
	}
	_, err := dst.Read(make([]byte, 1))
	if f := fault.From(err); !errors.Is(err, syscall.ENOMEM) || f.Code != fault.Internal || f.Host != "HV02" {
		t.Errorf("destination: %v (%s at %s)", err, f.Code, f.Host)
	}
	_, err = src.Read(make([]byte, 1))
	if f := fault.From(err); f.Code != fault.Internal || f.Host != "HV02" {
		t.Errorf("source: %v (%s at %s)", err, f.Code, f.Host)
	}
}

func TestProbesAreNotCoded(t *testing.T) {
	good, _ := Codec(tune.FoldFast).Encode(nil, guestLike(5000))
	for _, flags := range []byte{1, 2, 0x10, 0x11} {
		if err := refusal(t, KindProbe, bomb{flags, good}); !fault.Is(err, fault.ProtocolError) {
			t.Errorf("flags %#x: %v", flags, err)
		}
	}
	e := newEnv(t, Timing{})
	src, _ := e.pair(t, KindProbe, 0)
	if err := src.SetCoding(Coding{}); err == nil {
		t.Error("a probe took a coding")
	}
}

// Who opened a stream codes, and takes nothing that is coded.
func TestNothingCodedComesBack(t *testing.T) {
	good, _ := Codec(tune.FoldFast).Encode(nil, guestLike(5000))
	for _, kind := range []Kind{KindMemory, KindDisk} {
		e := newEnv(t, Timing{Grace: 100 * time.Millisecond})
		src, dst := e.pair(t, kind, 0)
		frame := make([]byte, headerSize+len(good))
		header{typ: frameData, flags: codecZstd, length: len(good)}.put(frame)
		copy(frame[headerSize:], good)
		if err := dst.link.write(frame); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadAll(src); !fault.Is(err, fault.ProtocolError) {
			t.Errorf("%s: %v", kind, err)
		}
	}
}

func FuzzDecompress(f *testing.F) {
	for _, b := range bombs(f) {
		if len(b.block) < 1<<16 {
			f.Add(b.flags, b.block)
		}
	}
	good, _ := Codec(tune.FoldFast).Encode(nil, guestLike(5000))
	f.Add(byte(1), good)
	f.Add(byte(2), s2.Encode(nil, guestLike(5000)))
	f.Fuzz(func(t *testing.T, flags byte, in []byte) {
		got, err := unpack(flags&codecBits, make([]byte, 0, MaxData), in)
		if cap(got) > MaxData {
			t.Fatalf("room for %d bytes", cap(got))
		}
		if err != nil || len(got) == 0 {
			return
		}
		for _, mode := range modes[1:] {
			again, codec, err := pack(mode, make([]byte, 0, len(coded{})), got)
			if err != nil {
				t.Fatal(err)
			}
			if back, err := unpack(codec, make([]byte, 0, MaxData), again); err != nil || !bytes.Equal(back, got) {
				t.Fatalf("%s: %d bytes became %d, %v", mode, len(got), len(back), err)
			}
		}
		u := fold.NewUnfolder(fold.NewBudget(16))
		defer u.Close()
		if raw, err := u.Unfold(make([]byte, 0, fold.MaxRaw), got); err == nil && len(raw) > fold.MaxRaw {
			t.Fatalf("%d bytes of one block", len(raw))
		}
	})
}

func BenchmarkPack(b *testing.B) {
	for name, block := range map[string][]byte{"memory": guestLike(MaxData), "random": random(MaxData)} {
		for _, mode := range modes[1:] {
			b.Run(name+"/"+mode.String(), func(b *testing.B) {
				room := new(coded)
				b.SetBytes(MaxData)
				b.ReportAllocs()
				for b.Loop() {
					if _, _, err := pack(mode, room[headerSize:headerSize], block); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
		b.Run(name+"/hopeless", func(b *testing.B) {
			b.SetBytes(MaxData)
			b.ReportAllocs()
			for b.Loop() {
				hopeless(block)
			}
		})
	}
}
