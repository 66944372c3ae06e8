package api

import (
	"bufio"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"drover/internal/fault"
	"drover/internal/record"
)

// ask sends one request on an open connection.
func ask(t *testing.T, c io.ReadWriter, method, path, body string, header ...string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequest(method, "https://HV01"+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	// The server may answer and close before it has read all of a body.
	werr := req.Write(c)
	resp, err := http.ReadResponse(bufio.NewReader(c), req)
	if err != nil {
		t.Fatal(method, path, werr, err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(b)
}

// signed is a raw connection on which user has signed in.
func (b *bench) signed(user string) *tls.Conn {
	b.t.Helper()
	c := rawTLS(b.t, b.addr)
	resp, body := ask(b.t, c, "POST", "/v1/session", "", "Authorization", b.token(c, user))
	if resp.StatusCode != 200 {
		b.t.Fatal(resp.Status, body)
	}
	return c
}

func (b *bench) token(c *tls.Conn, user string) string {
	binding, err := exporter(c.ConnectionState())
	if err != nil {
		b.t.Fatal(err)
	}
	tok, _, _ := initiator{realm: b.realm, user: user}.Initiate(b.t.Context(), "HTTP/HV01", binding)
	return "Negotiate " + base64.StdEncoding.EncodeToString(tok)
}

func problemIn(t *testing.T, resp *http.Response, body string) fault.Problem {
	t.Helper()
	var p fault.Problem
	if err := json.Unmarshal([]byte(body), &p); err != nil {
		t.Fatalf("%q: %v", body, err)
	}
	if got := resp.Header.Get("Content-Type"); got != "application/problem+json" {
		t.Errorf("content type %q", got)
	}
	if p.Status != resp.StatusCode || p.Host != "HV01" || p.Type != "urn:drover:error:"+string(p.Code) || p.Title == "" || p.Hint == "" {
		t.Errorf("problem %+v with status %d", p, resp.StatusCode)
	}
	return p
}

func TestNothingButOpenPathsBeforeSignIn(t *testing.T) {
	b := start(t)
	for path, want := range map[string]int{
		"/v1/hello": 200, "/healthz": 200, "/openapi.json": 200,
		"/v1/host": 401, "/v1/vms": 401, "/v1/moves": 401, "/v1/moves/M1/events": 401, "/metrics": 401,
		"/no/such/path": 401, "/v1/hello/": 401, "//v1/host": 401,
	} {
		c := rawTLS(t, b.addr)
		resp, body := ask(t, c, "GET", path, "")
		if resp.StatusCode != want {
			t.Errorf("%s: %s", path, resp.Status)
		}
		if want == 401 {
			if p := problemIn(t, resp, body); p.Code != fault.AuthRequired || resp.Header.Get("WWW-Authenticate") != "Negotiate" {
				t.Errorf("%s: %s %v", path, p.Code, resp.Header)
			}
		}
		if !resp.Close {
			t.Errorf("%s: the connection stays open without a sign-in", path)
		}
	}
	if calls := b.backend.called(); len(calls) != 0 {
		t.Errorf("the backend was asked: %v", calls)
	}
}

func TestConnectionIsSignedInOnceAndOnlyItself(t *testing.T) {
	b := start(t)
	c := b.signed("operator")
	for range 2 {
		if resp, body := ask(t, c, "GET", "/v1/host", ""); resp.StatusCode != 200 || !strings.Contains(body, "operator@LAB") {
			t.Fatal(resp.Status, body)
		}
	}
	if resp, body := ask(t, c, "POST", "/v1/session", "", "Authorization", b.token(c, "administrator")); resp.StatusCode != 409 {
		t.Error("a second sign-in:", resp.Status, body)
	}
	if resp, _ := ask(t, rawTLS(t, b.addr), "GET", "/v1/host", ""); resp.StatusCode != 401 {
		t.Error("another connection:", resp.Status)
	}
	// A token is of no use on another connection, and a failed try is the last.
	other := rawTLS(t, b.addr)
	resp, body := ask(t, other, "POST", "/v1/session", "", "Authorization", b.token(c, "operator"))
	if p := problemIn(t, resp, body); p.Code != fault.BindingMismatch || resp.StatusCode != 401 || !resp.Close {
		t.Errorf("%s %+v", resp.Status, p)
	}
	for _, header := range []string{"", "Negotiate", "Negotiate !!!", "Basic YTpi", "Negotiate bm9uc2Vuc2U="} {
		resp, body := ask(t, rawTLS(t, b.addr), "POST", "/v1/session", "", "Authorization", header)
		if p := problemIn(t, resp, body); resp.StatusCode != 401 || p.Code != fault.AuthRefused || !resp.Close {
			t.Errorf("%q: %s %s", header, resp.Status, body)
		}
	}
}

func TestSignInEndsWithItsTicket(t *testing.T) {
	b := start(t)
	b.acceptor.expires = time.Now().Add(-time.Second)
	c := b.client("viewer")
	_, err := c.Host(t.Context())
	want(t, err, fault.AuthRequired)
	if b.acceptor.count != 2 {
		t.Errorf("%d sign-ins; the client renews once", b.acceptor.count)
	}
}

func TestRoles(t *testing.T) {
	b := start(t)
	start := `{"vm":"APP01","destination":"HV02"}`
	keep := `{"keep":"source"}`
	users := []string{"nobody", "viewer", "operator", "administrator"}
	for _, c := range []struct {
		method, path, body string
		needs              int // index of the least user
	}{
		{"GET", "/v1/host", "", 1}, {"GET", "/v1/vms", "", 1}, {"GET", "/v1/vms/X", "", 1}, {"GET", "/v1/moves", "", 1},
		{"GET", "/v1/moves/M1", "", 1}, {"GET", "/v1/moves/none/events", "", 1}, {"GET", "/v1/tickets", "", 1}, {"GET", "/metrics", "", 1},
		{"POST", "/v1/moves", start, 2}, {"POST", "/v1/moves/M1/cancel", "", 2}, {"DELETE", "/v1/tickets", "", 2},
		{"POST", "/v1/network/probe", `{"destination":"HV02"}`, 2},
		{"POST", "/v1/moves/M1/resolve", keep, 3},
		{"POST", "/v1/moves", "{not json", 2}, // who may not, learns nothing of the form
	} {
		for i, user := range users {
			resp, body := ask(t, b.signed(user), c.method, c.path, c.body, "Content-Type", "application/json")
			if allowed := resp.StatusCode != 403; allowed != (i >= c.needs) {
				t.Errorf("%s %s as %s: %s", c.method, c.path, user, resp.Status)
			}
			if resp.StatusCode == 403 {
				p := problemIn(t, resp, body)
				if p.Code != fault.RoleMissing || p.Args["operator"] != user+"@LAB" || p.Args["role"] != users[c.needs] {
					t.Errorf("%+v", p)
				}
			}
		}
	}
}

func TestProblems(t *testing.T) {
	b := start(t)
	for name, c := range map[string]struct {
		method, path, body string
		status             int
		code               fault.Code
		detail             string
	}{
		"fault":             {"GET", "/v1/vms/NONE", "", 404, fault.VMNotFound, "HV01 has no VM NONE"},
		"no code":           {"GET", "/v1/vms/plain", "", 500, fault.Internal, "code"},
		"panic":             {"GET", "/v1/vms/panic", "", 500, fault.Internal, "code"},
		"unknown path":      {"GET", "/v1/nothing", "", 404, fault.Usage, "GET /v1/nothing"},
		"wrong method":      {"PUT", "/v1/vms", "", 404, fault.Usage, "PUT /v1/vms"},
		"unknown move":      {"GET", "/v1/moves/M2/events", "", 404, fault.MoveNotFound, "M2"},
		"not JSON":          {"POST", "/v1/moves", "{", 400, fault.Usage, "body"},
		"no body":           {"POST", "/v1/moves", "", 400, fault.Usage, "body"},
		"missing member":    {"POST", "/v1/moves", `{"vm":"A"}`, 422, fault.Usage, "destination"},
		"unknown member":    {"POST", "/v1/moves", `{"vm":"A","destination":"B","live":true}`, 422, fault.Usage, "body.live"},
		"wrong type":        {"POST", "/v1/moves", `{"vm":"A","destination":7}`, 422, fault.Usage, "body.destination"},
		"out of range":      {"POST", "/v1/moves", `{"vm":"A","destination":"B","connections":17}`, 422, fault.Usage, "body.connections"},
		"not one of":        {"POST", "/v1/moves/M1/resolve", `{"keep":"both"}`, 422, fault.Usage, "body.keep"},
		"query not one of":  {"GET", "/v1/moves?role=both", "", 422, fault.Usage, "query.role"},
		"query no number":   {"GET", "/v1/moves/M1/events?after=x", "", 422, fault.Usage, "query.after"},
		"query unknown":     {"GET", "/v1/moves?state=x", "", 422, fault.Usage, "query.state"},
		"body too large":    {"POST", "/v1/moves", `{"vm":"` + strings.Repeat("a", maxBody) + `"}`, 413, fault.Usage, "1048576"},
		"other media type":  {"POST", "/v1/moves", "vm=A", 415, fault.Usage, "body"},
		"name is too large": {"GET", "/v1/vms/" + strings.Repeat("a", 300), "", 422, fault.Usage, "path.vm"},
	} {
		kind := "application/json"
		if name == "other media type" {
			kind = "application/x-www-form-urlencoded"
		}
		resp, body := ask(t, b.signed("administrator"), c.method, c.path, c.body, "Content-Type", kind)
		p := problemIn(t, resp, body)
		if resp.StatusCode != c.status || p.Code != c.code || !strings.Contains(p.Detail, c.detail) {
			t.Errorf("%s: %s %s", name, resp.Status, body)
		}
	}
	for _, call := range b.backend.called() {
		if call == "start" || strings.HasPrefix(call, "resolve") {
			t.Errorf("an invalid request reached the backend: %s", call)
		}
	}
	if resp, _ := ask(t, b.signed("viewer"), "GET", "/v1/host", ""); resp.StatusCode != 200 {
		t.Error("after the panic:", resp.Status)
	}
}

func TestHealth(t *testing.T) {
	b := start(t, func(o *Options) { o.checkEvery = 1 })
	b.backend.health = []HealthCheck{{Name: "journal", OK: true}, {Name: "libvirt", Reason: "no socket"}}
	resp, body := ask(t, rawTLS(t, b.addr), "GET", "/healthz", "")
	if resp.StatusCode != 503 || !strings.Contains(body, "no socket") || !strings.Contains(body, `"ok":false`) {
		t.Error(resp.Status, body)
	}
	b.backend.health = b.backend.health[:1]
	if resp, body := ask(t, rawTLS(t, b.addr), "GET", "/healthz", ""); resp.StatusCode != 200 || !strings.Contains(body, `"ok":true`) {
		t.Error(resp.Status, body)
	}
}

func TestMetricsCountByRoute(t *testing.T) {
	b := start(t)
	ask(t, b.signed("viewer"), "GET", "/v1/vms/secret-name", "")
	ask(t, rawTLS(t, b.addr), "POST", "/v1/session", "", "Authorization", "Negotiate bm9uc2Vuc2U=")
	c := newTestClient(t, ClientOptions{Address: "unix:" + b.socket})
	resp, err := c.roundTrip(t.Context(), c.signed, "GET", "/metrics", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{
		`drover_api_requests_total{route="GET /v1/vms/{vm}",status="404"} 1`,
		`drover_api_sign_ins_total{result="ok"} 1`,
		`drover_api_sign_ins_total{result="authentication-refused"} 1`,
		`drover_api_connections `,
	} {
		if !strings.Contains(string(text), line) {
			t.Errorf("no %s in\n%s", line, text)
		}
	}
	if strings.Contains(string(text), "secret-name") {
		t.Error("a path is in the metrics")
	}
}

func TestSocketKnowsWhoConnects(t *testing.T) {
	b := start(t)
	c := newTestClient(t, ClientOptions{Address: "unix:" + b.socket, Host: "HV01"})
	h, err := c.Host(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	me := fmt.Sprint(os.Getuid(), " ", os.Getgid(), " ", os.Getpid())
	if !h.Caller.Local || h.Caller.LocalUser != me {
		t.Errorf("%+v, want %s", h.Caller, me)
	}
	_, err = c.StartMove(t.Context(), record.Request{VM: "A", Destination: "B"})
	if f := want(t, err, fault.RoleMissing); f.Args["operator"] != "local user "+me {
		t.Error(f)
	}
	if i, err := os.Stat(b.socket); err != nil || i.Mode().Perm() != 0o666 {
		t.Error(i, err)
	}
	if err := b.stop(); err != nil {
		t.Error(err)
	}
	_, err = c.Host(t.Context())
	if f := want(t, err, fault.AgentUnreachable); f.Args["address"] != b.socket || f.Host != "HV01" {
		t.Error(f)
	}
}

func TestUnmappedLocalUserIsRefused(t *testing.T) {
	b := start(t, func(o *Options) {
		o.LocalMapper = func(uid, _ uint32, _ int32) (Caller, error) {
			return Caller{}, fault.New(fault.LocalUserUnmapped, "HV01", "user", "x")
		}
	})
	c := newTestClient(t, ClientOptions{Address: "unix:" + b.socket})
	_, err := c.VMs(t.Context())
	want(t, err, fault.LocalUserUnmapped)
}

func TestSocketOfLiveServerIsNotTaken(t *testing.T) {
	b := start(t)
	second := b.server.o
	second.Listen, second.Registry = nil, nil
	s, err := NewServer(second)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "another process") {
		t.Error(err)
	}
	if _, err := newTestClient(t, ClientOptions{Address: "unix:" + b.socket}).Host(t.Context()); err != nil {
		t.Error("the first server:", err)
	}
}

func TestOnlyTLS13AndHTTP11(t *testing.T) {
	b := start(t)
	if c, err := tls.Dial("tcp", b.addr, &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12}); err == nil {
		c.Close()
		t.Error("TLS 1.2 was accepted")
	}
	c, err := tls.Dial("tcp", b.addr, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2", "http/1.1"}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if p := c.ConnectionState().NegotiatedProtocol; p != "http/1.1" {
		t.Errorf("%q", p)
	}
}

func TestBodyHasATimeAndTheRequestAnother(t *testing.T) {
	b := start(t, func(o *Options) { o.bodyTime = 100 * time.Millisecond })
	c := b.signed("operator")
	if _, err := io.WriteString(c, "POST /v1/moves HTTP/1.1\r\nHost: HV01\r\nContent-Length: 100\r\n\r\n{"); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil || resp.StatusCode != http.StatusRequestTimeout {
		t.Fatal(resp, err)
	}
	resp.Body.Close()
	// A request that takes longer than its body might have is not cut off.
	b.backend.block, b.backend.ctxErr = make(chan struct{}), make(chan error, 1)
	time.AfterFunc(4*b.server.o.bodyTime, func() { close(b.backend.block) })
	resp, body := ask(t, b.signed("operator"), "POST", "/v1/moves", `{"vm":"A","destination":"B"}`)
	if resp.StatusCode != http.StatusAccepted || resp.Header.Get("Location") != "/v1/moves/M1" {
		t.Error(resp.Status, body)
	}
}
