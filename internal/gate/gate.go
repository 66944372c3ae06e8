// Package gate keeps count of connections, so that nobody takes all places.
//
// A newcomer always gets in. When there is no room, somebody else goes: the oldest
// connection of whoever has the most. So whoever opens connections without end
// turns out themselves, and one who comes from many addresses at once leaves to
// everybody else the time until the newcomers are as many as there are places.
// Refusing newcomers instead would let few connections that say nothing keep out
// everybody.
package gate

import (
	"container/list"
	"sync"
	"time"
)

// tellEvery is the least time between two calls of Options.Crowded.
const tellEvery = time.Minute

// Options of a Gate.
type Options struct {
	Total int // places altogether, at least 1
	Each  int // places of one key, at least 1
	// Stay is how long a place may be held; 0: for ever.
	Stay time.Duration
	// Crowded, if set, is told that somebody was turned out for lack of room: whose
	// connection, and how many there were so far. It is called once a minute at most.
	Crowded func(key string, soFar uint64)
	// Now and After are the clock; nil: time.Now and time.AfterFunc.
	Now   func() time.Time
	After func(time.Duration, func()) (stop func() bool)
}

// Gate has a number of places.
type Gate struct {
	o Options

	mu   sync.Mutex
	all  *list.List            // of *Place, the oldest first
	of   map[string]*list.List // the same by key; no empty ones
	out  uint64
	told time.Time
}

// Place is one that is taken, until Leave or until its holder is turned out.
type Place struct {
	gate   *Gate
	key    string
	turn   func()
	stop   func() bool // of the clock of Stay
	inAll  *list.Element
	inKeys *list.Element
	left   bool
}

// New makes a gate.
func New(o Options) *Gate {
	o.Total, o.Each = max(o.Total, 1), max(o.Each, 1)
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.After == nil {
		o.After = func(d time.Duration, f func()) func() bool { return time.AfterFunc(d, f).Stop }
	}
	return &Gate{o: o, all: list.New(), of: map[string]*list.List{}}
}

// Enter takes a place for key. turnOut is called, once and from any goroutine, when
// the place is taken away; it should end the connection, and not wait.
func (g *Gate) Enter(key string, turnOut func()) *Place {
	p := &Place{gate: g, key: key, turn: turnOut}
	g.mu.Lock()
	victim := g.victim(key)
	crowded := func() {}
	if victim != nil {
		victim.leave()
		crowded = g.turned(victim.key)
	}
	p.inAll = g.all.PushBack(p)
	if g.of[key] == nil {
		g.of[key] = list.New()
	}
	p.inKeys = g.of[key].PushBack(p)
	if g.o.Stay > 0 {
		p.stop = g.o.After(g.o.Stay, p.expire)
	}
	g.mu.Unlock()
	if victim != nil {
		victim.turn()
	}
	crowded()
	return p
}

// victim is who must go before key can have a place, nil when there is room.
func (g *Gate) victim(key string) *Place {
	if own := g.of[key]; own != nil && own.Len() >= g.o.Each {
		return own.Front().Value.(*Place)
	}
	if g.all.Len() < g.o.Total {
		return nil
	}
	var found *Place
	most := 0
	for e := g.all.Front(); e != nil; e = e.Next() {
		p := e.Value.(*Place)
		n := g.of[p.key].Len()
		if p.key == key {
			n++ // with the newcomer
		}
		if n > most {
			found, most = p, n
		}
	}
	return found
}

// turned counts one that was turned out, and gives the call of Crowded that is due.
func (g *Gate) turned(key string) func() {
	g.out++
	now := g.o.Now()
	if g.o.Crowded == nil || !g.told.IsZero() && now.Sub(g.told) < tellEvery {
		return func() {}
	}
	g.told = now
	n := g.out
	return func() { g.o.Crowded(key, n) }
}

// Count is how many places are taken.
func (g *Gate) Count() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.all.Len()
}

// TurnedOut is how many lost their place for lack of room.
func (g *Gate) TurnedOut() uint64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.out
}

// Leave gives the place back. It is safe twice, and false when the place was given
// back or taken away before.
func (p *Place) Leave() bool {
	p.gate.mu.Lock()
	defer p.gate.mu.Unlock()
	return p.leave()
}

func (p *Place) leave() bool {
	if p.left {
		return false
	}
	p.left = true
	if p.stop != nil {
		p.stop()
	}
	p.gate.all.Remove(p.inAll)
	own := p.gate.of[p.key]
	own.Remove(p.inKeys)
	if own.Len() == 0 {
		delete(p.gate.of, p.key)
	}
	return true
}

// expire is the end of Stay.
func (p *Place) expire() {
	if p.Leave() {
		p.turn()
	}
}
