package stream

import (
	"io"
	"net"
	"net/netip"
	"testing"
	"time"
)

func listen(t *testing.T, serve func(net.Conn)) netip.AddrPort {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			serve(c)
		}
	}()
	t.Cleanup(func() { _ = ln.Close(); <-ended })
	return addrPort(ln.Addr())
}

// The kernel acknowledges, whether or not anybody reads.
func TestPathThatCarriesLargePackets(t *testing.T) {
	at := listen(t, func(c net.Conn) { t.Cleanup(func() { _ = c.Close() }) })
	p, err := TryPath(t.Context(), DialOptions{Remote: at}, 5*time.Second)
	if err != nil || p.Problem != "" || p.Lost() || p.Packet < 1000 || p.Passes != p.Packet || p.Local != at.Addr() {
		t.Errorf("%+v %v", p, err)
	}
}

// Whoever ends the connection loses no packets.
func TestPathToSomebodyWhoHangsUp(t *testing.T) {
	at := listen(t, func(c net.Conn) {
		_ = c.(*net.TCPConn).SetLinger(0)
		_, _ = io.ReadFull(c, make([]byte, small))
		_ = c.Close()
	})
	p, err := TryPath(t.Context(), DialOptions{Remote: at}, 5*time.Second)
	if err != nil || p.Lost() {
		t.Errorf("%+v %v", p, err)
	}
}

func TestPathToNobody(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at := addrPort(ln.Addr())
	_ = ln.Close()
	if p, err := TryPath(t.Context(), DialOptions{Remote: at}, 5*time.Second); err == nil {
		t.Errorf("%+v", p)
	}
}

// What is sent first has to look like the beginning of a handshake for as long as any
// packet is, or the listener would hang up.
func TestOpeningIsOneRecordThatDoesNotEnd(t *testing.T) {
	if length := int(opening[3])<<8 | int(opening[4]); length+5 <= len(opening) || length > 1<<14 {
		t.Errorf("a record of %d bytes, of which %d are sent", length, len(opening)-5)
	}
}
