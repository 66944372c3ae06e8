package gate

import (
	"net"
	"net/netip"
	"sync"
)

// Listener gives each connection that l accepts a place under its key. Its
// connections are *Conn.
func (g *Gate) Listener(l net.Listener, key func(net.Conn) string) net.Listener {
	return &listener{Listener: l, gate: g, key: key}
}

type listener struct {
	net.Listener
	gate *Gate
	key  func(net.Conn) string
}

func (l *listener) Accept() (net.Conn, error) {
	raw, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	c := &Conn{Conn: raw}
	c.mu.Lock() // Close must find the place
	defer c.mu.Unlock()
	c.place = l.gate.Enter(l.key(raw), func() { Drop(raw) })
	return c, nil
}

// Conn is a connection with a place, which Close gives back.
type Conn struct {
	net.Conn
	mu    sync.Mutex
	place *Place
}

// Pass gives the place back and takes one of another gate, under another key. It is
// false when the connection was turned out or closed before.
func (c *Conn) Pass(to *Gate, key string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.place.Leave() {
		return false
	}
	raw := c.Conn
	c.place = to.Enter(key, func() { Drop(raw) })
	return true
}

// Close closes the connection and gives its place back.
func (c *Conn) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.place.Leave()
	return c.Conn.Close()
}

// Drop closes a connection at once: a TCP connection by a reset, after which the
// kernel keeps nothing of it.
func Drop(c net.Conn) {
	if t, ok := c.(*net.TCPConn); ok {
		_ = t.SetLinger(0)
	}
	_ = c.Close()
}

// prefix6 is what one host of IPv6 can choose addresses from.
const prefix6 = 64

// ByAddress is the key of whoever is at the other end of a connection over IP: the
// address, of IPv6 the prefix of 64 bits.
func ByAddress(c net.Conn) string {
	ap, err := netip.ParseAddrPort(c.RemoteAddr().String())
	if err != nil {
		return ""
	}
	a := ap.Addr().Unmap().WithZone("")
	if a.Is4() {
		return a.String()
	}
	p, err := a.Prefix(prefix6)
	if err != nil {
		return a.String()
	}
	return p.String()
}
