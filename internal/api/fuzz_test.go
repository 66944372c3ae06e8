package api

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/tmaxmax/go-sse"

	"drover/internal/fault"
	"drover/internal/record"
)

// FuzzRequest is a request with whatever path and body, of a stranger and of an
// administrator. A stranger gets nothing but open paths, and neither gets an
// internal error, nor anything started that was not asked for in the right form.
func FuzzRequest(f *testing.F) {
	for _, s := range [][3]string{
		{"POST", "/v1/moves", `{"vm":"APP01","destination":"HV02","include_storage":true,"connections":4}`},
		{"POST", "/v1/moves", `{"vm":"` + strings.Repeat("A", 300) + `"}`},
		{"POST", "/v1/moves", strings.Repeat(`{"vm":`, 5000)},
		{"POST", "/v1/moves/M1/resolve", `{"keep":"source"}`},
		{"PATCH", "/v1/moves/M1", `{"max_blackout_ms":-1}`},
		{"PATCH", "/v1/settings", `{"networks":[{"subnet":"10.0.0.0/8","priority":99999999999999999999}]}`},
		{"GET", "/v1/moves?vm=%00&role=source&limit=-1", ""},
		{"GET", "/v1/events?since=0000-00-00&level=x&after=9223372036854775808", ""},
		{"GET", "/v1/vms/..%2f..%2fetc", ""},
		{"POST", "/v1/session", ""},
		{"DELETE", "/v1/tickets?service=a/b", ""},
	} {
		f.Add(s[0], s[1], []byte(s[2]))
	}
	backend := newBackend()
	s, err := NewServer(Options{Host: "HV01", Backend: backend, LocalMapper: func(uint32, uint32, int32) (Caller, error) { return Caller{}, nil },
		Socket: "unused", Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
	if err != nil {
		f.Fatal(err)
	}
	defer s.stop()
	f.Fuzz(func(t *testing.T, method, path string, body []byte) {
		for _, known := range []bool{false, true} {
			r := request(method, path, body)
			if r == nil || streams(r.URL.Path) {
				return
			}
			who := &peer{known: known, tried: true, caller: Caller{Principal: "a@LAB", Roles: []Role{Administrator}}}
			w := httptest.NewRecorder()
			s.handler.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), keyPeer, who)))
			if w.Code >= 500 && !strings.Contains(r.URL.Path, "/vms/") { // which the fake has fail on purpose
				t.Errorf("%s %q: %d %s", method, path, w.Code, w.Body)
			}
			if !known && w.Code != 401 && !openPaths[r.URL.Path] {
				t.Errorf("a stranger's %s %q: %d", method, path, w.Code)
			}
		}
	})
}

// request is nil for what net/http would not have taken off a connection.
func request(method, path string, body []byte) *http.Request {
	defer func() { _ = recover() }() // httptest.NewRequest refuses by a panic
	return httptest.NewRequest(method, path, bytes.NewReader(body))
}

// FuzzSignInHeader is what a stranger sends to sign in.
func FuzzSignInHeader(f *testing.F) {
	for _, s := range []string{"", "Negotiate", "Negotiate YII=", "negotiate  YII=", "Basic YTpi", "Negotiate !!!", "Negotiate YII=\r\nX: y"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, header string) {
		if token, err := negotiateToken(header); err == nil && (len(token) == 0 || len(token) > len(header)) {
			t.Errorf("%q is a token of %d bytes", header, len(token))
		}
	})
}

// FuzzEvents is what an agent sends to whoever watches a move.
func FuzzEvents(f *testing.F) {
	f.Add([]byte("id: 1\ndata: {\"seq\":1,\"kind\":\"phase\"}\n\n: a comment\n\ndata: {\"seq\":2,\"kind\":\"end\"}\n\n"))
	f.Add([]byte("event: problem\ndata: {\"code\":\"internal\",\"detail\":\"x\"}\n\n"))
	f.Add([]byte("event: problem\ndata: {}\n\n"))
	f.Add([]byte("data: {\"seq\":9223372036854775807}\ndata:\n\n\n\ndata: []\n\n"))
	f.Add(append([]byte("data: "), bytes.Repeat([]byte{'['}, 20_000)...))
	f.Fuzz(func(t *testing.T, b []byte) {
		w := &watcher[record.Event]{c: &Client{o: ClientOptions{Host: "MGMT"}, target: "HV01"}, of: stream[record.Event]{
			seq: func(e record.Event) int64 { return e.Seq }, last: func(e record.Event) bool { return e.Kind == record.EventEnd }}}
		ended := false
		w.yield = func(e record.Event, err error) bool {
			if ended {
				t.Error("an event after the end")
			}
			ended = e.Kind == record.EventEnd
			return true
		}
		for e, err := range sse.Read(bytes.NewReader(b), &sse.ReadConfig{MaxEventSize: maxEvent}) {
			if err == nil {
				err = w.pass(e)
			}
			if err != nil && !utf8.ValidString(string(fault.From(err).Code)) {
				t.Error(err)
			}
			if err != nil || w.over {
				return
			}
		}
	})
}
