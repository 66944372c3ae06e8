package api

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"

	"golang.org/x/sys/unix"

	"drover/internal/fault"
	"drover/internal/gate"
)

// openPaths are answered before sign-in. Everything else is refused first, so
// that a new operation cannot be forgotten.
var openPaths = map[string]bool{
	"/v1/hello":     true,
	"/v1/session":   true,
	"/healthz":      true,
	"/openapi.json": true,
}

// peer is the other end of one connection.
type peer struct {
	conn net.Conn

	mu     sync.Mutex
	tried  bool // a sign-in was begun; there is one per connection
	known  bool
	caller Caller
	err    error // of the local mapper
}

func withPeer(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, keyPeer, &peer{conn: c})
}

func peerFrom(ctx context.Context) *peer {
	p, _ := ctx.Value(keyPeer).(*peer)
	return p
}

// unsigned reports whether the connection is TLS and nobody has signed in.
func (p *peer) unsigned() bool {
	if _, local := unixConn(p.conn); local {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return !p.known
}

// who is the caller of a request.
func (s *Server) who(p *peer) (Caller, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if u, ok := unixConn(p.conn); ok && !p.tried {
		p.tried = true
		p.caller, p.err = s.local(u)
		p.known = p.err == nil
	}
	if p.err != nil {
		return Caller{}, p.err
	}
	if !p.known {
		return Caller{}, fault.New(fault.AuthRequired, s.o.Host)
	}
	if !p.caller.Expires.IsZero() && !s.o.Now().Before(p.caller.Expires) {
		p.known = false
		return Caller{}, fault.Wrap(errors.New("the sign-in of this connection has ended"), fault.AuthRequired, s.o.Host)
	}
	return p.caller, nil
}

// unixConn is the socket beneath what the listener gave out.
func unixConn(c net.Conn) (*net.UnixConn, bool) {
	if g, ok := c.(*gate.Conn); ok {
		c = g.Conn
	}
	u, ok := c.(*net.UnixConn)
	return u, ok
}

// local asks the kernel who has connected.
func (s *Server) local(u *net.UnixConn) (Caller, error) {
	cred, err := credentials(u)
	if err != nil {
		return Caller{}, err
	}
	c, err := s.o.LocalMapper(cred.Uid, cred.Gid, cred.Pid)
	if err != nil {
		return Caller{}, err
	}
	c.Local = true
	return c, nil
}

// credentials are the kernel's word on who has connected; unlike what a client
// could send, that was fixed by connect(2) (unix(7), SO_PEERCRED).
func credentials(u *net.UnixConn) (cred *unix.Ucred, err error) {
	raw, err := u.SyscallConn()
	if err != nil {
		return nil, fmt.Errorf("peer credentials: %w", err)
	}
	var credErr error
	err = raw.Control(func(fd uintptr) {
		cred, credErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	})
	if err = errors.Join(err, credErr); err != nil {
		return nil, fmt.Errorf("peer credentials: %w", err)
	}
	return cred, nil
}

type sessionInput struct {
	Authorization string `header:"Authorization" doc:"Negotiate BASE64: an SPNEGO token (RFC 4559) bound to the connection's tls-exporter (RFC 9266)"`
}

type sessionOutput struct {
	Token string `header:"WWW-Authenticate" doc:"Negotiate BASE64: the reply token"`
	Proof string `header:"Drover-Binding" doc:"BASE64: the server's proof that it sees the same TLS session"`
	Body  CallerInfo
}

// signIn authenticates the connection that the request came on, once.
func (s *Server) signIn(ctx context.Context, in *sessionInput) (*sessionOutput, error) {
	p := peerFrom(ctx)
	conn, ok := p.conn.(*tls.Conn)
	if !ok {
		return nil, usage(s.o.Host, http.StatusBadRequest, "the unix socket needs no sign-in")
	}
	token, err := negotiateToken(in.Authorization)
	if err != nil {
		return nil, fault.Wrap(err, fault.AuthRefused, s.o.Host, "reason", "the request carries no token")
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.tried {
		return nil, usage(s.o.Host, http.StatusConflict, "a connection signs in once; use a new one")
	}
	p.tried = true
	binding, err := exporter(conn.ConnectionState())
	if err != nil {
		return nil, fmt.Errorf("TLS exporter: %w", err)
	}
	reply, proof, caller, err := s.o.Acceptor.Accept(token, binding)
	if err == nil && !s.gates.signedIn(conn, caller) {
		err = fault.Wrap(errors.New("the connection was closed meanwhile"), fault.AuthRequired, s.o.Host)
	}
	if err != nil {
		err = s.refused(err)
		// Whoever reaches the port can be refused at will: Refused bounds what it tells.
		s.o.Log.Debug("sign-in refused", "remote", conn.RemoteAddr().String(), "error", err)
		s.tellRefused(Refusal{Remote: conn.RemoteAddr().String(), Request: "sign-in", Err: err})
	}
	s.metrics.signIn(err)
	if err != nil {
		return nil, err
	}
	caller.Local, caller.LocalUser = false, ""
	p.caller, p.known = caller, true
	return &sessionOutput{
		Token: negotiate + " " + base64.StdEncoding.EncodeToString(reply),
		Proof: base64.StdEncoding.EncodeToString(proof),
		Body:  caller.Info(),
	}, nil
}

func (s *Server) refused(err error) error {
	var known *fault.Error
	if errors.As(err, &known) {
		return err
	}
	return fault.Wrap(err, fault.AuthRefused, s.o.Host, "reason", "the token cannot be verified")
}
