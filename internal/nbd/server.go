package nbd

import (
	"encoding/binary"
	"sync/atomic"
)

// server follows the negotiation in what a server sends, until its end.
type server struct {
	left    uint64 // bytes that are of no interest
	have    int
	need    int
	head    [replyLen + blockSizeLen]byte
	greeted bool
	done    bool // the negotiation ended, or is not understood

	// What the answer to NBD_OPT_GO has said so far.
	writeZeroes bool
	limits      limits
	agreed      atomic.Pointer[limits] // nil until the end, and without zeros
}

// limits are those of a request to write zeros.
type limits struct {
	least, most uint32
	trim        bool // the server takes requests to trim as well
}

// noLimits holds where the server names none.
var noLimits = limits{least: 1, most: 1<<32 - 1}

const (
	greetingLen  = 18
	replyLen     = 20
	exportLen    = 12
	blockSizeLen = 14
)

// allow tells whether a request is within the limits ("Block size constraints").
func (l *limits) allow(offset, length uint64) bool {
	return length > 0 && length <= uint64(l.most) && offset%uint64(l.least) == 0 && length%uint64(l.least) == 0
}

// saw takes what the server has sent.
func (s *server) saw(b []byte) {
	for len(b) > 0 && !s.done {
		if s.left > 0 {
			n := min(s.left, uint64(len(b)))
			s.left, b = s.left-n, b[n:]
			continue
		}
		if s.need == 0 {
			s.need = greetingLen
		}
		n := copy(s.head[s.have:s.need], b)
		s.have, b = s.have+n, b[n:]
		if s.have == s.need {
			s.step()
		}
	}
}

// step makes something of a header that is complete.
func (s *server) step() {
	switch {
	case !s.greeted:
		s.greeted = true
		s.done = binary.BigEndian.Uint64(s.head[:]) != serverMagic || binary.BigEndian.Uint64(s.head[8:]) != optionMagic ||
			binary.BigEndian.Uint16(s.head[16:])&flagFixedNewstyle == 0
		s.next(0)
	case s.need == replyLen:
		s.reply()
	default:
		s.info()
		s.next(0)
	}
}

// next waits for the next reply, after so many bytes.
func (s *server) next(skip uint64) { s.left, s.have, s.need = skip, 0, replyLen }

// reply looks at the header of a reply to an option. After NBD_OPT_EXPORT_NAME
// there is none, and so that is not understood.
func (s *server) reply() {
	if binary.BigEndian.Uint64(s.head[:]) != replyMagic {
		s.done = true
		return
	}
	option, kind, length := binary.BigEndian.Uint32(s.head[8:]), binary.BigEndian.Uint32(s.head[12:]), binary.BigEndian.Uint32(s.head[16:])
	switch {
	case option != optGo:
	case kind == repAck:
		s.done = true
		if s.writeZeroes {
			s.agreed.Store(&s.limits)
		}
		return
	case kind == repInfo && (length == exportLen || length == blockSizeLen):
		s.need = replyLen + int(length)
		return
	case kind&repError != 0:
		s.writeZeroes, s.limits = false, noLimits
	}
	s.next(uint64(length))
}

// info looks at an item of information about the export.
func (s *server) info() {
	b := s.head[replyLen:s.need]
	switch kind := binary.BigEndian.Uint16(b); {
	case kind == infoExport && len(b) == exportLen:
		flags := binary.BigEndian.Uint16(b[10:])
		s.writeZeroes, s.limits.trim = flags&flagSendWriteZeroes != 0, flags&flagSendTrim != 0
	case kind == infoBlockSize && len(b) == blockSizeLen:
		s.limits.least, s.limits.most = max(1, binary.BigEndian.Uint32(b[2:])), binary.BigEndian.Uint32(b[10:])
	}
}
