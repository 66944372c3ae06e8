package fold

import (
	"math/rand/v2"
	"testing"
)

// send does what a Folder does for a page that is new each time, without its bytes.
func (c *cache) send(key uint64, now uint32) (hit bool) {
	var page [PageSize]byte
	if k, ok := c.own(key); ok {
		c.usedFor(k, key, now)
		c.put(k, key, uint64(now), &page, now, c.about[k].interval)
		return true
	}
	if k, interval, ok := c.place(key, now); ok {
		c.put(k, key, uint64(now), &page, now, interval)
	}
	return false
}

// The rates are those of pages whose former version is still there, which is what
// matters: of them a difference can be sent.
func TestPagesWorthRememberingStay(t *testing.T) {
	const slots = 4096
	r := rand.New(rand.NewPCG(1, 2))
	// Rounds of pages that are sent. A page of the guest comes once a round at most.
	for _, tc := range []struct {
		name   string
		round  func(i int, send func(page int))
		rounds int
		// Of the pages of the last three rounds for which hot is true, at least so
		// many hits, in hundredths.
		hot  func(page int) bool
		want int
	}{
		{"all fit", func(_ int, send func(int)) {
			for p := range slots {
				send(p)
			}
		}, 5, nil, 100},
		// Least recently used would find none.
		{"a sweep over twice the slots finds half", func(_ int, send func(int)) {
			for p := range 2 * slots {
				send(p)
			}
		}, 12, nil, 50},
		{"a sweep over six times the slots finds a sixth", func(_ int, send func(int)) {
			for p := range 6 * slots {
				send(p)
			}
		}, 12, nil, 16},
		{"rounds that begin in the middle", func(i int, send func(int)) {
			for p := range 2 * slots {
				send((p + i*700) % (2 * slots))
			}
		}, 12, nil, 49},
		{"a hot set, high in a large guest that is sent once", func(i int, send func(int)) {
			if i == 0 {
				for p := range 16 * slots {
					send(p)
				}
			}
			for p := range slots * 9 / 10 {
				send(15*slots + p)
			}
		}, 8, nil, 95},
		{"a hot set, while the rest comes now and then", func(i int, send func(int)) {
			for p := range 16 * slots {
				if i == 0 || p >= 15*slots && p < 15*slots+slots/2 || p%16 == i%16 {
					send(p)
				}
			}
		}, 20, func(p int) bool { return p >= 15*slots && p < 15*slots+slots/2 }, 95},
		{"the hot set moves", func(i int, send func(int)) {
			if i == 0 {
				for p := range 16 * slots {
					send(p)
				}
			}
			for p := range slots * 3 / 4 {
				send(i/10*2*slots + p)
			}
		}, 40, nil, 90},
		{"each page in every other round, by chance", func(_ int, send func(int)) {
			for p := range 4 * slots {
				if r.IntN(2) == 0 {
					send(p)
				}
			}
		}, 20, nil, 22},
		{"at random in twice the slots", func(_ int, send func(int)) {
			for range 10 * slots {
				send(r.IntN(2 * slots))
			}
		}, 12, nil, 45},
		{"at random, nine in ten in half the slots", func(_ int, send func(int)) {
			for range 10 * slots {
				if r.IntN(10) > 0 {
					send(r.IntN(slots / 2))
				} else {
					send(r.IntN(64 * slots))
				}
			}
		}, 12, func(p int) bool { return p < slots/2 }, 95},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := cache{slots: slotsOf(slots), mixer: newMixer()}
			defer c.free()
			now, sent, hits := uint32(0), 0, 0
			for i := range tc.rounds {
				tc.round(i, func(page int) {
					now++
					hit := c.send(uint64(page)*PageSize, now)
					if i >= tc.rounds-3 && (tc.hot == nil || tc.hot(page)) {
						sent++
						if hit {
							hits++
						}
					}
				})
			}
			t.Logf("%.1f %% of %d", 100*float64(hits)/float64(sent), sent)
			if hits*100 < tc.want*sent {
				t.Errorf("want %d %%", tc.want)
			}
		})
	}
}

func slotsOf(n int) slots { return slots{budget: NewBudget(n)} }
