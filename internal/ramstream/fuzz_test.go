package ramstream

import (
	"math/rand/v2"
	"testing"
)

// Whatever the bytes are and however they come: no panic, pieces that are within
// what was given, and never a wait for more than a page.
func FuzzScanner(f *testing.F) {
	for _, c := range captures(f) {
		for _, stream := range c.streams {
			f.Add(stream[:min(len(stream), 12<<10)], uint64(1))
			f.Add(stream[max(0, len(stream)-12<<10):], uint64(2))
		}
	}
	f.Add(rawPages(3), uint64(3))
	f.Add(rawZeros(99), uint64(4))
	f.Add(newStream().ram(1<<30).part(sectionPart, 3).text("~\x00~").footer(3).part(sectionPart, 2).page(0, "pc.ram").b, uint64(5))
	f.Add(channel().packet(0, 128, 2, 2*pageSize).page(0, "a").page(0, "b").b, uint64(6))
	f.Fuzz(func(t *testing.T, stream []byte, seed uint64) {
		random := rand.New(rand.NewPCG(seed, 0))
		whole := scan(t, stream)
		small := feed(t, stream, func() int { return random.IntN(64) }, never)
		if len(small) != len(whole) {
			t.Fatalf("%d pages in small chunks, %d in one", len(small), len(whole))
		}
		there := make(map[found]bool, len(whole))
		for _, page := range whole {
			there[page] = true
		}
		pass := func() bool { return random.IntN(3) == 0 }
		for _, page := range feed(t, stream, func() int { return random.IntN(2 * pageSize) }, pass) {
			if !there[page] {
				t.Fatalf("a page at %d that is none without passing", page.offset)
			}
		}
	})
}
