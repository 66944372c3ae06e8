package faults

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	lv "github.com/digitalocean/go-libvirt"
	"golang.org/x/sys/unix"

	"drover/internal/guest"
	"drover/internal/virt"
	"drover/lab"
)

// catcher sees the heartbeats of one guest that leave a host.
type catcher struct {
	fd, stop int
	vm       string
	saw      func(time.Time)
	done     chan struct{}
}

// catch begins at the host's interface to the guests' network. saw is called from
// another goroutine for each heartbeat, with its time there.
func catch(m *lab.Member, vm string, saw func(time.Time), fail func(error)) (*catcher, error) {
	c := &catcher{fd: -1, stop: -1, vm: vm, saw: saw, done: make(chan struct{})}
	if err := m.InNetwork(c.open); err != nil {
		c.release()
		return nil, fmt.Errorf("heartbeats of %s: %w", m.Name, err)
	}
	go func() {
		defer close(c.done)
		if err := c.read(); err != nil {
			fail(fmt.Errorf("heartbeats of %s: %w", m.Name, err))
		}
	}()
	return c, nil
}

func (c *catcher) open() (err error) {
	link, err := net.InterfaceByName(string(lab.Guest))
	if err != nil {
		return err
	}
	if c.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0); err != nil {
		return err
	}
	if c.stop, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		return err
	}
	return errors.Join(
		unix.SetsockoptInt(c.fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 16<<20),
		unix.SetsockoptInt(c.fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1),
		unix.Bind(c.fd, &unix.SockaddrLinklayer{Protocol: networkOrder(unix.ETH_P_ALL), Ifindex: link.Index}),
	)
}

func networkOrder(v uint16) uint16 { return v<<8 | v>>8 }

func (c *catcher) read() error {
	for {
		poll := []unix.PollFd{{Fd: int32(c.fd), Events: unix.POLLIN}, {Fd: int32(c.stop), Events: unix.POLLIN}}
		if _, err := unix.Poll(poll, -1); err != nil && !errors.Is(err, unix.EINTR) {
			return err
		}
		if poll[1].Revents != 0 {
			return nil
		}
		for {
			more, err := c.packet()
			if err != nil {
				return err
			}
			if !more {
				break
			}
		}
	}
}

// packet takes one in. A guest of this host sends through the interface, what others
// send comes in.
func (c *catcher) packet() (more bool, err error) {
	var b [2048]byte
	var control [64]byte
	n, controls, _, from, err := unix.Recvmsg(c.fd, b[:], control[:], 0)
	switch {
	case errors.Is(err, unix.EAGAIN):
		return false, nil
	case errors.Is(err, unix.EINTR), errors.Is(err, unix.ENETDOWN):
		return true, nil
	case err != nil:
		return false, err
	}
	link, ok := from.(*unix.SockaddrLinklayer)
	if !ok || link.Pkttype != unix.PACKET_OUTGOING {
		return true, nil
	}
	if s, err := guest.DecodeStatus(heartbeat(b[:n])); err != nil || s.Name != c.vm {
		return true, nil
	}
	messages, err := unix.ParseSocketControlMessage(control[:controls])
	if err != nil {
		return false, err
	}
	for _, m := range messages {
		if m.Header.Level == unix.SOL_SOCKET && m.Header.Type == unix.SCM_TIMESTAMPNS && len(m.Data) >= 16 {
			c.saw(time.Unix(int64(binary.NativeEndian.Uint64(m.Data)), int64(binary.NativeEndian.Uint64(m.Data[8:]))))
		}
	}
	return true, nil
}

// heartbeat is the payload of an IPv4 packet from the guest's port, nil of any other.
func heartbeat(ip []byte) []byte {
	if len(ip) < 20 || ip[0]>>4 != 4 || ip[9] != unix.IPPROTO_UDP {
		return nil
	}
	header := int(ip[0]&15) * 4
	if len(ip) < header+8 || binary.BigEndian.Uint16(ip[header:]) != guest.Port {
		return nil
	}
	return ip[header+8:]
}

func (c *catcher) close() {
	var one [8]byte
	binary.NativeEndian.PutUint64(one[:], 1)
	_, _ = unix.Write(c.stop, one[:])
	<-c.done
	c.release()
}

func (c *catcher) release() {
	for _, fd := range []int{c.fd, c.stop} {
		if fd >= 0 {
			_ = unix.Close(fd)
		}
	}
}

// askEvery is how often a host's libvirt is asked for the VM.
const askEvery = 50 * time.Millisecond

// ask tells between which times a host's libvirt says the VM runs, until ctx ends. A
// libvirt that does not answer is connected to again and again.
func ask(ctx context.Context, m *lab.Member, vm string, saw func(from, to time.Time)) {
	tick := time.NewTicker(askEvery)
	defer tick.Stop()
	for ctx.Err() == nil {
		_ = follow(ctx, m, vm, tick, saw)
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
}

// follow asks over one connection until that fails.
func follow(ctx context.Context, m *lab.Member, vm string, tick *time.Ticker, saw func(from, to time.Time)) error {
	conn, err := dial(ctx, m)
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	l := lv.NewWithDialer(dialer{conn})
	if err := l.ConnectToURI(lv.QEMUSystem); err != nil {
		return err
	}
	for {
		asked := time.Now()
		domain, err := l.DomainLookupByName(vm)
		if err == nil {
			if state, _, serr := l.DomainGetState(domain, 0); serr == nil && lv.DomainState(state) == lv.DomainRunning {
				saw(asked, time.Now())
			}
		}
		if err != nil && !lv.IsNotFound(err) {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-l.Disconnected():
			return net.ErrClosed
		case <-tick.C:
		}
	}
}

type dialer struct{ net.Conn }

func (d dialer) Dial() (net.Conn, error) { return d.Conn, nil }

// dial connects to a host's libvirt.
func dial(ctx context.Context, m *lab.Member) (net.Conn, error) {
	var last error = os.ErrNotExist
	for _, socket := range virt.Sockets {
		var d net.Dialer
		c, err := d.DialContext(ctx, "unix", m.Path(socket))
		if err == nil {
			return c, nil
		}
		last = err
	}
	return nil, last
}
