package stream

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"drover/internal/fault"
)

func TestWrongSecretOrUnknownSessionIsRefused(t *testing.T) {
	e := newEnv(t, Timing{})
	id, secret := e.sess.ID(), e.sess.secret
	wrong := secret
	wrong[31] ^= 1
	otherID, _ := NewSessionKey()
	for name, s := range map[string]*Session{
		"wrong secret": NewSession(id, wrong, "HV02"), "unknown session": NewSession(otherID, secret, "HV02"),
	} {
		st, err := s.DialData(e.ctx, e.opt, KindMemory, 0)
		if st != nil || !fault.Is(err, fault.SessionUnknown) || fault.From(err).Host != "HV02" {
			t.Errorf("%s: %v", name, err)
		}
	}
	// Neither used the place up.
	src, _ := e.pair(t, KindMemory, 0)
	if src.Index() != 0 || src.Kind() != KindMemory {
		t.Error("another stream")
	}
	e.unregister()
	if _, err := e.dial.DialData(e.ctx, e.opt, KindMemory, 1); !fault.Is(err, fault.SessionUnknown) {
		t.Errorf("after unregister: %v", err)
	}
	if _, err := e.sess.Accept(e.ctx); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept after unregister: %v", err)
	}
}

func TestPlaceIsUsedOnce(t *testing.T) {
	e := newEnv(t, Timing{})
	first, _ := e.pair(t, KindDisk, 3)
	if _, err := e.dial.DialData(e.ctx, e.opt, KindDisk, 3); !fault.Is(err, fault.ProtocolError) {
		t.Errorf("while it is open: %v", err)
	}
	first.Close()
	if _, err := e.dial.DialData(e.ctx, e.opt, KindDisk, 3); !fault.Is(err, fault.ProtocolError) {
		t.Errorf("after Close: %v", err)
	}
	e.pair(t, KindMemory, 3) // another kind is another place
}

func TestHelloIsWorthlessOnAnotherConnection(t *testing.T) {
	e := newEnv(t, Timing{})
	var hello []byte
	try := func(c claim, make func(exp []byte) []byte) error {
		return e.opt.dial(e.ctx, c.kind, func(raw *wireConn, conn *tls.Conn, _ Timing) error {
			defer raw.Close()
			exp, err := exporter(conn.ConnectionState())
			if err != nil {
				return err
			}
			if err := writeFrame(conn, frameHello, make(exp)); err != nil {
				return err
			}
			_, err = expectFrame(conn, frameWelcome)
			return err
		})
	}
	// A HELLO made for a connection that never delivered it ...
	_ = try(claim{kind: KindMemory}, func(exp []byte) []byte {
		hello = e.dial.hello(exp, claim{kind: KindMemory})
		return nil
	})
	// ... and sent on another.
	if err := try(claim{kind: KindMemory}, func([]byte) []byte { return hello }); !fault.Is(err, fault.SessionUnknown) {
		t.Errorf("replayed: %v", err)
	}
	for name, change := range map[string]func([]byte, []byte) []byte{
		"other index": func(exp, b []byte) []byte { b[23] ^= 1; return b },
		"other kind":  func(exp, b []byte) []byte { b[16] = byte(KindDisk); return b },
		"kind that is not the preamble's": func(exp, b []byte) []byte {
			return e.dial.hello(exp, claim{kind: KindDisk})
		},
		"the server's proof sent back": func(exp, b []byte) []byte {
			return append(b[:24:24], e.dial.mac("server", exp, claim{kind: KindMemory})...)
		},
	} {
		err := try(claim{kind: KindMemory}, func(exp []byte) []byte {
			return change(exp, e.dial.hello(exp, claim{kind: KindMemory}))
		})
		if !fault.Is(err, fault.SessionUnknown) {
			t.Errorf("%s: %v", name, err)
		}
	}
	e.pair(t, KindMemory, 0) // the right one still gets in
}

// middle opens TLS on both sides and passes everything on.
func middle(t *testing.T, target netip.AddrPort) netip.AddrPort {
	t.Helper()
	id, err := LoadOrCreateIdentity(t.TempDir(), "mallory")
	if err != nil {
		t.Fatal(err)
	}
	ln, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{id.Certificate()}})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	t.Cleanup(func() { ln.Close(); wg.Wait() })
	wg.Go(func() {
		for {
			in, err := ln.Accept()
			if err != nil {
				return
			}
			out, err := tls.Dial("tcp", target.String(), &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // it is the attacker
			if err != nil {
				in.Close()
				continue
			}
			both := sync.OnceFunc(func() { in.Close(); out.Close() })
			wg.Go(func() { _, _ = io.Copy(in, out); both() })
			wg.Go(func() { _, _ = io.Copy(out, in); both() })
		}
	})
	return addrPort(ln.Addr())
}

func TestManInTheMiddleIsRefused(t *testing.T) {
	e := newEnv(t, Timing{})
	straight := e.opt.Remote
	e.opt.Remote = middle(t, straight)
	if _, err := e.dial.DialData(e.ctx, e.opt, KindMemory, 0); !fault.Is(err, fault.SessionUnknown) {
		t.Errorf("data stream: %v", err)
	}
	a, b := e.controls(t)
	got := make(chan error, 1)
	go func() { _, err := b.Authenticate(e.ctx, swap("")); got <- err }()
	_, err := a.Authenticate(e.ctx, swap(""))
	if other := <-got; !fault.Is(err, fault.BindingMismatch) || !fault.Is(other, fault.BindingMismatch) {
		t.Errorf("control: %v, %v", err, other)
	}
	// The same without anybody between is fine: the test above can fail.
	e.opt.Remote = straight
	e.authenticated(t)
}

// A listener that does not know the secret cannot pretend to.
func TestFalseListenerIsRefused(t *testing.T) {
	e := newEnv(t, Timing{})
	id, secret := e.sess.ID(), e.sess.secret
	secret[0] ^= 1
	liar := NewSession(id, secret, "")
	// The liar takes whatever is claimed.
	lied := liarListener(t, liar)
	e.opt.Remote = lied
	if st, err := e.dial.DialData(e.ctx, e.opt, KindMemory, 0); st != nil || !fault.Is(err, fault.SessionUnknown) {
		t.Errorf("error: %v", err)
	}
}

func liarListener(t *testing.T, s *Session) netip.AddrPort {
	t.Helper()
	ident, err := LoadOrCreateIdentity(t.TempDir(), "liar")
	if err != nil {
		t.Fatal(err)
	}
	ln, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{ident.Certificate()}})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() { ln.Close(); <-done })
	go func() {
		defer close(done)
		c, err := ln.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		conn := c.(*tls.Conn)
		if _, err := answerPreamble(conn, names{}); err != nil {
			t.Error(err)
			return
		}
		b, err := expectFrame(conn, frameHello)
		if err != nil {
			t.Error(err)
			return
		}
		_, claimed, _, _ := parseHello(b)
		exp, _ := exporter(conn.ConnectionState())
		_ = writeFrame(conn, frameWelcome, s.mac("server", exp, claimed))
	}()
	return addrPort(ln.Addr())
}

func TestPreambleOfAnotherVersionIsToldOurs(t *testing.T) {
	e := newEnv(t, Timing{})
	for name, c := range map[string]struct{ sent, want []byte }{
		"newer version": {[]byte("DROVER\x09\x01"), []byte("DROVER\x01\x01")},
		"unknown kind":  {[]byte("DROVER\x01\x63"), []byte("DROVER\x01\x02")},
		"kind zero":     {[]byte("DROVER\x01\x00"), []byte("DROVER\x01\x02")},
		"another magic": {[]byte("GET / HT"), nil},
	} {
		conn, err := tls.Dial("tcp", e.opt.Remote.String(), &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // as Dial does
		if err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Write(c.sent); err != nil {
			t.Fatal(err)
		}
		_ = conn.SetDeadline(time.Now().Add(patience))
		got, _ := io.ReadAll(conn)
		if !bytes.Equal(got, c.want) {
			t.Errorf("%s: answer %q, want %q", name, got, c.want)
		}
		conn.Close()
	}
	rw := struct {
		io.Reader
		io.Writer
	}{bytes.NewReader([]byte("DROVER\x02\x01")), io.Discard}
	err := offerPreamble(rw, KindControl, names{"HV01", "HV02"})
	if !fault.Is(err, fault.AgentTooOld) || fault.From(err).Args["want"] != "2" {
		t.Errorf("opener: %v", err)
	}
}

func TestOlderTLSIsRefused(t *testing.T) {
	e := newEnv(t, Timing{})
	conn, err := tls.Dial("tcp", e.opt.Remote.String(), &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12}) //nolint:gosec // must fail
	if err == nil {
		conn.Close()
		t.Error("TLS 1.2 was accepted")
	}
}

func TestNobodyAtThePort(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := addrPort(ln.Addr())
	ln.Close()
	_, err = DialControl(context.Background(), DialOptions{Remote: addr, Host: "HV01"})
	if !fault.Is(err, fault.MigrationPort) || fault.From(err).Args["address"] != addr.String() {
		t.Errorf("error: %v", err)
	}
	// Somebody, who never speaks TLS.
	mute, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer mute.Close()
	o := DialOptions{Remote: addrPort(mute.Addr()), Host: "HV01", Timing: Timing{Handshake: 50 * time.Millisecond}}
	if _, err := DialControl(context.Background(), o); !fault.Is(err, fault.MigrationPort) {
		t.Errorf("mute: %v", err)
	}
	why := errors.New("enough")
	ctx, cancel := context.WithCancelCause(context.Background())
	got := make(chan error, 1)
	o.Timing.Handshake = patience
	go func() { _, err := DialControl(ctx, o); got <- err }()
	cancel(why)
	if err := <-got; !errors.Is(err, why) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestListenerFollowsItsAddresses(t *testing.T) {
	var list atomic.Pointer[[]netip.Addr]
	list.Store(&[]netip.Addr{})
	e := &env{}
	id, err := LoadOrCreateIdentity(t.TempDir(), "hv02")
	if err != nil {
		t.Fatal(err)
	}
	var told []string
	e.ln, err = Listen(t.Context(), ListenOptions{
		Addrs: func() ([]netip.Addr, error) { return *list.Load(), nil }, Identity: id,
		Changed: func(came, gone, now []netip.AddrPort) {
			told = append(told, fmt.Sprintf("+%d -%d =%d", len(came), len(gone), len(now)))
		},
		OnControl: func(context.Context, *Unauthenticated) {}, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil || len(e.ln.Addrs()) != 0 {
		t.Fatalf("no address is no error: %v %v", e.ln.Addrs(), err)
	}
	defer e.ln.Close()
	one, two := netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("127.0.0.2")
	list.Store(&[]netip.Addr{one, two})
	e.ln.rebind(t.Context())
	if len(e.ln.Addrs()) != 2 {
		t.Fatal(e.ln.Addrs())
	}
	list.Store(&[]netip.Addr{two})
	e.ln.rebind(t.Context())
	if got := e.ln.Addrs(); len(got) != 1 || got[0].Addr() != two {
		t.Fatal(got)
	}
	// An address that is not there does not disturb the others.
	list.Store(&[]netip.Addr{two, netip.MustParseAddr("240.0.0.1")})
	e.ln.rebind(t.Context())
	if got := e.ln.Addrs(); len(got) != 1 || got[0].Addr() != two {
		t.Fatal(got)
	}
	if want := []string{"+2 -0 =2", "+0 -1 =1"}; !slices.Equal(told, want) {
		t.Errorf("told %v, want %v", told, want)
	}
}

func TestListenerFollowsAnAddressToAnotherInterface(t *testing.T) {
	e := newEnv(t, Timing{})
	a := netip.MustParseAddr("127.0.0.1")
	socket := func() net.Listener {
		e.ln.mu.Lock()
		defer e.ln.mu.Unlock()
		return e.ln.bound[a].ln
	}
	first := socket()
	e.ln.Rebind(e.ctx)
	if socket() != first {
		t.Error("it listens anew though nothing has changed")
	}
	e.ln.rebinding.Lock() // Run looks at addresses, too
	e.ln.deviceOf = func(netip.Addr) device { return device{"lo", 1} }
	e.ln.rebinding.Unlock()
	e.ln.Rebind(e.ctx)
	if socket() == first {
		t.Fatal("it listens on the interface that had the address before")
	}
	e.opt.Remote = e.ln.Addrs()[0]
	ctl, err := DialControl(e.ctx, e.opt)
	if err != nil {
		t.Fatal(err)
	}
	ctl.Close()
}

func TestLocalAddrsAreThoseWithinTheNetworks(t *testing.T) {
	got, err := LocalAddrs([]netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("127.0.0.0/16")})
	if err != nil || len(got) != 1 || got[0] != netip.MustParseAddr("127.0.0.1") {
		t.Errorf("%v %v", got, err)
	}
	got, err = LocalAddrs([]netip.Prefix{netip.MustParsePrefix("240.0.0.0/4")})
	if err != nil || len(got) != 0 {
		t.Errorf("%v %v", got, err)
	}
}
