package move_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"drover/internal/fault"
	"drover/internal/move"
	"drover/internal/settings"
	"drover/internal/virt"
)

// numbered is a running VM with one local disk, one of many.
func numbered(n int) virt.Domain {
	d := vm()
	d.Name, d.UUID = fmt.Sprintf("VM%02d", n), fmt.Sprintf("%08d-2222-4333-8444-555555555555", n)
	d.Disks[0].Path = fmt.Sprintf("/vms/vm%02d.qcow2", n)
	return d
}

func without(d virt.Domain) virt.Domain {
	d.Disks = nil
	return d
}

func to(host string, n int) move.Request {
	return move.Request{VM: numbered(n).Name, Destination: host, IncludeStorage: true}
}

func (h *host) heard(rec move.Record) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.waited = append(h.waited, rec)
}

func (h *host) told() []move.Record {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.waited)
}

// allow sets a host's limits, as an administrator does.
func (h *host) allow(migrations, storage int) {
	h.change(func(s *settings.Settings) { s.MaximumMigrations, s.MaximumStorageMigrations = migrations, storage })
	h.current().m.SettingsChanged()
}

// meter counts the moves between prepare and confirm on each host.
type meter struct {
	mu        sync.Mutex
	now, most map[string]int
}

func (w *world) meter() *meter {
	m := &meter{now: map[string]int{}, most: map[string]int{}}
	for _, h := range w.hosts {
		h.at(func(_ context.Context, _ *agent, _ move.Role, p move.Phase) error {
			m.mu.Lock()
			defer m.mu.Unlock()
			switch p {
			case move.Prepare:
				m.now[h.name]++
				m.most[h.name] = max(m.most[h.name], m.now[h.name])
			case move.Confirm:
				m.now[h.name]--
			}
			return nil
		})
	}
	return m
}

func (m *meter) never(t *testing.T, host string, more int) {
	t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.most[host] > more {
		t.Errorf("%s had %d moves at once, its limit is %d", host, m.most[host], more)
	}
}

// fleet is a source with n VMs and a destination.
func fleet(t *testing.T, n int) (w *world, src, dst *host) {
	t.Helper()
	w = newWorld(t, "HV01", "HV02")
	for i := range n {
		w.host("HV01").put(numbered(i))
	}
	return w, w.host("HV01"), w.host("HV02")
}

// waitsAt waits until the record says that the move is so far on.
func (h *host) waitsAt(t *testing.T, id string, position, of int, forWhat string) {
	t.Helper()
	var last move.Record
	defer func() {
		if t.Failed() {
			t.Logf("%s is %s, waiting %+v", id, last.Phase, last.Waiting)
		}
	}()
	eventually(t, fmt.Sprintf("%s is %d of %d, waiting for %s", id, position, of, forWhat), func() bool {
		if last, _ = h.record(id); !slices.ContainsFunc(h.told(), func(r move.Record) bool { return r.ID == id }) {
			return false // the queue has it; it has not come to wait itself
		}
		w := last.Waiting
		return w != nil && last.Phase == move.Queued && w.Position == position && w.Of == of && w.For == forWhat && !w.Since.IsZero()
	})
}

func (h *host) running(t *testing.T, want [3]int) {
	t.Helper()
	var got [3]int
	eventually(t, fmt.Sprintf("%s counts %v", h.name, want), func() bool {
		got[0], got[1], got[2] = h.current().m.Running()
		return got == want
	})
}

const (
	hereTwo  = "a place among the 2 migrations of HV01"
	thereTwo = "a place among the 2 migrations of HV02"
)

func TestFourMovesAtALimitOfTwo(t *testing.T) {
	w, src, dst := fleet(t, 4)
	m := w.meter()
	in, release := src.fake.Hang("Perform")
	defer release()
	var ids []string
	for i := range 4 {
		ids = append(ids, src.current().begin(t, to("HV02", i)))
	}
	<-in
	<-in
	src.waitsAt(t, ids[2], 1, 2, hereTwo)
	src.waitsAt(t, ids[3], 2, 2, hereTwo)
	src.running(t, [3]int{2, 2, 2})
	dst.running(t, [3]int{2, 2, 0})
	waiting := time.Now()
	eventually(t, "a while goes by", func() bool { return time.Since(waiting) > 50*time.Millisecond })
	release()
	for i, id := range ids {
		rec := src.over(t, id)
		wantCode(t, rec, move.Done)
		if rec.Waiting != nil {
			t.Errorf("it is over and waits for %+v", rec.Waiting)
		}
		if s := rec.Summary; i >= 2 && s.TotalMS >= rec.Ended.Sub(rec.Created).Milliseconds() {
			t.Errorf("total time %d ms has the time that it waited", s.TotalMS)
		}
		src.journal(t, id)
		dst.over(t, id)
		if on := w.virt.Running(numbered(i).UUID); !slices.Equal(on, []string{"HV02"}) {
			t.Errorf("%s runs on %v", numbered(i).Name, on)
		}
	}
	m.never(t, "HV01", 2)
	m.never(t, "HV02", 2)
	w.clean(t, src, dst)
	src.running(t, [3]int{})
	dst.running(t, [3]int{})
	told := src.told()
	slices.SortFunc(told, func(a, b move.Record) int { return strings.Compare(a.VM, b.VM) })
	if len(told) != 2 || told[0].ID != ids[2] || told[1].ID != ids[3] || told[0].Waiting == nil {
		t.Errorf("told of %+v", told)
	}
}

// The destination's limit counts the moves of all sources; a source that it
// refuses has its own place free meanwhile.
func TestDestinationsLimitCountsAllSources(t *testing.T) {
	w := newWorld(t, "HV01", "HV02", "HV03")
	one, dst, three := w.host("HV01"), w.host("HV02"), w.host("HV03")
	for i, h := range []*host{one, three, one, one} {
		h.put(numbered(i))
	}
	m := w.meter()
	var free []func()
	var busy []<-chan struct{}
	for _, h := range []*host{one, three} {
		in, release := h.fake.Hang("Perform")
		busy, free = append(busy, in), append(free, release)
		defer release()
	}
	first, second := one.current().begin(t, to("HV02", 0)), three.current().begin(t, to("HV02", 1))
	<-busy[0]
	<-busy[1]
	third := one.current().begin(t, to("HV02", 2))
	one.waitsAt(t, third, 1, 1, thereTwo)
	eventually(t, "HV01 has its place back", func() bool { n, _, _ := one.current().m.Running(); return n == 1 })
	elsewhere := one.current().begin(t, to("HV03", 3)) // passes the one that waits for HV02
	<-busy[0]
	one.waitsAt(t, third, 1, 1, hereTwo) // now its own host is full, too
	if _, ok := dst.record(third); ok {
		t.Error("the destination journalled a move that it did not take")
	}
	free[0]()
	free[1]()
	for h, id := range map[string]*host{first: one, second: three, third: one, elsewhere: one} {
		wantCode(t, id.over(t, h), move.Done)
		id.journal(t, h)
	}
	m.never(t, "HV02", 2)
	if told := dst.told(); len(told) != 1 || told[0].ID != third || told[0].Error == nil || told[0].Error.Code != fault.MigrationLimit {
		t.Errorf("the destination told of %+v", told)
	}
	w.clean(t, one, dst, three)
}

func TestPriorityGoesFirst(t *testing.T) {
	w, src, dst := fleet(t, 4)
	src.allow(1, 1)
	in, release := src.fake.Hang("Perform")
	defer release()
	ids := map[int]string{0: src.current().begin(t, to("HV02", 0))}
	<-in
	for i, priority := range []int{0, -5, 7} {
		req := to("HV02", i+1)
		req.Priority = priority
		ids[i+1] = src.current().begin(t, req)
	}
	const one = "a place among the 1 migrations of HV01"
	src.waitsAt(t, ids[3], 1, 3, one)
	src.waitsAt(t, ids[1], 2, 3, one)
	src.waitsAt(t, ids[2], 3, 3, one)
	var order []string
	release()
	for _, n := range []int{3, 1, 2} {
		src.over(t, ids[n])
	}
	for _, n := range []int{0, 1, 2, 3} {
		wantCode(t, src.over(t, ids[n]), move.Done)
	}
	for n := range ids {
		order = append(order, ids[n])
	}
	slices.SortFunc(order, func(a, b string) int {
		ra, _ := src.record(a)
		rb, _ := src.record(b)
		return ra.Ended.Compare(*rb.Ended)
	})
	if want := []string{ids[0], ids[3], ids[1], ids[2]}; !slices.Equal(order, want) {
		t.Errorf("ended in the order %v, want %v", order, want)
	}
	w.clean(t, src, dst)
}

func TestNoWaitFailsAtOnce(t *testing.T) {
	w, src, dst := fleet(t, 2)
	in, release := src.fake.Hang("Perform")
	defer release()
	src.allow(1, 1)
	first := src.current().begin(t, to("HV02", 0))
	<-in
	req := to("HV02", 1)
	req.NoWait = true
	_, err := src.current().m.Start(context.Background(), move.Operator{Principal: operator}, req)
	wantFault(t, err, fault.MigrationLimit)
	if f := fault.From(err); f.Host != "HV01" || f.Args["limit"] != "1" {
		t.Errorf("refused by %s: %v", f.Host, f)
	}
	if list, err := src.current().m.List(context.Background(), storeFilter()); err != nil || len(list) != 1 {
		t.Errorf("journalled %v, %v", list, err)
	}
	src.allow(2, 2)
	dst.allow(1, 1)
	id := src.current().begin(t, req)
	rec := src.over(t, id)
	wantCode(t, rec, move.Failed, fault.MigrationLimit)
	if rec.Error.Host != "HV02" {
		t.Errorf("refused by %s", rec.Error.Host)
	}
	release()
	wantCode(t, src.over(t, first), move.Done)
	w.clean(t, src, dst)
	id = src.current().begin(t, req) // there is a place now
	wantCode(t, src.over(t, id), move.Done)
}

func TestCancelWhileItWaits(t *testing.T) {
	for _, full := range []string{"HV01", "HV02"} {
		t.Run(full, func(t *testing.T) {
			w, src, dst := fleet(t, 3)
			in, release := src.fake.Hang("Perform")
			defer release()
			w.host(full).allow(1, 1)
			first := src.current().begin(t, to("HV02", 0))
			<-in
			id, last := src.current().begin(t, to("HV02", 1)), src.current().begin(t, to("HV02", 2))
			waitsFor := fmt.Sprintf("a place among the 1 migrations of %s", full)
			src.waitsAt(t, id, 1, 2, waitsFor)
			src.waitsAt(t, last, 2, 2, waitsFor)
			if _, err := src.current().m.Cancel(context.Background(), id, operator); err != nil {
				t.Fatal(err)
			}
			wantCode(t, src.over(t, id), move.Cancelled, fault.Cancelled)
			src.journal(t, id)
			src.waitsAt(t, last, 1, 1, waitsFor)
			release()
			wantCode(t, src.over(t, first), move.Done)
			wantCode(t, src.over(t, last), move.Done)
			if on := w.virt.Running(numbered(1).UUID); !slices.Equal(on, []string{"HV01"}) {
				t.Errorf("the cancelled one runs on %v", on)
			}
			w.clean(t, src, dst)
		})
	}
}

// Two hosts at their limits that move VMs to each other: none waits for what the
// other holds.
func TestHostsThatSwapVMsDoNotDeadlock(t *testing.T) {
	const each = 6
	w := newWorld(t, "HV01", "HV02")
	one, two := w.host("HV01"), w.host("HV02")
	one.allow(1, 1)
	two.allow(1, 1)
	m := w.meter()
	var ids [2][]string
	for i := range each {
		one.put(numbered(i))
		two.put(numbered(each + i))
	}
	for i := range each {
		ids[0] = append(ids[0], one.current().begin(t, to("HV02", i)))
		ids[1] = append(ids[1], two.current().begin(t, to("HV01", each+i)))
	}
	for i, h := range []*host{one, two} {
		for _, id := range ids[i] {
			wantCode(t, h.over(t, id), move.Done)
			h.journal(t, id)
		}
	}
	for i := range 2 * each {
		if on := w.virt.Running(numbered(i).UUID); !slices.Equal(on, []string{map[bool]string{true: "HV02", false: "HV01"}[i < each]}) {
			t.Errorf("%s runs on %v", numbered(i).Name, on)
		}
	}
	m.never(t, "HV01", 1)
	m.never(t, "HV02", 1)
	w.clean(t, one, two)
}

// A move without disks passes one that waits for a place among the storage
// migrations, and counts among all.
func TestStorageHasItsOwnLimit(t *testing.T) {
	w := newWorld(t, "HV01", "HV02")
	src, dst := w.host("HV01"), w.host("HV02")
	for i := range 2 {
		src.put(numbered(i))
	}
	for i := range 2 {
		src.put(without(numbered(2 + i)))
	}
	in, release := src.fake.Hang("Perform")
	defer release()
	for _, h := range []*host{src, dst} {
		h.allow(2, 1)
	}
	first := src.current().begin(t, to("HV02", 0))
	<-in
	second := src.current().begin(t, to("HV02", 1))
	src.waitsAt(t, second, 1, 1, "a place among the 1 storage migrations of HV01")
	bare := func(n int) string {
		req := to("HV02", n)
		req.IncludeStorage = false
		return src.current().begin(t, req)
	}
	third := bare(2)
	<-in
	fourth := bare(3)
	src.waitsAt(t, second, 1, 2, hereTwo)
	src.waitsAt(t, fourth, 2, 2, hereTwo)
	src.running(t, [3]int{2, 1, 2})
	release()
	for _, id := range []string{first, second, third, fourth} {
		wantCode(t, src.over(t, id), move.Done)
	}
	w.clean(t, src, dst)
}

func TestDestinationsStorageLimitLetsOthersPass(t *testing.T) {
	w := newWorld(t, "HV01", "HV02")
	src, dst := w.host("HV01"), w.host("HV02")
	src.put(numbered(0))
	src.put(numbered(1))
	src.put(without(numbered(2)))
	in, release := src.fake.Hang("Perform")
	defer release()
	src.allow(4, 4)
	dst.allow(4, 1)
	first := src.current().begin(t, to("HV02", 0))
	<-in
	second := src.current().begin(t, to("HV02", 1))
	src.waitsAt(t, second, 1, 1, "a place among the 1 storage migrations of HV02")
	req := to("HV02", 2)
	req.IncludeStorage = false
	third := src.current().begin(t, req)
	<-in // passes the one that waits for storage
	release()
	for _, id := range []string{first, second, third} {
		wantCode(t, src.over(t, id), move.Done)
	}
	w.clean(t, src, dst)
}

func TestDryRunTakesNoPlace(t *testing.T) {
	w, src, dst := fleet(t, 2)
	in, release := src.fake.Hang("Perform")
	defer release()
	src.allow(1, 1)
	dst.allow(1, 1)
	first := src.current().begin(t, to("HV02", 0))
	<-in
	req := to("HV02", 1)
	req.DryRun = true
	wantCode(t, src.over(t, src.current().begin(t, req)), move.Done)
	release()
	wantCode(t, src.over(t, first), move.Done)
	w.clean(t, src, dst)
}
