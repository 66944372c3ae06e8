package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"drover/internal/fault"
	"drover/internal/krb"
	"drover/internal/move"
	"drover/internal/seed"
	"drover/internal/spn"
	"drover/internal/stream"
	"drover/internal/wire"
)

// doorman authenticates what comes to the migration port and hands it to the
// state machine.
type doorman struct {
	host     string
	kerberos *krb.Host
	roles    roles
	moves    *move.Manager
	events   *recorder
	listener *stream.Listener
	log      *slog.Logger
	now      func() time.Time
	callers  callers
}

// serve has one control connection for as long as it runs.
func (d *doorman) serve(ctx context.Context, u *stream.Unauthenticated) {
	_, remote := u.Addrs()
	in := &inbound{host: d.host}
	ctl, err := u.Authenticate(ctx, func(ctx context.Context, x stream.Exchange) (string, error) {
		e := exchange{x: x, host: d.host, peer: remote.String()}
		c, err := d.identify(ctx, e)
		if err != nil {
			_ = e.say(ctx, wire.KindFailure, fault.ToProblem(err))
		}
		in.caller = c
		return c.Peer, err
	})
	if err != nil {
		// Whoever reaches the port can be refused at will: the event is bounded, this is not.
		d.log.Debug("migration connection refused", "remote", remote, "error", err, "code", fault.From(err).Code)
		d.events.connectionRefused(remote.String(), err)
		return
	}
	in.Control, in.listener = ctl, d.listener
	defer in.Close()
	leave, err := d.callers.enter(d.host, in.caller)
	if err != nil {
		d.log.Debug("migration connection refused", "remote", remote, "error", err, "code", fault.From(err).Code)
		d.events.incomingTurnedAway(in.caller, err)
		ctl.Abort(err)
		return
	}
	defer leave()
	if err := d.moves.Serve(ctx, in); err != nil {
		d.log.Info("migration connection ended", "remote", remote, "error", err)
		d.events.incomingRefused(in.caller, err)
	}
}

// identify is the destination's side of the authentication.
func (d *doorman) identify(ctx context.Context, e exchange) (move.Caller, error) {
	var hello wire.Hello
	if err := e.hear(ctx, wire.KindHello, &hello); err != nil {
		return move.Caller{}, err
	}
	v, ok := wire.Negotiate(hello.Oldest, hello.Newest)
	if !ok {
		return move.Caller{}, fault.New(fault.AgentTooOld, hello.Host, "have", fmt.Sprintf("%d to %d", hello.Oldest, hello.Newest),
			"peer", d.host, "want", fmt.Sprintf("%d to %d", wire.Oldest, wire.Newest))
	}
	if err := e.say(ctx, wire.KindHelloReply, wire.HelloReply{Host: d.host, Version: v, Time: d.now()}); err != nil {
		return move.Caller{}, err
	}
	id, more, err := d.accept(ctx, e, spn.Migration)
	if err != nil {
		return move.Caller{}, err
	}
	c := move.Caller{Principal: id.Principal, SignIn: id.SignIn, SignInSID: id.SignInSID(), Peer: hello.Host}
	c.Peer = nameOf(hello.Host, d.account(id))
	if !id.Delegated {
		// A host may speak for itself to ask for an outcome; move.Serve lets it
		// do nothing else.
		if !strings.Contains(id.Principal, "$@") {
			return c, fault.New(fault.NotDelegated, d.host, "caller", id.Principal)
		}
		return c, nil
	}
	c.DelegatedBy = d.delegator(id)
	if !more {
		return c, nil
	}
	second, _, err := d.accept(ctx, e, spn.Storage)
	if err != nil {
		return c, err
	}
	if second.Principal != id.Principal || second.DelegatedBy != id.DelegatedBy {
		return c, fault.New(fault.AuthRefused, d.host, "reason", "the two tickets are not of the same operator and host")
	}
	c.Storage = true
	return c, nil
}

// accept verifies one ticket for a class of service. That it is delegated for that,
// and not for another service of this account, the KDC has signed.
func (d *doorman) accept(ctx context.Context, e exchange, class string) (krb.Identity, bool, error) {
	var a wire.Auth
	if err := e.hear(ctx, wire.KindAuth, &a); err != nil {
		return krb.Identity{}, false, err
	}
	binding := krb.Binding(e.x.ExporterBinding())
	kc, token, err := d.kerberos.Accept(a.Token, binding, class)
	if err != nil {
		return krb.Identity{}, false, err
	}
	id := kc.Identity()
	if id.Delegated {
		if err := d.roles.require(d.host, id, roleOperator); err != nil {
			return id, false, err
		}
	}
	proof, err := kc.ProveBinding(binding)
	if err != nil {
		return id, false, err
	}
	return id, a.More, e.say(ctx, wire.KindAuthReply, wire.AuthReply{Token: token, Proof: proof, Operator: id.Principal,
		DelegatedBy: d.delegator(id), SignIn: id.SignIn})
}

// delegator is the account of the host that delegated, as which it asks for the
// outcome after a restart; "" when nobody did. The PAC names one of its services.
func (d *doorman) delegator(id krb.Identity) string {
	if !id.Delegated {
		return ""
	}
	return id.DelegatingHost() + "$@" + d.kerberos.Realm()
}

// account is whose host calls.
func (d *doorman) account(id krb.Identity) string {
	if id.Delegated {
		return d.delegator(id)
	}
	return id.Principal
}

// inbound is the destination's end of a move's connections.
type inbound struct {
	*stream.Control
	host     string
	caller   move.Caller
	listener *stream.Listener

	data       *stream.Session
	unregister func()
	relay      relays
	probes     atomic.Int32 // of the link, see sink

	mu    sync.Mutex
	doors map[string]*door // by kind and channel
	seeds *seed.Set        // that disk streams refer to; nil: they do not
}

// door is where the streams of a kind and channel go, and how many may be open.
type door struct {
	socket     string
	most, open int
}

func (in *inbound) Caller() move.Caller { return in.caller }

// Err is the first failure of a data stream, or of the control stream itself.
func (in *inbound) Err() error {
	if err := in.relay.failure(); err != nil {
		return err
	}
	return in.Control.Err()
}

// Streams tells what each connection carried, and where it ran.
func (in *inbound) Streams() []move.StreamProof { return proofs(in.Info(), in.data) }

// Open registers a session for data streams.
func (in *inbound) Open() (id, secret []byte, err error) {
	i, s := stream.NewSessionKey()
	in.data = stream.NewSession(i, s, in.caller.Peer)
	in.doors = map[string]*door{}
	if in.unregister, err = in.listener.Register(in.data); err != nil {
		return nil, nil, err
	}
	in.relay.init()
	in.relay.own(in.acceptAll)
	return i[:], s[:], nil
}

// Attach says to which socket the streams of a kind and channel are connected, at
// most so many at a time: each has some MiB of buffers here.
func (in *inbound) Attach(kind string, channel int, socket string, most int) error {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.doors[doorKey(streamKind(kind), uint32(channel)<<channelBits)] = &door{socket: socket, most: most}
	return nil
}

func doorKey(kind stream.Kind, index uint32) string { return kind.String() + "-" + channelOf(index) }

// acceptAll connects the data streams to QEMU in the order in which they come.
func (in *inbound) acceptAll(ctx context.Context) {
	for {
		st, err := in.data.Accept(ctx)
		if err != nil {
			return // the session was closed
		}
		if st.Kind() == stream.KindProbe {
			in.sink(st)
			continue
		}
		local, leave, err := in.connect(ctx, st)
		if err != nil {
			st.Abort(err)
			in.relay.failed(err)
			continue
		}
		in.relay.carry(st, local, in.takes(st.Kind()), leave)
	}
}

// enter gives the socket for one more stream, until leave is called.
func (in *inbound) enter(kind stream.Kind, index uint32) (socket string, leave func(), err error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	d := in.doors[doorKey(kind, index)]
	if d == nil {
		return "", nil, in.broken("a %s stream of channel %s, which is not part of the move", kind, channelOf(index))
	}
	if d.open >= d.most {
		return "", nil, in.broken("more than %d %s streams at a time", d.most, kind)
	}
	d.open++
	return d.socket, func() {
		in.mu.Lock()
		defer in.mu.Unlock()
		d.open--
	}, nil
}

func (in *inbound) broken(format string, args ...any) error {
	return fault.New(fault.ProtocolError, in.host, "peer", in.caller.Peer, "problem", fmt.Sprintf(format, args...))
}

// connect opens the socket of QEMU, or of the disk's server, for one data stream.
func (in *inbound) connect(ctx context.Context, st *stream.Stream) (local net.Conn, leave func(), err error) {
	socket, leave, err := in.enter(st.Kind(), st.Index())
	if err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	var d net.Dialer
	if local, err = d.DialContext(ctx, "unix", socket); err != nil {
		leave()
		return nil, nil, fault.Wrap(err, fault.SocketLost, in.host, "socket", socket)
	}
	return local, leave, nil
}

// Take has disk streams refer to the blocks of a set.
func (in *inbound) Take(set *seed.Set) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.seeds = set
}

// takes is what lies between a stream and the connection to QEMU.
func (in *inbound) takes(kind stream.Kind) func(net.Conn) net.Conn {
	in.mu.Lock()
	defer in.mu.Unlock()
	set := in.seeds
	if kind != stream.KindDisk || set == nil {
		return asItIs
	}
	return func(c net.Conn) net.Conn { return taker{seed.Take(c, set), in} }
}

// taker gives errors of seeds their codes.
type taker struct {
	net.Conn
	in *inbound
}

func (t taker) Write(p []byte) (int, error) {
	n, err := t.Conn.Write(p)
	return n, t.named(err)
}

// CloseWrite ends the direction to QEMU.
func (t taker) CloseWrite() error {
	return t.named(t.Conn.(interface{ CloseWrite() error }).CloseWrite())
}

func (t taker) named(err error) error {
	switch {
	case errors.Is(err, seed.ErrMalformed):
		return t.in.broken("%v", err)
	case errors.Is(err, seed.ErrDamaged):
		return fault.Wrap(err, fault.SeedDamaged, t.in.host)
	}
	return err
}

// Cut ends the data streams, and waits for that.
func (in *inbound) Cut() { in.relay.close() }

// Close ends everything that belongs to the connection, and waits for it.
func (in *inbound) Close() error {
	in.relay.close()
	if in.unregister != nil {
		in.unregister()
	}
	return in.Control.Close()
}
