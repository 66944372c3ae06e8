package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"drover/internal/virt"
	"drover/lab"
)

// Relayed is what the plain relay prints when it has moved a VM.
type Relayed struct {
	Peak int64 `json:"peak"` // of resident memory, in bytes
}

// relaySocket is where the destination's QEMU listens and the source's connects.
const relaySocket = "/run/drover-bench.sock"

// Relay moves a VM of a lab as agents do, by the five calls, and carries QEMU's
// connection over one TCP connection on the migration network as it is: what a move
// costs without anything that Drover adds to it. It writes Relayed as JSON. When
// ctx ends before the guest has moved, the guest runs on at the source.
func Relay(ctx context.Context, labName, vm, from, to string, stdout io.Writer) error {
	l, err := lab.Open(labName)
	if err != nil {
		return err
	}
	uuid, err := l.Virsh(ctx, from, "domuuid", vm)
	if err != nil {
		return err
	}
	p := virt.MigrationParams{UUID: strings.TrimSpace(uuid), Name: vm, MigrateURI: "unix://" + relaySocket}
	carrier, err := newCarrier(ctx, l.Member(from), l.Member(to))
	if err != nil {
		return err
	}
	defer carrier.Close()
	if err := fiveCalls(ctx, libvirtOf(l.Member(from)), libvirtOf(l.Member(to)), p); err != nil {
		return err
	}
	return json.NewEncoder(stdout).Encode(Relayed{Peak: residentPeak(os.Getpid())})
}

func libvirtOf(m *lab.Member) *virt.Host {
	return virt.New(virt.Config{Socket: m.Path("/run/libvirt/libvirt-sock"), Name: m.Name})
}

func fiveCalls(ctx context.Context, source, destination *virt.Host, p virt.MigrationParams) (err error) {
	out, err := source.Outgoing(ctx, p)
	if err != nil {
		return err
	}
	defer out.Close()
	in, err := destination.Incoming(ctx, p)
	if err != nil {
		return err
	}
	defer in.Close()
	defer func() {
		if err == nil {
			return
		}
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		defer cancel()
		_, ferr := in.Finish(ctx, nil, true)
		err = errors.Join(err, ferr, out.Confirm(ctx, nil, true))
	}()
	cookie, xml, err := out.Begin(ctx)
	if err != nil {
		return err
	}
	if cookie, err = in.Prepare(ctx, cookie, xml); err != nil {
		return err
	}
	if cookie, err = out.Perform(ctx, cookie, ""); err != nil {
		return err
	}
	// From here on the guest belongs to the destination: no way back.
	ctx = context.WithoutCancel(ctx)
	if cookie, err = in.Finish(ctx, cookie, false); err != nil {
		return fmt.Errorf("finish: %w", err)
	}
	return out.Confirm(ctx, cookie, false)
}

// carrier connects the two QEMUs: unix socket, TCP, unix socket.
type carrier struct {
	from, to *lab.Member
	entry    net.Listener // the source's QEMU connects here
	middle   net.Listener // the carrier's own connections arrive here
	wg       sync.WaitGroup

	mu     sync.Mutex
	closed bool
	conns  []net.Conn
}

func newCarrier(ctx context.Context, from, to *lab.Member) (*carrier, error) {
	c := &carrier{from: from, to: to}
	for _, m := range []*lab.Member{from, to} {
		_ = os.Remove(m.Path(relaySocket))
	}
	var err error
	if c.entry, err = net.Listen("unix", from.Path(relaySocket)); err != nil {
		return nil, err
	}
	if c.middle, err = to.Listen(ctx, "tcp4", to.Address(lab.Migration)+":0"); err != nil {
		_ = c.entry.Close()
		return nil, err
	}
	dialTCP := func() (net.Conn, error) { return from.Dial(ctx, "tcp4", c.middle.Addr().String()) }
	dialUnix := func() (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", to.Path(relaySocket))
	}
	c.wg.Go(func() { c.serve(c.entry, dialTCP) })
	c.wg.Go(func() { c.serve(c.middle, dialUnix) })
	return c, nil
}

// serve carries each connection on to one that dial makes.
func (c *carrier) serve(l net.Listener, dial func() (net.Conn, error)) {
	for {
		in, err := l.Accept()
		if err != nil {
			return
		}
		out, err := dial()
		if err != nil {
			_ = in.Close()
			continue
		}
		c.carry(in, out)
	}
}

// carry joins two connections until both directions have ended.
func (c *carrier) carry(a, b net.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		_ = a.Close()
		_ = b.Close()
		return
	}
	c.conns = append(c.conns, a, b)
	c.wg.Go(func() { oneWay(a, b) })
	c.wg.Go(func() { oneWay(b, a) })
}

// oneWay copies to the end and half-closes. The standard library has the kernel
// splice between sockets.
func oneWay(to, from net.Conn) {
	_, _ = io.Copy(to, from)
	if half, ok := to.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	}
}

// Close ends all connections and waits for what carried them.
func (c *carrier) Close() {
	_ = c.entry.Close()
	_ = c.middle.Close()
	c.end()
}

// end takes no more connections and ends those that there are.
func (c *carrier) end() {
	c.mu.Lock()
	c.closed = true
	for _, conn := range c.conns {
		_ = conn.Close()
	}
	c.mu.Unlock()
	c.wg.Wait()
}
