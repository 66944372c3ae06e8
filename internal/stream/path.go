package stream

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Path is what becomes of packets between two hosts.
type Path struct {
	Local netip.Addr // the source address that was used
	// Packet is the size, with its headers, of the largest packet that a stream sends
	// there, 0 when Problem says why none was sent.
	Packet int
	// Passes is the largest that arrived of the sizes that were tried, Packet itself on a
	// path as it should be, and 0 when small ones alone arrive.
	Passes  int
	Problem string
}

// Lost says that small packets arrive and large ones get lost, without a word of why
// that would let TCP send smaller ones.
func (p Path) Lost() bool { return p.Problem == "" && p.Passes < p.Packet }

// sizes of packets that are tried where the largest gets lost: usual limits of links and
// of tunnels over them.
var sizes = []int{9000, 8900, 4000, 2000, 1500, 1492, 1450, 1400, 1350, 1300, 1280, 1000, 576}

// The first bytes of a TLS handshake, in a record of which the rest never comes: the
// listener waits for it, while its kernel acknowledges what arrives. small is sent alone,
// and of what follows one packet.
var opening = append([]byte{0x16, 3, 1, 0x3f, 0xff, 1, 0, 0x3f, 0xfb}, make([]byte, 16<<10-9)...)

const small = 64

var (
	errLost     = errors.New("nothing of it was acknowledged in time")
	errEnded    = errors.New("the other end has ended the connection")
	errNoSocket = errors.New("the connection is no TCP socket of the kernel's")
)

// TryPath connects and sends packets, small ones and then one as large as a stream
// would, each of which the other kernel has to acknowledge within a time; connecting has
// as much. The error is that of connecting.
func TryPath(ctx context.Context, o DialOptions, within time.Duration) (Path, error) {
	c, err := o.connect(ctx, time.Now().Add(within))
	if err != nil {
		return Path{}, err
	}
	defer c.Close()
	p := Path{Local: addrPort(c.LocalAddr()).Addr()}
	if err := sendAcknowledged(ctx, c, opening[:small], within); err != nil {
		p.Problem = "a small packet: " + err.Error()
		return p, nil
	}
	payload, headers, err := segment(c)
	if err != nil {
		p.Problem = err.Error()
		return p, nil
	}
	payload = min(payload, len(opening)-small)
	switch err := sendAcknowledged(ctx, c, opening[small:small+payload], within); {
	case err == nil:
		p.Packet, p.Passes = payload+headers, payload+headers
	case errors.Is(err, errLost):
		p.Packet = payload + headers
		p.Passes = o.passes(ctx, p.Packet, headers, within)
	default:
		p.Problem = err.Error()
	}
	return p, nil
}

// passes tries smaller packets, each on a connection of its own, and gives the largest
// that arrives, 0 when none does.
func (o DialOptions) passes(ctx context.Context, below, headers int, within time.Duration) int {
	arrived := make([]bool, len(sizes))
	var wg sync.WaitGroup
	for i, size := range sizes {
		if size >= below {
			continue
		}
		wg.Go(func() {
			c, err := o.connect(ctx, time.Now().Add(within))
			if err != nil {
				return
			}
			defer c.Close()
			arrived[i] = sendAcknowledged(ctx, c, opening[:size-headers], within) == nil
		})
	}
	wg.Wait()
	if i := slices.Index(arrived, true); i >= 0 {
		return sizes[i]
	}
	return 0
}

// segment gives the bytes of data and of headers (IP, TCP and its options) of a full
// packet of a connection.
func segment(c net.Conn) (payload, headers int, err error) {
	info, err := tcpInfo(c)
	if err != nil {
		return 0, 0, err
	}
	headers = 40
	if addrPort(c.RemoteAddr()).Addr().Is6() {
		headers = 60
	}
	const timestamps, bytesOfTimestamps = 1, 12 // TCPI_OPT_TIMESTAMPS of linux/tcp.h
	if info.Options&timestamps != 0 {
		headers += bytesOfTimestamps
	}
	return int(info.Snd_mss), headers, nil
}

// sendAcknowledged sends b, which fits one packet, and waits until the other kernel has
// acknowledged it.
func sendAcknowledged(ctx context.Context, c net.Conn, b []byte, within time.Duration) error {
	deadline := time.Now().Add(within)
	_ = c.SetWriteDeadline(deadline)
	if _, err := c.Write(b); err != nil {
		return errEnded
	}
	look := time.NewTicker(2 * time.Millisecond)
	defer look.Stop()
	for time.Now().Before(deadline) {
		info, err := tcpInfo(c)
		if err != nil {
			return err
		}
		switch {
		case info.State != tcpEstablished && info.State != tcpCloseWait:
			return errEnded
		case info.Unacked == 0 && info.Notsent_bytes == 0:
			return nil
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-look.C:
		}
	}
	return errLost
}

// States of a socket (net/tcp_states.h).
const (
	tcpEstablished = 1
	tcpCloseWait   = 8
)

// tcpInfo is what the kernel knows of a connection.
func tcpInfo(c net.Conn) (info *unix.TCPInfo, err error) {
	s, ok := c.(syscall.Conn)
	if !ok {
		return nil, errNoSocket
	}
	raw, err := s.SyscallConn()
	if err != nil {
		return nil, err
	}
	if cerr := raw.Control(func(fd uintptr) { info, err = unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO) }); cerr != nil {
		return nil, cerr
	}
	return info, err
}
