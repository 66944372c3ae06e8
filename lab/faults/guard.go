package faults

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"drover/lab"
)

// Guard watches on which hosts a VM runs, at every instant until Close. It has two
// witnesses: the heartbeats of the guest, caught where they leave each host, and each
// host's libvirt, asked 20 times a second.
type Guard struct {
	vm   string
	stop context.CancelFunc
	wg   sync.WaitGroup

	mu       sync.Mutex
	beats    timeline
	libvirts timeline
	catchers map[string]*catcher
	broken   error
}

// Sighting is what a Guard has seen.
type Sighting struct {
	// Copies is the largest number that ran at one instant.
	Copies int
	// Evidence describes the first instant with more than one.
	Evidence string
	// Last is when each host was last seen to run the VM, by either witness.
	Last map[string]time.Time
	// Beats counts the heartbeats that left each host.
	Beats map[string]int
}

// NewGuard begins to watch a VM, some observer of which has to ask for heartbeats
// (lab.Observe). Close it.
func NewGuard(ctx context.Context, l *lab.Lab, vm string) (*Guard, error) {
	ctx, stop := context.WithCancel(context.WithoutCancel(ctx))
	g := &Guard{vm: vm, stop: stop, catchers: map[string]*catcher{}, beats: newTimeline("heartbeat"), libvirts: newTimeline("libvirt")}
	for _, m := range l.Hosts() {
		c, err := catch(m, vm, func(at time.Time) { g.saw(&g.beats, m.Name, at, at) }, g.fail)
		if err != nil {
			return nil, errors.Join(err, g.Close())
		}
		g.catchers[m.Name] = c
		g.wg.Go(func() { ask(ctx, m, vm, func(from, to time.Time) { g.saw(&g.libvirts, m.Name, from, to) }) })
	}
	return g, nil
}

// Forget ends the watch of a host that is about to vanish: what listens in its network
// would keep that alive.
func (g *Guard) Forget(host string) {
	g.mu.Lock()
	c := g.catchers[host]
	delete(g.catchers, host)
	g.mu.Unlock()
	if c != nil {
		c.close()
	}
}

// Seen is what was seen so far. An error says that something was not.
func (g *Guard) Seen() (Sighting, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	s := Sighting{Last: map[string]time.Time{}, Beats: map[string]int{}}
	for _, t := range []*timeline{&g.beats, &g.libvirts} {
		if s.Copies = max(s.Copies, t.copies); s.Evidence == "" {
			s.Evidence = t.evidence
		}
		for host, seen := range t.last {
			if seen.to.After(s.Last[host]) {
				s.Last[host] = seen.to
			}
		}
	}
	for host, n := range g.beats.count {
		s.Beats[host] = n
	}
	return s, g.broken
}

// Close ends the watch. Safe to call twice.
func (g *Guard) Close() error {
	g.stop()
	g.mu.Lock()
	catchers := g.catchers
	g.catchers = map[string]*catcher{}
	g.mu.Unlock()
	for _, c := range catchers {
		c.close()
	}
	g.wg.Wait()
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.broken
}

func (g *Guard) saw(t *timeline, host string, from, to time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	t.saw(host, span{from, to})
}

func (g *Guard) fail(err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.broken = errors.Join(g.broken, err)
}

// span has an instant at which a VM ran: when exactly the witness does not know.
type span struct{ from, to time.Time }

// timeline is what one witness has seen.
type timeline struct {
	witness  string
	last     map[string]span
	count    map[string]int
	copies   int
	evidence string
}

func newTimeline(witness string) timeline {
	return timeline{witness: witness, last: map[string]span{}, count: map[string]int{}}
}

// overlap: a VM that was here, then there and then here again within this time was on
// both: no move takes so little.
const overlap = 1500 * time.Millisecond

// saw takes in that the VM ran on a host. Two copies are two hosts of which each was
// seen after the other: one that was handed over is not seen at the source again.
func (t *timeline) saw(host string, at span) {
	before, known := t.last[host]
	t.count[host]++
	t.last[host] = at
	copies := 1
	for other, seen := range t.last {
		if other == host || !known || !seen.from.After(before.to) || !at.from.After(seen.to) || at.to.Sub(before.from) > overlap {
			continue
		}
		if copies++; t.evidence == "" {
			t.evidence = fmt.Sprintf("%s: on %s at %s, on %s at %s, on %s at %s", t.witness, host, clock(before), other, clock(seen), host, clock(at))
		}
	}
	t.copies = max(t.copies, copies)
}

func clock(s span) string { return s.to.Format("15:04:05.000") }
