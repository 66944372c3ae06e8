package api

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"drover/internal/fault"
	"drover/internal/record"
)

func TestClientMirrorsTheBackend(t *testing.T) {
	b := start(t)
	ctx := t.Context()
	c := b.client("administrator")
	ok := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	h, err := c.Hello(ctx)
	ok(err)
	if h.Host != "HV01" || h.Version != "1.2.3" || h.Newest < 1 || time.Since(h.Time).Abs() > time.Minute {
		t.Errorf("%+v", h)
	}
	if b.acceptor.count != 0 {
		t.Error("hello signed in")
	}
	info, err := c.Host(ctx)
	ok(err)
	if d := cmp.Diff(CallerInfo{Principal: "administrator@LAB", Roles: []Role{Administrator}, SignIn: "own-credentials"}, info.Caller); d != "" {
		t.Error(d)
	}
	vms, err := c.VMs(ctx)
	ok(err)
	if vms == nil || len(vms) != 0 {
		t.Errorf("%v", vms)
	}
	vm, err := c.VM(ctx, "APP 01/ä")
	ok(err)
	if vm.Name != "APP 01/ä" || vm.Disks[0].Target != "vda" {
		t.Errorf("%+v", vm)
	}
	req := record.Request{VM: "APP01", Destination: "HV02", IncludeStorage: true, Connections: 4}
	rec, err := c.StartMove(ctx, req)
	ok(err)
	if d := cmp.Diff(req, b.backend.request); d != "" {
		t.Error(d)
	}
	if rec.ID != "M1" || rec.Error.Code != fault.VMBusy || rec.Error.Args["job"] != "backup" || rec.Error.Unwrap().Error() != "beneath" {
		t.Errorf("%+v", rec)
	}
	f := MoveFilter{VM: "APP01", Role: record.Destination, Active: true, Limit: 7}
	list, err := c.Moves(ctx, f)
	ok(err)
	if d := cmp.Diff(f, b.backend.filter); d != "" || len(list) != 1 {
		t.Error(d, list)
	}
	_, err = c.Moves(ctx, MoveFilter{})
	ok(err)
	if d := cmp.Diff(MoveFilter{Limit: DefaultLimit}, b.backend.filter); d != "" {
		t.Error(d)
	}
	_, err = c.Move(ctx, "M1")
	ok(err)
	_, err = c.CancelMove(ctx, "M1")
	ok(err)
	_, err = c.ResolveMove(ctx, "M1", KeepDestination)
	ok(err)
	tickets, err := c.Tickets(ctx)
	ok(err)
	n, err := c.PurgeTickets(ctx, "cifs/HV02")
	ok(err)
	if len(tickets) != 1 || n != 3 {
		t.Error(tickets, n)
	}
	want := []string{"host", "vms", "vm APP 01/ä", "start", "moves", "moves", "move", "cancel", "resolve destination", "tickets", "purge cifs/HV02"}
	if d := cmp.Diff(want, b.backend.called()); d != "" {
		t.Error(d)
	}
	for i, caller := range b.backend.callers {
		if caller.Principal != "" && caller.Evidence != "ticket of administrator" {
			t.Errorf("%s: evidence %v", want[i], caller.Evidence)
		}
	}
	if b.acceptor.count != 1 {
		t.Errorf("%d sign-ins for one connection", b.acceptor.count)
	}
}

func TestClientErrors(t *testing.T) {
	b := start(t)
	silent := listener(t, func(c net.Conn) { _, _ = io.Copy(io.Discard, c) })
	hangsUp := listener(t, func(net.Conn) {})
	notAgent := tlsListener(t, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")
	gateway := tlsListener(t, "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 2\r\n\r\nno")
	closed := closedPort(t)
	for name, c := range map[string]struct {
		addr  string
		code  fault.Code
		host  string
		value string // of one argument
	}{
		"no such name":     {"no-such-host.invalid", fault.HostUnknown, "MGMT", "no-such-host.invalid"},
		"refused":          {closed, fault.AgentUnreachable, "127.0.0.1", closed},
		"not TLS":          {hangsUp, fault.AgentUnreachable, "127.0.0.1", hangsUp},
		"silent":           {silent, fault.AgentUnreachable, "127.0.0.1", silent},
		"not an agent":     {notAgent, fault.ProtocolError, "MGMT", "127.0.0.1"},
		"gateway's answer": {gateway, fault.ProtocolError, "MGMT", "127.0.0.1"},
		"no socket":        {"unix:/nonexistent/x.sock", fault.AgentUnreachable, "MGMT", "/nonexistent/x.sock"},
	} {
		within := time.Minute // a busy machine is slow to answer
		if c.addr == silent {
			within = 500 * time.Millisecond
		}
		cl := newTestClient(t, ClientOptions{Address: c.addr, Initiator: initiator{realm: b.realm, user: "viewer"}, Host: "MGMT", DialTimeout: within})
		_, err := cl.Host(t.Context())
		f := fault.From(err)
		found := false
		for _, v := range f.Args {
			found = found || v == c.value
		}
		if f.Code != c.code || f.Host != c.host || !found {
			t.Errorf("%s: %s on %q %v: %v", name, f.Code, f.Host, f.Args, err)
		}
	}
	_, err := b.client("viewer").VM(t.Context(), "NONE")
	if f := want(t, err, fault.VMNotFound); f.Args["vm"] != "NONE" || f.Host != "HV01" {
		t.Error(f)
	}
	noTicket := b.client("x", func(o *ClientOptions) {
		o.Initiator = initiator{err: fault.New(fault.NoTicket, "", "cache", "/tmp/cc")}
	})
	_, err = noTicket.Host(t.Context())
	want(t, err, fault.NoTicket)
	_, err = b.client("x", func(o *ClientOptions) { o.Initiator = nil }).Host(t.Context())
	want(t, err, fault.AuthRequired)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := b.client("viewer").Host(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestRequestTimeout(t *testing.T) {
	b := start(t)
	b.backend.block, b.backend.ctxErr = make(chan struct{}), make(chan error, 1)
	c := b.client("operator", func(o *ClientOptions) { o.RequestTimeout = 300 * time.Millisecond })
	_, err := c.StartMove(t.Context(), record.Request{VM: "A", Destination: "B"})
	if f := want(t, err, fault.Deadline); f.Host != "127.0.0.1" {
		t.Error(f)
	}
	if err := <-b.backend.ctxErr; !errors.Is(err, context.Canceled) {
		t.Errorf("the server's request outlived its client: %v", err)
	}
}

func TestSignInTimeout(t *testing.T) {
	mute := tlsListener(t, "")
	c := newTestClient(t, ClientOptions{Address: mute, Initiator: initiator{user: "x"}, SignInTimeout: 200 * time.Millisecond})
	_, err := c.Host(t.Context())
	want(t, err, fault.Deadline)
}

func TestAddresses(t *testing.T) {
	for in, out := range map[string]string{"HV01": "https://HV01:6601", "HV01:7": "https://HV01:7", "::1": "https://[::1]:6601",
		"[::1]:7": "https://[::1]:7", "10.0.0.1": "https://10.0.0.1:6601", "unix:/x": "http://localhost"} {
		c, err := NewClient(ClientOptions{Address: in})
		if err != nil || c.base != out {
			t.Errorf("%s: %v", in, err)
		}
	}
	for _, in := range []string{"", ":6601", "HV01:", "HV01:0", "HV01:x", "https://HV01", "a@b", "unix:"} {
		if _, err := NewClient(ClientOptions{Address: in}); !fault.Is(err, fault.Usage) {
			t.Errorf("%q: %v", in, err)
		}
	}
}

// A proxy that opens TLS on both sides and passes everything on is refused by
// the server: the token is for the client's session with the proxy.
func TestProxyThatOpensTLSIsRefusedByTheServer(t *testing.T) {
	b := start(t)
	proxy := listener(t, func(c net.Conn) {
		in := tls.Server(c, selfSigned(t))
		out, err := tls.Dial("tcp", b.addr, &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			return
		}
		defer out.Close()
		var wg sync.WaitGroup
		wg.Go(func() { _, _ = io.Copy(out, in); out.Close() })
		_, _ = io.Copy(in, out)
		in.Close()
		wg.Wait()
	})
	_, err := b.client("operator", func(o *ClientOptions) { o.Address = proxy }).Host(t.Context())
	if f := want(t, err, fault.BindingMismatch); f.Host != "HV01" {
		t.Errorf("not the server's refusal: %v", f)
	}
	if b.acceptor.count == 0 || len(b.backend.called()) != 0 {
		t.Errorf("%d sign-ins, calls %v", b.acceptor.count, b.backend.called())
	}
}

// trusting is a man in the middle that lets everybody in; it does not have the
// key, so it replays what it saw of the real server, or makes something up.
type trusting struct{ proof []byte }

func (a trusting) Accept([]byte, []byte) (reply, proof []byte, c Caller, err error) {
	return []byte("reply"), a.proof, Caller{Roles: []Role{Administrator}}, nil
}

func TestServerWithoutTheKeyIsRefusedByTheClient(t *testing.T) {
	real := start(t)
	binding, err := exporter(rawTLS(t, real.addr).ConnectionState())
	if err != nil {
		t.Fatal(err)
	}
	for name, proof := range map[string][]byte{
		"made up":             []byte(rand.Text()),
		"none":                nil,
		"of another session":  []byte(real.realm.mac("server", string(binding))),
		"the client's own":    []byte(real.realm.mac("client", string(binding))),
		"right, wrong length": []byte(real.realm.mac("server", string(binding)))[:8],
	} {
		evil := start(t, func(o *Options) { o.Acceptor = trusting{proof} })
		c := real.client("operator", func(o *ClientOptions) { o.Address = evil.addr })
		_, err := c.StartMove(t.Context(), record.Request{VM: "A", Destination: "B"})
		if f := want(t, err, fault.BindingMismatch); f.Host != "127.0.0.1" {
			t.Errorf("%s: %v", name, f)
		}
		if calls := evil.backend.called(); len(calls) != 0 {
			t.Errorf("%s: a request was sent to an unproved server: %v", name, calls)
		}
	}
}

func listener(t *testing.T, serve func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer c.Close()
				stop := context.AfterFunc(ctx, func() { c.Close() })
				defer stop()
				serve(c)
			})
		}
	})
	t.Cleanup(func() { cancel(); l.Close(); wg.Wait() })
	return l.Addr().String()
}

// tlsListener reads one request of each connection and answers it with text;
// with none it stays silent.
func tlsListener(t *testing.T, text string) string {
	conf := selfSigned(t)
	return listener(t, func(c net.Conn) {
		s := tls.Server(c, conf)
		var head []byte
		for buf := make([]byte, 4096); !strings.Contains(string(head), "\r\n\r\n"); {
			n, err := s.Read(buf)
			if err != nil {
				return
			}
			head = append(head, buf[:n]...)
		}
		if text == "" {
			_, _ = io.Copy(io.Discard, s)
			return
		}
		_, _ = s.Write([]byte(text))
		_, _ = io.Copy(io.Discard, s)
	})
}

func closedPort(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
