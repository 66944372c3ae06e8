package nbd

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"
)

const (
	// inputSize is how much is read at a time where it has to be looked at.
	inputSize = 128 << 10
	// directSize is from how much on a payload that is known to go on as it is does
	// not take the way through the buffer.
	directSize = 8 << 10
)

// Sparse makes a client's writes of nothing but zeros into requests to write
// zeros ("NBD_CMD_WRITE_ZEROES"), if the server said that it takes them. c is the
// connection to the client; the result takes its place. What the client sent
// comes out of Read; what goes to it through Write shows what the server takes.
//
// A request keeps its cookie, offset, length and NBD_CMD_FLAG_FUA. Its reply has
// the same form as that to a write, and so needs no change. A write with one byte
// that is not zero goes on as it is.
//
// The server may make holes of zeros: NBD_CMD_FLAG_NO_HOLE is not set, and is
// taken away where the client set it, as QEMU 10 does when libvirt copies a disk.
// This is for disks that were made sparse, not for one whose room was set aside on
// purpose.
//
// fresh, if it is not nil, says that the disk is new and all zeros, and that nobody
// writes to it but through Sparse with the same Disks. Then, on a disk's first
// connection and until there is another one, zeros where nothing was written yet change nothing, and
// become requests to trim ("NBD_CMD_TRIM"): whether the server heeds one or not,
// such a place stays zeros. QEMU sets room aside for zeros that it writes to a raw
// image which libvirt 11 gave it without discard='unmap', but not for these.
//
// While a write's payload has been zeros so far, they are counted and not kept, so
// a connection takes 128 KiB of memory whatever the client sends, and a fresh
// disk 2 MiB besides for each TiB with data. Nothing is held back but an
// unfinished header and such a payload, of both of which the rest is on its way;
// when the client's data end early, what there was of them comes out before
// the end. After a deadline that passed, Read may be called again.
//
// The result has CloseWrite, and Poll(p), a Read that gives 0 and no error instead
// of waiting. One goroutine may read or poll and one may write at a time.
func Sparse(c net.Conn, fresh *Disks) net.Conn {
	s := &sparse{Conn: c, disks: fresh, from: newClient(), server: server{limits: noLimits}}
	if sc, ok := c.(syscall.Conn); ok {
		if raw, err := sc.SyscallConn(); err == nil {
			s.polls = poll{raw: raw}
			s.polls.look = s.polls.try
		}
	}
	return s
}

type sparse struct {
	net.Conn
	server server // of Write; agreed is for Read
	disks  *Disks

	// All of Read.
	polls poll
	from  client
	goes  []byte       // the data of the last NBD_OPT_GO
	begun bool         // there was a request
	alone *atomic.Bool // the disk is fresh, as long as that is true; nil: it is not
	data  written
	in    []byte // what was read and has not come out
	room  *[inputSize]byte
	head  []byte // of a header: what has to come out first,
	zeros uint64 // then so many bytes of zeros
	hold  bool   // the payload was zeros so far, and is not to come out yet,
	held  uint64 // so many
	err   error  // what comes after all this
}

// Write passes on what the server sent.
func (s *sparse) Write(p []byte) (int, error) {
	s.server.saw(p) // before the client can answer it
	n, err := s.Conn.Write(p)
	if n < len(p) {
		s.server.done = true // who writes the rest again is not followed
	}
	return n, err
}

// CloseWrite ends the direction to the client, where the connection can.
func (s *sparse) CloseWrite() error {
	if c, ok := s.Conn.(interface{ CloseWrite() error }); ok {
		return c.CloseWrite()
	}
	return nil
}

// Read gives what the client sent, with its zeros as requests.
func (s *sparse) Read(p []byte) (int, error) { return s.read(p, s.Conn.Read) }

// Poll is a Read that does not wait: it gives 0 and no error when there is nothing
// yet, or when the connection cannot tell.
func (s *sparse) Poll(p []byte) (int, error) { return s.read(p, s.polls.read) }

// read gives what there is, and asks for more while there is nothing. more may give
// nothing and no error.
func (s *sparse) read(p []byte, more func([]byte) (int, error)) (int, error) {
	for len(p) > 0 {
		if n := s.give(p); n > 0 {
			return n, nil
		}
		if s.err != nil {
			return 0, s.err
		}
		if b := s.direct(p); b != nil {
			n, err := more(b)
			if s.from.at != lost {
				s.from.took(n)
			}
			return n, err
		}
		if s.room == nil {
			s.room = new([inputSize]byte)
		}
		n, err := more(s.room[:])
		s.in = s.room[:n]
		if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			s.err = err
		} else if n == 0 {
			return 0, err
		}
	}
	return 0, nil
}

// direct is where the next bytes may be read to when they need no look; else nil.
func (s *sparse) direct(p []byte) []byte {
	switch {
	case s.from.at == lost:
		return p
	case s.begun && (s.from.at == inPayload || s.from.at == inData) && !s.hold && min(s.from.left, uint64(len(p))) >= directSize:
		return p[:s.from.within(len(p))]
	}
	return nil
}

// give moves what may come out to p, until it is full or nothing more may.
func (s *sparse) give(p []byte) (n int) {
	for n < len(p) {
		switch {
		case len(s.head) > 0:
			k := copy(p[n:], s.head)
			s.head, n = s.head[k:], n+k
		case s.zeros > 0:
			k := int(min(uint64(len(p)-n), s.zeros))
			clear(p[n : n+k])
			s.zeros, n = s.zeros-uint64(k), n+k
		case len(s.in) == 0:
			if s.err == nil || !s.flush() {
				return n
			}
		case s.hold:
			s.count()
		case s.from.at == lost:
			k := copy(p[n:], s.in)
			s.in, n = s.in[k:], n+k
		case s.from.at == inPayload || s.from.at == inData:
			k := copy(p[n:], s.in[:s.from.within(len(s.in))])
			if !s.begun && s.disks != nil && len(s.goes) < 4+mostName {
				s.goes = append(s.goes, s.in[:k]...)
			}
			s.from.took(k)
			s.in, n = s.in[k:], n+k
		default:
			s.header()
		}
	}
	return n
}

// header takes bytes of a header, and decides what becomes of its request.
func (s *sparse) header() {
	n, complete := s.from.gather(s.in)
	s.in = s.in[n:]
	if !complete {
		return
	}
	s.head = s.from.head[:s.from.got]
	if s.from.at == lost {
		return
	}
	if len(s.head) < requestLen { // an option: the last one is NBD_OPT_GO, or nothing was agreed
		s.goes = s.goes[:0]
		return
	}
	limits := s.server.agreed.Load()
	if !s.begun {
		s.begin(limits)
	}
	switch s.from.command() {
	case cmdWrite:
		if s.hold = s.may(limits); s.hold {
			s.head, s.held = nil, 0
		} else if s.alone != nil {
			s.data.mark(s.from.offset, s.from.length)
		}
	case cmdWriteZeroes:
		if limits != nil && s.from.flags()&^(flagFUA|flagNoHole) == 0 {
			s.nothing(limits, s.from.offset)
		}
	}
}

// begin is before the first request.
func (s *sparse) begin(l *limits) {
	s.begun = true
	goes := s.goes
	s.goes = nil
	if s.disks == nil {
		return
	}
	// Without an answer to NBD_OPT_GO the name came with NBD_OPT_EXPORT_NAME.
	if name, ok := exportName(goes); ok && l != nil {
		s.alone = s.disks.first(name)
	} else {
		s.disks.any()
	}
}

// may tells whether the write in the header could be a request for zeros.
func (s *sparse) may(l *limits) bool {
	known := uint16(flagFUA)
	if s.from.got == extendedLen {
		known |= flagPayloadLen
	}
	return l != nil && s.from.flags()&^known == 0 && l.allow(s.from.offset, s.from.length)
}

// nothing makes the request in the header, whose range is to be zeros from then on,
// into the one that takes the least room.
func (s *sparse) nothing(l *limits, offset uint64) {
	s.head = s.from.head[:s.from.got]
	command := uint16(cmdWriteZeroes)
	if s.alone != nil && s.alone.Load() && l.trim && s.data.clean(offset, s.from.length) {
		command = cmdTrim
	}
	binary.BigEndian.PutUint16(s.head[4:], s.from.flags()&flagFUA)
	binary.BigEndian.PutUint16(s.head[6:], command)
}

// count looks at the payload of a write that is held back.
func (s *sparse) count() {
	b := s.in[:s.from.within(len(s.in))]
	if !allZero(b) {
		s.release()
		return
	}
	s.in = s.in[len(b):]
	s.held += uint64(len(b))
	s.from.took(len(b))
	if s.from.at != inPayload { // that was all of it
		s.hold = false
		s.nothing(s.server.agreed.Load(), s.from.offset-s.held)
	}
}

// release lets a write that is held back go on as it came.
func (s *sparse) release() {
	s.hold = false
	s.head, s.zeros = s.from.head[:s.from.got], s.held
	if s.alone != nil {
		s.data.mark(s.from.offset-s.held, s.from.length)
	}
}

// flush lets out what the end of the data has cut off; false when there is
// nothing.
func (s *sparse) flush() bool {
	switch {
	case s.hold:
		s.release()
	case s.from.have > 0:
		s.head = s.from.head[:s.from.have]
	default:
		return false
	}
	s.from.have, s.from.at = 0, lost
	return true
}

var zeroes [16 << 10]byte

// allZero tells whether b is nothing but zeros; where it is not, that mostly
// shows at its beginning or its end.
func allZero(b []byte) bool {
	if len(b) > 0 && b[0]|b[len(b)-1] != 0 {
		return false
	}
	for len(b) > 0 {
		n := min(len(b), len(zeroes))
		if !bytes.Equal(b[:n], zeroes[:n]) {
			return false
		}
		b = b[n:]
	}
	return true
}

// poll reads a socket of the kernel's without waiting.
type poll struct {
	raw  syscall.RawConn // nil: the connection is no such socket
	look func(fd uintptr) bool

	// Of the call that is under way.
	buf []byte
	n   int
	err error
}

func (p *poll) try(fd uintptr) bool {
	for {
		if p.n, p.err = unix.Read(int(fd), p.buf); p.err != unix.EINTR {
			return true
		}
	}
}

func (p *poll) read(b []byte) (int, error) {
	if p.raw == nil {
		return 0, nil
	}
	p.buf = b
	err := p.raw.Read(p.look)
	p.buf = nil
	switch {
	case err != nil:
		return 0, err
	case p.err == unix.EAGAIN:
		return 0, nil
	case p.err != nil:
		return 0, os.NewSyscallError("read", p.err)
	case p.n == 0:
		return 0, io.EOF
	}
	return p.n, nil
}
