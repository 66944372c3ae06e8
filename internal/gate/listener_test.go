package gate

import (
	"errors"
	"io"
	"net"
	"testing"
	"time"
)

const patience = 20 * time.Second

// pairs accepts connections on loopback through a gate.
type pairs struct {
	t  *testing.T
	ln net.Listener
}

func newPairs(t *testing.T, g *Gate, key func(net.Conn) string) *pairs {
	t.Helper()
	raw, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &pairs{t, g.Listener(raw, key)}
	t.Cleanup(func() { p.ln.Close() })
	return p
}

func (p *pairs) open() (client net.Conn, server *Conn) {
	p.t.Helper()
	client, err := net.Dial("tcp", p.ln.Addr().String())
	if err != nil {
		p.t.Fatal(err)
	}
	s, err := p.ln.Accept()
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { client.Close(); s.Close() })
	return client, s.(*Conn)
}

func assertClosed(t *testing.T, c net.Conn) {
	t.Helper()
	_ = c.SetReadDeadline(time.Now().Add(patience))
	_, err := io.ReadAll(c)
	var ne net.Error
	if errors.As(err, &ne) && ne.Timeout() {
		t.Error("the connection is still open")
	}
}

func assertOpen(t *testing.T, client, server net.Conn) {
	t.Helper()
	_ = server.SetReadDeadline(time.Now().Add(patience))
	if _, err := client.Write([]byte{7}); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(server, make([]byte, 1)); err != nil {
		t.Error(err)
	}
}

func TestConnectionsAreTurnedOutAndPassOn(t *testing.T) {
	strangers, known := New(Options{Total: 2, Each: 2}), New(Options{Total: 1, Each: 1})
	p := newPairs(t, strangers, ByAddress)
	c1, s1 := p.open()
	_, s2 := p.open()
	if !s2.Pass(known, "operator") || strangers.Count() != 1 || known.Count() != 1 {
		t.Fatalf("%d strangers, %d known", strangers.Count(), known.Count())
	}
	c3, s3 := p.open()
	c4, s4 := p.open()
	assertClosed(t, c1)
	if s1.Pass(known, "operator") {
		t.Error("a connection that was turned out came to be known")
	}
	if !s3.Pass(known, "operator") {
		t.Error("no room among the known")
	}
	assertOpen(t, c3, s3)
	assertOpen(t, c4, s4)
	if err := errors.Join(s3.Close(), s4.Close()); err != nil || strangers.Count() != 0 || known.Count() != 0 {
		t.Errorf("%v; %d strangers, %d known", err, strangers.Count(), known.Count())
	}
	if s4.Pass(known, "operator") {
		t.Error("a closed connection came to be known")
	}
}

type addrConn struct {
	net.Conn
	remote net.Addr
}

func (c addrConn) RemoteAddr() net.Addr { return c.remote }

func TestKeysAreWhatOneHostCannotMultiply(t *testing.T) {
	for addr, want := range map[string]string{
		"192.168.10.7": "192.168.10.7", "::ffff:192.168.10.7": "192.168.10.7", "fd00:1:2:3::7": "fd00:1:2:3::/64", "fd00:1:2:3:4:5:6:7": "fd00:1:2:3::/64",
	} {
		if got := ByAddress(addrConn{remote: &net.TCPAddr{IP: net.ParseIP(addr), Port: 4}}); got != want {
			t.Errorf("%s: %q, want %q", addr, got, want)
		}
	}
	if got := ByAddress(addrConn{remote: &net.TCPAddr{IP: net.ParseIP("fe80::1"), Zone: "eth0", Port: 4}}); got != "fe80::/64" {
		t.Errorf("link-local: %q", got)
	}
	if got := ByAddress(addrConn{remote: &net.UnixAddr{Name: "@", Net: "unix"}}); got != "" {
		t.Errorf("unix: %q", got)
	}
}
