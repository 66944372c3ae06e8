package api

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"drover/internal/fault"
)

// Options of a Server.
type Options struct {
	Host        string // this host's name, for errors and hello
	Version     string // product version
	Backend     Backend
	Acceptor    Acceptor
	LocalMapper LocalMapper
	// TLS holds the certificate; what the API needs (TLS 1.3, HTTP/1.1) is set
	// on a copy. Needed if Listen is not empty.
	TLS *tls.Config
	// Listen are addresses for TLS, e.g. "[::]:6601".
	Listen []string
	// Socket is the path of the unix socket, "" for none.
	Socket string
	Log    *slog.Logger
	// Now is this host's clock; nil is time.Now.
	Now func() time.Time
	// Refused, if set, is told of each sign-in, and of each request of somebody whose
	// roles do not allow it, that was refused.
	Refused func(Refusal)
	// Registry is where the server registers its metrics, and what GET /metrics
	// shows; nil: one of its own.
	Registry *prometheus.Registry
	// MaxConnections bounds the connections that have signed in and those to the
	// socket, each; default 512. Of these a principal or user may have a quarter. For
	// a further one the oldest is closed of whoever has the most.
	MaxConnections int
	// Grace is how long requests may go on after Run's context has ended, event
	// streams excepted, which end at once; default 5 s.
	Grace time.Duration

	keepAlive time.Duration // between comments on a silent event stream
	bodyTime  time.Duration // for reading a request's body

	strangers    int // connections on which nobody has signed in
	strangerTime time.Duration
	checkEvery   time.Duration // the host's health
}

// Refusal is what somebody was not allowed.
type Refusal struct {
	Caller  Caller // the zero Caller of a sign-in
	Remote  string // address and port, "" for the unix socket
	Request string // operation of the API, "sign-in" for a sign-in
	Err     error
}

func (s *Server) tellRefused(r Refusal) {
	if s.o.Refused != nil {
		s.o.Refused(r)
	}
}

// Server is the management API of one agent.
type Server struct {
	o       Options
	gates   gates
	checks  *checks
	metrics *metrics
	handler http.Handler
	ready   chan struct{}
	addrs   []net.Addr
	streams context.Context // ends event streams
	stop    context.CancelFunc

	mu       sync.Mutex
	over     bool // no request may begin
	requests sync.WaitGroup
}

// begin counts a request that Run must wait for; false when Run no longer does.
func (s *Server) begin() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.over {
		s.requests.Add(1)
	}
	return !s.over
}

// drain waits until no request is handled any more.
func (s *Server) drain() {
	s.mu.Lock()
	s.over = true
	s.mu.Unlock()
	s.requests.Wait()
}

// NewServer prepares a server; Run listens.
func NewServer(o Options) (*Server, error) {
	switch {
	case o.Backend == nil || o.Log == nil:
		return nil, errors.New("api: a server needs a backend and a logger")
	case len(o.Listen) > 0 && (o.TLS == nil || o.Acceptor == nil):
		return nil, errors.New("api: TLS listeners need a certificate and an acceptor")
	case o.Socket != "" && o.LocalMapper == nil:
		return nil, errors.New("api: the unix socket needs a mapper")
	}
	if o.MaxConnections == 0 {
		o.MaxConnections = 512
	}
	if o.strangers == 0 {
		o.strangers = maxStrangers
	}
	def(&o.strangerTime, strangerTime)
	def(&o.checkEvery, checkEvery)
	if o.Registry == nil {
		o.Registry = prometheus.NewRegistry()
	}
	def(&o.Grace, 5*time.Second)
	def(&o.keepAlive, keepAlive)
	def(&o.bodyTime, bodyTime)
	if o.Now == nil {
		o.Now = time.Now
	}
	s := &Server{o: o, metrics: newMetrics(o.Registry), ready: make(chan struct{})}
	s.gates, s.checks = s.newGates(), newChecks(o.checkEvery)
	s.streams, s.stop = context.WithCancel(context.Background())
	h, err := s.routes()
	s.handler = h
	return s, err
}

func (s *Server) routes() (http.Handler, error) {
	mux := http.NewServeMux()
	a := newAPI(mux, s.o.Version)
	s.operations(a)
	doc, err := json.MarshalIndent(a.OpenAPI(), "", "  ")
	if err != nil {
		return nil, fmt.Errorf("OpenAPI document: %w", err)
	}
	mux.HandleFunc("GET /openapi.json", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/openapi+json")
		_, _ = w.Write(doc)
	})
	mux.Handle("GET /metrics", s.serveMetrics())
	mux.HandleFunc("/", s.notFound)
	return s.observe(s.authenticate(s.bound(patterned(mux)))), nil
}

// patterned tells the outer request, which observe looks at, the route: the
// handlers between pass copies on.
func patterned(mux *http.ServeMux) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, pattern := mux.Handler(r)
		if rec, ok := w.(*recorder); ok {
			rec.route = pattern
		}
		mux.ServeHTTP(w, r)
	})
}

// Ready is closed when Run listens everywhere.
func (s *Server) Ready() <-chan struct{} { return s.ready }

// Addrs are the TLS listeners' addresses, once Ready.
func (s *Server) Addrs() []net.Addr {
	<-s.ready
	return s.addrs
}

// Run listens and serves until ctx ends or a listener fails. It returns nil
// after the end of ctx, when nothing of the server runs any more; for that the
// Backend must obey the end of its context. It can be called once.
func (s *Server) Run(ctx context.Context) error {
	defer s.stop()
	ls, err := s.listen()
	if err != nil {
		return err
	}
	base, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cancel(nil)
	srv := s.httpServer(base)
	failed := make(chan error, len(ls))
	var wg sync.WaitGroup
	for _, l := range ls {
		wg.Go(func() {
			if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
				failed <- fmt.Errorf("serving %s: %w", l.Addr(), err)
			}
		})
	}
	close(s.ready)
	select {
	case <-ctx.Done():
	case err = <-failed:
	}
	s.stop()
	grace, end := context.WithTimeout(context.WithoutCancel(ctx), s.o.Grace)
	defer end()
	if srv.Shutdown(grace) != nil {
		// What is still there has its context ended and its connection closed.
		cancel(fault.New(fault.ShuttingDown, s.o.Host))
		_ = srv.Close()
	}
	wg.Wait()
	s.drain()
	return err
}

func (s *Server) httpServer(base context.Context) *http.Server {
	h1 := new(http.Protocols)
	h1.SetHTTP1(true)
	return &http.Server{
		Handler:           s.handler,
		BaseContext:       func(net.Listener) context.Context { return base },
		ConnContext:       withPeer,
		ConnState:         s.connState,
		ReadHeaderTimeout: headerTime,
		WriteTimeout:      writeTime,
		IdleTimeout:       idleTime,
		MaxHeaderBytes:    128 << 10, // a token with a large PAC
		Protocols:         h1,
		ErrorLog:          slog.NewLogLogger(s.o.Log.Handler(), slog.LevelDebug),
	}
}

func (s *Server) connState(_ net.Conn, st http.ConnState) {
	switch st {
	case http.StateNew:
		s.metrics.conns.Inc()
	case http.StateClosed, http.StateHijacked:
		s.metrics.conns.Dec()
	}
}
