package fold

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

func TestStreamsShareABudget(t *testing.T) {
	const slots = 100
	sender, receiver := NewBudget(slots), NewBudget(slots)
	a := join(t, &everyPage{last: 80}, sender, receiver)
	b := join(t, &everyPage{last: 80}, sender, receiver)
	pagesA, pagesB := randomBytes(80*PageSize, 1), randomBytes(80*PageSize, 2)
	for range 3 {
		a.all(pagesA)
		b.all(pagesB)
	}
	if got := a.f.Stats().Repeat; got != 2*80 {
		t.Errorf("the first stream repeated %d pages", got)
	}
	if got := b.f.Stats().Repeat; got != 2*20 {
		t.Errorf("the second stream repeated %d pages of the 20 that it had slots for", got)
	}
	if got := receiver.left.Load(); got != 0 {
		t.Errorf("%d slots are left", got)
	}
}

// The receiver may be behind by any number of blocks, of each stream another, and
// streams may end: it must never lack a slot.
func TestTheReceiverHasTheSlotsThatTheSenderHas(t *testing.T) {
	const slots, streams, pages = 64, 3, 40
	sender, receiver := NewBudget(slots), NewBudget(slots)
	type blocks struct {
		u   *Unfolder
		all [][]byte
	}
	var sent []blocks
	for i := range streams {
		f := NewFolder(&everyPage{last: pages}, sender)
		src := randomBytes(pages*PageSize, uint64(i))
		b := blocks{u: NewUnfolder(receiver)}
		for len(src) > 0 {
			block, n := f.Fold(make([]byte, 0, 5*PageSize), src, true)
			b.all, src = append(b.all, block), src[n:]
		}
		f.Close() // before the receiver has anything of it
		sent = append(sent, b)
	}
	out := make([]byte, 0, MaxRaw)
	for i := len(sent) - 1; i >= 0; i-- {
		defer sent[i].u.Close()
		for _, block := range sent[i].all {
			if _, err := sent[i].u.Unfold(out, block); err != nil {
				t.Fatalf("stream %d: %v", i, err)
			}
		}
	}
}

func TestStreamsAtOnce(t *testing.T) {
	sender, receiver := NewBudget(150), NewBudget(150)
	var running sync.WaitGroup
	for i := range 4 {
		w := join(t, &everyPage{last: 100}, sender, receiver)
		src := randomBytes(100*PageSize, uint64(i))
		running.Go(func() {
			for range 5 {
				for rest := src; len(rest) > 0; {
					block, n := w.f.Fold(w.dst, rest, true)
					out, err := w.u.Unfold(w.out, block)
					if err != nil || !bytes.Equal(out, rest[:n]) {
						t.Errorf("%d bytes became %d others: %v", n, len(out), err)
						return
					}
					rest = rest[n:]
				}
			}
		})
		// Progress is shown meanwhile.
		running.Go(func() {
			for range 100 {
				if s := w.f.Stats(); s.Repeat > s.Pages {
					t.Errorf("%+v", s)
				}
			}
		})
	}
	running.Wait()
	if s, r := sender.left.Load(), receiver.left.Load(); s != 0 || r != 0 {
		t.Errorf("%d and %d slots are left", s, r)
	}
}

func TestCloseGivesMemoryBackButNoBudget(t *testing.T) {
	sender, receiver := NewBudget(600), NewBudget(600)
	w := join(t, &everyPage{}, sender, receiver)
	w.all(randomBytes(300*PageSize, 1))
	var at []uintptr
	for _, c := range append(w.f.cache.chunks, w.u.slots.chunks...) {
		at = append(at, uintptr(unsafe.Pointer(&c[0])))
	}
	if len(at) != 4 || mapped(t, at...) != 4 {
		t.Fatalf("%d pieces of memory, %d of them mapped", len(at), mapped(t, at...))
	}
	for range 2 {
		w.f.Close()
		w.u.Close()
	}
	if n := mapped(t, at...); n > 0 {
		t.Errorf("%d pieces of memory are still mapped", n)
	}
	if s, r := sender.left.Load(), receiver.left.Load(); s != 300 || r != 300 {
		t.Errorf("%d and %d slots are left", s, r)
	}
	if w.f.Stats().Pages != 300 {
		t.Errorf("what was counted is gone: %+v", w.f.Stats())
	}
}

func TestFewPagesTakeLittleMemoryOnEachOfManyStreams(t *testing.T) {
	budget := NewBudget(MaxSlots)
	present := 0
	const streams, pages = 200, 2
	for range streams {
		u := NewUnfolder(budget)
		defer u.Close()
		for i := range pages {
			if err := u.slots.add(); err != nil {
				t.Fatal(err)
			}
			u.slots.page(i)[0] = 1
		}
		for _, c := range u.slots.chunks {
			var is [chunkSlots]byte
			if _, _, errno := unix.Syscall(unix.SYS_MINCORE, uintptr(unsafe.Pointer(&c[0])), chunkSize, uintptr(unsafe.Pointer(&is[0]))); errno != 0 {
				t.Fatal(errno)
			}
			for _, b := range is {
				present += int(b & 1)
			}
		}
	}
	if present > 2*streams*pages {
		t.Errorf("%d pages are in memory for %d that are remembered", present, streams*pages)
	}
}

// mapped is how many of the addresses are in memory of this process.
func mapped(t *testing.T, at ...uintptr) (n int) {
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range at {
		for line := range strings.Lines(string(maps)) {
			from, rest, _ := strings.Cut(line, "-")
			to, _, _ := strings.Cut(rest, " ")
			first, err1 := strconv.ParseUint(from, 16, 64)
			last, err2 := strconv.ParseUint(to, 16, 64)
			if err := errors.Join(err1, err2); err != nil {
				t.Fatal(fmt.Errorf("%q: %w", line, err))
			}
			if uint64(a) >= first && uint64(a) < last {
				n++
			}
		}
	}
	return n
}
