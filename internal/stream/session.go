package stream

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"net/netip"
	"sync"

	"drover/internal/fault"
)

const (
	helloSize   = 16 + 4 + 4 + sha256.Size
	welcomeSize = sha256.Size
	// maxStreams bounds what one session may open, ever; maxPending what it may
	// open before anybody accepts it.
	maxStreams = 1024
	maxPending = 64
)

// Session is what the data streams of one move belong to. Its secret is known to
// the two ends only, who exchanged it on an authenticated control connection;
// knowing it is the right to attach a stream.
type Session struct {
	id     [16]byte
	secret [32]byte
	peer   string

	budgets budgets

	mu      sync.Mutex
	taken   map[claim]struct{}
	streams []*Stream
	closed  bool
	done    chan struct{}
	pending chan *Stream
}

// claim is the place of a stream in its session.
type claim struct {
	kind  Kind
	index uint32
	plain bool // the opener wants to go on without encryption
}

// helloPlain is the flag of a HELLO that asks for a stream without encryption.
const helloPlain = 1

func (c claim) flags() byte {
	if c.plain {
		return helloPlain
	}
	return 0
}

// NewSession makes a session of a known id and secret. peer is the other host's
// name for errors.
func NewSession(id [16]byte, secret [32]byte, peer string) *Session {
	return &Session{id: id, secret: secret, peer: peer, budgets: newBudgets(), taken: make(map[claim]struct{}),
		done: make(chan struct{}), pending: make(chan *Stream, maxPending)}
}

// NewSessionKey makes a random id and secret.
func NewSessionKey() (id [16]byte, secret [32]byte) {
	_, _ = rand.Read(id[:]) // documented never to fail
	_, _ = rand.Read(secret[:])
	return id, secret
}

// ID is the session's public name.
func (s *Session) ID() [16]byte { return s.id }

// String is the id in hex, so that a session in a log line shows no secret.
func (s *Session) String() string { return hex.EncodeToString(s.id[:]) }

// Accept waits for the next data stream of the session, in the order of arrival,
// whatever its kind. The caller must close it.
func (s *Session) Accept(ctx context.Context) (*Stream, error) {
	select {
	case st := <-s.pending:
		return st, nil
	case <-s.done:
		return nil, errClosed
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// mac is the proof of role ("client" or "server") to know the secret on the TLS
// connection that has this exporter value. A copy of it is worthless on any
// other connection.
func (s *Session) mac(role string, exporter []byte, c claim) []byte {
	m := hmac.New(sha256.New, s.secret[:])
	m.Write([]byte(role))
	m.Write(exporter)
	m.Write(s.id[:])
	m.Write([]byte{byte(c.kind)})
	m.Write(binary.BigEndian.AppendUint32(nil, c.index))
	if c.plain {
		m.Write([]byte{c.flags()})
	}
	return m.Sum(nil)
}

// hello is the payload of a HELLO frame: id 16, kind u8, flags u8, reserved 2 (zero), index
// u32, MAC 32.
func (s *Session) hello(exporter []byte, c claim) []byte {
	b := append(make([]byte, 0, helloSize), s.id[:]...)
	b = append(b, byte(c.kind), c.flags(), 0, 0)
	b = binary.BigEndian.AppendUint32(b, c.index)
	return append(b, s.mac("client", exporter, c)...)
}

// parseHello gives the parts of a HELLO; the claim is worth nothing before its
// MAC is checked.
func parseHello(b []byte) (id [16]byte, c claim, mac []byte, err error) {
	if len(b) != helloSize || b[17] > helloPlain || b[18] != 0 || b[19] != 0 {
		return id, c, nil, violation("HELLO of a wrong form")
	}
	copy(id[:], b)
	return id, claim{Kind(b[16]), binary.BigEndian.Uint32(b[20:]), b[17] == helloPlain}, b[24:], nil
}

// take reserves a place for a stream, for ever: a place is never used twice.
func (s *Session) take(c claim, who names) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return fault.New(fault.SessionUnknown, who.host)
	}
	c.plain = false // the same place, however it is carried
	if _, dup := s.taken[c]; dup {
		return violationf("stream %s %d was attached before", c.kind, c.index)
	}
	if len(s.taken) >= maxStreams {
		return violationf("more than %d streams in a session", maxStreams)
	}
	s.taken[c] = struct{}{}
	return nil
}

// deliver puts a stream where Accept finds it. On an error the stream is still
// the caller's.
func (s *Session) deliver(st *Stream, who names) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return fault.New(fault.SessionUnknown, who.host)
	}
	select {
	case s.pending <- st:
		s.streams = append(s.streams, st)
		return nil
	default:
		return violationf("more than %d streams that nobody accepted", maxPending)
	}
}

// close refuses further streams and closes those that nobody accepted.
func (s *Session) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	s.closed = true
	close(s.done)
	for {
		select {
		case st := <-s.pending:
			st.Close()
		default:
			return
		}
	}
}

// Streams lists every data stream that this end of the session had, also those
// that are closed, in the order in which they came up.
func (s *Session) Streams() []StreamInfo {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]StreamInfo, len(s.streams))
	for i, st := range s.streams {
		out[i] = st.Info()
	}
	return out
}

// Total adds up the streams of a session.
type Total struct {
	Streams          int             `json:"streams"`
	WireSent         uint64          `json:"wire_sent"`
	WireReceived     uint64          `json:"wire_received"`
	PayloadSent      map[Kind]uint64 `json:"payload_sent"`
	PayloadReceived  map[Kind]uint64 `json:"payload_received"`
	KernelBytesAcked uint64          `json:"kernel_bytes_acked"`
	Encrypted        bool            `json:"encrypted"` // there are streams, and all are
	Local            []netip.Addr    `json:"local"`     // every local address that was used
	Remote           []netip.Addr    `json:"remote"`    // every remote address that was used
}

// Total is the sum over Streams.
func (s *Session) Total() Total {
	t := Total{PayloadSent: map[Kind]uint64{}, PayloadReceived: map[Kind]uint64{}, Encrypted: true}
	for _, in := range s.Streams() {
		t.Streams++
		t.WireSent += in.WireSent
		t.WireReceived += in.WireReceived
		t.PayloadSent[in.Kind] += in.PayloadSent
		t.PayloadReceived[in.Kind] += in.PayloadReceived
		t.KernelBytesAcked += in.KernelBytesAcked
		t.Encrypted = t.Encrypted && in.Encrypted
		t.Local = addOnce(t.Local, in.Local.Addr())
		t.Remote = addOnce(t.Remote, in.Remote.Addr())
	}
	t.Encrypted = t.Encrypted && t.Streams > 0
	return t
}

func addOnce(list []netip.Addr, a netip.Addr) []netip.Addr {
	for _, have := range list {
		if have == a {
			return list
		}
	}
	return append(list, a)
}
