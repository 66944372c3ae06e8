package stream

import (
	"net"

	"golang.org/x/sys/unix"
)

// unsent is how much of a data connection's bytes the kernel holds that it could
// not send yet. What lies there cannot be overtaken, and hides how fast the link
// is; but with too little there a link falls idle while this process is not run.
const unsent = 256 << 10

// boundUnsent has the kernel keep to that.
func (w *wireConn) boundUnsent() {
	tc, ok := w.Conn.(*net.TCPConn)
	if !ok {
		return
	}
	if rc, err := tc.SyscallConn(); err == nil {
		_ = rc.Control(func(fd uintptr) {
			_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, unsent) // as it was, then
		})
	}
}
