package stream

import (
	"net"

	"golang.org/x/sys/unix"
)

// How much of a data connection's bytes the kernel holds that it could not send
// yet. What lies there cannot be overtaken, hides how fast the link is, and is
// ahead of the last pages of a paused guest; but with too little there the link
// falls idle while this process waits for a processor, which on a busy host is
// milliseconds.
const (
	unsent      = 512 << 10 // of a link of which nothing is known
	leastUnsent = 256 << 10
	mostUnsent  = 1 << 20
	unsentTime  = 0.010 // seconds of the link
)

// Expect tells how many bytes per second the stream may carry, 0 when that is not
// known. It decides what is left to the kernel to send.
func (s *Stream) Expect(bytesPerSecond float64) {
	n := unsent
	if bytesPerSecond > 0 {
		n = int(min(max(bytesPerSecond*unsentTime, leastUnsent), mostUnsent))
	}
	s.link.raw.boundUnsent(n)
}

// boundUnsent has the kernel keep to that.
func (w *wireConn) boundUnsent(n int) {
	tc, ok := w.Conn.(*net.TCPConn)
	if !ok {
		return
	}
	if rc, err := tc.SyscallConn(); err == nil {
		_ = rc.Control(func(fd uintptr) {
			_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, n) // as it was, then
		})
	}
}
