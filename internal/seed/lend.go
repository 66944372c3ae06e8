package seed

import (
	"context"
	"strings"
	"sync/atomic"
	"time"
)

// Info is what is shown of a seed.
type Info struct {
	Origin
	ID      string
	File    string
	Bytes   uint64 // that the seed takes of the room, 0 for one that stayed where it was
	Content uint64 // bytes in blocks that it can give; 0 while it is read
	Made    time.Time
	Expires time.Time
	InUse   bool
}

// List gives the seeds, oldest first.
func (s *Shelf) List() []Info {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := []Info{}
	for _, i := range s.seeds {
		out = append(out, Info{Origin: i.Origin, ID: i.ID, File: i.data(), Bytes: i.size(), Content: uint64(i.blocks) * BlockSize,
			Made: i.Made, Expires: i.Made.Add(s.o.MaxAge), InUse: i.users > 0})
	}
	return out
}

// Purge removes the seeds of a VM, by name or UUID, or with "" all of them, but for
// those in use, which go when they are given back. It says how many.
func (s *Shelf) Purge(vm string) int {
	n, _ := s.drop(func(i *item) bool { return vm == "" || i.VM == vm || strings.EqualFold(i.UUID, vm) })
	return n
}

// Spent removes the seeds of a VM that is where they would be of use, but those that
// a move left.
func (s *Shelf) Spent(uuid, move string) {
	s.drop(func(i *item) bool { return i.UUID == uuid && (i.Move != move || move == "") })
}

// Content is how many bytes of a VM there are here for a host, as far as they are
// known by now, and whether there is anything.
func (s *Shelf) Content(uuid, host string) (bytes uint64, some bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, i := range s.seeds {
		if i.is(uuid, host) {
			bytes += uint64(i.blocks) * BlockSize
			some = true
		}
	}
	return min(bytes, MostBlocks*BlockSize), some
}

func (i *item) is(uuid, host string) bool {
	return i.UUID == uuid && host != "" && strings.EqualFold(i.Host, host)
}

// Lend gives the seeds of a VM to a move that comes from a host, nil when there is
// nothing. A file that was changed since its ledger was made is read again first,
// and of one that is being read the move waits for the end, both until ctx ends: what
// there is by then counts. The Set has to be closed.
func (s *Shelf) Lend(ctx context.Context, uuid, host string) *Set {
	var used []*item
	set := &Set{}
	for _, i := range s.borrow(uuid, host) {
		if s.lend(ctx, i, set) {
			used = append(used, i)
		} else {
			s.giveBack(i, false)
		}
	}
	set.damaged = make([]atomic.Bool, len(set.files))
	set.close = func(damaged []bool) {
		for n, i := range used {
			s.giveBack(i, damaged[n])
		}
	}
	if set.Len() == 0 {
		set.Close()
		return nil
	}
	return set
}

// borrow marks the seeds as used, newest first.
func (s *Shelf) borrow(uuid, host string) (out []*item) {
	now := s.o.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	for n := len(s.seeds) - 1; n >= 0; n-- {
		if i := s.seeds[n]; i.is(uuid, host) && now.Sub(i.Made) <= s.o.MaxAge {
			i.users++
			out = append(out, i)
		}
	}
	return out
}

// lend adds a seed to the set.
func (s *Shelf) lend(ctx context.Context, i *item, set *Set) bool {
	select {
	case <-i.ready:
	case <-ctx.Done():
		select {
		case <-i.ready:
		default:
			return false
		}
	}
	l, err := s.ledger(i)
	if err != nil {
		return false
	}
	f, err := open(i.data())
	if err != nil {
		return false
	}
	if now, err := stamp(f); err != nil || now != l.Stamp {
		s.o.Log.Info("seed was changed since it was read, reading it again", "file", i.data())
		if l, err = readAgain(ctx, f, l); err == nil && ctx.Err() == nil {
			err = write(i.file(".ledger"), l.Encode())
		}
		if err != nil {
			s.o.Log.Warn("seed not read again", "file", i.data(), "error", err)
		}
	}
	if len(l.Entries) == 0 {
		f.Close()
		return false
	}
	set.add(f, l)
	return true
}

func (s *Shelf) giveBack(i *item, damaged bool) {
	s.mu.Lock()
	i.users--
	if i.doomed && i.users == 0 {
		i.remove()
	}
	s.mu.Unlock()
	if damaged {
		s.o.Log.Warn("seed is damaged, dropped", "file", i.data(), "vm", i.VM)
		s.drop(func(o *item) bool { return o == i })
	}
}
