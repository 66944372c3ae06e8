package stream

import (
	"io"
	"net"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// Data that come without encryption and without a codec need not pass through
// this process: the consumer has the kernel move them from the connection to the
// local socket. The link's reader then hands over only how many there are, and
// does nothing until it hears that they are gone. Sending is not done so, because
// it takes more of the processor than copying (docs/adr/0017).

const (
	// leastSplice is below which a frame is copied: a pipe costs calls of its own.
	leastSplice = 16 << 10
	pipeSize    = 1 << 20 // asked for; what the kernel gives is enough
)

// taken is how the consumer of a direct chunk left it.
type taken struct {
	left int // bytes that are still in the connection
	err  error
}

// splicer moves bytes from a TCP connection to a local socket through a pipe.
// Its calls make no allocation.
type splicer struct {
	in, out  int // ends of the pipe
	from, to syscall.RawConn

	want, n     int
	err         error
	fill, drain func(fd uintptr) bool
}

// newSplicer is nil where the kernel cannot do it.
func newSplicer(from net.Conn, to io.Writer) *splicer {
	tcp, ok := from.(*net.TCPConn)
	local, ok2 := to.(*net.UnixConn)
	if !ok || !ok2 {
		return nil
	}
	src, err := tcp.SyscallConn()
	if err != nil {
		return nil
	}
	dst, err := local.SyscallConn()
	if err != nil {
		return nil
	}
	var p [2]int
	if unix.Pipe2(p[:], unix.O_NONBLOCK|unix.O_CLOEXEC) != nil {
		return nil
	}
	_, _ = unix.FcntlInt(uintptr(p[1]), unix.F_SETPIPE_SZ, pipeSize)
	s := &splicer{in: p[1], out: p[0], from: src, to: dst}
	s.fill = func(fd uintptr) bool { return s.move(int(fd), s.in) }
	s.drain = func(fd uintptr) bool { return s.move(s.out, int(fd)) }
	return s
}

// move is one splice; false asks for the socket to be waited for.
func (s *splicer) move(from, to int) bool {
	for {
		n, err := unix.Splice(from, nil, to, nil, s.want, unix.SPLICE_F_MOVE|unix.SPLICE_F_NONBLOCK)
		switch err {
		case unix.EINTR:
			continue
		case unix.EAGAIN:
			return false
		}
		s.n, s.err = int(n), err
		return true
	}
}

// take waits for up to n bytes of the connection and has them in the pipe, which
// must be empty.
func (s *splicer) take(n int) (int, error) {
	s.want, s.n, s.err = n, 0, nil
	if err := s.from.Read(s.fill); err != nil {
		return 0, err
	}
	if s.err != nil {
		return 0, os.NewSyscallError("splice", s.err)
	}
	if s.n == 0 {
		return 0, io.EOF
	}
	return s.n, nil
}

// give has n bytes of the pipe in the local socket.
func (s *splicer) give(n int) (done int, err error) {
	for done < n {
		s.want, s.n, s.err = n-done, 0, nil
		if err := s.to.Write(s.drain); err != nil {
			return done, err
		}
		if s.err != nil {
			return done, os.NewSyscallError("splice", s.err)
		}
		if s.n == 0 {
			return done, io.ErrShortWrite
		}
		done += s.n
	}
	return done, nil
}

func (s *splicer) close() {
	_ = unix.Close(s.in)
	_ = unix.Close(s.out)
}

// spliceTo lets the kernel move what comes for w, where it can; nil where not.
func (s *Stream) spliceTo(w io.Writer) *splicer {
	if s.link.conn != net.Conn(s.link.raw) {
		return nil
	}
	p := newSplicer(s.link.raw.Conn, w)
	s.link.direct.Store(p != nil)
	return p
}

// splicesNoMore ends that; a chunk that is on its way is copied.
func (s *Stream) splicesNoMore() {
	s.link.direct.Store(false)
	s.splicer = nil
}

// pass moves a direct chunk to the local socket, and tells the reader.
func (s *Stream) pass(p *splicer, c chunk) (total int64, err error) {
	left, fromPeer := c.direct, error(nil)
	for left > 0 && err == nil && fromPeer == nil {
		select {
		case <-s.link.dead: // what comes now is for the reader
			fromPeer = s.link.err
			continue
		default:
		}
		var n, out int
		if n, fromPeer = s.link.raw.splice(p, left); n > 0 {
			left -= n
			s.payloadIn.Add(uint64(n))
			out, err = p.give(n)
			total += int64(out)
		}
	}
	s.link.passed <- taken{left, midFrame(fromPeer)}
	if err != nil {
		return total, localError{err}
	}
	if fromPeer != nil {
		<-s.link.dead
		return total, s.link.err
	}
	return total, nil
}

// collect copies a direct chunk after all, for a consumer that does not splice.
func (l *link) collect(c chunk) (chunk, error) {
	buf := getBuffer()
	n, err := io.ReadFull(l.conn, buf[:c.direct])
	l.passed <- taken{c.direct - n, midFrame(err)}
	if err != nil {
		buf.free()
		<-l.dead
		return chunk{}, l.err
	}
	return chunk{b: buf[:n], buf: buf}, nil
}

// awaitPassed waits until the consumer has taken a direct chunk. What it left,
// because its local socket failed, is dropped.
func (l *link) awaitPassed() error {
	t := <-l.passed
	if t.err != nil || t.left == 0 {
		return t.err
	}
	_, err := io.CopyN(io.Discard, l.conn, int64(t.left))
	return midFrame(err)
}
