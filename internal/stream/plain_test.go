package stream

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"io"
	"net"
	"net/netip"
	"sync"
	"testing"

	"drover/internal/fault"
)

func TestPlainStreamCarriesItsBytesInTheClearAndWhole(t *testing.T) {
	const size = 8 << 20
	e := newEnv(t, Timing{}, func(o *ListenOptions) { o.Plain = func() bool { return true } })
	tap := newTap(t, e.opt.Remote)
	e.opt.Remote, e.opt.Plain = tap.addr, true
	src, dst := e.pair(t, KindMemory, 0)
	var wg sync.WaitGroup
	for i, s := range []*Stream{src, dst} {
		wg.Go(func() {
			if _, err := s.Write([]byte("in the clear, both ways")); err != nil {
				t.Error(err)
			}
			if _, err := noise(s, size, uint64(i)); err != nil {
				t.Error(err)
			}
			if err := s.CloseWrite(); err != nil {
				t.Error(err)
			}
		})
	}
	sums := make([][32]byte, 2)
	for i, s := range []*Stream{dst, src} {
		wg.Go(func() {
			b, err := io.ReadAll(s)
			if err != nil {
				t.Error(err)
			}
			if text, ok := bytes.CutPrefix(b, []byte("in the clear, both ways")); ok {
				sums[i] = sha256.Sum256(text)
			}
		})
	}
	wg.Wait()
	finish(t, e, src, dst)
	for i := range sums {
		want, _ := noise(io.Discard, size, uint64(i))
		if !bytes.Equal(sums[i][:], want) {
			t.Errorf("direction %d did not arrive whole", i)
		}
	}
	for i, s := range []*Stream{src, dst} {
		if in := s.Info(); in.Encrypted || in.CipherSuite != "" {
			t.Errorf("%d: %+v", i, in)
		}
	}
	if n := bytes.Count(tap.bytes(), []byte("in the clear, both ways")); n != 2 {
		t.Errorf("the wire has the text %d times", n)
	}
	if bytes.Contains(tap.bytes(), e.dial.secret[:]) {
		t.Error("the wire has the session's secret")
	}
}

func TestPlainIsRefusedUnlessThisHostsPolicySaysSo(t *testing.T) {
	for name, policy := range map[string]func() bool{"no": func() bool { return false }, "none": nil} {
		e := newEnv(t, Timing{}, func(o *ListenOptions) { o.Plain = policy })
		o := e.opt
		o.Plain = true
		if _, err := e.dial.DialData(e.ctx, o, KindMemory, 0); !fault.Is(err, fault.EncryptionRequired) {
			t.Errorf("policy %s: %v", name, err)
		}
		// The place was not used up.
		if src, _ := e.pair(t, KindMemory, 0); !src.Info().Encrypted {
			t.Errorf("policy %s: not encrypted", name)
		}
	}
}

// Somebody without the secret cannot make a stream plain.
func TestPlainIsCoveredByTheProof(t *testing.T) {
	e := newEnv(t, Timing{}, func(o *ListenOptions) { o.Plain = func() bool { return true } })
	for name, asked := range map[string]bool{"set": false, "cleared": true} {
		err := e.opt.dial(e.ctx, KindMemory, func(raw *wireConn, conn *tls.Conn, _ Timing) error {
			defer raw.Close()
			exp, err := exporter(conn.ConnectionState())
			if err != nil {
				return err
			}
			b := e.dial.hello(exp, claim{kind: KindMemory, plain: asked})
			b[17] ^= helloPlain
			if err := writeFrame(conn, frameHello, b); err != nil {
				return err
			}
			_, err = expectFrame(conn, frameWelcome)
			return err
		})
		if !fault.Is(err, fault.SessionUnknown) {
			t.Errorf("flag %s behind the sender's back: %v", name, err)
		}
	}
}

// tap passes one connection on and keeps what it sees.
type tap struct {
	addr netip.AddrPort
	mu   sync.Mutex
	seen bytes.Buffer
}

func newTap(t *testing.T, target netip.AddrPort) *tap {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &tap{addr: addrPort(ln.Addr())}
	var wg sync.WaitGroup
	wg.Go(func() {
		a, err := ln.Accept()
		if err != nil {
			return
		}
		defer a.Close()
		b, err := net.Dial("tcp", target.String())
		if err != nil {
			t.Error(err)
			return
		}
		defer b.Close()
		var both sync.WaitGroup
		for from, to := range map[net.Conn]net.Conn{a: b, b: a} {
			both.Go(func() {
				_, _ = io.Copy(io.MultiWriter(p, to), from)
				_ = to.(*net.TCPConn).CloseWrite()
			})
		}
		both.Wait()
	})
	t.Cleanup(func() { ln.Close(); wg.Wait() })
	return p
}

func (p *tap) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.seen.Write(b)
}

func (p *tap) bytes() []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	return bytes.Clone(p.seen.Bytes())
}
