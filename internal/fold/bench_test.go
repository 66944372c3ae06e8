package fold

import "testing"

// Rounds over so many pages, each with the eight bytes before it that QEMU writes.
const (
	benchPages = 4096
	benchPiece = PageSize + 8
)

type benchScanner struct {
	at   int
	page bool
}

func (s *benchScanner) Next(b []byte) (int, uint64, bool) {
	if !s.page {
		if len(b) < 8 {
			return 0, 0, false
		}
		s.page = true
		return 8, 0, false
	}
	if len(b) < PageSize {
		return 0, 0, false
	}
	s.page = false
	key := s.at
	s.at = (s.at + 1) % benchPages
	return PageSize, uint64(key) * PageSize, true
}

func (s *benchScanner) Pass([]byte) {}

// benchKinds are what a round has, and how a page is changed before the next one.
var benchKinds = []struct {
	name   string
	slots  int
	random func(page int) bool // or zeros
	change func(page int, p []byte)
}{
	{"zero", MaxSlots, func(int) bool { return false }, nil},
	{"raw", 0, func(int) bool { return true }, nil},
	{"raw remembered", MaxSlots, func(int) bool { return true }, func(_ int, p []byte) {
		for i := 0; i < PageSize; i += 8 {
			p[i]++
		}
	}},
	{"repeat", MaxSlots, func(int) bool { return true }, nil},
	{"delta", MaxSlots, func(int) bool { return true }, func(page int, p []byte) { p[page%PageSize]++ }},
	{"mixed", MaxSlots, func(page int) bool { return page%4 > 0 }, func(page int, p []byte) {
		switch page % 4 {
		case 1:
			p[page%PageSize]++
		case 2:
			for i := 0; i < PageSize; i += 8 {
				p[i]++
			}
		}
	}},
}

func benchStream(random func(int) bool) []byte {
	src := randomBytes(benchPages*benchPiece, 1)
	for i := range benchPages {
		if !random(i) {
			clear(src[i*benchPiece+8:][:PageSize])
		}
	}
	return src
}

func BenchmarkFold(b *testing.B) {
	for _, k := range benchKinds {
		b.Run(k.name, func(b *testing.B) {
			src := benchStream(k.random)
			f := NewFolder(&benchScanner{}, NewBudget(k.slots))
			defer f.Close()
			dst, sent := make([]byte, 0, blockRoom), 0
			round := func() {
				for rest := src; len(rest) > 0; {
					block, n := f.Fold(dst, rest[:min(len(rest), MaxRaw/benchPiece*benchPiece)], true)
					sent += len(block)
					rest = rest[n:]
				}
			}
			round()
			sent = 0
			b.SetBytes(int64(len(src)))
			b.ReportAllocs()
			b.ResetTimer()
			for range b.N {
				if k.change != nil {
					b.StopTimer()
					for i := range benchPages {
						k.change(i, src[i*benchPiece+8:][:PageSize])
					}
					b.StartTimer()
				}
				round()
			}
			b.ReportMetric(float64(sent)/float64(b.N)/float64(len(src)), "of-raw")
		})
	}
}

// The first round has to get memory for what it remembers.
func BenchmarkFoldFirstRound(b *testing.B) {
	src := benchStream(func(int) bool { return true })
	dst := make([]byte, 0, blockRoom)
	b.SetBytes(int64(len(src)))
	for range b.N {
		f := NewFolder(&benchScanner{}, NewBudget(MaxSlots))
		for rest := src; len(rest) > 0; {
			_, n := f.Fold(dst, rest[:min(len(rest), MaxRaw/benchPiece*benchPiece)], true)
			rest = rest[n:]
		}
		f.Close()
	}
}

// Of a round that follows another one: what is unfolded again and again has the
// slots as it finds them, which takes the same time.
func BenchmarkUnfold(b *testing.B) {
	for _, k := range benchKinds {
		b.Run(k.name, func(b *testing.B) {
			src := benchStream(k.random)
			f, u := NewFolder(&benchScanner{}, NewBudget(k.slots)), NewUnfolder(NewBudget(k.slots))
			defer f.Close()
			defer u.Close()
			out := make([]byte, 0, MaxRaw)
			round := func() (blocks [][]byte) {
				for rest := src; len(rest) > 0; {
					block, n := f.Fold(make([]byte, 0, blockRoom), rest[:min(len(rest), MaxRaw/benchPiece*benchPiece)], true)
					blocks, rest = append(blocks, block), rest[n:]
				}
				return blocks
			}
			unfold := func(blocks [][]byte) {
				for _, block := range blocks {
					if _, err := u.Unfold(out, block); err != nil {
						b.Fatal(err)
					}
				}
			}
			unfold(round())
			if k.change != nil {
				for i := range benchPages {
					k.change(i, src[i*benchPiece+8:][:PageSize])
				}
			}
			blocks := round()
			b.SetBytes(int64(len(src)))
			b.ReportAllocs()
			b.ResetTimer()
			for range b.N {
				unfold(blocks)
			}
		})
	}
}
