package fold

import "math"

// cache is what a Folder remembers: the pages in its slots, found by key and by
// content, and which of them are worth it.
//
// Which page stays. A move goes over the guest's memory in rounds, always in the
// same order, and a page comes once a round at most. Replacing what was unused
// longest would then be the worst choice: when a round has more pages than there
// are slots, each is dropped shortly before it comes again, and nothing is ever
// found. So the pages that come again soonest stay:
//
//   - while there are free slots every page gets one;
//   - then only a page that was sent before is let in, and only for the slot of one
//     that takes more than twice as long to come again as it did itself, or has
//     not come for so long. What came only once gives way to all of them.
//
// A round that goes over n times as many pages as there are slots finds one in n
// of them, the best there is for that order; a hot set that has room is found
// whole from its third time on, however many others go by; and where pages come
// at random, as many are found as have room.
type cache struct {
	slots
	mixer
	byKey     index
	byContent index
	about     []slotInfo // of each slot
	sent      sentTimes
	hand      int // the slot to be looked at next for one to be replaced
	full      bool
}

// slotInfo takes 24 bytes. Times are counts of pages that went by; they are right
// as differences of up to 2^32, 16 TiB.
type slotInfo struct {
	key, hash uint64
	used      uint32 // when the page was last sent
	interval  uint32 // how long it takes to come again, or never
}

const (
	never    = math.MaxUint32
	handStep = 8 // slots looked at for one page that wants in
)

// own is the slot with a former version of the page of that key.
func (c *cache) own(key uint64) (k int, ok bool) {
	k, ok = c.byKey.find(uint32(c.mix(key) >> 32))
	return k, ok && c.about[k].key == key
}

// same is a slot with exactly these bytes, of which hash is the hash.
func (c *cache) same(hash uint64, page *[PageSize]byte) (k int, ok bool) {
	k, ok = c.byContent.find(uint32(c.mix(hash) >> 32))
	return k, ok && c.about[k].hash == hash && *c.page(k) == *page
}

// usedFor notes that the content of slot k was sent for a page of that key.
func (c *cache) usedFor(k int, key uint64, now uint32) {
	a := &c.about[k]
	if a.key != key && c.full {
		// It has no former version of its own, but next time it is not new.
		c.sent.note(c.mix(key), now, now)
	}
	if again := now - a.used; a.interval == never {
		a.interval = again
	} else {
		a.interval = a.interval/2 + again/2
	}
	a.used = now
}

// place finds a slot for a page that has none, and tells how long it took to come again.
func (c *cache) place(key uint64, now uint32) (k int, interval uint32, ok bool) {
	if !c.full {
		if c.add() == nil {
			c.about = append(c.about, slotInfo{})
			return c.count - 1, never, true
		}
		c.full = true
	}
	interval = c.sent.note(c.mix(key), now, now)
	if interval == never {
		return 0, never, false
	}
	for range min(handStep, c.count) {
		k = c.hand
		if c.hand++; c.hand == c.count {
			c.hand = 0
		}
		a := &c.about[k]
		if uint64(max(a.interval, now-a.used)) > 2*uint64(interval) {
			c.sent.note(c.mix(a.key), a.used, now)
			return k, interval, true
		}
	}
	return 0, never, false
}

// put fills slot k, of own or place.
func (c *cache) put(k int, key, hash uint64, page *[PageSize]byte, now, interval uint32) {
	a := &c.about[k]
	keyHash, contentHash := uint32(c.mix(key)>>32), uint32(c.mix(hash)>>32)
	if a.key != key {
		c.byKey.remove(uint32(c.mix(a.key)>>32), k)
	}
	c.byContent.remove(uint32(c.mix(a.hash)>>32), k)
	*a = slotInfo{key: key, hash: hash, used: now, interval: interval}
	c.byKey.put(keyHash, k)
	c.byContent.put(contentHash, k)
	copy(c.page(k)[:], page[:])
}

// sentTimes remembers when pages were sent that have no slot: of the last half
// million of them, 2 GiB, more or less, as it is a table of four places for each
// hash, where the oldest gives way. One in some 10,000 is taken for another, which
// does no harm. 2 MiB, from the first use on.
type sentTimes struct{ sets [][4]sentTime }

// sentTime is 16 bits of a hash, and a time in units of timeUnit. Times of more than
// 16 GiB ago look later than they are.
type sentTime struct{ hash, time uint16 }

const (
	sentSets = 128 << 10
	timeUnit = 64
)

// note tells how long before at a key, by its mixed hash, was noted last, or never,
// and notes it for then. now is at or later.
func (s *sentTimes) note(hash uint64, at, now uint32) uint32 {
	if s.sets == nil {
		s.sets = make([][4]sentTime, sentSets)
	}
	set := &s.sets[hash%sentSets]
	// A hash of 0 is an empty place.
	e := sentTime{uint16(hash>>17) | 1, uint16(at / timeUnit)}
	oldest, age := 0, uint16(0)
	for i, o := range set {
		if o.hash == e.hash {
			set[i] = e
			return max(uint32(e.time-o.time)*timeUnit, 1)
		}
		if o.hash == 0 {
			oldest, age = i, math.MaxUint16
		} else if a := uint16(now/timeUnit) - o.time; a > age {
			oldest, age = i, a
		}
	}
	set[oldest] = e
	return never
}
