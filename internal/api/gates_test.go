package api

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

const patience = 10 * time.Second

// ended waits until the server has closed a connection.
func ended(t *testing.T, c net.Conn) {
	t.Helper()
	_ = c.SetReadDeadline(time.Now().Add(patience))
	_, err := io.Copy(io.Discard, c)
	var ne net.Error
	if errors.As(err, &ne) && ne.Timeout() {
		t.Error("the connection is still open")
	}
}

func (b *bench) dial() net.Conn {
	b.t.Helper()
	c, err := net.DialTimeout("tcp", b.addr, patience)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { c.Close() })
	return c
}

// Strangers without end neither keep anybody out nor end what is signed in.
func TestAFloodOfStrangersKeepsNobodyOut(t *testing.T) {
	b := start(t, func(o *Options) { o.strangers = 8 })
	before := b.signed("operator")
	for range 200 {
		if _, err := b.dial().Write([]byte{22, 3, 1, 2, 0, 1}); err != nil && !strings.Contains(err.Error(), "reset") {
			t.Fatal(err)
		}
	}
	poll(t, func() bool { return b.server.gates.strangers.TurnedOut() >= 198 })
	if n := b.server.gates.strangers.Count(); n > 2 {
		t.Errorf("%d strangers of one address", n)
	}
	for _, c := range []*tls.Conn{before, b.signed("viewer")} {
		if resp, body := ask(t, c, "GET", "/v1/host", ""); resp.StatusCode != 200 {
			t.Error(resp.Status, body)
		}
	}
	b.assertMetric(`drover_connections_turned_out_total{connections="strangers"} 19`)
}

// assertMetric waits until the metrics have a line.
func (b *bench) assertMetric(line string) {
	b.t.Helper()
	c := newTestClient(b.t, ClientOptions{Address: "unix:" + b.socket})
	poll(b.t, func() bool {
		resp, err := c.roundTrip(b.t.Context(), c.signed, "GET", "/metrics", nil, nil)
		if err != nil {
			b.t.Fatal(err)
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		return err == nil && strings.Contains(string(text), line)
	})
}

// Whatever a stranger does, there is an end to it.
func TestStrangersHaveATime(t *testing.T) {
	b := start(t, func(o *Options) { o.strangerTime = 300 * time.Millisecond })
	signed := b.signed("viewer")
	drip := func(c net.Conn, text string) {
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for i := range text {
			if _, err := io.WriteString(c, text[i:i+1]); err != nil {
				return
			}
			<-tick.C
		}
		t.Error("all of it was taken")
	}
	for name, begin := range map[string]func(c net.Conn){
		"says nothing":    func(net.Conn) {},
		"slow TLS":        func(c net.Conn) { drip(c, "\x16\x03\x01\x03\xe8\x01\x00\x03\xe4"+strings.Repeat("\x00", 1000)) },
		"TLS and no more": func(c net.Conn) { _ = tls.Client(c, &tls.Config{InsecureSkipVerify: true}).Handshake() },
		"slow header": func(c net.Conn) {
			drip(tls.Client(c, &tls.Config{InsecureSkipVerify: true}), "GET /v1/hello HTTP/1.1\r\nHost: a\r\n"+strings.Repeat("A: b\r\n", 200))
		},
		"slow body": func(c net.Conn) {
			drip(tls.Client(c, &tls.Config{InsecureSkipVerify: true}), "POST /v1/session HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n"+strings.Repeat("b", 1000))
		},
		"takes no answer": func(c net.Conn) {
			_, _ = io.WriteString(tls.Client(c, &tls.Config{InsecureSkipVerify: true}), "GET /openapi.json HTTP/1.1\r\nHost: a\r\n\r\n")
		},
		"a healthy request": func(c net.Conn) {
			_, _ = io.WriteString(tls.Client(c, &tls.Config{InsecureSkipVerify: true}), "GET /v1/hello HTTP/1.1\r\nHost: a\r\n\r\n")
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := b.dial()
			_ = c.SetDeadline(time.Now().Add(patience))
			begin(c)
			poll(t, func() bool { return b.server.gates.strangers.Count() == 0 })
			ended(t, c)
		})
	}
	if resp, body := ask(t, signed, "GET", "/v1/host", ""); resp.StatusCode != 200 {
		t.Error("who has signed in is no stranger any more:", resp.Status, body)
	}
}

// A body is read before a sign-in only where one is of use, and little of it.
func TestStrangersAreNotReadAtLength(t *testing.T) {
	b := start(t)
	for path, want := range map[string]int{"/v1/session": http.StatusRequestEntityTooLarge, "/v1/moves": http.StatusUnauthorized} {
		c := rawTLS(t, b.addr)
		if _, err := io.WriteString(c, "POST "+path+" HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2000\r\n"+strings.Repeat("b", 0x2000)+"\r\n"); err != nil {
			t.Fatal(err)
		}
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != want || !resp.Close {
			t.Errorf("%s: %s", path, resp.Status)
		}
	}
	c := rawTLS(t, b.addr)
	_, _ = io.WriteString(c, "GET /v1/hello HTTP/1.1\r\nHost: a\r\nA: "+strings.Repeat("b", 300<<10)+"\r\n\r\n")
	if resp, err := http.ReadResponse(bufio.NewReader(c), nil); err == nil {
		resp.Body.Close()
		if resp.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
			t.Error("a header of 300 KiB:", resp.Status)
		}
	}
}

// Neither an account nor a local user has all places, and neither takes those of
// the other.
func TestNobodyHasAllPlaces(t *testing.T) {
	b := start(t, func(o *Options) { o.MaxConnections = 8 }) // two of each
	other := b.signed("administrator")
	oldest := b.signed("viewer")
	for range 2 {
		b.signed("viewer")
	}
	ended(t, oldest)
	var local []net.Conn
	for range 3 {
		c, err := net.Dial("unix", b.socket)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		local = append(local, c)
		if resp, body := ask(t, c, "GET", "/v1/host", ""); resp.StatusCode != 200 {
			t.Fatal(resp.Status, body)
		}
	}
	ended(t, local[0])
	if n := b.server.gates.known.Count(); n != 3 {
		t.Errorf("%d connections have signed in", n)
	}
	if resp, _ := ask(t, other, "GET", "/v1/host", ""); resp.StatusCode != 200 {
		t.Error(resp.Status)
	}
}

// A connection that was turned out while its sign-in was checked is not signed in.
func TestTurnedOutDuringTheSignIn(t *testing.T) {
	b := start(t)
	c := rawTLS(t, b.addr)
	poll(t, func() bool { return b.server.gates.strangers.Count() == 1 })
	held, flooded := make(chan struct{}), make(chan struct{})
	b.acceptor.before = func() { close(held); <-flooded }
	_, _ = io.WriteString(c, "POST /v1/session HTTP/1.1\r\nHost: a\r\nAuthorization: "+b.token(c, "operator")+"\r\n\r\n")
	<-held
	for range b.server.o.strangers / 4 { // all of this address
		b.dial()
	}
	poll(t, func() bool { return b.server.gates.strangers.TurnedOut() > 0 })
	close(flooded)
	ended(t, c)
	b.assertMetric(`drover_api_sign_ins_total{result="authentication-required"} 1`)
	if n := b.server.gates.known.Count(); n != 0 {
		t.Errorf("%d connections have signed in", n)
	}
}

// To look costs libvirt and the journal something, and anybody may ask.
func TestHealthIsLookedAtOnceForAll(t *testing.T) {
	c := newChecks(time.Hour)
	begun, end := make(chan struct{}, 100), make(chan struct{})
	look := func(context.Context) []HealthCheck {
		begun <- struct{}{}
		<-end
		return []HealthCheck{{Name: "journal", OK: true}}
	}
	answers := make(chan []HealthCheck)
	for range 20 {
		go func() { answers <- c.get(t.Context(), look) }()
	}
	<-begun
	impatient, cancel := context.WithCancel(t.Context())
	cancel()
	if got := c.get(impatient, look); len(got) != 1 || got[0].OK {
		t.Errorf("not waited for, and well: %+v", got)
	}
	close(end)
	for range 20 {
		if got := <-answers; len(got) != 1 || !got[0].OK {
			t.Errorf("%+v", got)
		}
	}
	if n := len(begun); n != 0 {
		t.Errorf("looked %d times more", n)
	}
	// Who goes away while it is looked at makes nobody look again.
	c = newChecks(time.Hour)
	gone, leave := context.WithCancel(t.Context())
	c.get(gone, func(ctx context.Context) []HealthCheck {
		leave()
		return []HealthCheck{{Name: "journal", OK: ctx.Err() == nil}}
	})
	if got := c.get(t.Context(), look); !got[0].OK || len(begun) != 0 {
		t.Errorf("%+v, looked %d times", got, len(begun))
	}
}
