package stream

import (
	"context"
	"crypto/hmac"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"time"

	"drover/internal/fault"
)

// Port is where agents listen for each other.
const Port = 6600

// DialOptions say whom to call and from where.
type DialOptions struct {
	// Local is the source address, which keeps the connection on the migration
	// network. The zero Addr lets the kernel choose.
	Local  netip.Addr
	Remote netip.AddrPort
	// Host and Peer are the names of the two hosts for errors; without them the
	// addresses are used.
	Host, Peer string
	Timing     Timing
	// Plain asks the listener to carry a data stream's data without encryption;
	// it refuses unless its policy says so too. Pace holds for data streams.
	Plain bool
	Pace  Pace
}

func (o DialOptions) names() names {
	w := names{o.Host, o.Peer}
	if w.host == "" {
		w.host = o.Local.String()
	}
	if w.peer == "" {
		w.peer = o.Remote.String()
	}
	return w
}

// DialControl opens a control connection, on which the caller must authenticate.
func DialControl(ctx context.Context, o DialOptions) (*Unauthenticated, error) {
	var u *Unauthenticated
	err := o.dial(ctx, KindControl, func(raw *wireConn, conn *tls.Conn, t Timing) (err error) {
		u, err = newUnauthenticated(raw, conn, o.names(), t)
		return err
	})
	return u, err
}

// DialData opens a data stream and proves that it belongs to the session; the
// listener proves the same. index is a running number of the caller's, which
// must be new for the kind.
func (s *Session) DialData(ctx context.Context, o DialOptions, kind Kind, index uint32) (*Stream, error) {
	if o.Peer == "" {
		o.Peer = s.peer
	}
	var st *Stream
	err := o.dial(ctx, kind, func(raw *wireConn, conn *tls.Conn, t Timing) error {
		exp, err := exporter(conn.ConnectionState())
		if err != nil {
			return err
		}
		c := claim{kind, index, o.Plain}
		if err := writeFrame(conn, frameHello, s.hello(exp, c)); err != nil {
			return err
		}
		mac, err := expectFrame(conn, frameWelcome)
		if err != nil {
			return err
		}
		if !hmac.Equal(mac, s.mac("server", exp, c)) {
			return fault.New(fault.SessionUnknown, o.names().host)
		}
		data := net.Conn(conn)
		if o.Plain {
			if err := leaveTLS(conn, raw); err != nil {
				return err
			}
			data = raw
		}
		raw.setPace(o.Pace)
		raw.boundUnsent(unsent)
		st = newStream(newLink(raw, data, o.names(), t, frameData), c, s, true)
		return nil
	})
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	s.streams = append(s.streams, st)
	s.mu.Unlock()
	st.link.start()
	return st, nil
}

// dial connects, does TLS and the preamble, and then what comes next. All of it
// together has Timing.Handshake, and the end of ctx interrupts it.
func (o DialOptions) dial(ctx context.Context, kind Kind, next func(*wireConn, *tls.Conn, Timing) error) error {
	t := o.Timing.withDefaults()
	deadline := time.Now().Add(t.Handshake)
	tcp, err := o.connect(ctx, deadline)
	if err != nil {
		return err
	}
	raw := &wireConn{Conn: tcp}
	stop := context.AfterFunc(ctx, func() { raw.Close() })
	_ = raw.SetDeadline(deadline)
	conn := tls.Client(&batch{wireConn: raw}, &tls.Config{
		MinVersion: tls.VersionTLS13,
		// Who the peer is, is proved by the exporter of this connection, which
		// both the operator's Kerberos exchange and the session's MAC cover.
		InsecureSkipVerify:          true, //nolint:gosec // see above
		DynamicRecordSizingDisabled: true,
	})
	if err = conn.HandshakeContext(ctx); err != nil {
		err = o.unreachable(ctx, err)
	} else if err = offerPreamble(conn, kind, o.names()); err == nil {
		err = next(raw, conn, t)
	}
	if !stop() {
		raw.Close()
		return context.Cause(ctx)
	}
	if err != nil {
		raw.Close()
		return o.names().fault(err, t.Handshake)
	}
	return nil
}

// connect opens the TCP connection from the wanted address and its interface.
func (o DialOptions) connect(ctx context.Context, deadline time.Time) (net.Conn, error) {
	d := net.Dialer{Deadline: deadline, KeepAlive: -1} // PING is the life sign
	if o.Local.IsValid() {
		d.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(o.Local, 0))
		d.Control = toDevice(deviceOf(o.Local))
	}
	tcp, err := d.DialContext(ctx, "tcp", o.Remote.String())
	if err != nil {
		return nil, o.unreachable(ctx, err)
	}
	return tcp, nil
}

// Probe connects and hangs up, within a time, to see whether the listener can be
// reached. It gives the source address that was used.
func Probe(ctx context.Context, o DialOptions, within time.Duration) (netip.Addr, error) {
	c, err := o.connect(ctx, time.Now().Add(within))
	if err != nil {
		return netip.Addr{}, err
	}
	defer c.Close()
	return addrPort(c.LocalAddr()).Addr(), nil
}

// unreachable is the fault of a peer that does not come to talk TLS, unless the
// caller gave up.
func (o DialOptions) unreachable(ctx context.Context, err error) error {
	if ctx.Err() != nil && !errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return context.Cause(ctx)
	}
	return fault.Wrap(err, fault.MigrationPort, o.names().host,
		"address", o.Remote.String(), "ip", o.Remote.Addr().String())
}
