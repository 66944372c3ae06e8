package gate

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// door is a gate whose holders are named, with a clock that the test moves.
type door struct {
	*Gate
	now    time.Time
	timers []*timer
	gone   []string // who was turned out, in order
	told   []string
}

type timer struct {
	at   time.Time
	f    func()
	over bool
}

func newDoor(o Options) *door {
	d := &door{now: time.Unix(1000, 0)}
	o.Now = func() time.Time { return d.now }
	o.After = func(after time.Duration, f func()) func() bool {
		t := &timer{at: d.now.Add(after), f: f}
		d.timers = append(d.timers, t)
		return func() bool { was := !t.over; t.over = true; return was }
	}
	o.Crowded = func(key string, n uint64) { d.told = append(d.told, fmt.Sprint(key, " ", n)) }
	d.Gate = New(o)
	return d
}

func (d *door) enter(key, name string) *Place {
	return d.Enter(key, func() { d.gone = append(d.gone, name) })
}

func (d *door) pass(by time.Duration) {
	d.now = d.now.Add(by)
	for _, t := range slices.Clone(d.timers) {
		if !t.over && !t.at.After(d.now) {
			t.over = true
			t.f()
		}
	}
}

func TestTheOldestOfWhoHasTheMostMakesRoom(t *testing.T) {
	for name, c := range map[string]struct {
		total, each int
		enter, gone string // keys in order; each connection is called by its key and number
	}{
		"room for all":                        {4, 4, "a a b c", ""},
		"one key has no more than its share":  {9, 2, "a b a a a", "a1 a2"},
		"the greedy one pays for a newcomer":  {4, 4, "a b b b c", "b1"},
		"and for the next":                    {4, 4, "a b b b c d", "b1 b2"},
		"the greedy one pays for itself":      {4, 4, "a b b c b", "b1"},
		"a newcomer counts with what it has":  {4, 4, "a a b b b", "b1"},
		"of equals the oldest":                {3, 3, "a b c d e", "a1 b1"},
		"one place is for the last who comes": {1, 1, "a b a", "a1 b1"},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDoor(Options{Total: c.total, Each: c.each})
			numbers := map[string]int{}
			for _, key := range strings.Fields(c.enter) {
				numbers[key]++
				d.enter(key, fmt.Sprint(key, numbers[key]))
			}
			if got := strings.Join(d.gone, " "); got != c.gone {
				t.Errorf("turned out %q, want %q", got, c.gone)
			}
			if n := len(strings.Fields(c.enter)) - len(d.gone); d.Count() != n || d.TurnedOut() != uint64(len(d.gone)) {
				t.Errorf("%d places taken, %d turned out", d.Count(), d.TurnedOut())
			}
		})
	}
}

// However many come from however many addresses, one who has a single connection
// is there as long as anybody else has two.
func TestAFloodTurnsOutItself(t *testing.T) {
	d := newDoor(Options{Total: 64, Each: 16})
	d.enter("10.0.0.1", "honest")
	for i := range 10_000 {
		d.enter(fmt.Sprint("flood ", i%40), "flood")
	}
	if slices.Contains(d.gone, "honest") || d.Count() != 64 || len(d.gone) != 10_001-64 {
		t.Errorf("%d places taken, %d turned out, honest among them: %v", d.Count(), len(d.gone), slices.Contains(d.gone, "honest"))
	}
	if len(d.of) > 41 || d.all.Len() != 64 {
		t.Errorf("the books have %d keys and %d places", len(d.of), d.all.Len())
	}
}

func TestAPlaceIsGivenBackOnce(t *testing.T) {
	d := newDoor(Options{Total: 1, Each: 1, Stay: time.Minute})
	p := d.enter("a", "a1")
	if !p.Leave() || p.Leave() || d.Count() != 0 || len(d.of) != 0 {
		t.Errorf("%d places taken, keys %v", d.Count(), d.of)
	}
	q := d.enter("b", "b1")
	d.enter("c", "c1")
	if q.Leave() {
		t.Error("somebody who was turned out gave the place back")
	}
	d.pass(time.Hour)
	if got := strings.Join(d.gone, " "); got != "b1 c1" || d.Count() != 0 {
		t.Errorf("turned out %q", got)
	}
}

func TestNobodyStaysLongerThanAllowed(t *testing.T) {
	d := newDoor(Options{Total: 9, Each: 9, Stay: 10 * time.Second})
	d.enter("a", "a1")
	d.pass(6 * time.Second)
	d.enter("a", "a2")
	d.pass(6 * time.Second)
	if got := strings.Join(d.gone, " "); got != "a1" || d.Count() != 1 || d.TurnedOut() != 0 {
		t.Errorf("gone %q, %d there", got, d.Count())
	}
	d.pass(6 * time.Second)
	if d.Count() != 0 {
		t.Error("a2 stays")
	}
}

func TestCrowdsAreToldOfOnceAMinute(t *testing.T) {
	d := newDoor(Options{Total: 1, Each: 1})
	for range 4 {
		d.enter("a", "a")
		d.pass(25 * time.Second)
	}
	if got := strings.Join(d.told, ", "); got != "a 1" {
		t.Errorf("told %q", got)
	}
	d.enter("b", "b")
	if got := strings.Join(d.told, ", "); got != "a 1, a 4" {
		t.Errorf("told %q", got)
	}
}
