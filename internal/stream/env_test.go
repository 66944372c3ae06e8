package stream

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 20 * time.Second

// lively is for tests of connections that must not be given up: 70 pings take
// twice the limit of silence.
var lively = Timing{Ping: 25 * time.Millisecond, Silence: 800 * time.Millisecond}

// env is a listener with one session on loopback.
type env struct {
	ln   *Listener
	sess *Session // the listener's end
	dial *Session // the opener's end
	opt  DialOptions
	ctl  chan *Unauthenticated
	ctx  context.Context
	// unregister ends the session at the listener, and end the listener.
	unregister func()
	end        func() error
}

func newEnv(t testing.TB, timing Timing, change ...func(*ListenOptions)) *env {
	t.Helper()
	id, err := LoadOrCreateIdentity(t.TempDir(), "hv02.test")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	e := &env{ctl: make(chan *Unauthenticated), ctx: ctx}
	o := ListenOptions{
		Addrs: func() ([]netip.Addr, error) { return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil },
		Host:  "HV02", Identity: id, Log: slog.New(slog.DiscardHandler), Timing: timing,
		OnControl: func(ctx context.Context, u *Unauthenticated) {
			select {
			case e.ctl <- u:
				<-ctx.Done()
			case <-ctx.Done():
			}
		},
	}
	for _, c := range change {
		c(&o)
	}
	if e.ln, err = Listen(ctx, o); err != nil {
		t.Fatal(err)
	}
	sid, secret := NewSessionKey()
	e.sess, e.dial = NewSession(sid, secret, "HV01"), NewSession(sid, secret, "HV02")
	if e.unregister, err = e.ln.Register(e.sess); err != nil {
		t.Fatal(err)
	}
	e.opt = DialOptions{Local: netip.MustParseAddr("127.0.0.1"), Remote: e.ln.Addrs()[0], Host: "HV01", Timing: timing}
	ran := make(chan error, 1)
	go func() { ran <- e.ln.Run(ctx) }()
	e.end = sync.OnceValue(func() error {
		e.unregister()
		cancel()
		return <-ran
	})
	t.Cleanup(func() { e.stop(t) })
	return e
}

// stop waits until nothing of the listener runs any more. It is safe twice.
func (e *env) stop(t testing.TB) {
	t.Helper()
	if err := e.end(); err != nil {
		t.Errorf("Run: %v", err)
	}
}

// pair is one attached stream, as the opener and as the listener has it.
func (e *env) pair(t testing.TB, kind Kind, index uint32) (src, dst *Stream) {
	t.Helper()
	src, err := e.dial.DialData(e.ctx, e.opt, kind, index)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { src.Close() })
	dst, err = e.sess.Accept(e.ctx)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dst.Close() })
	return src, dst
}

// bare attaches a stream whose opener's end is the test itself: nothing answers,
// pings or reads there but what the test does.
func (e *env) bare(t testing.TB, kind Kind, index uint32) (*tls.Conn, *Stream) {
	t.Helper()
	var conn *tls.Conn
	err := e.opt.dial(e.ctx, kind, func(raw *wireConn, c *tls.Conn, _ Timing) error {
		exp, err := exporter(c.ConnectionState())
		if err != nil {
			return err
		}
		if err := writeFrame(c, frameHello, e.dial.hello(exp, claim{kind: kind, index: index})); err != nil {
			return err
		}
		conn = c
		_, err = expectFrame(c, frameWelcome)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.NetConn().Close() })
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	st, err := e.sess.Accept(e.ctx)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.Close() })
	return conn, st
}

// eventually polls, for things that have no event to wait for.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(patience); !ok(); <-tick.C {
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s", patience, what)
		}
	}
}

// unixPair is a connected pair of unix sockets, like QEMU's.
func unixPair(t testing.TB) (a, b *net.UnixConn) {
	t.Helper()
	path := t.TempDir() + "/s"
	ln, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	s, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(); s.Close() })
	return c.(*net.UnixConn), s.(*net.UnixConn)
}
