package lab

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Capture counts what a member's interface carries to and from one TCP port, whoever sends it, with
// IPv4 or IPv6. End must be called.
type Capture struct {
	fd   int
	stop int // an eventfd
	port uint16
	done chan struct{}

	mu      sync.Mutex
	traffic Traffic
	err     error
}

// Traffic is what a capture has seen. A packet is what the kernel hands to the interface or takes
// from it, which can be many segments that are not cut yet, so the number of bytes says more.
type Traffic struct {
	Packets        int
	Sent, Received uint64 // bytes of TCP payload
	// Slots has when how much was carried, in both directions, in order of time; slots in which
	// there was nothing are missing.
	Slots []Slot
}

// Slot is a hundredth of a second of a capture.
type Slot struct {
	Start time.Time // by the kernel's clock at the interface
	Bytes uint64    // of TCP payload
}

// slotTime is the length of a Slot.
const slotTime = 10 * time.Millisecond

// Rate is how many bits per second of payload were carried between two times.
func (t Traffic) Rate(from, to time.Time) float64 {
	var sum uint64
	for _, s := range t.Slots {
		if !s.Start.Before(from) && s.Start.Before(to) {
			sum += s.Bytes
		}
	}
	return float64(sum) * 8 / to.Sub(from).Seconds()
}

// Capture begins to count at a member's interface in a network.
func (l *Lab) Capture(member string, n Network, port uint16) (*Capture, error) {
	m := l.Member(member)
	if m == nil {
		return nil, fmt.Errorf("the lab has no member %s", member)
	}
	c := &Capture{fd: -1, stop: -1, port: port, done: make(chan struct{})}
	err := m.InNetwork(func() error { return c.open(string(n)) })
	if err != nil {
		c.close()
		return nil, fmt.Errorf("capture on %s of %s: %w", n, member, err)
	}
	go func() {
		defer close(c.done)
		c.count()
	}()
	return c, nil
}

// headers is how much of a packet is looked at: the longest IPv4 header and TCP's, or IPv6's without
// extensions and TCP's.
const headers = 120

func (c *Capture) open(device string) (err error) {
	link, err := net.InterfaceByName(device)
	if err != nil {
		return err
	}
	// Without a protocol it gets nothing until it is bound. "Datagram" takes the link's header off.
	if c.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0); err != nil {
		return fmt.Errorf("packet socket: %w", err)
	}
	if c.stop, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		return fmt.Errorf("eventfd: %w", err)
	}
	cut := []unix.SockFilter{{Code: unix.BPF_RET | unix.BPF_K, K: headers}}
	return errors.Join(
		unix.SetsockoptSockFprog(c.fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: 1, Filter: &cut[0]}),
		unix.SetsockoptInt(c.fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 128<<20),
		unix.SetsockoptInt(c.fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1),
		unix.Bind(c.fd, &unix.SockaddrLinklayer{Protocol: bigEndian(unix.ETH_P_ALL), Ifindex: link.Index}),
	)
}

func bigEndian(v uint16) uint16 { return v<<8 | v>>8 }

// count reads until it is stopped and what the kernel still has is read.
func (c *Capture) count() {
	for {
		poll := []unix.PollFd{{Fd: int32(c.fd), Events: unix.POLLIN}, {Fd: int32(c.stop), Events: unix.POLLIN}}
		if _, err := unix.Poll(poll, -1); err != nil && !errors.Is(err, unix.EINTR) {
			c.fail(err)
			return
		}
		for c.packet() {
		}
		if poll[1].Revents != 0 {
			return
		}
	}
}

// packet takes one in; false when there is none.
func (c *Capture) packet() bool {
	var b [headers]byte
	var control [64]byte
	n, controls, _, from, err := unix.Recvmsg(c.fd, b[:], control[:], 0)
	if err != nil {
		if !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EINTR) {
			c.fail(err)
		}
		return errors.Is(err, unix.EINTR)
	}
	link, ok := from.(*unix.SockaddrLinklayer)
	payload, mine := c.payload(b[:n])
	if !ok || !mine {
		return true
	}
	at, err := stamp(control[:controls])
	if err != nil {
		c.fail(err)
		return true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	t := &c.traffic
	t.Packets++
	if link.Pkttype == unix.PACKET_OUTGOING {
		t.Sent += payload
	} else {
		t.Received += payload
	}
	start := at.Truncate(slotTime)
	if last := len(t.Slots) - 1; last >= 0 && !t.Slots[last].Start.Before(start) {
		t.Slots[last].Bytes += payload
	} else {
		t.Slots = append(t.Slots, Slot{start, payload})
	}
	return true
}

// payload is the length of the TCP payload of a packet to or from the port.
func (c *Capture) payload(ip []byte) (n uint64, mine bool) {
	if len(ip) < 20 {
		return 0, false
	}
	var header, total int
	switch {
	case ip[0]>>4 == 4 && ip[9] == unix.IPPROTO_TCP:
		header, total = int(ip[0]&15)*4, int(binary.BigEndian.Uint16(ip[2:]))
	case ip[0]>>4 == 6 && ip[6] == unix.IPPROTO_TCP:
		header, total = 40, 40+int(binary.BigEndian.Uint16(ip[4:]))
	default:
		return 0, false
	}
	if len(ip) < header+20 {
		return 0, false
	}
	tcp := ip[header:]
	if binary.BigEndian.Uint16(tcp) != c.port && binary.BigEndian.Uint16(tcp[2:]) != c.port {
		return 0, false
	}
	return uint64(max(0, total-header-int(tcp[12]>>4)*4)), true
}

// stamp finds the kernel's time of a packet.
func stamp(control []byte) (time.Time, error) {
	messages, err := unix.ParseSocketControlMessage(control)
	if err != nil {
		return time.Time{}, err
	}
	for _, m := range messages {
		if m.Header.Level == unix.SOL_SOCKET && m.Header.Type == unix.SCM_TIMESTAMPNS && len(m.Data) >= 16 {
			return time.Unix(int64(binary.NativeEndian.Uint64(m.Data)), int64(binary.NativeEndian.Uint64(m.Data[8:]))), nil
		}
	}
	return time.Time{}, errors.New("a packet without its time")
}

func (c *Capture) fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.err = errors.Join(c.err, err)
}

// Seen is what was counted up to now.
func (c *Capture) Seen() Traffic {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.traffic
	t.Slots = append([]Slot(nil), t.Slots...)
	return t
}

// End stops counting. It is an error when a packet was not seen: then the figures prove nothing.
func (c *Capture) End() (Traffic, error) {
	var one [8]byte
	binary.NativeEndian.PutUint64(one[:], 1)
	if _, err := unix.Write(c.stop, one[:]); err != nil {
		return Traffic{}, err
	}
	<-c.done
	defer c.close()
	lost, err := unix.GetsockoptTpacketStats(c.fd, unix.SOL_PACKET, unix.PACKET_STATISTICS)
	if err == nil && lost.Drops > 0 {
		err = fmt.Errorf("the capture has lost %d of %d packets", lost.Drops, lost.Packets)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.traffic, errors.Join(c.err, err)
}

func (c *Capture) close() {
	for _, fd := range []int{c.fd, c.stop} {
		if fd >= 0 {
			_ = unix.Close(fd)
		}
	}
}
