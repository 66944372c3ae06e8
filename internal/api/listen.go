package api

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"time"

	"drover/internal/gate"
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
	for _, addr := range s.o.Listen {
		l, err := net.Listen("tcp", addr)
		if err != nil {
			return ls, fmt.Errorf("listening on %s: %w", addr, err)
		}
		s.addrs = append(s.addrs, l.Addr())
		ls = append(ls, tls.NewListener(s.gates.strangers.Listener(l, gate.ByAddress), s.tlsConfig()))
	}
	if s.o.Socket != "" {
		l, err := listenUnix(s.o.Socket)
		if err != nil {
			return ls, fmt.Errorf("listening on %s: %w", s.o.Socket, err)
		}
		ls = append(ls, s.gates.local.Listener(l, byUser))
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
