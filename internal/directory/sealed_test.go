package directory

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"testing"
	"time"
)

// mirror is a layer that turns every bit, so that sealed and plain differ.
type mirror struct{}

func (mirror) InitSecContext(string, []byte) ([]byte, bool, error) { return []byte{1}, false, nil }
func (mirror) InitSecContextWithOptions(string, []byte, []int) ([]byte, bool, error) {
	return []byte{1}, false, nil
}
func (mirror) NegotiateSaslAuth([]byte, string) ([]byte, error) { return nil, nil }
func (mirror) DeleteSecContext() error                          { return nil }
func (mirror) Wrap(p []byte) ([]byte, error)                    { return turn(p), nil }
func (mirror) Unwrap(p []byte) ([]byte, error) {
	if len(p) == 0 {
		return nil, errors.New("empty")
	}
	return turn(p), nil
}

func turn(p []byte) []byte {
	q := bytes.Clone(p)
	for i := range q {
		q[i] ^= 0xff
	}
	return q
}

func TestSealedConnFramesBothWays(t *testing.T) {
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	deadline := time.Now().Add(5 * time.Second)
	a.SetDeadline(deadline)
	b.SetDeadline(deadline)
	near, far := &sealedConn{Conn: a, raw: a, security: mirror{}}, &sealedConn{Conn: b, raw: b, security: mirror{}}
	near.sealed.Store(true)
	far.sealed.Store(true)
	msg := bytes.Repeat([]byte("0123456789"), 20000) // several frames
	done := make(chan error, 1)
	go func() { _, err := near.Write(msg); done <- err }()
	got := make([]byte, len(msg))
	if _, err := io.ReadFull(far, got); err != nil || !bytes.Equal(got, msg) {
		t.Fatalf("%v", err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func TestSealedConnRefusesHugeAndBrokenFrames(t *testing.T) {
	for name, frame := range map[string][]byte{"huge": binary.BigEndian.AppendUint32(nil, maxFrame+1), "empty": {0, 0, 0, 0}} {
		a, b := net.Pipe()
		c := &sealedConn{Conn: a, raw: a, security: mirror{}}
		c.sealed.Store(true)
		go func() { b.Write(frame); b.Close() }()
		if n, err := c.Read(make([]byte, 10)); err == nil || errors.Is(err, io.EOF) {
			t.Errorf("%s: %d bytes, %v", name, n, err)
		}
		a.Close()
	}
}

// A controller that accepts and then says nothing must not hold the caller.
func TestDialEndsWithTheContext(t *testing.T) {
	silent := func(context.Context, string, string) (net.Conn, error) {
		a, b := net.Pipe()
		go io.Copy(io.Discard, b)
		t.Cleanup(func() { b.Close() })
		return a, nil
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	start := time.Now()
	_, err := Dial(ctx, Options{Servers: []string{"dc1", "dc2"}, Dial: silent, Security: func(context.Context, *tls.ConnectionState) Security { return mirror{} }})
	if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) > 3*time.Second {
		t.Errorf("%v after %s", err, time.Since(start))
	}
}

func TestDialNamesEveryControllerThatFailed(t *testing.T) {
	refuse := func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("refused") }
	_, err := Dial(t.Context(), Options{Servers: []string{"dc1", "dc2:1389"}, Dial: refuse, Security: func(context.Context, *tls.ConnectionState) Security { return mirror{} }})
	if err == nil || !bytes.Contains([]byte(err.Error()), []byte("dc1")) || !bytes.Contains([]byte(err.Error()), []byte("dc2:1389")) {
		t.Errorf("%v", err)
	}
}
