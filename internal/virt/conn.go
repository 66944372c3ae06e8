package virt

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"syscall"
	"time"

	lv "github.com/digitalocean/go-libvirt"

	"drover/internal/fault"
)

// Default deadlines.
const (
	// DefaultCallTimeout bounds an ordinary call.
	DefaultCallTimeout = 20 * time.Second
	// DefaultLongCallTimeout bounds calls that start or load a QEMU (Prepare,
	// Finish) or take one apart (Confirm, Destroy).
	DefaultLongCallTimeout = 2 * time.Minute
	// closeTimeout bounds the polite end of a connection. Closing the socket
	// without it works too, but libvirtd logs an error for that.
	closeTimeout = 2 * time.Second
)

// Sockets are the places where libvirt's QEMU driver may answer: the modular
// daemon's socket first, because where both exist the other one is a proxy.
var Sockets = []string{"/run/libvirt/virtqemud-sock", "/run/libvirt/libvirt-sock"}

// Config says how to reach libvirt.
type Config struct {
	// Socket is the path of libvirt's unix socket; "" looks at Sockets each time.
	Socket string
	// CallTimeout bounds an ordinary call; 0 means DefaultCallTimeout.
	CallTimeout time.Duration
	// LongCallTimeout bounds a call that starts or ends a QEMU; 0 means
	// DefaultLongCallTimeout.
	LongCallTimeout time.Duration
	// Name is the host's name in faults; "" means os.Hostname.
	Name string
	// Log may be nil.
	Log *slog.Logger
}

// Host is the libvirt of this machine. It holds no connection and is safe for
// concurrent use.
type Host struct {
	socket  string
	timeout time.Duration
	long    time.Duration
	name    string
	log     *slog.Logger
}

// New makes a Host. It does not connect.
func New(c Config) *Host {
	h := &Host{socket: c.Socket, timeout: c.CallTimeout, long: c.LongCallTimeout, name: c.Name, log: c.Log}
	if h.timeout == 0 {
		h.timeout = DefaultCallTimeout
	}
	if h.long == 0 {
		h.long = DefaultLongCallTimeout
	}
	if h.name == "" {
		h.name, _ = os.Hostname()
	}
	if h.log == nil {
		h.log = slog.New(slog.DiscardHandler)
	}
	return h
}

// Name is the host's name as it stands in faults.
func (h *Host) Name() string { return h.name }

// Socket is the path that the next call will use.
func (h *Host) Socket() string {
	if h.socket != "" {
		return h.socket
	}
	for _, p := range Sockets {
		if fi, err := os.Stat(p); err == nil && fi.Mode()&fs.ModeSocket != 0 {
			return p
		}
	}
	return Sockets[len(Sockets)-1]
}

// conn is one connection to libvirt.
type conn struct {
	h   *Host
	l   *lv.Libvirt
	raw net.Conn
}

// dial connects and opens the QEMU driver within ctx and the call timeout.
func (h *Host) dial(ctx context.Context) (*conn, error) {
	dctx, cancel := context.WithTimeout(ctx, h.timeout)
	defer cancel()
	var d net.Dialer
	raw, err := d.DialContext(dctx, "unix", h.Socket())
	if err != nil {
		return nil, h.connectionError(ctx, err)
	}
	c := &conn{h: h, raw: raw, l: lv.NewWithDialer(dialed{raw})}
	if err := c.call(dctx, func(l *lv.Libvirt) error { return l.ConnectToURI(lv.QEMUSystem) }); err != nil {
		_ = raw.Close()
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return nil, err
	}
	return c, nil
}

// dialed gives the library a connection that exists already.
type dialed struct{ c net.Conn }

func (d dialed) Dial() (net.Conn, error) { return d.c, nil }

// call runs f and closes the connection if ctx ends before f returns, which
// makes the library return. The connection is of no use after that.
func (c *conn) call(ctx context.Context, f func(*lv.Libvirt) error) error {
	stop := context.AfterFunc(ctx, func() { _ = c.raw.Close() })
	err := f(c.l)
	if !stop() && err != nil {
		return c.h.connectionError(ctx, err)
	}
	return c.h.mapError(ctx, err)
}

// close ends the connection politely. It is safe twice.
func (c *conn) close() {
	t := time.AfterFunc(closeTimeout, func() { _ = c.raw.Close() })
	defer t.Stop()
	if c.l.IsConnected() {
		_ = c.l.Disconnect()
	}
	_ = c.raw.Close()
}

// with runs f on a connection of its own, within the call timeout.
func (h *Host) with(ctx context.Context, f func(*lv.Libvirt) error) error {
	return h.withTimeout(ctx, h.timeout, f)
}

func (h *Host) withTimeout(ctx context.Context, d time.Duration, f func(*lv.Libvirt) error) error {
	c, err := h.dial(ctx)
	if err != nil {
		return err
	}
	defer c.close()
	cctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	err = c.call(cctx, f)
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// connectionError is what a dead, refused or hung connection means: the
// caller's own end, if that was the reason, or libvirt being down.
func (h *Host) connectionError(ctx context.Context, err error) error {
	if ctx.Err() != nil && !errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return context.Cause(ctx)
	}
	return fault.Wrap(err, fault.HypervisorDown, h.name, "socket", h.Socket())
}

// lostConnection reports whether err is the library's way to say that the
// connection ended during a call.
func lostConnection(err error) bool {
	return errors.Is(err, lv.ErrInterrupted) || errors.Is(err, syscall.EINVAL) ||
		errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, net.ErrClosed)
}
