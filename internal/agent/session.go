package agent

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"drover/internal/fault"
	"drover/internal/move"
	"drover/internal/nbd"
	"drover/internal/plan"
	"drover/internal/record"
	"drover/internal/seed"
	"drover/internal/settings"
	"drover/internal/stream"
	"drover/internal/wire"
)

// session is the source's end of a move's connections.
type session struct {
	*stream.Control
	host  string
	opts  stream.DialOptions // but for the addresses, which are the networks'
	pacer *pacer
	coder *coder
	coded bool         // by the coder
	pace  atomic.Int64 // bytes per second that each stream may expect of the link, as probed; 0: unknown
	// greetingTime is the constant of that name, but in tests.
	greetingTime time.Duration
	networks     []record.Route
	passed       []record.Passed
	delegation   record.Delegation
	peer         wire.AuthReply

	data  *stream.Session
	relay relays
	// index has the blocks that disk streams refer to; nil: they do not.
	index atomic.Pointer[seed.Index]
}

func (s *session) Networks() []record.Route      { return s.networks }
func (s *session) Passed() []record.Passed       { return s.passed }
func (s *session) Delegation() record.Delegation { return s.delegation }
func (s *session) Peer() wire.AuthReply          { return s.peer }
func (s *session) Err() error                    { return s.relay.failure() }

// Cipher is what encrypts the data streams, "" when nothing does.
func (s *session) Cipher() string {
	if s.opts.Plain {
		return ""
	}
	return "TLS 1.3, " + s.Info().CipherSuite
}

// Bind says which session of the destination the data streams belong to, and how
// they are carried.
func (s *session) Bind(id, secret []byte, how plan.Carriage) error {
	if len(id) != 16 || len(secret) != 32 {
		return fault.New(fault.ProtocolError, s.host, "peer", s.opts.Peer, "problem", "a session id or secret of the wrong length")
	}
	s.data = stream.NewSession([16]byte(id), [32]byte(secret), s.opts.Peer)
	s.opts.Plain, s.opts.Pace, s.coded = how.Plain, s.pacer.ofMove(how.Bandwidth), how.Performance == settings.Compression
	s.relay.init()
	return nil
}

// channelBits is where the channel stands in a stream's index; below it is the
// running number of the connection.
const channelBits = 16

// Forward listens on socket and carries each connection as one data stream.
func (s *session) Forward(kind string, channel int, socket string) error {
	ln, err := net.Listen("unix", socket)
	if err != nil {
		return err
	}
	// QEMU runs as a user of its own, to whom the directory belongs.
	if err := os.Chmod(socket, 0o666); err != nil {
		ln.Close()
		return err
	}
	s.relay.own(func(ctx context.Context) { s.serve(ctx, ln, streamKind(kind), uint32(channel)<<channelBits) })
	return nil
}

func streamKind(k string) stream.Kind {
	if k == move.StreamDisk {
		return stream.KindDisk
	}
	return stream.KindMemory
}

// serve takes the connections of QEMU to the destination in the order in which
// they come: QEMU before 8.0 tells multifd's main channel by its being the first.
func (s *session) serve(ctx context.Context, ln net.Listener, kind stream.Kind, base uint32) {
	defer context.AfterFunc(ctx, func() { ln.Close() })()
	var disks nbd.Disks // the destination makes each anew
	for n := uint32(0); ; n++ {
		local, err := ln.Accept()
		if err != nil {
			return // the session was closed
		}
		st, err := s.dial(ctx, kind, base+n)
		if err != nil {
			local.Close()
			s.relay.failed(err)
			continue
		}
		local, spoken := s.guard(st, local)
		if kind == stream.KindDisk {
			local = nbd.Sparse(local, &disks)
		}
		wrap, refers := s.refers(kind)
		pace := float64(s.pace.Load())
		st.Expect(pace)
		if s.coded {
			s.coder.code(st, pace, refers)
		}
		s.relay.carry(st, local, wrap, spoken)
	}
}

// Refer has disk streams refer to what the destination has.
func (s *session) Refer(x *seed.Index) { s.index.Store(x) }

// refers is what lies between a connection of QEMU's and its stream.
func (s *session) refers(kind stream.Kind) (wrap func(net.Conn) net.Conn, refers bool) {
	x := s.index.Load()
	if kind != stream.KindDisk || x == nil {
		return asItIs, false
	}
	return func(c net.Conn) net.Conn { return seed.Refer(c, x, nbd.NewBlocks(seed.BlockSize)) }, true
}

func asItIs(c net.Conn) net.Conn { return c }

// dial opens one data stream on its turn of the plan's networks, or on the next
// one where that does not connect.
func (s *session) dial(ctx context.Context, kind stream.Kind, index uint32) (st *stream.Stream, err error) {
	first := turn(kind, index)
	for i := range s.networks {
		st, err = s.data.DialData(ctx, to(s.opts, s.networks[(first+i)%len(s.networks)]), kind, index)
		if !fault.Is(err, fault.MigrationPort) || ctx.Err() != nil {
			break
		}
	}
	if err != nil {
		return nil, err
	}
	if err := checkNetwork(s.host, s.data.String(), s.networks, st.Info()); err != nil {
		st.Abort(err)
		return nil, err
	}
	return st, nil
}

// turn spreads the streams of a move over its networks. Disks begin one further
// than memory, so that a move of one connection each uses two.
func turn(kind stream.Kind, index uint32) int {
	n := int(index&(1<<channelBits-1)) + int(index>>channelBits)
	if kind == stream.KindDisk {
		n++
	}
	return n
}

// checkNetwork holds a connection's addresses, which are the kernel's, against the
// plan.
func checkNetwork(host, id string, networks []record.Route, in stream.StreamInfo) error {
	var subnets []netip.Prefix
	for _, r := range networks {
		if in.Local.Addr() == r.Source && in.Remote.Addr() == r.Destination {
			return nil
		}
		subnets = append(subnets, r.Subnet)
	}
	return fault.New(fault.NetworkMismatch, host, "move", id, "local", in.Local.String(), "remote", in.Remote.String(),
		"network", networkList(subnets))
}

// Verify holds every connection that there was against the plan.
func (s *session) Verify() error {
	all, id := []stream.StreamInfo{s.Info()}, "(control)"
	if s.data != nil {
		all, id = append(all, s.data.Streams()...), s.data.String()
	}
	for _, in := range all {
		if err := checkNetwork(s.host, id, s.networks, in); err != nil {
			return err
		}
	}
	return nil
}

// Streams tells what each connection carried, and where it ran.
func (s *session) Streams() []move.StreamProof {
	return proofs(s.Info(), s.data)
}

func proofs(control stream.StreamInfo, data *stream.Session) []move.StreamProof {
	out := []move.StreamProof{proof(control)}
	if data != nil {
		for _, i := range data.Streams() {
			out = append(out, proof(i))
		}
	}
	return out
}

func proof(i stream.StreamInfo) move.StreamProof {
	return move.StreamProof{Kind: i.Kind.String(), Index: int(i.Index), Local: i.Local.String(), Remote: i.Remote.String(),
		PayloadBytes: i.PayloadSent + i.PayloadReceived, WireBytes: i.WireSent + i.WireReceived, KernelAcked: i.KernelBytesAcked,
		Encrypted: i.Encrypted, Cipher: i.CipherSuite, Coding: coding(i.Coded)}
}

// coding is what a stream's Coding did, nil when there was none.
func coding(c record.Coding) *record.Coding {
	if c.All().Blocks == 0 {
		return nil
	}
	c = c.Plus(record.Coding{}) // for the ratio
	return &c
}

// Close ends the control stream and every data stream, and waits for them.
func (s *session) Close() error {
	s.relay.close()
	return s.Control.Close()
}

// relays owns the goroutines that carry the data streams of one move.
type relays struct {
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu     sync.Mutex
	first  error
	closed bool
}

func (r *relays) init() { r.ctx, r.cancel = context.WithCancel(context.Background()) }

// carry relays between a data stream and QEMU's connection, wrapped, until both end,
// and then calls done.
func (r *relays) carry(st *stream.Stream, local net.Conn, wrap func(net.Conn) net.Conn, done func()) {
	local = wrap(r.tee(st, local))
	owned := r.own(func(ctx context.Context) {
		defer done()
		_, err := stream.Relay(ctx, st, local)
		r.failed(err)
	})
	if !owned {
		local.Close()
		st.Close()
		done()
	}
}

// own runs f until it returns; close waits for it. After close it does nothing
// and says so.
func (r *relays) own(f func(ctx context.Context)) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return false
	}
	r.wg.Add(1)
	go func() {
		defer r.wg.Done()
		f(r.ctx)
	}()
	return true
}

// failed remembers the first failure, which is why QEMU then fails.
func (r *relays) failed(err error) {
	if err == nil || errors.Is(err, context.Canceled) {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.first == nil && !r.closed {
		r.first = err
	}
}

func (r *relays) failure() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.first
}

func (r *relays) close() {
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	if r.cancel != nil {
		r.cancel()
		r.wg.Wait()
	}
}

func channelOf(index uint32) string { return strconv.Itoa(int(index >> channelBits)) }
