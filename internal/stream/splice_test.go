package stream

import (
	"bytes"
	"crypto/sha256"
	"io"
	"math/rand/v2"
	"testing"

	"drover/internal/fault"
)

// Frames of all sizes, so that some are spliced and others copied, in turn.
func TestSplicedAndCopiedFramesArriveInOrder(t *testing.T) {
	e := newPlainEnv(t, Timing{})
	src, dst := e.pair(t, KindMemory, 0)
	qemu, agent := unixPair(t)
	relay := make(chan error, 1)
	go func() { _, err := Relay(e.ctx, dst, agent); relay <- err }()
	sent, done := sha256.New(), make(chan error, 1)
	go func() {
		rng := rand.New(rand.NewPCG(1, 2))
		block := random(2 * MaxData)
		for range 200 {
			n := 1 + rng.IntN(leastSplice/2)
			if rng.IntN(2) == 0 {
				n = leastSplice + rng.IntN(len(block)-leastSplice)
			}
			at := rng.IntN(len(block) - n + 1)
			sent.Write(block[at : at+n])
			if _, err := src.Write(block[at : at+n]); err != nil {
				done <- err
				return
			}
		}
		done <- src.CloseWrite()
	}()
	got := sha256.New()
	if _, err := io.Copy(got, qemu); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.Sum(nil), sent.Sum(nil)) {
		t.Error("other bytes arrived")
	}
	qemu.Close()
	if _, err := io.Copy(io.Discard, src); err != nil {
		t.Fatal(err)
	}
	if err := <-relay; err != nil {
		t.Error(err)
	}
	if c := dst.Counters(); c.PayloadReceived != src.Counters().PayloadSent {
		t.Errorf("%+v, %+v", c, src.Counters())
	}
}

func TestSourceThatIsGoneInTheMiddleOfASplicedFrame(t *testing.T) {
	e := newPlainEnv(t, Timing{})
	src, dst := e.pair(t, KindMemory, 0)
	qemu, agent := unixPair(t)
	relay := make(chan error, 1)
	go func() { _, err := Relay(e.ctx, dst, agent); relay <- err }()
	eventually(t, "the receiver splices", dst.link.direct.Load)
	var head [headerSize]byte
	header{typ: frameData, length: MaxData}.put(head[:])
	half := random(MaxData / 2)
	if _, err := src.link.raw.Write(append(head[:], half...)); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len(half))
	if _, err := io.ReadFull(qemu, got); err != nil || !bytes.Equal(got, half) {
		t.Fatal("what had come was held back: ", err)
	}
	src.link.raw.Close()
	if err := <-relay; !fault.Is(err, fault.PeerGone) {
		t.Error(err)
	}
}

// A Read after all: the end of WriteTo left a frame to a reader that copies.
func TestDirectFrameIsCopiedForAReader(t *testing.T) {
	e := newPlainEnv(t, Timing{})
	src, dst := e.pair(t, KindMemory, 0)
	dst.link.direct.Store(true)
	want := random(3*MaxData + 7)
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
}
