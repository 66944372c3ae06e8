// Package ramstream finds the pages of a guest's memory in what QEMU writes to
// a migration connection: the stream of sections of an ordinary connection, and
// the packets of a multifd channel. It knows the formats of QEMU 7.2 to 10; of
// anything else it finds no pages.
//
// A stream of sections says nothing about the length of a device's section. The
// ones of memory can be told without that: they come before all others, but for
// a few devices that send in rounds as memory does. After such a section the
// Scanner looks for the next one of memory by the bytes that it begins with. A
// page found where none is does no harm, it is folded with little success.
package ramstream

import "encoding/binary"

const (
	pageSize = 4096
	// maxHeader is the longest header that is looked at in one go: a multifd
	// packet's.
	maxHeader = packetSize
	// pageBits of a key are the page's number in its block, the others are taken
	// from a hash of the block's name.
	pageBits = 36
)

// Scanner is a fold.Scanner for one connection. It keeps a few KiB, whatever the
// stream says, and asks for no more than a page in one piece.
type Scanner struct {
	state state
	want  int // bytes of the header that state reads
	have  int // bytes of it that are in buf already; when searching, the last ones seen
	skip  uint64
	left  int    // bytes to come of the page with key; pageSize when it begins here
	key   uint64 // of the page that comes, or is being passed
	buf   [maxHeader]byte

	// A connection of sections.
	section byte   // kind of the last one
	ram     uint32 // id of memory's section
	haveRAM bool
	table   uint64 // bytes of blocks that the table of blocks still has to name
	tail    bool   // the table of blocks has just ended
	entry   uint64 // word that the entry began with
	block   uint64 // bits of keys that the block of the last entry gives

	// A multifd channel: the pages that come after the packet's header.
	flags uint32
	pages int
	index int
	keys  [packetPages]uint64
}

// New makes a Scanner for a connection of either kind; the first bytes tell.
func New() *Scanner {
	s := new(Scanner)
	s.read(stateMagic, 8)
	return s
}

// Next implements fold.Scanner. The key of a page has a hash of its block's name
// in the upper 28 bits and its number in the block in the others, so it is the
// same on all connections of a migration.
func (s *Scanner) Next(b []byte) (n int, key uint64, page bool) {
	if s.left != pageSize {
		return s.advance(b), 0, false
	}
	if len(b) < pageSize {
		return 0, 0, false
	}
	key = s.key
	s.endPage()
	return pageSize, key, true
}

// Pass implements fold.Scanner.
func (s *Scanner) Pass(b []byte) {
	for len(b) > 0 {
		n := min(s.left, len(b))
		if n > 0 {
			s.passPage(n)
		} else {
			n = s.advance(b)
		}
		b = b[n:]
	}
}

// advance takes from b what is not a page, up to where one begins or to b's end.
func (s *Scanner) advance(b []byte) int {
	for n := 0; ; {
		switch {
		case s.left == pageSize || n == len(b):
			return n
		case s.left > 0:
			m := min(s.left, len(b)-n)
			s.passPage(m)
			n += m
		case s.skip > 0:
			m := min(s.skip, uint64(len(b)-n))
			s.skip -= m
			n += int(m)
		case s.state == stateEntry && s.have == 0 && len(b)-n > 8:
			n += s.entries(b[n:])
		case s.state == stateSearch:
			n += s.search(b[n:])
		case s.state == stateLost:
			return len(b)
		default:
			n += s.header(b[n:])
		}
	}
}

// header takes from b what is missing of the header that state reads, and acts
// on it when it is complete.
func (s *Scanner) header(b []byte) int {
	if s.have == 0 && len(b) >= s.want {
		h := b[:s.want]
		s.step(h)
		return len(h)
	}
	n := copy(s.buf[s.have:s.want], b)
	s.have += n
	if s.have == s.want {
		s.have = 0
		s.step(s.buf[:s.want])
	}
	return n
}

// entries is the short way through entries of memory that name no block. b has
// more than 8 bytes.
func (s *Scanner) entries(b []byte) int {
	for n := 0; ; n += 9 {
		if len(b)-n < 9 {
			return n + s.header(b[n:])
		}
		word := binary.BigEndian.Uint64(b[n:])
		switch word & entryFlags {
		case entryPage | entryContinue:
			s.beginPage(word)
			return n + 8
		case entryZero | entryContinue:
		default:
			return n + s.header(b[n:])
		}
	}
}

// read says what comes next: a header of want bytes.
func (s *Scanner) read(next state, want int) { s.state, s.want = next, want }

// lose gives up: the rest of the connection travels as it is.
func (s *Scanner) lose() { s.state, s.want, s.have = stateLost, 0, 0 }

func (s *Scanner) beginPage(address uint64) {
	s.key = s.block | address/pageSize&(1<<pageBits-1)
	s.left = pageSize
}

func (s *Scanner) passPage(n int) {
	s.left -= n
	if s.left == 0 {
		s.endPage()
	}
}

// endPage goes to what follows a page: in a multifd packet the next page.
func (s *Scanner) endPage() {
	s.left = 0
	if s.index+1 < s.pages {
		s.index++
		s.key, s.left = s.keys[s.index], pageSize
	}
}

// blockBits are the bits that a block's name gives to the keys of its pages: the
// upper ones of FNV-1a.
func blockBits(name []byte) uint64 {
	h := uint64(14695981039346656037)
	for _, c := range name {
		h = (h ^ uint64(c)) * 1099511628211
	}
	return h &^ (1<<pageBits - 1)
}
