package krb

import (
	"cmp"
	"slices"
	"sync"
	"time"
)

const (
	// renewBefore is how long before its end a ticket is no longer handed out.
	renewBefore = 5 * time.Minute
	maxTickets  = 1024
)

// cacheKey names a ticket: its kind, the operator, the service, and the evidence
// it was got with. Two sign-ins of one operator never share a delegated ticket,
// because their groups may differ.
type cacheKey struct {
	kind, client, service string
	evidence              [32]byte
}

type ticketCache struct {
	mu sync.Mutex
	m  map[cacheKey]*Ticket
}

func newTicketCache() *ticketCache { return &ticketCache{m: make(map[cacheKey]*Ticket)} }

// get gives a ticket that is not near its end.
func (c *ticketCache) get(k cacheKey, now time.Time) *Ticket {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.m[k]
	if t != nil && !t.usable(now) {
		delete(c.m, k)
		return nil
	}
	return t
}

// put keeps t. A full cache drops what is over first, then what ends first.
func (c *ticketCache) put(k cacheKey, t *Ticket, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.m) >= maxTickets {
		c.evict(now)
	}
	c.m[k] = t
}

func (c *ticketCache) evict(now time.Time) {
	var oldest cacheKey
	var end time.Time
	for k, t := range c.m {
		if !t.usable(now) {
			delete(c.m, k)
		} else if end.IsZero() || t.end.Before(end) {
			oldest, end = k, t.end
		}
	}
	if len(c.m) >= maxTickets {
		delete(c.m, oldest)
	}
}

// drop removes what match names and says how many that were.
func (c *ticketCache) drop(match func(*Ticket) bool) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := 0
	for k, t := range c.m {
		if match(t) {
			delete(c.m, k)
			n++
		}
	}
	return n
}

func (c *ticketCache) list() []TicketInfo {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := make([]TicketInfo, 0, len(c.m))
	for _, t := range c.m {
		out = append(out, t.info())
	}
	slices.SortFunc(out, func(a, b TicketInfo) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Client, b.Client), cmp.Compare(a.Service, b.Service), a.Expires.Compare(b.Expires))
	})
	return out
}
