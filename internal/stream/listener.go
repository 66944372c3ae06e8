package stream

import (
	"context"
	"crypto/hmac"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"drover/internal/fault"
	"drover/internal/gate"
)

// maxUnauthenticated is the default of ListenOptions.MaxUnauthenticated. Of these
// one address may have a quarter: a host with several moves opens few at a time.
const maxUnauthenticated = 256

// ListenOptions configure a Listener.
type ListenOptions struct {
	// Addrs gives the addresses to listen on, and is asked again whenever the
	// host's addresses change: see LocalAddrs. None is not an error.
	Addrs func() ([]netip.Addr, error)
	// Port is Port on a host; 0 lets the kernel choose one per address.
	Port     uint16
	Host     string // this host's name, for errors
	Identity *Identity
	// Changed, if set, is told of addresses on which the listener now listens, of
	// those on which it no longer does, and of all that there are. It must not call
	// Rebind.
	Changed func(came, gone, now []netip.AddrPort)
	// OnControl has a control connection for as long as it runs; the connection
	// is closed when it returns. It must return when ctx ends.
	OnControl func(ctx context.Context, u *Unauthenticated)
	Log       *slog.Logger
	Timing    Timing
	// Allowed says whether connections to one of this host's addresses are welcome
	// just now; it is asked of the kernel's address of each connection. nil: all.
	Allowed func(local netip.Addr) bool
	// Plain says whether this host's policy lets data go unencrypted, where the
	// opener wants it; nil: never. Pace holds for data streams.
	Plain func() bool
	Pace  Pace
	// MaxUnauthenticated bounds the connections that have not proved anything
	// yet; for further ones others are closed, see package gate. Default 256.
	MaxUnauthenticated int
}

// Listener accepts the connections of other agents.
type Listener struct {
	o    ListenOptions
	tls  *tls.Config
	gate *gate.Gate // of connections that have not proved anything
	// warnings bounds what strangers can have written into the log.
	warnings *rate.Limiter
	// deviceOf is the function of that name, but in tests.
	deviceOf func(netip.Addr) device
	// changes is a reason to look at the addresses; one is enough.
	changes chan struct{}
	// rebinding keeps an older look at the addresses from undoing a newer one.
	rebinding sync.Mutex

	mu       sync.Mutex
	sessions map[[16]byte]*Session
	bound    map[netip.Addr]*boundAddr
	failed   map[netip.Addr]string // why an address could not be bound, as logged
	closed   bool
}

// boundAddr is one listening socket.
type boundAddr struct {
	ln      net.Listener
	on      device
	serving bool
}

// Listen binds the addresses that there are now. Run has to be called next, or
// Close.
func Listen(ctx context.Context, o ListenOptions) (*Listener, error) {
	if o.Addrs == nil || o.Identity == nil || o.OnControl == nil || o.Log == nil {
		return nil, errors.New("stream: listener without addresses, identity, handler or log")
	}
	if o.MaxUnauthenticated <= 0 {
		o.MaxUnauthenticated = maxUnauthenticated
	}
	o.Timing = o.Timing.withDefaults()
	l := &Listener{
		o: o, changes: make(chan struct{}, 1), warnings: rate.NewLimiter(rate.Every(time.Minute), 20),
		sessions: make(map[[16]byte]*Session), bound: make(map[netip.Addr]*boundAddr),
		failed: make(map[netip.Addr]string), deviceOf: deviceOf,
		tls: &tls.Config{
			MinVersion:   tls.VersionTLS13,
			Certificates: []tls.Certificate{o.Identity.cert},
			// A resumed connection saves nothing here, and tickets are bytes
			// that nobody reads.
			SessionTicketsDisabled:      true,
			DynamicRecordSizingDisabled: true,
		},
	}
	l.gate = gate.New(gate.Options{Total: o.MaxUnauthenticated, Each: o.MaxUnauthenticated / 4, Crowded: l.crowded})
	l.rebind(ctx)
	return l, nil
}

// Strangers is the gate of connections that have not proved anything yet.
func (l *Listener) Strangers() *gate.Gate { return l.gate }

func (l *Listener) crowded(key string, soFar uint64) {
	l.o.Log.Warn("connections to the migration port that prove nothing are turned out", "most_from", key, "so_far", soFar)
}

// Addrs are the addresses on which the listener listens now.
func (l *Listener) Addrs() []netip.AddrPort {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []netip.AddrPort
	for _, b := range l.bound {
		out = append(out, addrPort(b.ln.Addr()))
	}
	return out
}

// Register lets data streams of s in, until unregister is called, which also
// closes the streams that nobody accepted.
func (l *Listener) Register(s *Session) (unregister func(), err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, dup := l.sessions[s.id]; dup {
		return nil, fmt.Errorf("stream: session %s is registered already", s)
	}
	l.sessions[s.id] = s
	return func() {
		l.mu.Lock()
		if l.sessions[s.id] == s {
			delete(l.sessions, s.id)
		}
		l.mu.Unlock()
		s.close()
	}, nil
}

// Run serves until ctx ends, and then returns nil when every handler has
// returned. Data streams that were accepted live on; they are their owners'.
func (l *Listener) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	defer l.Close()
	wg.Go(func() { watchAddrs(ctx, l.changes, l.o.Log) })
	for {
		l.rebind(ctx)
		l.serveNew(ctx, &wg)
		select {
		case <-ctx.Done():
			return nil
		case <-l.changes:
		}
	}
}

// Rebind asks for the addresses now, because what decides about them changed.
// When it returns the others are closed and the new ones take connections.
func (l *Listener) Rebind(ctx context.Context) {
	l.rebind(ctx)
	select {
	case l.changes <- struct{}{}: // Run serves what is new
	default:
	}
}

// welcome refuses a connection to an address that is not, or no longer, one for
// migrations. The address is the kernel's.
func (l *Listener) welcome(raw *wireConn) error {
	k := raw.info()
	if l.o.Allowed == nil || l.o.Allowed(k.Local.Addr()) {
		return nil
	}
	return fault.New(fault.NetworkMismatch, l.o.Host, "move", "(not known yet)", "local", k.Local.String(), "remote", k.Remote.String(),
		"network", "any of "+l.o.Host)
}

// Close closes the listening sockets. It is safe twice.
func (l *Listener) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	for a, b := range l.bound {
		b.ln.Close()
		delete(l.bound, a)
	}
	return nil
}

// serveNew starts an accepting goroutine for each socket that has none.
func (l *Listener) serveNew(ctx context.Context, wg *sync.WaitGroup) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, b := range l.bound {
		if !b.serving {
			b.serving = true
			wg.Go(func() { l.accept(ctx, b.ln, wg) })
		}
	}
}

func (l *Listener) accept(ctx context.Context, ln net.Listener, wg *sync.WaitGroup) {
	for {
		c, err := ln.Accept()
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil: // out of descriptors, for instance: wait, do not spin
			l.o.Log.Warn("cannot accept a migration connection", "address", ln.Addr(), "error", err)
			select {
			case <-ctx.Done():
				return
			case <-time.After(200 * time.Millisecond):
			}
			continue
		}
		raw := &wireConn{Conn: c}
		place := l.gate.Enter(gate.ByAddress(c), raw.drop)
		wg.Go(func() { l.handle(ctx, raw, place) })
	}
}

// handle brings one connection through its handshake and to its owner. The
// place among the unauthenticated is given back at the first proof, or here.
func (l *Listener) handle(ctx context.Context, raw *wireConn, place *gate.Place) {
	defer place.Leave()
	who := names{l.o.Host, addrPort(raw.RemoteAddr()).String()}
	err := l.greet(ctx, raw, who, place)
	if err != nil {
		raw.Close()
		err = who.fault(err, l.o.Timing.Handshake)
		l.o.Log.Debug("migration connection refused", "remote", who.peer, "error", err)
	}
}

// greet does TLS, the preamble and what follows from it. On an error the
// connection is the caller's.
func (l *Listener) greet(ctx context.Context, raw *wireConn, who names, place *gate.Place) error {
	stop := context.AfterFunc(ctx, func() { raw.Close() })
	defer stop()
	if err := raw.SetDeadline(time.Now().Add(l.o.Timing.Handshake)); err != nil {
		return err
	}
	if err := l.welcome(raw); err != nil {
		return err
	}
	conn := tls.Server(&batch{wireConn: raw}, l.tls)
	if err := conn.HandshakeContext(ctx); err != nil {
		return fmt.Errorf("TLS: %w", err)
	}
	kind, err := answerPreamble(conn, who)
	if err != nil {
		return err
	}
	if kind != KindControl {
		return l.attach(raw, conn, who, kind, place, stop)
	}
	u, err := newUnauthenticated(raw, conn, who, l.o.Timing)
	if err != nil {
		return err
	}
	u.onAuth = place.Leave
	defer u.Close()
	stop() // from here on the handler watches ctx
	l.o.OnControl(ctx, u)
	return nil
}

// attach checks the claim of a data stream and delivers the stream to its
// session.
func (l *Listener) attach(raw *wireConn, conn *tls.Conn, who names, kind Kind, place *gate.Place, stop func() bool) error {
	s, c, exp, err := l.claim(conn, who, kind)
	if err == nil && !place.Leave() {
		err = errClosed // turned out at the last moment
	}
	if err == nil {
		err = l.welcome(raw) // settings may have changed while it introduced itself
	}
	if err == nil && c.plain && (l.o.Plain == nil || !l.o.Plain()) {
		err = fault.New(fault.EncryptionRequired, l.o.Host, "peer", s.peer)
	}
	if err == nil {
		err = s.take(c, who)
	}
	if err != nil {
		_ = writeFrame(conn, frameReset, resetPayload(who.fault(err, l.o.Timing.Handshake)))
		return err
	}
	if err := writeFrame(conn, frameWelcome, s.mac("server", exp, c)); err != nil {
		return err
	}
	if s.peer != "" {
		who.peer = s.peer
	}
	if c.plain {
		if err := followOutOfTLS(conn, raw); err != nil {
			return err
		}
	}
	if !stop() {
		return errClosed
	}
	data := net.Conn(conn)
	if c.plain {
		data = raw
	}
	raw.setPace(l.o.Pace)
	raw.boundUnsent(unsent)
	st := newStream(newLink(raw, data, who, l.o.Timing, frameData), c, s, false)
	st.link.start()
	if err := s.deliver(st, who); err != nil {
		st.Abort(who.fault(err, l.o.Timing.Handshake))
		return err
	}
	return nil
}

// claim reads a HELLO and finds its session. An unknown session and a wrong MAC
// are the same to the peer, in what it sees and in the work done.
func (l *Listener) claim(conn *tls.Conn, who names, kind Kind) (*Session, claim, []byte, error) {
	exp, err := exporter(conn.ConnectionState())
	if err != nil {
		return nil, claim{}, nil, err
	}
	b, err := expectFrame(conn, frameHello)
	if err != nil {
		return nil, claim{}, nil, err
	}
	id, c, mac, err := parseHello(b)
	if err != nil {
		return nil, c, nil, err
	}
	l.mu.Lock()
	s, known := l.sessions[id]
	l.mu.Unlock()
	if !known {
		s = &Session{id: id}
	}
	if !hmac.Equal(mac, s.mac("client", exp, c)) || !known || c.kind != kind {
		if l.warnings.Allow() {
			l.o.Log.Warn("data connection without a right to its session", "remote", who.peer)
		}
		return nil, c, nil, fault.New(fault.SessionUnknown, who.host)
	}
	return s, c, exp, nil
}
