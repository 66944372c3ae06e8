package agent

import (
	"cmp"
	"fmt"
	"net"
	"strconv"
	"sync"
	"time"

	"drover/internal/fault"
	"drover/internal/nbd"
	"drover/internal/stream"
)

// What a destination sends back on a data stream goes to the QEMU that runs the guest. It
// is little: on memory the return path, on disks the negotiation and replies.
const (
	// mostBack is more than QEMU's return path has without postcopy, which is not used.
	mostBack = 1 << 20
	// greetingTime is for the negotiation of a disk's connection, in which the guest can
	// stand still.
	greetingTime = 20 * time.Second
)

// guarded is a connection of this host's QEMU, or qemu-img, that the destination writes to.
type guarded struct {
	*net.UnixConn
	broken func(format string, args ...any) error

	// All of Write.
	back     int           // bytes that may still come; negative: any number
	greeting *nbd.Greeting // nil: over, or none is due
	greeted  func()
}

// Write passes on what the destination sent, as far as it may.
func (g *guarded) Write(p []byte) (int, error) {
	if g.back >= 0 {
		if len(p) > g.back {
			return 0, g.broken("more than %d bytes back on a memory stream", mostBack)
		}
		g.back -= len(p)
	}
	if g.greeting != nil {
		over, err := g.greeting.Saw(p)
		if err != nil {
			return 0, g.broken("%v", err)
		}
		if over {
			g.greeting = nil
			g.greeted()
		}
	}
	return g.UnixConn.Write(p)
}

// guard holds what comes back on st against what may. done has to be called when the stream
// has ended.
func (s *session) guard(st *stream.Stream, local net.Conn) (guard net.Conn, done func()) {
	unix, ok := local.(*net.UnixConn)
	if !ok {
		return local, func() {}
	}
	g := &guarded{UnixConn: unix, back: mostBack, broken: func(format string, args ...any) error {
		return fault.New(fault.ProtocolError, s.host, "peer", s.opts.Peer, "problem", fmt.Sprintf(format, args...))
	}}
	if st.Kind() != stream.KindDisk {
		return g, func() {}
	}
	within := cmp.Or(s.greetingTime, greetingTime)
	late := time.AfterFunc(within, func() {
		st.Abort(fault.New(fault.PeerSilent, s.host, "peer", s.opts.Peer, "seconds", strconv.Itoa(int(within.Seconds()))))
	})
	g.back, g.greeting, g.greeted = -1, new(nbd.Greeting), sync.OnceFunc(func() { late.Stop() })
	return g, g.greeted
}
