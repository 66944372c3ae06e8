package nbd

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net"
	"os"
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
// A request keeps its cookie, offset, length and NBD_CMD_FLAG_FUA. The server may
// make a hole of it, because NBD_CMD_FLAG_NO_HOLE is not set: this is for disks
// that were made sparse, not for one whose room was set aside on purpose. Its
// reply has the same form as that to a write, and so needs no change. A write with
// one byte that is not zero goes on as it is.
//
// While a write's payload has been zeros so far, they are counted and not kept, so
// a connection takes inputSize bytes of memory whatever the client sends. Nothing
// is held back but an unfinished header and such a payload, of both of which the
// rest is on its way; when the client's data end early, what there was of them
// comes out before the end. After a deadline that passed, Read may be called
// again.
//
// One goroutine may read and one may write at a time. CloseWrite is passed on.
func Sparse(c net.Conn) net.Conn {
	return &sparse{Conn: c, from: newClient(), server: server{limits: noLimits}}
}

type sparse struct {
	net.Conn
	server server // of Write; agreed is for Read

	// All of Read.
	from  client
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
func (s *sparse) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for {
		if n := s.give(p); n > 0 {
			return n, nil
		}
		if s.err != nil {
			return 0, s.err
		}
		if b := s.direct(p); b != nil {
			n, err := s.Conn.Read(b)
			if s.from.at != lost {
				s.from.took(n)
			}
			return n, err
		}
		if s.room == nil {
			s.room = new([inputSize]byte)
		}
		n, err := s.Conn.Read(s.room[:])
		s.in = s.room[:n]
		switch {
		case err == nil:
		case !errors.Is(err, os.ErrDeadlineExceeded):
			s.err = err
		case n == 0:
			return 0, err
		}
	}
}

// direct is where the next bytes may be read to when they need no look; else nil.
func (s *sparse) direct(p []byte) []byte {
	switch {
	case s.from.at == lost:
		return p
	case (s.from.at == inPayload || s.from.at == inData) && !s.hold && min(s.from.left, uint64(len(p))) >= directSize:
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
			s.from.took(k)
			s.in, n = s.in[k:], n+k
		default:
			s.header()
		}
	}
	return n
}

// header takes bytes of a header. A request whose payload may become zeros is
// held back.
func (s *sparse) header() {
	n, complete := s.from.gather(s.in)
	s.in = s.in[n:]
	switch {
	case !complete:
	case s.from.at == inPayload && s.may():
		s.hold, s.held = true, 0
	default:
		s.head = s.from.head[:s.from.got]
	}
}

// may tells whether the write in the header could be a request for zeros.
func (s *sparse) may() bool {
	limits := s.server.agreed.Load()
	known := uint16(flagFUA)
	if s.from.got == extendedLen {
		known |= flagPayloadLen
	}
	return limits != nil && s.from.flags()&^known == 0 && limits.allow(s.from.offset, s.from.left)
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
		s.head = s.from.head[:s.from.got]
		binary.BigEndian.PutUint16(s.head[4:], s.from.flags()&^flagPayloadLen)
		binary.BigEndian.PutUint16(s.head[6:], cmdWriteZeroes)
	}
}

// release lets a write that is held back go on as it came.
func (s *sparse) release() {
	s.hold = false
	s.head, s.zeros = s.from.head[:s.from.got], s.held
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
