package stream

import (
	"testing"

	"drover/internal/fold"
)

// everyPage is a Scanner to which everything is pages.
type everyPage struct{ n uint64 }

func (s *everyPage) Next(b []byte) (int, uint64, bool) {
	if len(b) < fold.PageSize {
		return 0, 0, false
	}
	s.n++
	return fold.PageSize, s.n, true
}

func (s *everyPage) Pass([]byte) {}

func TestDisksLeaveMemoryItsShareOfRememberedPages(t *testing.T) {
	b := newBudgets()
	disk, memory := fold.NewFolder(&everyPage{}, b.sending(KindDisk)), fold.NewFolder(&everyPage{}, b.sending(KindMemory))
	defer disk.Close()
	defer memory.Close()
	page, room := make([]byte, fold.PageSize), make([]byte, 0, MaxData)
	fill := func(f *fold.Folder, n int) {
		for i := range n {
			page[0], page[1], page[2] = byte(i), byte(i>>8), 1
			if _, took := f.Fold(room, page, true); took != len(page) {
				t.Fatalf("page %d: %d bytes", i, took)
			}
		}
	}
	fill(disk, diskSlots+1000)
	fill(memory, 100)
	before := memory.Stats().Repeat
	fill(memory, 100)
	if got := memory.Stats().Repeat - before; got != 100 {
		t.Errorf("memory knows %d of 100 pages again", got)
	}
}
