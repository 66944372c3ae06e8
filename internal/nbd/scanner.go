package nbd

// Scanner finds pages in what a client sends: whole pages of the disk in the
// payload of writes, by their place on the disk. It implements fold.Scanner.
type Scanner struct{ c client }

// New makes a Scanner, for a connection from its first byte on.
func New() *Scanner { return &Scanner{c: newClient()} }

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
		if in := c.offset % PageSize; in != 0 {
			n = c.within(min(len(b), int(PageSize-in)))
			break
		}
		if c.left < PageSize {
			n = c.within(len(b))
			break
		}
		if len(b) < PageSize {
			return 0, 0, false
		}
		key = c.offset / PageSize
		c.took(PageSize)
		return PageSize, key, true
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
