package stream

import (
	"net"
	"testing"

	"golang.org/x/sys/unix"
)

func TestWhatIsLeftToTheKernelFollowsTheLink(t *testing.T) {
	src, _ := newEnv(t, Timing{}).pair(t, KindMemory, 0)
	kept := func() int {
		rc, err := src.link.raw.Conn.(*net.TCPConn).SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		var n int
		if cerr := rc.Control(func(fd uintptr) {
			n, err = unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT)
		}); cerr != nil || err != nil {
			t.Fatal(cerr, err)
		}
		return n
	}
	if n := kept(); n != unsent {
		t.Errorf("%d bytes before anything is known", n)
	}
	for rate, want := range map[float64]int{0: unsent, 100e6 / 8: leastUnsent, 500e6 / 8: 625000, 10e9 / 8: mostUnsent} {
		if src.Expect(rate); kept() != want {
			t.Errorf("%d bytes at %.0f bytes per second, want %d", kept(), rate, want)
		}
	}
}
