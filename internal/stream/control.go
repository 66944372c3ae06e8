package stream

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"

	"drover/internal/fault"
)

// exporterLabel is RFC 9266's tls-exporter: no context, 32 bytes.
const (
	exporterLabel = "EXPORTER-Channel-Binding"
	exporterSize  = 32
)

func exporter(cs tls.ConnectionState) ([]byte, error) {
	b, err := cs.ExportKeyingMaterial(exporterLabel, nil, exporterSize)
	if err != nil {
		return nil, fmt.Errorf("TLS exporter: %w", err)
	}
	return b, nil
}

// Unauthenticated is a control connection whose peer nobody knows yet. All that
// it can do is to exchange tokens, within Timing.Auth of its preamble. One
// goroutine may use it at a time.
type Unauthenticated struct {
	raw     *wireConn
	conn    net.Conn
	who     names
	t       Timing
	binding []byte
	onAuth  func() bool // gives the listener's place for the unauthenticated back; false: it was lost before

	mu   sync.Mutex
	over bool
	ctl  *Control
}

func newUnauthenticated(raw *wireConn, conn *tls.Conn, who names, t Timing) (*Unauthenticated, error) {
	b, err := exporter(conn.ConnectionState())
	if err != nil {
		return nil, err
	}
	if err := raw.SetDeadline(time.Now().Add(t.Auth)); err != nil {
		return nil, err
	}
	return &Unauthenticated{raw: raw, conn: conn, who: who, t: t, binding: b}, nil
}

// Exchange is what an authentication may do with the connection.
type Exchange struct{ u *Unauthenticated }

// ExporterBinding is the channel binding of RFC 9266, "tls-exporter", 32 bytes.
// The two ends of one TLS connection have the same, and nobody in the middle of
// two can make them so. An authentication that does not cover it is worthless
// here.
func (x Exchange) ExporterBinding() []byte { return append([]byte(nil), x.u.binding...) }

// SendToken sends one token of at most MaxToken bytes.
func (x Exchange) SendToken(ctx context.Context, token []byte) error {
	if len(token) > MaxToken {
		return fmt.Errorf("stream: token of %d bytes, %d are allowed", len(token), MaxToken)
	}
	return x.u.during(ctx, func() error { return writeFrame(x.u.conn, frameToken, token) })
}

// ReceiveToken waits for one token of the peer. When the peer gave up instead,
// the error is the peer's.
func (x Exchange) ReceiveToken(ctx context.Context) (token []byte, err error) {
	err = x.u.during(ctx, func() error {
		token, err = expectFrame(x.u.conn, frameToken)
		return err
	})
	return token, err
}

// during runs one I/O that the end of ctx interrupts.
func (u *Unauthenticated) during(ctx context.Context, op func() error) error {
	stop := context.AfterFunc(ctx, func() { u.raw.Close() })
	err := op()
	if !stop() {
		return context.Cause(ctx)
	}
	if err != nil {
		return u.who.fault(err, u.t.Auth)
	}
	return nil
}

// Addrs are the addresses of the socket.
func (u *Unauthenticated) Addrs() (local, remote netip.AddrPort) {
	return addrPort(u.raw.LocalAddr()), addrPort(u.raw.RemoteAddr())
}

// Authenticate runs auth, which must return nil only when it knows who the peer
// is and that the peer sees the same ExporterBinding. Then, and only then, there
// is a Control, which the caller has to close. Otherwise the peer is told auth's
// error and the connection is closed. peer is the name to use for the peer in
// errors from now on, "" to keep its address.
func (u *Unauthenticated) Authenticate(ctx context.Context, auth func(context.Context, Exchange) (peer string, err error)) (*Control, error) {
	if u.end() {
		return nil, errClosed
	}
	actx, cancel := context.WithTimeout(ctx, u.t.Auth)
	defer cancel()
	peer, err := auth(actx, Exchange{u})
	if err == nil {
		err = actx.Err()
	}
	if err != nil {
		u.refuse(err)
		return nil, err
	}
	if peer != "" {
		u.who.peer = peer
	}
	if u.onAuth != nil && !u.onAuth() {
		return nil, errClosed
	}
	l := newLink(u.raw, u.conn, u.who, u.t, frameMessage)
	l.start()
	u.mu.Lock()
	defer u.mu.Unlock()
	u.ctl = &Control{link: l}
	return u.ctl, nil
}

// end marks the connection as used up and reports whether it was before.
func (u *Unauthenticated) end() (before bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	before, u.over = u.over, true
	return before
}

func (u *Unauthenticated) refuse(err error) {
	_ = u.raw.SetDeadline(time.Now().Add(u.t.Grace))
	_ = writeFrame(u.conn, frameReset, resetPayload(err))
	u.raw.Close()
}

// Close ends the connection, also when it has become a Control. It is safe
// twice.
func (u *Unauthenticated) Close() error {
	u.end()
	u.mu.Lock()
	ctl := u.ctl
	u.mu.Unlock()
	if ctl != nil {
		return ctl.Close()
	}
	return u.raw.Close()
}

// Control is an authenticated control connection. Send and Receive may run at the
// same time; life signs go on beside them.
type Control struct{ link *link }

// Send sends v as one JSON message. When ctx ends while the message is half sent,
// the connection ends with it.
func (c *Control) Send(ctx context.Context, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("stream: message: %w", err)
	}
	if len(b) > MaxMessage {
		return fmt.Errorf("stream: message of %d bytes, %d are allowed", len(b), MaxMessage)
	}
	frame := make([]byte, headerSize+len(b))
	header{typ: frameMessage, length: len(b)}.put(frame)
	copy(frame[headerSize:], b)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	cut := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(cut)
		c.link.end(context.Cause(ctx))
		c.link.raw.Close()
	})
	err = c.link.write(frame)
	if !stop() {
		<-cut
	}
	return err
}

// Receive waits for one message and reads it into v. io.EOF means that the peer
// closed the connection in good order.
func (c *Control) Receive(ctx context.Context, v any) error {
	select {
	case m := <-c.link.in:
		if err := json.Unmarshal(m.b, v); err != nil {
			return fault.Wrap(err, fault.ProtocolError, c.link.who.host,
				"peer", c.link.who.peer, "problem", "a message that cannot be read")
		}
		return nil
	case <-c.link.dead:
		return c.link.err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Done is closed when the connection has ended, for whatever reason.
func (c *Control) Done() <-chan struct{} { return c.link.dead }

// Err is why the connection ended, nil while it lives and after a good end.
func (c *Control) Err() error {
	select {
	case <-c.link.dead:
	default:
		return nil
	}
	if isGoodEnd(c.link.err) {
		return nil
	}
	return c.link.err
}

// Addrs are the addresses of the socket.
func (c *Control) Addrs() (local, remote netip.AddrPort) {
	return addrPort(c.link.raw.LocalAddr()), addrPort(c.link.raw.RemoteAddr())
}

// Info is the summary of the connection; payload is not counted on control
// connections.
func (c *Control) Info() StreamInfo {
	in := StreamInfo{Kind: KindControl, WireSent: c.link.raw.out.Load(), WireReceived: c.link.raw.in.Load()}
	k := c.link.raw.info()
	in.KernelBytesAcked, in.Local, in.Remote = k.BytesAcked, k.Local, k.Remote
	if t, ok := c.link.conn.(*tls.Conn); ok {
		cs := t.ConnectionState()
		in.Encrypted, in.CipherSuite = cs.HandshakeComplete, tls.CipherSuiteName(cs.CipherSuite)
	}
	return in
}

// Abort ends the connection with err, which the peer's Receive and Send return.
func (c *Control) Abort(err error) { c.link.abort(err) }

// Close ends the connection in good order: what was sent arrives, then the peer's
// Receive gives io.EOF. It is safe twice.
func (c *Control) Close() error {
	if c.link.end(errClosed) {
		c.link.sendLast(frameEOF, nil)
		c.link.awaitReader()
	}
	c.link.close()
	return nil
}

func isGoodEnd(err error) bool {
	return err == nil || errors.Is(err, errClosed) || errors.Is(err, io.EOF)
}
