package seed

import (
	"context"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// tidyEvery is how often the bounds are looked at.
	tidyEvery = 5 * time.Second
	// leastFree is the part of a file system that seeds leave free: a twentieth.
	leastFree = 20
)

// Run keeps to the bounds until ctx ends.
func (s *Shelf) Run(ctx context.Context) {
	tick := time.NewTicker(tidyEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			s.Tidy()
		case <-ctx.Done():
			return
		}
	}
}

// Tidy removes what is too old or too much, the oldest first, and what others need
// the room of: seeds leave a twentieth of a file system free.
func (s *Shelf) Tidy() {
	now := s.o.Now()
	s.drop(func(i *item) bool { return !s.on() || now.Sub(i.Made) > s.o.MaxAge })
	s.mu.Lock()
	all := append([]*item(nil), s.seeds...)
	s.mu.Unlock()
	var total uint64
	for _, i := range all {
		total += i.size()
	}
	for _, i := range all {
		size := i.size()
		if total > s.o.MaxBytes || size > 0 && full(i.dir) {
			s.drop(func(o *item) bool { return o == i })
			total -= size
		}
	}
}

func full(dir string) bool {
	var st unix.Statfs_t
	return unix.Statfs(dir, &st) == nil && st.Bavail < st.Blocks/leastFree
}

// drop removes the seeds that are meant, those in use when they are given back. It
// gives how many, and their size.
func (s *Shelf) drop(meant func(*item) bool) (n int, bytes uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var left []*item
	for _, i := range s.seeds {
		if !meant(i) {
			left = append(left, i)
			continue
		}
		n++
		if i.users > 0 {
			i.doomed = true
			continue
		}
		bytes += i.remove()
	}
	s.seeds = left
	return n, bytes
}

// remove deletes a seed's files, its description last: what is left of a removal
// that was cut short is removed by the next start. A file that stayed where it was
// is not Drover's to delete. The Shelf's mu is held. Who reads the file keeps its room
// for a moment more, until ready.
func (i *item) remove() (bytes uint64) {
	i.gone = true
	i.stop()
	bytes = i.size()
	for _, kind := range []string{".disk", ".ledger", ".json"} {
		_ = os.Remove(i.file(kind))
	}
	_ = os.Remove(i.dir) // which works when it is empty
	return bytes
}

// Reclaimable is the room on a file system that seeds would give back at once.
func (s *Shelf) Reclaimable(device uint64) (bytes uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, i := range s.seeds {
		if i.users == 0 && on(i, device) {
			bytes += i.size()
		}
	}
	return bytes
}

// Reclaim gives back so much room on a file system, if there is so much, by removing
// seeds: the oldest first, and those of the VM that the room is for last.
func (s *Shelf) Reclaim(device, want uint64, vm string) (freed uint64) {
	for _, own := range []bool{false, true} {
		for freed < want {
			i := s.oldest(func(i *item) bool { return (i.VM == vm) == own && on(i, device) })
			if i == nil {
				break
			}
			_, bytes := s.drop(func(o *item) bool { return o == i })
			s.o.Log.Info("seed removed for its room", "file", i.data(), "vm", i.VM, "bytes", bytes)
			if bytes > 0 { // else a move has just begun to use it
				<-i.ready
			}
			freed += bytes
		}
	}
	return freed
}

func (s *Shelf) oldest(meant func(*item) bool) *item {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, i := range s.seeds {
		if i.users == 0 && i.size() > 0 && meant(i) {
			return i
		}
	}
	return nil
}

func on(i *item, device uint64) bool {
	var st unix.Stat_t
	return unix.Lstat(i.dir, &st) == nil && uint64(st.Dev) == device
}
