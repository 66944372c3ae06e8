package agent

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"drover/internal/api"
	"drover/internal/fault"
	"drover/internal/krb"
	"drover/internal/move"
	"drover/internal/plan"
	"drover/internal/record"
	"drover/internal/settings"
	"drover/internal/spn"
	"drover/internal/stream"
	"drover/internal/wire"
)

// connector reaches the agents of other hosts, as an operator or as this host.
type connector struct {
	host     string
	settings func() settings.Settings
	kerberos *krb.Host
	explain  func(ctx context.Context, err error) error
	now      func() time.Time
	pacer    *pacer
	coder    *coder
	// have are this host's addresses with their prefix lengths.
	have func() ([]netip.Prefix, error)
	port uint16 // of the destination's agent, 0: stream.Port
	// dialTimeout is for the destination's management API, 0: the client's own.
	dialTimeout time.Duration
}

// maxSkew is what Kerberos allows between two clocks (RFC 4120 7.2, default).
const maxSkew = 5 * time.Minute

// Negotiate asks the destination's agent who it is, without credentials.
func (c *connector) Negotiate(ctx context.Context, destination string) error {
	cl, err := api.NewClient(api.ClientOptions{Address: destination, Host: c.host})
	if err != nil {
		return err
	}
	defer cl.Close()
	h, err := cl.Hello(ctx)
	if err != nil {
		return err
	}
	if strings.EqualFold(h.Host, c.host) {
		return fault.New(fault.SameHost, c.host, "name", destination)
	}
	if _, ok := wire.Negotiate(h.Oldest, h.Newest); !ok {
		return fault.New(fault.AgentTooOld, destination, "have", fmt.Sprintf("%d to %d", h.Oldest, h.Newest), "peer", c.host,
			"want", fmt.Sprintf("%d to %d", wire.Oldest, wire.Newest))
	}
	return c.checkClock(destination, h.Time)
}

func (c *connector) checkClock(peer string, theirs time.Time) error {
	if skew := theirs.Sub(c.now()).Abs(); skew > maxSkew {
		return fault.New(fault.ClockSkew, c.host, "peer", peer, "skew", skew.Round(time.Second).String())
	}
	return nil
}

// Authorise acts for the operator: delegated tickets, the migration network, an
// authenticated control stream. A refusal that fresh tickets could cure is tried
// once more with fresh ones.
func (c *connector) Authorise(ctx context.Context, destination string, op move.Operator, storage bool) (move.Session, error) {
	evidence, method, err := c.evidence(ctx, op)
	if err != nil {
		return nil, c.explain(ctx, err)
	}
	service := spn.For(spn.Migration, destination)
	var s *session
	err = c.kerberos.Try(ctx, evidence, service, func(ctx context.Context, t *krb.Ticket) error {
		var second *krb.Ticket
		if storage {
			if second, err = c.kerberos.Delegate(ctx, evidence, spn.For(spn.Storage, destination)); err != nil {
				return err
			}
		}
		groups, passed, err := c.networks(ctx, destination, t)
		if err != nil {
			return err
		}
		if s, err = c.open(ctx, destination, groups, t, second); err != nil {
			return err
		}
		s.passed = append(passed, s.passed...)
		return nil
	})
	if err != nil {
		return nil, c.explain(ctx, err)
	}
	s.delegation = record.Delegation{Operator: op.Principal, Account: c.kerberos.Account(), Service: service, Method: method}
	if storage {
		s.delegation.StorageService = spn.For(spn.Storage, destination)
	}
	return s, nil
}

// evidence is what proves the operator to the KDC: the ticket with which the
// operator signed in here, or one that this host asks for in the operator's name.
func (c *connector) evidence(ctx context.Context, op move.Operator) (krb.Evidence, string, error) {
	if ev, ok := op.Evidence.(krb.Evidence); ok {
		return ev, "ticket", nil
	}
	ev, err := c.kerberos.Impersonate(ctx, op.Principal)
	return ev, "protocol-transition", err
}

// networks asks the destination's management API, as the operator, where it takes
// migrations, and lists what both sides have.
func (c *connector) networks(ctx context.Context, destination string, t *krb.Ticket) ([]plan.Group, []record.Passed, error) {
	cl, err := api.NewClient(api.ClientOptions{Address: destination, Host: c.host, Initiator: ticketInitiator{t}, DialTimeout: c.dialTimeout})
	if err != nil {
		return nil, nil, err
	}
	defer cl.Close()
	info, err := cl.Host(ctx)
	if fault.Is(err, fault.RoleMissing) {
		// To look there takes the viewer's role, but a viewer could not move either.
		f := fault.From(err)
		return nil, nil, fault.New(fault.RoleMissing, f.Host, "operator", t.Client(), "role", string(roleOperator))
	}
	if err != nil {
		return nil, nil, err
	}
	if !info.Migration.Settings.Incoming {
		return nil, nil, fault.New(fault.MigrationDisabled, info.Host, "direction", "incoming")
	}
	return c.choose(destination, info.Migration)
}

// Settle opens a control stream as this host itself, on the network of the move:
// a host has no role at another's management API, where it could ask again.
func (c *connector) Settle(ctx context.Context, destination string, ns []record.Route) (move.Conn, error) {
	t, err := c.kerberos.Self(ctx, spn.For(spn.Migration, destination))
	if err != nil {
		return nil, err
	}
	// A network of the plan that this host no longer allows is not used for this
	// either.
	var groups []plan.Group
	var theirs []netip.Prefix
	for _, r := range ns {
		theirs = append(theirs, r.Subnet)
		if allows(c.settings(), r.Source) {
			groups = append(groups, plan.Group{Priority: r.Priority, Routes: []record.Route{r}})
		}
	}
	if len(groups) == 0 {
		return nil, fault.New(fault.NoCommonNetwork, c.host, "destination", destination,
			"source_networks", networksText(c.settings()), "destination_networks", networkList(theirs))
	}
	return c.open(ctx, destination, groups, t, nil)
}

// open dials the migration port and authenticates both ends.
func (c *connector) open(ctx context.Context, destination string, groups []plan.Group, t, storage *krb.Ticket) (*session, error) {
	r, err := c.reach(ctx, destination, groups)
	if err != nil {
		return nil, err
	}
	s := &session{opts: r.opts, networks: r.routes, passed: r.passed, host: c.host, pacer: c.pacer, coder: c.coder}
	ctl, err := r.conn.Authenticate(ctx, func(ctx context.Context, x stream.Exchange) (string, error) {
		e := exchange{x: x, host: c.host, peer: destination}
		s.peer, err = c.introduce(ctx, e, t, storage)
		return destination, err
	})
	if err != nil {
		return nil, err
	}
	s.Control = ctl
	if err := s.Verify(); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// introduce is the source's side of the authentication, after which both ends
// know who the other is and that they see the same TLS session.
func (c *connector) introduce(ctx context.Context, e exchange, t, storage *krb.Ticket) (wire.AuthReply, error) {
	var hello wire.HelloReply
	if err := e.ask(ctx, wire.KindHello, wire.Hello{Host: c.host, Oldest: wire.Oldest, Newest: wire.Newest, Time: c.now()}, wire.KindHelloReply, &hello); err != nil {
		return wire.AuthReply{}, err
	}
	if err := c.checkClock(e.peer, hello.Time); err != nil {
		return wire.AuthReply{}, err
	}
	reply, err := c.present(ctx, e, t, storage != nil)
	if err != nil || storage == nil {
		return reply, err
	}
	_, err = c.present(ctx, e, storage, false)
	return reply, err
}

func (c *connector) present(ctx context.Context, e exchange, t *krb.Ticket, more bool) (wire.AuthReply, error) {
	binding := krb.Binding(e.x.ExporterBinding())
	kc, token, err := krb.Initiate(t, binding)
	if err != nil {
		return wire.AuthReply{}, err
	}
	var reply wire.AuthReply
	if err := e.ask(ctx, wire.KindAuth, wire.Auth{Token: token, More: more}, wire.KindAuthReply, &reply); err != nil {
		return reply, err
	}
	if err := kc.Complete(reply.Token); err != nil {
		return reply, err
	}
	return reply, kc.CheckBinding(binding, reply.Proof)
}

// exchange carries wire messages before the connection is authenticated.
type exchange struct {
	x          stream.Exchange
	host, peer string
}

func (e exchange) ask(ctx context.Context, k wire.Kind, req any, want wire.Kind, into any) error {
	if err := e.say(ctx, k, req); err != nil {
		return err
	}
	return e.hear(ctx, want, into)
}

func (e exchange) say(ctx context.Context, k wire.Kind, body any) error {
	env, err := wire.Seal(k, body)
	if err != nil {
		return err
	}
	b, err := json.Marshal(env)
	if err != nil {
		return err
	}
	return e.x.SendToken(ctx, b)
}

func (e exchange) hear(ctx context.Context, want wire.Kind, into any) error {
	b, err := e.x.ReceiveToken(ctx)
	if err != nil {
		return err
	}
	var env wire.Envelope
	if err := json.Unmarshal(b, &env); err != nil {
		return fault.Wrap(err, fault.ProtocolError, e.host, "peer", e.peer, "problem", "a message that cannot be read")
	}
	return wire.Unseal(env, want, e.host, e.peer, into)
}

// ticketInitiator signs in to an agent with a ticket that is there already. All
// service names of a computer account share its key, so a ticket for the
// migration service is one for the agent.
type ticketInitiator struct{ t *krb.Ticket }

func (i ticketInitiator) Initiate(_ context.Context, _ string, binding []byte) ([]byte, func(reply, proof []byte) error, error) {
	c, token, err := krb.Initiate(i.t, binding)
	if err != nil {
		return nil, nil, err
	}
	return krb.NegTokenInit(token), func(reply, proof []byte) error {
		if err := c.Complete(reply); err != nil {
			return err
		}
		return c.CheckBinding(binding, proof)
	}, nil
}
