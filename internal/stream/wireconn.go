package stream

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// TCPInfo is what the kernel says of a connection.
type TCPInfo struct {
	Local, Remote netip.AddrPort // getsockname(2), getpeername(2)
	BytesAcked    uint64         // payload of TCP that the peer's kernel acknowledged
	BytesReceived uint64         // payload of TCP that arrived
	Retransmits   uint32         // segments sent again, ever
	RTT           time.Duration  // smoothed round trip
}

// wireConn is the connection below TLS: it counts, and it is where silence is
// noticed, because a sign of life is any byte and not a whole record.
type wireConn struct {
	net.Conn
	in, out   atomic.Uint64
	silence   atomic.Int64  // ns that a Read may wait; 0: the deadline set by others counts
	lastWrite atomic.Int64  // UnixNano
	pace      Pace          // nil: as fast as it goes
	gone      chan struct{} // closed by Close; nil without a pace

	closing sync.Once
	mu      sync.Mutex // guards the rest, so that TCPInfo does not race with Close
	closed  bool
	last    TCPInfo
	err     error
}

// Read looks twice before it gives the peer up: after nine tenths of the time,
// and at its end. If it was this process that slept (a stopped or starved
// machine), the deadline has passed before anything could be read, and the
// second look finds what the peer sent meanwhile.
//
// With a pace it comes back late, so that the peer finds the connection full.
// While it waits for that it judges nobody.
func (w *wireConn) Read(p []byte) (n int, err error) {
	limits := w.limits(In)
	p = p[:pieceOf(limits, len(p))]
	n, err = w.read(p, nil, 0)
	return w.slow(limits, n, err)
}

// splice is Read into the pipe of s, of up to n bytes.
func (w *wireConn) splice(s *splicer, n int) (int, error) {
	limits := w.limits(In)
	n, err := w.read(nil, s, pieceOf(limits, n))
	return w.slow(limits, n, err)
}

// slow waits for what was taken to be allowed.
func (w *wireConn) slow(limits []*Limit, n int, err error) (int, error) {
	if n > 0 && limits != nil {
		if herr := w.hold(limits, n); herr != nil {
			return n, herr
		}
	}
	return n, err
}

// read is into p, or up to most bytes into the pipe of s.
func (w *wireConn) read(p []byte, s *splicer, most int) (n int, err error) {
	if d := time.Duration(w.silence.Load()); d > 0 {
		if n, err = w.readWithin(d-d/10, p, s, most); n == 0 && errors.Is(err, os.ErrDeadlineExceeded) && w.silence.Load() > 0 {
			n, err = w.readWithin(d/10, p, s, most)
		}
	} else {
		n, err = w.readOnce(p, s, most)
	}
	w.in.Add(uint64(n))
	return n, err
}

func (w *wireConn) readWithin(d time.Duration, p []byte, s *splicer, most int) (int, error) {
	if err := w.SetReadDeadline(time.Now().Add(d)); err != nil {
		return 0, err
	}
	return w.readOnce(p, s, most)
}

func (w *wireConn) readOnce(p []byte, s *splicer, most int) (int, error) {
	if s != nil {
		return s.take(most)
	}
	return w.Conn.Read(p)
}

// Write sends p, with a pace in pieces.
func (w *wireConn) Write(p []byte) (done int, err error) {
	for {
		limits := w.limits(Out)
		n := pieceOf(limits, len(p)-done)
		if limits != nil {
			if err := w.hold(limits, n); err != nil {
				return done, err
			}
		}
		n, err = w.write(p[done : done+n])
		done += n
		if err != nil || done == len(p) {
			return done, err
		}
	}
}

func (w *wireConn) write(p []byte) (int, error) {
	n, err := w.Conn.Write(p)
	w.out.Add(uint64(n))
	w.lastWrite.Store(time.Now().UnixNano())
	return n, err
}

// Close closes once and keeps the kernel's last word.
func (w *wireConn) Close() error {
	w.closing.Do(func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.look()
		w.closed = true
		if w.gone != nil {
			close(w.gone)
		}
		w.err = w.Conn.Close()
	})
	return w.err
}

// drop is Close by a reset, after which the kernel keeps nothing.
func (w *wireConn) drop() {
	if t, ok := w.Conn.(*net.TCPConn); ok {
		_ = t.SetLinger(0)
	}
	w.Close()
}

// info asks the kernel, or gives what it said at Close. It is zero where the
// connection is no TCP connection.
func (w *wireConn) info() TCPInfo {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.closed {
		w.look()
	}
	return w.last
}

// look asks the kernel; what it does not say any more stays.
func (w *wireConn) look() {
	in, ok := kernelInfo(w.Conn)
	if !ok {
		return
	}
	if !in.Local.IsValid() {
		in.Local = w.last.Local
	}
	if !in.Remote.IsValid() { // of a connection that was reset
		in.Remote = w.last.Remote
	}
	w.last = in
}

func kernelInfo(c net.Conn) (TCPInfo, bool) {
	tc, ok := c.(*net.TCPConn)
	if !ok {
		return TCPInfo{}, false
	}
	rc, err := tc.SyscallConn()
	if err != nil {
		return TCPInfo{}, false
	}
	var ti *unix.TCPInfo
	var local, remote unix.Sockaddr
	cerr := rc.Control(func(fd uintptr) {
		local, _ = unix.Getsockname(int(fd))
		remote, _ = unix.Getpeername(int(fd))
		ti, err = unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
	})
	if cerr != nil || err != nil {
		return TCPInfo{}, false
	}
	return TCPInfo{
		Local: sockAddr(local), Remote: sockAddr(remote),
		BytesAcked: ti.Bytes_acked, BytesReceived: ti.Bytes_received,
		Retransmits: ti.Total_retrans, RTT: time.Duration(ti.Rtt) * time.Microsecond,
	}, true
}

func sockAddr(a unix.Sockaddr) netip.AddrPort {
	switch a := a.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(a.Addr), uint16(a.Port))
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(a.Addr).Unmap(), uint16(a.Port))
	}
	return netip.AddrPort{}
}

// addrPort is the address of a socket, with IPv4 as IPv4.
func addrPort(a net.Addr) netip.AddrPort {
	if t, ok := a.(*net.TCPAddr); ok {
		ap := t.AddrPort()
		return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
	}
	return netip.AddrPort{}
}
