package stream

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestSlowHandshakesAreCutOff(t *testing.T) {
	e := newEnv(t, Timing{Handshake: 150 * time.Millisecond})
	tlsConn := func(c net.Conn) *tls.Conn {
		return tls.Client(c, &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // as Dial does
	}
	for name, begin := range map[string]func(c net.Conn) error{
		"says nothing": func(net.Conn) error { return nil },
		"half a record": func(c net.Conn) error {
			_, err := c.Write([]byte{22, 3, 1, 2, 0, 1})
			return err
		},
		"TLS and no preamble": func(c net.Conn) error { return tlsConn(c).Handshake() },
		"half a preamble": func(c net.Conn) error {
			_, err := tlsConn(c).Write([]byte("DROV"))
			return err
		},
		"no HELLO": func(c net.Conn) error {
			_, err := tlsConn(c).Write(preamble{Version, byte(KindMemory)}.bytes())
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := net.Dial("tcp", e.opt.Remote.String())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if err := begin(c); err != nil {
				t.Fatal(err)
			}
			_ = c.SetDeadline(time.Now().Add(patience))
			_, err = io.Copy(io.Discard, c)
			if errors.Is(err, context.DeadlineExceeded) || isTimeout(err) {
				t.Errorf("still open: %v", err)
			}
		})
	}
	eventually(t, "all places free again", func() bool { return e.ln.Strangers().Count() == 0 })
}

// A deadline that began anew with each byte would be none.
func TestAByteAtATimeIsCutOffToo(t *testing.T) {
	drip := func(w io.Writer, b []byte) error {
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for i := range b {
			if _, err := w.Write(b[i : i+1]); err != nil {
				return err
			}
			<-tick.C
		}
		return errors.New("all of it was taken")
	}
	long := bytes.Repeat([]byte{0}, 1000) // 20 s
	for name, begin := range map[string]func(*env, net.Conn, *tls.Conn) error{
		"ClientHello": func(_ *env, c net.Conn, _ *tls.Conn) error {
			return drip(c, append([]byte{22, 3, 1, 3, 0xe8, 1, 0, 3, 0xe4}, long...))
		},
		"HELLO": func(_ *env, _ net.Conn, c *tls.Conn) error {
			if _, err := c.Write(preamble{Version, byte(KindMemory)}.bytes()); err != nil {
				return err
			}
			return drip(c, make([]byte, headerSize+helloSize-1))
		},
		"token": func(e *env, _ net.Conn, c *tls.Conn) error {
			if _, err := c.Write(preamble{Version, byte(KindControl)}.bytes()); err != nil {
				return err
			}
			u := <-e.ctl
			got := make(chan error, 1)
			go func() {
				_, err := u.Authenticate(e.ctx, swap(""))
				got <- err
			}()
			h := make([]byte, headerSize)
			header{typ: frameToken, length: len(long)}.put(h)
			err := drip(c, append(h, long...))
			if aerr := <-got; aerr == nil {
				return errors.New("authenticated")
			}
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			e := newEnv(t, Timing{Handshake: 150 * time.Millisecond, Auth: 150 * time.Millisecond})
			c, err := net.Dial("tcp", e.opt.Remote.String())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			_ = c.SetDeadline(time.Now().Add(patience))
			err = begin(e, c, tls.Client(c, &tls.Config{InsecureSkipVerify: true})) //nolint:gosec // as Dial does
			if name == "HELLO" || errors.Is(err, net.ErrClosed) || isReset(err) {
				_, _ = io.Copy(io.Discard, c) // until the listener closes
			} else {
				t.Errorf("not cut off: %v", err)
			}
			if name != "token" { // whose handler here waits for the end of the test
				eventually(t, "the place to be free", func() bool { return e.ln.Strangers().Count() == 0 })
			}
		})
	}
}

func isReset(err error) bool {
	return errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

func isTimeout(err error) bool {
	var ne net.Error
	return errors.As(err, &ne) && ne.Timeout()
}

func TestUnauthenticatedConnectionsAreLimited(t *testing.T) {
	e := newEnv(t, Timing{}, func(o *ListenOptions) { o.MaxUnauthenticated = 8 }) // two of one address
	var held, dst []*Unauthenticated
	for range 3 {
		a, b := e.controls(t)
		held, dst = append(held, a), append(dst, b)
	}
	if n := e.ln.Strangers().Count(); n != 2 || e.ln.Strangers().TurnedOut() != 1 {
		t.Errorf("%d places taken, %d turned out", n, e.ln.Strangers().TurnedOut())
	}
	// The oldest was turned out, and is not let in any more.
	if _, err := held[0].Authenticate(e.ctx, swap("")); err == nil {
		t.Error("a connection that was turned out authenticated")
	}
	if _, err := dst[0].Authenticate(e.ctx, swap("")); err == nil {
		t.Error("the listener took a connection that it had turned out")
	}
	// A place comes back when somebody has proved who they are.
	go func() { _, _ = held[1].Authenticate(e.ctx, swap("")) }()
	if _, err := dst[1].Authenticate(e.ctx, swap("")); err != nil {
		t.Fatal(err)
	}
	if n := e.ln.Strangers().Count(); n != 1 {
		t.Errorf("%d places taken", n)
	}
}

// What is authenticated stays, however many come after it.
func TestAFloodOfStrangersEndsNoStream(t *testing.T) {
	e := newEnv(t, Timing{Handshake: patience}, func(o *ListenOptions) { o.MaxUnauthenticated = 8 })
	src, dst := e.pair(t, KindMemory, 0)
	a, b := e.authenticated(t)
	for range 200 {
		c, err := net.Dial("tcp", e.opt.Remote.String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := c.Write([]byte{22, 3, 1, 2, 0, 1}); err != nil && !isReset(err) {
			t.Fatal(err)
		}
	}
	eventually(t, "the flood to be turned out", func() bool { return e.ln.Strangers().TurnedOut() >= 198 })
	if n := e.ln.Strangers().Count(); n > 2 {
		t.Errorf("%d places taken", n)
	}
	if _, err := src.Write([]byte("still here")); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(dst, make([]byte, 10)); err != nil {
		t.Error(err)
	}
	if err := a.Send(e.ctx, "hello"); err != nil {
		t.Error(err)
	}
	var got string
	if err := b.Receive(e.ctx, &got); err != nil || got != "hello" {
		t.Error(got, err)
	}
	e.pair(t, KindMemory, 1) // and others get in
}

func TestAuthenticatedConnectionsDoNotCount(t *testing.T) {
	e := newEnv(t, Timing{}, func(o *ListenOptions) { o.MaxUnauthenticated = 1 })
	for range 3 {
		e.authenticated(t)
	}
	for i := range 3 {
		e.pair(t, KindDisk, uint32(i))
		eventually(t, "the place of a data stream to be free", func() bool { return e.ln.Strangers().Count() == 0 })
	}
}

// Whoever reaches the port can be refused without end; the log does not grow with it.
func TestStrangersDoNotFillTheLog(t *testing.T) {
	var log bytes.Buffer
	e := newEnv(t, Timing{}, func(o *ListenOptions) { o.Log = slog.New(slog.NewTextHandler(&log, nil)) })
	id, secret := NewSessionKey()
	wrong := NewSession(id, secret, "HV02")
	for i := range 60 {
		if _, err := wrong.DialData(e.ctx, e.opt, KindMemory, uint32(i)); err == nil {
			t.Fatal("a wrong session was taken")
		}
	}
	e.stop(t)
	if n := strings.Count(log.String(), "\n"); n == 0 || n > 25 {
		t.Errorf("%d lines:\n%s", n, log.String())
	}
}
