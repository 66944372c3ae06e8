package api

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"math/big"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"drover/internal/doctor"
	"drover/internal/eventlog"
	"drover/internal/fault"
	"drover/internal/record"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// realm stands for Kerberos: a key that client and server share, by which
// tokens and proofs are made for one TLS session.
type realm struct{ key []byte }

func (k realm) mac(parts ...string) string {
	h := hmac.New(sha256.New, k.key)
	for _, p := range parts {
		fmt.Fprintf(h, "%d:%s", len(p), p)
	}
	return string(h.Sum(nil))
}

// initiator is user, signing in to service names that start with HTTP/.
type initiator struct {
	realm
	user string
	err  error
}

func (i initiator) Initiate(_ context.Context, service string, binding []byte) ([]byte, func(reply, proof []byte) error, error) {
	if i.err != nil {
		return nil, nil, i.err
	}
	token := i.user + "|" + service + "|" + i.mac("client", i.user, service, string(binding))
	return []byte(token), func(reply, proof []byte) error {
		if string(reply) != "reply" || string(proof) != i.mac("server", string(binding)) {
			return errors.New("the proof is for another TLS session")
		}
		return nil
	}, nil
}

// acceptor knows users by name: a name is its role.
type acceptor struct {
	realm
	mu      sync.Mutex
	expires time.Time
	count   int
	before  func() // called first, if set
}

func (a *acceptor) Accept(token, binding []byte) (reply, proof []byte, c Caller, err error) {
	if a.before != nil {
		a.before()
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.count++
	user, rest, _ := strings.Cut(string(token), "|")
	service, mac, ok := strings.Cut(rest, "|")
	if !ok {
		return nil, nil, Caller{}, errors.New("not a token")
	}
	if !strings.HasPrefix(service, "HTTP/") || len(binding) != 32 {
		return nil, nil, Caller{}, fmt.Errorf("service %q, binding of %d bytes", service, len(binding))
	}
	if !hmac.Equal([]byte(mac), []byte(a.mac("client", user, service, string(binding)))) {
		return nil, nil, Caller{}, fault.New(fault.BindingMismatch, "HV01")
	}
	c = Caller{Principal: user + "@LAB", SignIn: "own-credentials", Evidence: "ticket of " + user, Expires: a.expires,
		Local: true, LocalUser: "root"} // which nobody is who comes by TLS
	if r := Role(user); slices.Contains(ladder, r) {
		c.Roles = []Role{r}
	}
	return []byte("reply"), []byte(a.mac("server", string(binding))), c, nil
}

// backend is a fake with one VM and one move, whose events a test appends.
type backend struct {
	mu      sync.Mutex
	calls   []string
	callers []Caller
	request record.Request
	filter  MoveFilter
	events  []record.Event
	changed chan struct{}
	health  []HealthCheck
	block   chan struct{} // StartMove waits for it, if set
	ctxErr  chan error    // then tells why its context ended
	linger  chan struct{} // and, if set, waits for this
	seen    []int64       // `after` of each Watch
	log     []eventlog.Entry
	logSeen []EventFilter // of each Events and WatchEvents
}

func newBackend() *backend { return &backend{changed: make(chan struct{})} }

func (b *backend) note(call string, c Caller) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.calls = append(b.calls, call)
	b.callers = append(b.callers, c)
}

func (b *backend) called() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.calls)
}

func (b *backend) emit(kind record.EventKind) {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := int64(len(b.events) + 1)
	b.events = append(b.events, record.Event{Seq: n, Move: "M1", Time: time.Unix(n, 0).UTC(), Kind: kind, Phase: record.Transfer})
	close(b.changed)
	b.changed = make(chan struct{})
}

func (b *backend) record(id string) (record.Record, error) {
	if id != "M1" {
		return record.Record{}, fault.New(fault.MoveNotFound, "HV01", "move", id)
	}
	return record.Record{ID: id, Role: record.Source, Phase: record.Transfer, VM: "APP01", Peer: "HV02",
		Error: fault.Wrap(errors.New("beneath"), fault.VMBusy, "HV01", "vm", "APP01", "job", "backup")}, nil
}

func (b *backend) Host(_ context.Context, c Caller) (HostInfo, error) {
	b.note("host", c)
	return HostInfo{Host: "HV01", Caller: c.Info()}, nil
}
func (b *backend) VMs(context.Context) ([]VM, error) { b.note("vms", Caller{}); return nil, nil }
func (b *backend) VM(_ context.Context, name string) (VM, error) {
	b.note("vm "+name, Caller{})
	switch name {
	case "APP 01/ä":
		return VM{Name: name, Disks: []Disk{{Target: "vda"}}}, nil
	case "panic":
		panic("a bug")
	case "plain":
		return VM{}, errors.New("no code")
	}
	return VM{}, fault.New(fault.VMNotFound, "HV01", "vm", name)
}
func (b *backend) StartMove(ctx context.Context, c Caller, r record.Request) (record.Record, error) {
	b.note("start", c)
	b.request = r
	if b.block != nil {
		select {
		case <-b.block:
		case <-ctx.Done():
			b.ctxErr <- context.Cause(ctx)
			if b.linger != nil {
				<-b.linger
			}
			return record.Record{}, ctx.Err()
		}
	}
	return b.record("M1")
}
func (b *backend) Moves(_ context.Context, f MoveFilter) ([]record.Record, error) {
	b.note("moves", Caller{})
	b.filter = f
	r, err := b.record("M1")
	return []record.Record{r}, err
}
func (b *backend) Move(_ context.Context, id string) (record.Record, error) {
	b.note("move", Caller{})
	return b.record(id)
}
func (b *backend) Watch(ctx context.Context, id string, after int64) iter.Seq2[record.Event, error] {
	return func(yield func(record.Event, error) bool) {
		b.mu.Lock()
		b.seen = append(b.seen, after)
		b.mu.Unlock()
		for {
			b.mu.Lock()
			rest, changed := slices.Clone(b.events[min(int(after), len(b.events)):]), b.changed
			b.mu.Unlock()
			for _, e := range rest {
				if e.Kind == "broken" {
					yield(record.Event{}, fault.New(fault.StoreFailed, "HV01"))
					return
				}
				if !yield(e, nil) || e.Kind == record.EventEnd {
					return
				}
				after = e.Seq
			}
			select {
			case <-changed:
			case <-ctx.Done():
				yield(record.Event{}, ctx.Err())
				return
			}
		}
	}
}
func (b *backend) CancelMove(_ context.Context, c Caller, id string) (record.Record, error) {
	b.note("cancel", c)
	return b.record(id)
}
func (b *backend) ResolveMove(_ context.Context, c Caller, id string, keep Keep) (record.Record, error) {
	b.note("resolve "+string(keep), c)
	return b.record(id)
}
func (b *backend) Tickets(context.Context) ([]Ticket, error) {
	b.note("tickets", Caller{})
	return []Ticket{{Service: "cifs/HV02"}}, nil
}
func (b *backend) Seeds(context.Context) ([]Seed, error) {
	b.note("seeds", Caller{})
	return []Seed{{VM: "APP01"}}, nil
}

func (b *backend) PurgeSeeds(_ context.Context, c Caller, vm string) (int, error) {
	b.note("purge seeds "+vm, c)
	return 2, nil
}

func (b *backend) PurgeTickets(_ context.Context, c Caller, service string) (int, error) {
	b.note("purge "+service, c)
	return 3, nil
}
func (b *backend) ProbeDelegation(_ context.Context, c Caller, r ProbeRequest) ([]doctor.Attempt, error) {
	b.note("probe "+r.Method+" "+r.Operator, c)
	var out []doctor.Attempt
	for _, s := range r.DestinationServices {
		out = append(out, doctor.Attempt{Service: s, Method: r.Method, Operator: r.Operator,
			Error: fault.ToProblem(fault.New(fault.OperatorUnknown, "HV01", "operator", r.Operator))})
	}
	return out, nil
}
func (b *backend) ProbeNetwork(_ context.Context, c Caller, destination string) ([]doctor.Passage, error) {
	b.note("look at "+destination, c)
	return nil, nil
}
func (b *backend) Health(context.Context) []HealthCheck { return b.health }

// bench is a running server and what it is made of.
type bench struct {
	t        *testing.T
	server   *Server
	backend  *backend
	acceptor *acceptor
	realm    realm
	addr     string
	socket   string
	stop     func() error
}

func start(t *testing.T, change ...func(*Options)) *bench {
	t.Helper()
	k := realm{[]byte(rand.Text())}
	b := &bench{t: t, backend: newBackend(), acceptor: &acceptor{realm: k}, realm: k,
		socket: filepath.Join(t.TempDir(), "droverd.sock")}
	o := Options{Host: "HV01", Version: "1.2.3", Backend: b.backend, Acceptor: b.acceptor,
		LocalMapper: func(uid, gid uint32, pid int32) (Caller, error) {
			return Caller{LocalUser: fmt.Sprint(uid, " ", gid, " ", pid), Roles: []Role{Viewer}}, nil
		},
		TLS: selfSigned(t), Listen: []string{"127.0.0.1:0"}, Socket: b.socket,
		Log: slog.New(slog.NewTextHandler(io.Discard, nil)), Grace: 2 * time.Second}
	for _, f := range change {
		f(&o)
	}
	b.run(o)
	return b
}

func (b *bench) run(o Options) {
	b.t.Helper()
	s, err := NewServer(o)
	if err != nil {
		b.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	b.stop = sync.OnceValue(func() error {
		cancel()
		return <-done
	})
	b.t.Cleanup(func() {
		if err := b.stop(); err != nil {
			b.t.Error(err)
		}
	})
	select {
	case <-s.Ready():
	case err := <-done:
		done <- err
		b.t.Fatal("server:", err)
	}
	b.server, b.addr = s, ""
	if a := s.Addrs(); len(a) > 0 {
		b.addr = a[0].String()
	}
}

func (b *bench) client(user string, change ...func(*ClientOptions)) *Client {
	b.t.Helper()
	return newTestClient(b.t, ClientOptions{Address: b.addr, Initiator: initiator{realm: b.realm, user: user}, Host: "MGMT"}, change...)
}

func newTestClient(t *testing.T, o ClientOptions, change ...func(*ClientOptions)) *Client {
	t.Helper()
	for _, f := range change {
		f(&o)
	}
	c, err := NewClient(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(c.Close(), c.Close()); err != nil {
			t.Error(err)
		}
	})
	return c
}

func selfSigned(t *testing.T) *tls.Config {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
}

// rawTLS is a connection on which a test says what it likes.
func rawTLS(t *testing.T, addr string) *tls.Conn {
	t.Helper()
	c, err := tls.DialWithDialer(&net.Dialer{Timeout: 5 * time.Second}, "tcp", addr, &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return c
}

func want(t *testing.T, err error, code fault.Code) *fault.Error {
	t.Helper()
	if !fault.Is(err, code) {
		t.Fatalf("got %v, want %s", err, code)
	}
	return fault.From(err)
}
