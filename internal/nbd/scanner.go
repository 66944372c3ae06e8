package nbd

// Scanner finds pages in what a client sends: whole pages of the disk in the
// payload of writes, by their place on the disk. It implements fold.Scanner.
type Scanner struct {
	c    client
	size uint64 // of a page
}

// New makes a Scanner, for a connection from its first byte on.
func New() *Scanner { return NewBlocks(PageSize) }

// NewBlocks makes a Scanner whose pages have another size, in bytes.
func NewBlocks(size int) *Scanner { return &Scanner{c: newClient(), size: uint64(size)} }

// Next implements fold.Scanner. The key of a page is its number on the disk. What
// is not a whole page, because a write begins or ends within it, is no page.
func (s *Scanner) Next(b []byte) (n int, key uint64, page bool) {
	if len(b) == 0 {
		return 0, 0, false
	}
	c := &s.c
	switch c.at {
	case lost:
		return len(b), 0, false
	case inPayload:
		if in := c.offset % s.size; in != 0 {
			n = c.within(min(len(b), int(s.size-in)))
			break
		}
		if c.left < s.size {
			n = c.within(len(b))
			break
		}
		if uint64(len(b)) < s.size {
			return 0, 0, false
		}
		key = c.offset / s.size
		c.took(int(s.size))
		return int(s.size), key, true
	case inData:
		n = c.within(len(b))
	default:
		n, _ = c.gather(b)
		return n, 0, false
	}
	c.took(n)
	return n, 0, false
}

// Pass implements fold.Scanner.
func (s *Scanner) Pass(b []byte) {
	for c := &s.c; len(b) > 0 && c.at != lost; {
		n := 0
		if c.at == inPayload || c.at == inData {
			n = c.within(len(b))
			c.took(n)
		} else {
			n, _ = c.gather(b)
		}
		b = b[n:]
	}
}

// Skip tells of n bytes that were sent and are not shown, within the payload of a
// write; elsewhere the Scanner has lost the thread.
func (s *Scanner) Skip(n int) {
	if s.c.at != inPayload || uint64(n) > s.c.left {
		s.c.at = lost
		return
	}
	s.c.took(n)
}
