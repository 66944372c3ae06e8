package move

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"drover/internal/fault"
	"drover/internal/record"
	"drover/internal/settings"
)

// queue bounds the moves under way on a host, in both roles together, and puts
// those that wait in order. A move that waits holds no place anywhere: it takes
// one here, asks for one at the destination, and gives its own back when it is
// refused. So two hosts at their limits that move VMs to each other never wait
// for what the other holds.
type queue struct {
	host   string
	limits func() settings.Settings
	now    func() time.Time

	mu      sync.Mutex // taken before a run's
	tickets []*ticket  // of moves that wait or have a place, in the order in which they are served
	started uint64
	closed  error // why nothing waits any more
}

// ticket is a move's part in the queue of its host.
type ticket struct {
	q           *queue
	run         *run
	storage     bool   // counts among the storage migrations, too
	destination string // "" on a destination
	priority    int
	number      uint64 // in the order of the moves' start

	state ticketState
	// there is the destination's limit, from its refusal until it admits the move.
	there *limit
	since time.Time // it waits; zero: it does not
	turn  chan struct{}
	woken chan struct{}
}

type ticketState int

const (
	inLine  ticketState = iota // waits for a place here
	resting                    // the destination was full; asks it again later
	placed                     // has a place here
)

// limit is one that a host has reached.
type limit struct {
	host    string
	storage bool
	n       int
}

// What the two limits count, as messages name it.
const (
	allMoves     = "migrations"
	storageMoves = "storage migrations"
)

func (l limit) what() string {
	if l.storage {
		return storageMoves
	}
	return allMoves
}

func (l limit) fault() *fault.Error {
	return fault.New(fault.MigrationLimit, l.host, "what", l.what(), "limit", strconv.Itoa(l.n))
}

// place says in words what a move waits for.
func (l limit) place() string {
	if l.n == 0 {
		return fmt.Sprintf("%s, whose limit of %s is 0", l.host, l.what())
	}
	return fmt.Sprintf("a place among the %d %s of %s", l.n, l.what(), l.host)
}

// refusedThere reads the limit from a destination's refusal. Only the number is
// taken from it; the host is the one that the operator named.
func refusedThere(err error, destination string) (limit, bool) {
	var f *fault.Error
	if !errors.As(err, &f) || f.Code != fault.MigrationLimit {
		return limit{}, false
	}
	n, err := strconv.Atoi(f.Args["limit"])
	if err != nil || n < 0 {
		n = 0
	}
	return limit{host: destination, storage: f.Args["what"] == storageMoves, n: n}, true
}

// join puts a move of this host in line. With noWait it takes a place at once or
// not at all.
func (q *queue) join(r *run, storage, noWait bool) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	t := q.ticketFor(r, storage)
	t.destination, t.priority = r.rec.Peer, r.rec.Request.Priority
	q.insert(t)
	if l := q.obstacle(t); l != nil && noWait {
		q.remove(t)
		return l.fault()
	}
	q.serve()
	return nil
}

// enter gives a move from another host a place at once, or none: who waits is
// the source.
func (q *queue) enter(r *run, storage bool) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if l := q.full(storage); l != nil {
		return l.fault()
	}
	q.hold(r, storage)
	return nil
}

// keep gives a move that is under way already its place, whatever the limit.
func (q *queue) keep(r *run, storage bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.hold(r, storage)
}

func (q *queue) hold(r *run, storage bool) {
	t := q.ticketFor(r, storage)
	t.state = placed
	close(t.turn)
	q.insert(t)
	q.show()
}

func (q *queue) ticketFor(r *run, storage bool) *ticket {
	q.started++
	r.ticket = &ticket{q: q, run: r, storage: storage, number: q.started, turn: make(chan struct{}), woken: make(chan struct{}, 1)}
	return r.ticket
}

func (q *queue) insert(t *ticket) {
	at, _ := slices.BinarySearchFunc(q.tickets, t, func(a, b *ticket) int {
		return cmp.Or(cmp.Compare(b.priority, a.priority), cmp.Compare(a.number, b.number))
	})
	q.tickets = slices.Insert(q.tickets, at, t)
}

func (q *queue) remove(t *ticket) {
	q.tickets = slices.DeleteFunc(q.tickets, func(o *ticket) bool { return o == t })
}

// leave gives up the place of a move, or its place in line. It is safe twice.
func (q *queue) leave(r *run) {
	t := r.ticket
	if t == nil {
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if !slices.Contains(q.tickets, t) {
		return
	}
	q.remove(t)
	q.wake()
}

// changed looks at the limits again.
func (q *queue) changed() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.wake()
}

// close lets nothing wait any more: those who do end with why.
func (q *queue) close(why error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = why
	q.show()
}

// wake serves who can be served, and has the others ask their destinations
// again: what ended here probably ended there.
func (q *queue) wake() {
	for _, t := range q.tickets {
		if t.state == resting {
			select {
			case t.woken <- struct{}{}:
			default:
			}
		}
	}
	q.serve()
}

// serve gives away the places that are free, in order.
func (q *queue) serve() {
	for _, t := range q.tickets {
		if t.state == inLine && q.obstacle(t) == nil {
			t.state = placed
			if t.there == nil {
				t.run.waits(nil) // before it goes on, and journals that it does
			}
			close(t.turn)
		}
	}
	q.show()
}

// obstacle is what keeps a move that wants a place from having one, nil if it is
// free. A move whose destination is full lets all behind it pass, except those to
// the same destination that would need the same place there.
func (q *queue) obstacle(t *ticket) *limit {
	for _, ahead := range q.tickets {
		if ahead == t {
			break
		}
		if ahead.there != nil && strings.EqualFold(ahead.destination, t.destination) && (t.storage || !ahead.there.storage) {
			return ahead.there
		}
	}
	return q.full(t.storage)
}

// full is the limit that this host has reached, nil if there is a free place.
func (q *queue) full(storage bool) *limit {
	s := q.limits()
	all, disks := 0, 0
	for _, t := range q.tickets {
		if t.state != placed {
			continue
		}
		if all++; t.storage {
			disks++
		}
	}
	switch {
	case all >= s.MaximumMigrations:
		return &limit{host: q.host, n: s.MaximumMigrations}
	case storage && disks >= s.MaximumStorageMigrations:
		return &limit{host: q.host, storage: true, n: s.MaximumStorageMigrations}
	}
	return nil
}

// waits: one that asks its destination once more still waits, although it has a
// place here while it asks.
func (t *ticket) waits() bool { return t.state != placed || t.there != nil }

// show tells the moves that wait where they stand.
func (q *queue) show() {
	of := 0
	for _, t := range q.tickets {
		if t.waits() {
			of++
		}
	}
	position := 0
	for _, t := range q.tickets {
		if !t.waits() {
			if t.since = (time.Time{}); t.destination != "" {
				t.run.waits(nil)
			}
			continue
		}
		if q.closed != nil {
			t.run.cancel(q.closed)
		}
		position++
		l := t.there
		if o := q.obstacle(t); t.state == inLine && o != nil {
			l = o
		}
		if t.since.IsZero() {
			t.since = q.now()
		}
		if l != nil {
			t.run.waits(&record.Waiting{Position: position, Of: of, Host: l.host, For: l.place(), Since: t.since})
		}
	}
}

// count tells how many moves are under way, how many of them copy disks, and how
// many wait.
func (q *queue) count() (migrations, storage, queued int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, t := range q.tickets {
		switch {
		case t.waits():
			queued++
			continue
		case t.storage:
			storage++
		}
		migrations++
	}
	return migrations, storage, queued
}

// has reports whether the move has a place here.
func (t *ticket) has() bool {
	select {
	case <-t.turn:
		return true
	default:
		return false
	}
}

// wait returns when the move has a place here.
func (t *ticket) wait(ctx context.Context) error {
	select {
	case <-t.turn:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// refused gives the place here back, because the destination has none.
func (t *ticket) refused(by limit) {
	t.q.mu.Lock()
	defer t.q.mu.Unlock()
	t.state, t.there, t.turn = resting, &by, make(chan struct{})
	select {
	case <-t.woken:
	default:
	}
	t.q.serve()
}

// rest waits for pause, or a little while after something ended here, and then
// for a place here. woken: it was the latter. How little is left to chance: of
// two hosts that ask each other at the same moment neither finds a place.
func (t *ticket) rest(ctx context.Context, pause, little time.Duration) (woken bool, err error) {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-t.woken:
		woken = true
		timer.Reset(rand.N(little))
		select {
		case <-timer.C:
		case <-ctx.Done():
		}
	case <-timer.C:
	case <-ctx.Done():
	}
	t.q.mu.Lock()
	t.state = inLine
	t.q.serve()
	t.q.mu.Unlock()
	return woken, t.wait(ctx)
}

// admitted: the destination has a place for the move.
func (t *ticket) admitted() {
	t.q.mu.Lock()
	defer t.q.mu.Unlock()
	t.there = nil
	t.q.serve()
}
