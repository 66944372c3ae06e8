package ramstream

import (
	"bytes"
	"encoding/binary"
)

// tailSize is how many bytes are kept of what was searched: one less than the
// longest thing that is looked for, a footer and the start of memory's section.
const tailSize = 5 + 5 + 12 - 1

// seek goes to where memory's section begins or goes on.
func (s *Scanner) seek() { s.state, s.want, s.have = stateSearch, 0, 0 }

// search takes from b what comes before a section of memory, and its header; all
// of b when none begins there.
func (s *Scanner) search(b []byte) int {
	if kept := s.have; kept > 0 {
		n := copy(s.buf[kept:], b[:min(len(b), tailSize)])
		if end := s.find(s.buf[:kept+n], kept); end > 0 {
			s.have = 0
			return end - kept
		}
	}
	if end := s.find(b, 0); end > 0 {
		s.have = 0
		return end
	}
	if len(b) >= tailSize {
		s.have = copy(s.buf[:], b[len(b)-tailSize:])
		return len(b)
	}
	keep := min(s.have, tailSize-len(b))
	copy(s.buf[:], s.buf[s.have-keep:s.have])
	s.have = keep + copy(s.buf[keep:], b)
	return len(b)
}

// find looks in b for the header of a section of memory that ends after the
// first after bytes, goes to what follows it, and says where it ends; 0 when there
// is none.
func (s *Scanner) find(b []byte, after int) int {
	if !s.haveRAM {
		return s.findStart(b, after)
	}
	// The footer of the section before is what makes it unlikely to be found in a
	// device's state by chance.
	for at := 0; ; at++ {
		next := bytes.IndexByte(b[at:], sectionFooter)
		if next < 0 || at+next+10 > len(b) {
			return 0
		}
		at += next
		kind, id := b[at+5], binary.BigEndian.Uint32(b[at+6:])
		if (kind == sectionPart || kind == sectionEnd) && id == s.ram && at+10 > after {
			s.section = kind
			s.read(stateEntry, 8)
			return at + 10
		}
	}
}

func (s *Scanner) findStart(b []byte, after int) int {
	for at := 0; ; at++ {
		next := bytes.Index(b[at:], ramStart)
		if next < 0 {
			return 0
		}
		at += next
		if end := at + len(ramStart); at >= 5 && b[at-5] == sectionStart && end > after {
			s.foundRAM(binary.BigEndian.Uint32(b[at-4:]))
			return end
		}
	}
}
