package stream

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"drover/internal/fault"
	"drover/internal/fold"
	"drover/internal/record"
	"drover/internal/tune"
)

// turns is a Tuner that takes its modes in turn, and remembers what it is told.
type turns struct {
	mu    sync.Mutex
	modes []tune.Mode
	next  int
	done  []tune.Block
}

func (t *turns) Next() tune.Mode {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.next++
	return t.modes[t.next%len(t.modes)]
}

func (t *turns) Done(b tune.Block) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.done = append(t.done, b)
}

func (t *turns) blocks() []tune.Block {
	t.mu.Lock()
	defer t.mu.Unlock()
	return append([]tune.Block(nil), t.done...)
}

// pages is a fold.Scanner of a stream that is pages and nothing else, of a guest
// with so many.
type pages struct {
	of uint64
	at uint64
}

func (p *pages) Next(b []byte) (int, uint64, bool) {
	switch in := int(p.at % fold.PageSize); {
	case in > 0:
		n := min(len(b), fold.PageSize-in)
		p.at += uint64(n)
		return n, 0, false
	case len(b) < fold.PageSize:
		return 0, 0, false
	}
	key := p.at / fold.PageSize % p.of
	p.at += fold.PageSize
	return fold.PageSize, key, true
}

func (p *pages) Pass(b []byte) { p.at += uint64(len(b)) }

// coding makes a Coding whose encoders end with the test.
func coding(t testing.TB, modes ...tune.Mode) (Coding, *turns) {
	t.Helper()
	e := NewEncoders(3)
	t.Cleanup(e.Close)
	tuner := &turns{modes: modes}
	return Coding{Tuner: tuner, Scanner: &pages{of: 700}, Encoders: e}, tuner
}

// guest makes n bytes of pages as a guest has them: zeros, what is there twice,
// what compresses, what does not, and what changed a little since it was sent.
func guest(n int, seed uint64) []byte {
	r := rand.New(rand.NewPCG(seed, 2))
	kinds := [][]byte{make([]byte, fold.PageSize), guestLike(fold.PageSize), random(fold.PageSize)}
	out := make([]byte, 0, n+fold.PageSize)
	for len(out) < n {
		page := append([]byte(nil), kinds[r.IntN(3)]...)
		if r.IntN(3) == 0 {
			page[r.IntN(len(page))] = byte(r.Uint32())
		}
		out = append(out, page...)
	}
	return out[:n]
}

// codedPath is a path whose source codes.
func (e *env) codedPath(t testing.TB, ctx context.Context, kind Kind, index uint32, c Coding) (qs, qd *net.UnixConn, s *Stream, src, dst chan relayed) {
	t.Helper()
	a, b := e.pair(t, kind, index)
	if err := a.SetCoding(c); err != nil {
		t.Fatal(err)
	}
	qs, agentSrc := unixPair(t)
	qd, agentDst := unixPair(t)
	run := func(s *Stream, c net.Conn) chan relayed {
		done := make(chan relayed, 1)
		go func() { n, err := Relay(ctx, s, c); done <- relayed{n, err} }()
		return done
	}
	return qs, qd, a, run(a, agentSrc), run(b, agentDst)
}

// inPieces writes all of b in pieces of many sizes.
func inPieces(w io.Writer, b []byte, most int, seed uint64) error {
	r := rand.New(rand.NewPCG(seed, 3))
	for len(b) > 0 {
		n := min(len(b), 1+r.IntN(most))
		if _, err := w.Write(b[:n]); err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

func TestCodedBlocksArriveInOrderAndAsTheyWere(t *testing.T) {
	ways := map[string][]tune.Mode{"all in turn": modes}
	for _, m := range modes {
		ways[m.String()] = []tune.Mode{m}
	}
	for name, way := range ways {
		t.Run(name, func(t *testing.T) {
			e := newEnv(t, Timing{})
			c, tuner := coding(t, way...)
			qs, qd, s, src, dst := e.codedPath(t, e.ctx, KindMemory, 0, c)
			want := guest(20<<20+123, 1)
			go func() {
				if err := errors.Join(inPieces(qs, want, 300<<10, 1), qs.CloseWrite()); err != nil {
					t.Error(err)
				}
			}()
			h := sha256.New()
			if n, err := io.Copy(h, qd); err != nil || n != int64(len(want)) {
				t.Fatal(n, err)
			}
			if sum := sha256.Sum256(want); !bytes.Equal(h.Sum(nil), sum[:]) {
				t.Error("other bytes arrived")
			}
			if _, err := qd.Write([]byte("the way back")); err != nil {
				t.Fatal(err)
			}
			qd.Close()
			if got, err := io.ReadAll(qs); err != nil || string(got) != "the way back" {
				t.Errorf("%q %v", got, err)
			}
			a, b := <-src, <-dst
			if a.err != nil || b.err != nil || a.c.PayloadSent != uint64(len(want)) || b.c.PayloadReceived != uint64(len(want)) {
				t.Errorf("%+v\n%+v", a, b)
			}
			checkMeasured(t, s.Info().Coded, tuner.blocks(), len(want), way)
		})
	}
}

// checkMeasured holds what a stream says it did against what the Tuner was told.
func checkMeasured(t *testing.T, c record.Coding, blocks []tune.Block, size int, way []tune.Mode) {
	t.Helper()
	var raw, wire int
	used := map[tune.Mode]bool{}
	for _, b := range blocks {
		raw, wire, used[b.Mode] = raw+b.Raw, wire+b.Wire, true
		if b.Raw <= 0 || b.Wire <= 0 || b.Wire > MaxData || b.Raw > fold.MaxRaw || b.Write <= 0 || b.Idle < 0 {
			t.Errorf("%+v", b)
		}
	}
	if raw != size || len(used) != len(way) {
		t.Errorf("the tuner heard of %d bytes of %d, in %d modes of %d", raw, size, len(used), len(way))
	}
	all := c.All()
	if all.Before != uint64(raw) || all.After != uint64(wire) || all.Blocks != uint64(len(blocks)) {
		t.Errorf("%+v, and the tuner heard of %d blocks, %d bytes as %d", c, len(blocks), raw, wire)
	}
	if folds := way[0].Folds() || len(way) > 1; folds != (c.Folded.Blocks > 0) || folds != (c.Pages.Zero > 0) {
		t.Errorf("folding: %+v", c)
	}
}

// What QEMU waits to be answered must not stay behind, however much is under way
// before it and whatever it is a part of.
func TestNothingIsHeldBack(t *testing.T) {
	for _, mode := range modes {
		t.Run(mode.String(), func(t *testing.T) {
			e := newEnv(t, Timing{})
			c, _ := coding(t, mode)
			qs, qd, _, src, dst := e.codedPath(t, e.ctx, KindMemory, 0, c)
			for name, r := range map[string]chan relayed{"source": src, "destination": dst} {
				defer func() {
					if r := <-r; r.err != nil {
						t.Errorf("%s: %v", name, r.err)
					}
				}()
			}
			defer qd.Close()
			defer qs.Close()
			_ = qd.SetDeadline(time.Now().Add(patience))
			bulk := guest(3<<20, 4)
			for i, tail := range []int{1, 5, fold.PageSize / 2, fold.PageSize, fold.PageSize + 1, 0, 3 * fold.PageSize / 2} {
				want := append(append([]byte(nil), bulk[:i*i*60_000]...), random(tail)...)
				go func() { _ = inPieces(qs, want, 200<<10, uint64(i)) }()
				got := make([]byte, len(want))
				if n, err := io.ReadFull(qd, got); err != nil || !bytes.Equal(got, want) {
					t.Fatalf("%d bytes of %d with a tail of %d: %v", n, len(want), tail, err)
				}
			}
		})
	}
}

// A slow link must not have more before it than it takes in a short time: it is
// what a guest that is paused would wait for.
func TestLittleIsUnderWayOnASlowLink(t *testing.T) {
	const rate = 2 << 20
	slow := NewLimit(rate)
	e := newEnv(t, Timing{})
	e.opt.Pace = paceOut(slow)
	for _, mode := range []tune.Mode{tune.Carry, tune.S2, tune.FoldFast} {
		c, tuner := coding(t, mode)
		qs, qd, s, src, dst := e.codedPath(t, e.ctx, KindMemory, uint32(mode), c)
		block := random(64 << 10)
		go func() {
			for {
				if _, err := qs.Write(block); err != nil {
					return
				}
			}
		}()
		go func() { _, _ = io.Copy(io.Discard, qd) }()
		eventually(t, "blocks that follow the rate", func() bool { return len(tuner.blocks()) >= 24 })
		for _, b := range tuner.blocks()[16:24] {
			if b.Wire > MaxData/2 { // which it takes 62 ms for
				t.Errorf("%s: a block of %d bytes at %d bytes per second", mode, b.Wire, rate)
			}
		}
		s.Abort(fault.New(fault.Cancelled, ""))
		<-src
		<-dst
		qs.Close()
	}
}

func paceOut(l *Limit) Pace {
	return func(_ netip.Addr, d Direction) []*Limit {
		if d == Out {
			return []*Limit{l}
		}
		return nil
	}
}
