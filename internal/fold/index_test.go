package fold

import (
	"math/rand/v2"
	"testing"
)

func TestAnIndexFindsWhatAMapFinds(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for _, hashes := range []int{3, 700, 5000} {
		// Few hashes, in clusters at the beginning and the end of the table.
		hash := func() uint32 {
			h := uint32(r.IntN(hashes))
			if h%2 == 0 {
				return -h
			}
			return h << 12
		}
		var x index
		want := map[uint32]int{}
		for i := range 20_000 {
			h, slot := hash(), r.IntN(1000)
			switch r.IntN(3) {
			case 0:
				x.put(h, slot)
				want[h] = slot
			case 1:
				if k, ok := want[h]; ok {
					slot = k
				}
				x.remove(h, slot)
				delete(want, h)
			case 2: // of a slot that it is not
				if k, ok := want[h]; ok {
					slot = k + 1
				}
				x.remove(h, slot)
			}
			h = hash()
			got, ok := x.find(h)
			if k, there := want[h]; ok != there || ok && got != k {
				t.Fatalf("step %d: got %d, %t, want %d, %t", i, got, ok, k, there)
			}
			if x.used != len(want) || x.used*8 > len(x.entries)*5+8 {
				t.Fatalf("step %d: %d entries of %d, want %d", i, x.used, len(x.entries), len(want))
			}
		}
		for h, k := range want {
			if got, ok := x.find(h); !ok || got != k {
				t.Fatalf("got %d, %t, want %d", got, ok, k)
			}
		}
	}
}

// A guest chooses where it writes, and what.
func TestNumbersInARowDoNotMeet(t *testing.T) {
	m := newMixer()
	for _, step := range []uint64{1, 64, PageSize, 1 << 16, 1 << 32, 1 << 44, 1<<32 | 1} {
		var x index
		for i := range MaxSlots {
			x.put(uint32(m.mix(uint64(i)*step)>>32), i)
		}
		longest, run := 0, 0
		for _, e := range x.entries {
			if run++; e.slot == 0 {
				run = 0
			}
			longest = max(longest, run)
		}
		if longest > 1000 || x.used < MaxSlots*99/100 {
			t.Errorf("step %#x: %d of %d entries, %d of them in a row", step, x.used, MaxSlots, longest)
		}
	}
}

func TestTimesOfPagesThatHaveNoSlot(t *testing.T) {
	m := newMixer()
	var s sentTimes
	const pages = 100_000
	for i := range uint64(pages) {
		if got := s.note(m.mix(i), uint32(i), uint32(i)); got != never && i < 1000 {
			t.Fatalf("page %d was sent %d pages ago", i, got)
		}
	}
	right := 0
	for i := range uint64(pages) {
		if got := s.note(m.mix(i), uint32(pages+i), uint32(pages+i)); got >= pages-timeUnit && got <= pages+timeUnit {
			right++
		}
	}
	if right < pages*98/100 {
		t.Errorf("%d of %d times are right", right, pages)
	}
}

func TestAFolderTakesNoMoreThanItSays(t *testing.T) {
	const pages = MaxSlots + 20_000
	w := newWire(t, &everyPage{last: pages}, MaxSlots)
	src := randomBytes(256*PageSize, 1)
	for i := range 2 * pages / 256 {
		src[8*i%len(src)]++
		for page := range 256 {
			src[page*PageSize] += 7
		}
		w.all(src)
	}
	w.all(randomBytes(1<<20+1, 2))
	c := &w.f.cache
	if c.count != MaxSlots || len(c.chunks) != MaxSlots/chunkSlots || c.sent.sets == nil {
		t.Fatalf("%d slots in %d pieces", c.count, len(c.chunks))
	}
	heap := cap(c.about)*24 + 8*(cap(c.byKey.entries)+cap(c.byContent.entries)) + 16*cap(c.sent.sets) +
		cap(w.f.w.ops) + cap(w.f.w.literals) + cap(w.f.w.deltas)
	t.Logf("%d bytes", heap)
	if heap > 6<<20 {
		t.Errorf("%d bytes on the heap", heap)
	}
}
