package stream

import (
	"io"
	"net"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// source reads a local socket, and can look without waiting where the socket is
// one of the kernel's.
type source struct {
	conn   net.Conn
	raw    syscall.RawConn // nil: only waiting is possible, or
	poller poller

	// Of the call that is under way, for look.
	buf   []byte
	wait  bool
	n     int
	err   error
	empty bool
	look  func(fd uintptr) bool // kept, so that a call makes no allocation
}

// poller is a connection that looks for itself: Poll is a Read that gives 0 and no
// error where Read would wait.
type poller interface{ Poll(p []byte) (int, error) }

func newSource(c net.Conn) *source {
	s := &source{conn: c}
	s.poller, _ = c.(poller)
	s.look = s.try
	if sc, ok := c.(syscall.Conn); ok {
		if raw, err := sc.SyscallConn(); err == nil {
			s.raw = raw
		}
	}
	return s
}

// try is one look at the socket. It asks for another one when there is something
// to read, by giving false.
func (s *source) try(fd uintptr) bool {
	for {
		s.n, s.err = unix.Read(int(fd), s.buf)
		switch s.err {
		case unix.EINTR:
			continue
		case unix.EAGAIN:
			s.n, s.err, s.empty = 0, nil, true
			return !s.wait
		}
		s.empty = false
		return true
	}
}

// read waits until there is something, like net.Conn.Read.
func (s *source) read(p []byte) (int, error) {
	if s.raw == nil {
		return s.conn.Read(p)
	}
	return s.call(p, true)
}

// poll gives what there is without waiting: 0 and no error when there is nothing,
// or when the socket cannot tell.
func (s *source) poll(p []byte) (int, error) {
	switch {
	case s.poller != nil:
		return s.poller.Poll(p)
	case s.raw == nil:
		return 0, nil
	}
	return s.call(p, false)
}

func (s *source) call(p []byte, wait bool) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	s.buf, s.wait, s.n, s.err = p, wait, 0, nil
	err := s.raw.Read(s.look)
	s.buf = nil
	switch {
	case err != nil:
		return 0, err
	case s.err != nil:
		return 0, os.NewSyscallError("read", s.err)
	case s.n == 0 && !s.empty:
		return 0, io.EOF
	}
	return s.n, nil
}

// failed marks an error of the local program's as such.
func (s *source) failed(err error) error {
	if err == io.EOF {
		return err
	}
	return localError{err}
}
