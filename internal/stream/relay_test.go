package stream

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"drover/internal/fault"
)

type relayed struct {
	c   Counters
	err error
}

// bothWays tests over an encrypted stream, and over one that is not, of which the
// receiver's kernel moves what is large.
func bothWays(t *testing.T, timing Timing, test func(*testing.T, *env)) {
	t.Helper()
	t.Run("encrypted", func(t *testing.T) { test(t, newEnv(t, timing)) })
	t.Run("plain", func(t *testing.T) { test(t, newPlainEnv(t, timing)) })
}

func newPlainEnv(t testing.TB, timing Timing) *env {
	t.Helper()
	e := newEnv(t, timing, func(o *ListenOptions) { o.Plain = func() bool { return true } })
	e.opt.Plain = true
	return e
}

// path is QEMU - unix - relay - stream - relay - unix - QEMU.
func (e *env) path(t testing.TB, ctx context.Context, kind Kind, index uint32) (qemuSrc, qemuDst *net.UnixConn, src, dst chan relayed) {
	t.Helper()
	a, b := e.pair(t, kind, index)
	qemuSrc, agentSrc := unixPair(t)
	qemuDst, agentDst := unixPair(t)
	run := func(s *Stream, c net.Conn) chan relayed {
		done := make(chan relayed, 1)
		go func() { n, err := Relay(ctx, s, c); done <- relayed{n, err} }()
		return done
	}
	return qemuSrc, qemuDst, run(a, agentSrc), run(b, agentDst)
}

func TestRelayPassesDataAndEndsOn(t *testing.T) { bothWays(t, Timing{}, relayPassesDataAndEndsOn) }

func relayPassesDataAndEndsOn(t *testing.T, e *env) {
	qs, qd, src, dst := e.path(t, e.ctx, KindMemory, 0)
	const size = 20 << 20
	sums := make(chan []byte, 1)
	go func() {
		sum, err := noise(qs, size, 1)
		if err != nil {
			t.Error(err)
		}
		sums <- sum
		qs.CloseWrite()
	}()
	h := sha256.New()
	if n, err := io.Copy(h, qd); err != nil || n != size { // ends although qs still reads
		t.Fatal(n, err)
	}
	if !bytes.Equal(h.Sum(nil), <-sums) {
		t.Error("other bytes arrived")
	}
	if _, err := qd.Write([]byte("return path")); err != nil {
		t.Fatal(err)
	}
	qd.Close()
	got, err := io.ReadAll(qs)
	if err != nil || string(got) != "return path" {
		t.Fatalf("%q %v", got, err)
	}
	a, b := <-src, <-dst
	if a.err != nil || b.err != nil || a.c.PayloadSent != size || b.c.PayloadReceived != size || b.c.PayloadSent != 11 {
		t.Errorf("%+v\n%+v", a, b)
	}
}

func TestRelayTellsTheOtherHostWhyItFailed(t *testing.T) {
	bothWays(t, Timing{}, relayTellsTheOtherHostWhyItFailed)
}

func relayTellsTheOtherHostWhyItFailed(t *testing.T, e *env) {
	qs, qd, src, dst := e.path(t, e.ctx, KindMemory, 0)
	go func() { // until it fails
		for {
			if _, err := qs.Write(make([]byte, 1<<20)); err != nil {
				return
			}
		}
	}()
	if _, err := io.ReadFull(qd, make([]byte, 1<<20)); err != nil {
		t.Fatal(err)
	}
	qd.Close() // QEMU on the destination dies
	a, b := <-src, <-dst
	for name, r := range map[string]relayed{"source": a, "destination": b} {
		if !fault.Is(r.err, fault.SocketLost) || fault.From(r.err).Host != "HV02" {
			t.Errorf("%s: %v", name, r.err)
		}
	}
	if _, err := io.Copy(io.Discard, qs); err != nil && !errors.Is(err, net.ErrClosed) && !strings.Contains(err.Error(), "reset") {
		t.Errorf("source socket: %v", err)
	}
}

func TestRelayEndsWithItsContext(t *testing.T) { bothWays(t, Timing{}, relayEndsWithItsContext) }

func relayEndsWithItsContext(t *testing.T, e *env) {
	why := fault.New(fault.Cancelled, "HV01")
	ctx, cancel := context.WithCancelCause(e.ctx)
	qs, qd, src, dst := e.path(t, ctx, KindDisk, 0)
	if _, err := qs.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(qd, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	cancel(why)
	for _, r := range []relayed{<-src, <-dst} {
		if !fault.Is(r.err, fault.Cancelled) {
			t.Errorf("error: %v", r.err)
		}
	}
	for _, q := range []*net.UnixConn{qs, qd} {
		_ = q.SetDeadline(time.Now().Add(patience))
		if _, err := q.Read(make([]byte, 1)); err == nil || isTimeout(err) {
			t.Errorf("local socket is open: %v", err)
		}
	}
}

func TestRelayWithASlowLocalProgramWaits(t *testing.T) {
	bothWays(t, lively, relayWithASlowLocalProgramWaits)
}

func relayWithASlowLocalProgramWaits(t *testing.T, e *env) {
	qs, qd, src, dst := e.path(t, e.ctx, KindDisk, 0)
	const size = 24 << 20
	wrote := make(chan error, 1)
	go func() {
		_, err := qs.Write(make([]byte, size))
		wrote <- errors.Join(err, qs.CloseWrite())
	}()
	tick := time.NewTimer(2 * lively.Silence)
	select {
	case r := <-src:
		t.Fatalf("source: %v", r.err)
	case r := <-dst:
		t.Fatalf("destination: %v", r.err)
	case err := <-wrote:
		t.Fatalf("the path swallowed everything: %v", err)
	case <-tick.C:
	}
	if n, err := io.Copy(io.Discard, qd); n != size || err != nil {
		t.Fatal(n, err)
	}
	qd.Close()
	if err := <-wrote; err != nil {
		t.Error(err)
	}
	if a, b := <-src, <-dst; a.err != nil || b.err != nil {
		t.Error(a.err, b.err)
	}
}
