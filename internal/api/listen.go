package api

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"sync"
	"time"
)

// listen opens all listeners or none.
func (s *Server) listen() (ls []net.Listener, err error) {
	defer func() {
		if err != nil {
			for _, l := range ls {
				_ = l.Close()
			}
		}
	}()
	slots := make(chan struct{}, s.o.MaxConnections)
	for _, addr := range s.o.Listen {
		l, err := net.Listen("tcp", addr)
		if err != nil {
			return ls, fmt.Errorf("listening on %s: %w", addr, err)
		}
		s.addrs = append(s.addrs, l.Addr())
		ls = append(ls, tls.NewListener(newLimited(l, slots), s.tlsConfig()))
	}
	if s.o.Socket != "" {
		l, err := listenUnix(s.o.Socket)
		if err != nil {
			return ls, fmt.Errorf("listening on %s: %w", s.o.Socket, err)
		}
		// Connections over TLS must not keep local ones out.
		ls = append(ls, newLimited(l, make(chan struct{}, s.o.MaxConnections)))
	}
	return ls, nil
}

// tlsConfig: TLS 1.3 for the exporter of RFC 9266 without further conditions,
// HTTP/1.1 so that a connection is one conversation, no resumption.
func (s *Server) tlsConfig() *tls.Config {
	c := s.o.TLS.Clone()
	c.MinVersion = tls.VersionTLS13
	c.NextProtos = []string{"http/1.1"}
	c.SessionTicketsDisabled = true
	return c
}

// listenUnix removes a socket that a dead agent left, not that of a live one.
// Everybody may connect; every request is authorised by who connected.
func listenUnix(path string) (net.Listener, error) {
	fi, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, err
	case fi.Mode().Type() != fs.ModeSocket:
		return nil, errors.New("there is a file that is no socket")
	default:
		if c, err := net.DialTimeout("unix", path, time.Second); err == nil {
			c.Close()
			return nil, errors.New("another process listens there")
		}
		if err := os.Remove(path); err != nil {
			return nil, err
		}
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, 0o666); err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

// limited accepts no more connections than there are slots.
type limited struct {
	net.Listener
	slots  chan struct{}
	closed chan struct{}
	once   sync.Once
}

func newLimited(l net.Listener, slots chan struct{}) net.Listener {
	return &limited{Listener: l, slots: slots, closed: make(chan struct{})}
}

func (l *limited) Accept() (net.Conn, error) {
	select {
	case l.slots <- struct{}{}:
	case <-l.closed:
		return nil, net.ErrClosed
	}
	c, err := l.Listener.Accept()
	if err != nil {
		<-l.slots
		return nil, err
	}
	release := sync.OnceFunc(func() { <-l.slots })
	return &slotConn{Conn: c, release: release}, nil
}

func (l *limited) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

type slotConn struct {
	net.Conn
	release func()
}

func (c *slotConn) Close() error {
	defer c.release()
	return c.Conn.Close()
}
