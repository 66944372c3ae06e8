package stream

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"drover/internal/fault"
	"drover/internal/fold"
	"drover/internal/tune"
)

// stuck are encoders that do nothing until they are let.
func stuck(t *testing.T) (e *Encoders, let func()) {
	t.Helper()
	e = NewEncoders(1)
	gate := make(chan struct{})
	e.join().do(func() { <-gate })
	let = func() {
		select {
		case <-gate:
		default:
			close(gate)
		}
	}
	t.Cleanup(e.Close)
	t.Cleanup(let)
	return e, let
}

// endless writes until that fails.
func endless(c net.Conn, seed uint64) {
	b := guest(1<<20, seed)
	for {
		if _, err := c.Write(b); err != nil {
			return
		}
	}
}

var errBroken = errors.New("broken on purpose")

// breaking is a connection whose reads fail when so many bytes were read. It has
// nothing to look at without waiting, unlike a socket.
type breaking struct {
	net.Conn
	left atomic.Int64
}

func (b *breaking) Read(p []byte) (int, error) {
	left := b.left.Load()
	if left <= 0 {
		return 0, errBroken
	}
	n, err := b.Conn.Read(p[:min(int64(len(p)), left)])
	b.left.Add(-int64(n))
	return n, err
}

func TestFailureInAnyPartEndsBothSidesWithItsReason(t *testing.T) {
	for _, mode := range []tune.Mode{tune.Carry, tune.S2, tune.FoldFast} {
		for name, tc := range map[string]struct {
			do   func(e *env, cancel context.CancelCauseFunc, s *Stream, qs, qd net.Conn)
			code fault.Code
			host string
		}{
			"the program that receives dies": {func(_ *env, _ context.CancelCauseFunc, _ *Stream, _, qd net.Conn) { qd.Close() }, fault.SocketLost, "HV02"},
			"the link breaks":                {func(_ *env, _ context.CancelCauseFunc, s *Stream, _, _ net.Conn) { s.link.raw.Close() }, fault.PeerGone, ""},
			"it is cancelled": {func(_ *env, cancel context.CancelCauseFunc, _ *Stream, _, _ net.Conn) {
				cancel(fault.New(fault.Cancelled, "HV01"))
			}, fault.Cancelled, "HV01"},
		} {
			t.Run(mode.String()+", "+name, func(t *testing.T) {
				e := newEnv(t, Timing{Grace: 200 * time.Millisecond})
				c, _ := coding(t, mode)
				ctx, cancel := context.WithCancelCause(e.ctx)
				defer cancel(nil)
				qs, qd, s, src, dst := e.codedPath(t, ctx, KindMemory, 0, c)
				go endless(qs, 3)
				if _, err := io.ReadFull(qd, make([]byte, 4<<20)); err != nil {
					t.Fatal(err)
				}
				go func() { _, _ = io.Copy(io.Discard, qd) }()
				tc.do(e, cancel, s, qs, qd)
				a, b := <-src, <-dst
				if !fault.Is(a.err, tc.code) || tc.host != "" && fault.From(a.err).Host != tc.host || b.err == nil {
					t.Errorf("source: %v\ndestination: %v", a.err, b.err)
				}
			})
		}
	}
}

func TestProgramThatCannotBeReadIsToldToBothSides(t *testing.T) {
	for _, mode := range modes {
		t.Run(mode.String(), func(t *testing.T) {
			e := newEnv(t, Timing{})
			c, _ := coding(t, mode)
			a, b := e.pair(t, KindDisk, 0)
			if err := a.SetCoding(c); err != nil {
				t.Fatal(err)
			}
			qs, agentSrc := unixPair(t)
			qd, agentDst := unixPair(t)
			local := &breaking{Conn: agentSrc}
			local.left.Store(3<<20 + 77)
			done := make(chan error, 1)
			go func() { _, err := Relay(e.ctx, b, agentDst); done <- err }()
			go func() { _, _ = io.Copy(io.Discard, qd) }()
			go endless(qs, 4)
			_, err := Relay(e.ctx, a, local)
			for name, err := range map[string]error{"source": err, "destination": <-done} {
				if !fault.Is(err, fault.SocketLost) || fault.From(err).Host != "HV01" || !strings.Contains(err.Error(), errBroken.Error()) {
					t.Errorf("%s: %v", name, err)
				}
			}
		})
	}
}

func TestEndWhileEncodersAreAtWorkLeavesNothingBehind(t *testing.T) {
	e := newEnv(t, Timing{Grace: 100 * time.Millisecond})
	c, _ := coding(t, tune.FoldFast)
	var let func()
	c.Encoders, let = stuck(t)
	ctx, cancel := context.WithCancelCause(e.ctx)
	qs, _, _, src, dst := e.codedPath(t, ctx, KindMemory, 0, c)
	written := make(chan struct{})
	go func() {
		_, _ = qs.Write(guest(400<<10, 1))
		close(written)
		endless(qs, 2)
	}()
	<-written
	cancel(fault.New(fault.Cancelled, "HV01"))
	if b := <-dst; !fault.Is(b.err, fault.Cancelled) {
		t.Errorf("destination: %v", b.err)
	}
	select {
	case a := <-src:
		t.Errorf("the source left blocks to encoders that were still at work: %v", a.err)
	default:
	}
	let()
	if a := <-src; !fault.Is(a.err, fault.Cancelled) {
		t.Errorf("source: %v", a.err)
	}
}

// A program that writes faster than blocks can be made has to wait, and what lies
// about meanwhile is bounded.
func TestMemoryIsBoundedWhenEncodersAreSlow(t *testing.T) {
	for _, mode := range []tune.Mode{tune.S2, tune.FoldFast} {
		e := newEnv(t, Timing{})
		c, _ := coding(t, mode)
		var let func()
		c.Encoders, let = stuck(t)
		s, dst := e.pair(t, KindMemory, 0)
		if err := s.SetCoding(c); err != nil {
			t.Fatal(err)
		}
		qs, local := unixPair(t)
		counted := &breaking{Conn: local}
		const plenty = 1 << 40
		counted.left.Store(plenty)
		u := newSender(s, counted)
		want := guest(32<<20, 5)
		go func() { _ = errors.Join(inPieces(qs, want, 1<<20, 1), qs.CloseWrite()) }()
		wrote, read := make(chan struct{}), make(chan error, 1)
		go func() { u.write(func(err error) { t.Error(err) }); close(wrote) }()
		go func() { read <- u.read() }()
		eventually(t, "all blocks under way", func() bool {
			u.mu.Lock()
			defer u.mu.Unlock()
			return u.blocks == u.most
		})
		if n := plenty - counted.left.Load(); n > int64(u.most+1)*fold.MaxRaw {
			t.Errorf("%s: %d bytes were read", mode, n)
		}
		let()
		got := make([]byte, len(want))
		if _, err := io.ReadFull(dst, got); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: other bytes, %v", mode, err)
		}
		if err := <-read; err != nil {
			t.Error(err)
		}
		<-wrote
		u.close()
		s.Close()
	}
}

func TestBlocksTakeNoNewMemory(t *testing.T) {
	allowed := func(blocks uint64) uint64 { return blocks / 2 }
	if info, ok := debug.ReadBuildInfo(); ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"}) {
		allowed = func(blocks uint64) uint64 { return 100 * blocks } // pools lose on purpose what they are given
	}
	for _, mode := range []tune.Mode{tune.Carry, tune.S2, tune.FoldS2, tune.FoldFast} {
		// Without TLS, which makes an allocation for each record that it reads.
		e := newEnv(t, Timing{}, func(o *ListenOptions) { o.Plain = func() bool { return true } })
		e.opt.Plain = true
		c, _ := coding(t, mode)
		c.Tuner = constant(mode)
		qs, qd, s, src, dst := e.codedPath(t, e.ctx, KindMemory, 0, c)
		b := guest(4<<20, 6)
		const times = 16
		go func() {
			for range times {
				_, _ = qs.Write(b)
			}
			qs.CloseWrite()
		}()
		room := make([]byte, len(b))
		var before, after runtime.MemStats
		var blocks uint64
		for i := range times {
			if _, err := io.ReadFull(qd, room); err != nil {
				t.Fatal(err)
			}
			if i == times/4 {
				blocks = framesOf(s)
				runtime.ReadMemStats(&before)
			}
		}
		runtime.ReadMemStats(&after)
		blocks = framesOf(s) - blocks
		// What is left is of the runtime: pools that the collector emptied, timers.
		if n := after.Mallocs - before.Mallocs; n > allowed(blocks) {
			t.Errorf("%s: %d allocations in %d blocks", mode, n, blocks)
		}
		qd.Close()
		<-src
		<-dst
	}
}

func framesOf(s *Stream) uint64 { return s.Counters().FramesSent }

// constant is a Tuner that learns nothing.
type constant tune.Mode

func (c constant) Next() tune.Mode { return tune.Mode(c) }
func (constant) Done(tune.Block)   {}
