package api

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"drover/internal/fault"
)

// Limits of one request.
const (
	headerTime  = 10 * time.Second // TLS handshake, and reading a header
	bodyTime    = 10 * time.Second // reading a body
	requestTime = 90 * time.Second // handling, other than streams of events
	writeTime   = 2 * time.Minute  // until the answer is written
	idleTime    = 2 * time.Minute  // between the requests of a connection
	maxOpenBody = 4 << 10          // bytes of a body where no sign-in is needed
)

// recorder keeps what was answered, for log and metrics.
type recorder struct {
	http.ResponseWriter
	peer   *peer
	route  string // pattern of the mux
	status int
}

// WriteHeader also ends connections on which nobody signed in, so that they
// hold no place for long.
func (w *recorder) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
		if w.peer.unsigned() {
			w.Header().Set("Connection", "close")
		}
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("X-Content-Type-Options", "nosniff")
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *recorder) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	return w.ResponseWriter.Write(b)
}

// Unwrap is for http.ResponseController.
func (w *recorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// observe is the outermost: it survives panics, counts and logs.
func (s *Server) observe(next http.Handler) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if !s.begin() {
			panic(http.ErrAbortHandler) // the connection is being closed
		}
		defer s.requests.Done()
		begin := time.Now()
		p := peerFrom(r.Context())
		w := &recorder{ResponseWriter: rw, peer: p}
		r = r.WithContext(context.WithValue(r.Context(), keyHost, s.o.Host))
		defer func() {
			if v := recover(); v != nil {
				s.o.Log.Error("panic in a request", "method", r.Method, "path", r.URL.Path, "panic", fmt.Sprint(v), "stack", string(debug.Stack()))
				if w.status != 0 {
					panic(http.ErrAbortHandler) // half an answer must not look whole
				}
				writeProblem(w, fault.New(fault.Internal, s.o.Host), s.o.Host)
			}
			s.metrics.request(w.route, w.status, time.Since(begin))
			s.o.Log.Debug("request", "method", r.Method, "path", r.URL.Path, "status", w.status,
				"caller", p.name(), "remote", r.RemoteAddr, "duration", time.Since(begin))
		}()
		next.ServeHTTP(w, r)
	})
}

// name is who the connection belongs to, for the log.
func (p *peer) name() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.caller.Name()
}

// authenticate lets open paths pass and everything else only with a caller.
func (s *Server) authenticate(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if openPaths[r.URL.Path] {
			next.ServeHTTP(w, r)
			return
		}
		c, err := s.who(peerFrom(r.Context()))
		if err != nil {
			writeProblem(w, err, s.o.Host)
			return
		}
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), keyCaller, c)))
	})
}

// bound reads the body before anything else does, within size and time, and
// gives the request a deadline. The read deadline must be off again before the
// handler runs: net/http takes its expiry for a client that went away, and
// ends the request.
func (s *Server) bound(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rc := http.NewResponseController(w)
		_ = rc.SetReadDeadline(time.Now().Add(s.o.bodyTime))
		most := int64(maxBody)
		if openPaths[r.URL.Path] {
			most = maxOpenBody // of somebody who may be anybody
		}
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, most))
		if err != nil {
			// The deadline stays, or net/http would wait for the rest of the body.
			writeProblem(w, bodyProblem(s.o.Host, most, err), s.o.Host)
			return
		}
		_ = rc.SetReadDeadline(time.Time{})
		r.Body = io.NopCloser(bytes.NewReader(body))
		if !streams(r.URL.Path) {
			ctx, cancel := context.WithTimeout(r.Context(), requestTime)
			defer cancel()
			r = r.WithContext(ctx)
		}
		next.ServeHTTP(w, r)
	})
}

// streams reports whether a path is one of a stream of events, which takes as long
// as its client listens.
func streams(path string) bool {
	return path == logStreamPath || strings.HasPrefix(path, "/v1/moves/") && strings.HasSuffix(path, "/events")
}

func bodyProblem(host string, most int64, err error) *Problem {
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		return usage(host, http.StatusRequestEntityTooLarge, fmt.Sprintf("the request's body is larger than %d bytes", most))
	}
	return usage(host, http.StatusRequestTimeout, "the request's body did not arrive")
}

// allow checks the caller's role on this host.
func (s *Server) allow(c Caller, role Role) error {
	if c.Has(role) {
		return nil
	}
	return fault.New(fault.RoleMissing, s.o.Host, "operator", c.Name(), "role", string(role))
}

func (s *Server) notFound(w http.ResponseWriter, r *http.Request) {
	writeProblem(w, usage(s.o.Host, http.StatusNotFound, "there is no "+r.Method+" "+r.URL.Path), s.o.Host)
}
