package seed

// Inner finds pages in what a program sends, and can do without some of it.
type Inner interface {
	Next(b []byte) (n int, key uint64, page bool)
	Pass(b []byte)
	Skip(n int)
}

// Scanner finds pages in what comes out of Refer, with the Inner of the program
// that sends. It implements fold.Scanner.
type Scanner struct {
	inner Inner
	items items
	lost  bool
}

// NewScanner makes a Scanner for a stream from its first byte on.
func NewScanner(inner Inner) *Scanner { return &Scanner{inner: inner} }

// Next implements fold.Scanner.
func (s *Scanner) Next(b []byte) (n int, key uint64, page bool) {
	if s.lost || len(b) == 0 {
		return len(b), 0, false
	}
	if s.items.left == 0 {
		return s.head(b), 0, false
	}
	in := b[:min(uint64(len(b)), uint64(s.items.left))]
	n, key, page = s.inner.Next(in)
	if n == 0 && len(in) == int(s.items.left) { // the page is in two items, and so no page
		s.inner.Pass(in)
		n = len(in)
	}
	s.items.left -= uint32(n)
	return n, key, page
}

// Pass implements fold.Scanner.
func (s *Scanner) Pass(b []byte) {
	for len(b) > 0 && !s.lost {
		n := 0
		if s.items.left == 0 {
			n = s.head(b)
		} else {
			n = int(min(uint64(len(b)), uint64(s.items.left)))
			s.inner.Pass(b[:n])
			s.items.left -= uint32(n)
		}
		b = b[n:]
	}
}

func (s *Scanner) head(b []byte) int {
	n, block, _, err := s.items.gather(b)
	if s.lost = err != nil; s.lost {
		return len(b)
	}
	if block {
		s.inner.Skip(BlockSize)
	}
	return n
}
