package move_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"

	"drover/internal/fault"
	"drover/internal/move"
	"drover/internal/plan"
	"drover/internal/record"
	"drover/internal/wire"
)

// pipe is a control stream in memory. Its ends know the kind of each message,
// so that a test can cut it at any of them.
type pipe struct {
	w      *world
	once   sync.Once
	closed chan struct{}
	last   atomic.Bool // a message is on its way after which nothing comes through
}

func (p *pipe) cut() { p.once.Do(func() { close(p.closed) }) }

// end is one side of a pipe.
type end struct {
	p    *pipe
	a    *agent // whose end it is
	in   <-chan []byte
	out  chan<- []byte
	side string // "source", "destination", "settle" or "asked"
}

// action is what a rule does with a message.
type action int

const (
	pass      action = iota
	cutBefore        // the connection ends and the message is lost
	cutAfter         // the message arrives, nothing after it
	swallow          // the message is lost, the connection stays
)

// newPipe connects two agents. Kinds of the sides: see end.
func newPipe(w *world, from, to *agent, fromSide, toSide string) (*end, *end) {
	p := &pipe{w: w, closed: make(chan struct{})}
	there, back := make(chan []byte, 8), make(chan []byte, 8)
	w.mu.Lock()
	w.pipes = append(w.pipes, p)
	w.mu.Unlock()
	from.owns(p)
	to.owns(p)
	return &end{p: p, a: from, in: back, out: there, side: fromSide}, &end{p: p, a: to, in: there, out: back, side: toSide}
}

func (e *end) Send(ctx context.Context, v any) error {
	if err := e.a.gate(); err != nil {
		return err
	}
	act := pass
	if env, ok := v.(wire.Envelope); ok {
		act = e.p.w.rule(e.side, env.Kind)
		v = e.p.w.forgedAs(e.side, env)
	}
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	switch act {
	case cutBefore:
		e.p.cut()
		return io.ErrClosedPipe
	case swallow:
		return nil
	case cutAfter:
		if e.p.last.Swap(true) {
			return io.ErrClosedPipe
		}
	default:
		if e.p.last.Load() {
			return io.ErrClosedPipe
		}
	}
	select {
	case <-e.p.closed:
		return io.ErrClosedPipe
	default:
	}
	select {
	case <-e.p.closed:
		return io.ErrClosedPipe
	case <-ctx.Done():
		return context.Cause(ctx)
	case e.out <- b:
	}
	if act == cutAfter {
		e.p.cut()
	}
	return nil
}

func (e *end) Receive(ctx context.Context, v any) error {
	b, err := e.next(ctx)
	if gerr := e.a.gate(); gerr != nil {
		return gerr
	}
	if err != nil {
		return err
	}
	return json.Unmarshal(b, v)
}

// next prefers what was delivered over how the stream ended.
func (e *end) next(ctx context.Context) ([]byte, error) {
	select {
	case b := <-e.in:
		return b, nil
	default:
	}
	select {
	case b := <-e.in:
		return b, nil
	case <-e.p.closed:
		select {
		case b := <-e.in:
			return b, nil
		default:
			return nil, io.EOF
		}
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

func (e *end) Close() error {
	if err := e.a.gate(); err != nil {
		return err
	}
	e.p.cut()
	return nil
}

// session is the source's end with its data streams, which are made of sockets
// that are plain files.
type session struct {
	*end
	storage bool
	ledger  *ledger
	once    sync.Once
}

func (s *session) Close() error {
	s.once.Do(func() { s.ledger.release("session") })
	return s.end.Close()
}

func (s *session) Passed() []record.Passed { return nil }
func (s *session) Verify() error           { return nil }

func (s *session) Networks() []record.Route {
	return []record.Route{{Subnet: netip.MustParsePrefix("192.168.10.0/24"), Source: netip.MustParseAddr("192.168.10.1"),
		Destination: netip.MustParseAddr("192.168.10.2")}}
}

func (s *session) Delegation() record.Delegation {
	return record.Delegation{Operator: operator, Account: "HV01$", Service: "Microsoft Virtual System Migration Service/HV02", Method: "ticket"}
}
func (s *session) Cipher() string { return "TLS 1.3, test" }
func (s *session) Peer() wire.AuthReply {
	return wire.AuthReply{Operator: operator, DelegatedBy: "HV01$@LAB", SignIn: "own-credentials"}
}
func (s *session) Bind(id, secret []byte, _ plan.Carriage) error {
	if len(id) != 16 || len(secret) != 32 {
		return fmt.Errorf("session id of %d bytes, secret of %d", len(id), len(secret))
	}
	return nil
}

func (s *session) Forward(kind string, channel int, socket string) error {
	if err := s.a.gate(); err != nil {
		return err
	}
	if err := s.a.h.fault("Forward"); err != nil {
		return err
	}
	return os.WriteFile(socket, nil, 0o600)
}
func (s *session) Err() error { return s.a.h.fault("StreamErr") }
func (s *session) Streams() []move.StreamProof {
	if s.a.h.flows.Load() {
		s.a.h.more.Add(1)
	}
	return []move.StreamProof{{Kind: "control", WireBytes: 10, Encrypted: true}, {Kind: move.StreamMemory, PayloadBytes: 100 + s.a.h.more.Load(), WireBytes: 110, Encrypted: true}}
}

// inbound is the destination's end.
type inbound struct {
	*end
	caller move.Caller
}

func (i *inbound) Cut() {}

func (i *inbound) Caller() move.Caller { return i.caller }
func (i *inbound) Open() (id, secret []byte, err error) {
	return make([]byte, 16), make([]byte, 32), i.a.gate()
}
func (i *inbound) Attach(string, int, string, int) error { return i.a.gate() }
func (i *inbound) Streams() []move.StreamProof {
	return []move.StreamProof{{Kind: "control", Local: "10.0.0.2:6600", Remote: "10.0.0.1:40000", WireBytes: 10, Encrypted: true}}
}
func (i *inbound) Err() error { return nil }

// connector finds the other hosts of the world.
type connector struct{ a *agent }

func (c connector) peer(name string) (*agent, error) {
	if err := c.a.gate(); err != nil {
		return nil, err
	}
	h := c.a.h.w.host(name)
	if h == nil {
		return nil, fault.New(fault.AgentUnreachable, c.a.h.name, "name", name)
	}
	a := h.current()
	if a == nil || c.a.h.w.partitioned() {
		return nil, fault.New(fault.AgentUnreachable, c.a.h.name, "name", name)
	}
	return a, nil
}

func (c connector) Negotiate(_ context.Context, destination string) error {
	if _, err := c.peer(destination); err != nil {
		return err
	}
	return c.a.h.fault("Negotiate")
}

func (c connector) Authorise(ctx context.Context, destination string, _ move.Operator, storage bool) (move.Session, error) {
	b, err := c.peer(destination)
	if err != nil {
		return nil, err
	}
	if err := c.a.h.fault("Authorise"); err != nil {
		return nil, err
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	mine, theirs := newPipe(c.a.h.w, c.a, b, "source", "destination")
	b.serve(&inbound{theirs, move.Caller{Principal: operator, DelegatedBy: c.a.h.name + "$@LAB", SignIn: "own-credentials", Storage: storage, Peer: c.a.h.name}})
	c.a.h.ledger.acquire("session")
	return &session{end: mine, storage: storage, ledger: &c.a.h.ledger}, nil
}

func (c connector) Settle(_ context.Context, destination string, ns []record.Route) (move.Conn, error) {
	b, err := c.peer(destination)
	if err != nil {
		return nil, err
	}
	if len(ns) == 0 || !ns[0].Subnet.IsValid() {
		return nil, fmt.Errorf("settle without a network")
	}
	mine, theirs := newPipe(c.a.h.w, c.a, b, "settle", "asked")
	b.serve(&inbound{theirs, move.Caller{Principal: c.a.h.name + "$@LAB", Peer: c.a.h.name}})
	return mine, nil
}

const operator = "anna@LAB"
