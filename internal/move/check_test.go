package move_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"drover/internal/fault"
	"drover/internal/move"
	"drover/internal/virt"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

const (
	vmName = "APP01"
	vmUUID = "11111111-2222-4333-8444-555555555555"
	disk   = "/vms/app01.qcow2"
)

// vm is a running guest with one local disk that its host starts by itself.
func vm() virt.Domain {
	return virt.Domain{Name: vmName, UUID: vmUUID, State: virt.Running, Persistent: true, MemoryBytes: 1 << 30, Autostart: true,
		Disks: []virt.Disk{{Target: "vda", Device: "disk", Type: "file", Path: disk, Format: "qcow2", Cache: "none",
			VirtualBytes: 1 << 20, AllocatedBytes: 1 << 19}}}
}

// put gives a host the VM with its disk.
func (h *host) put(d virt.Domain) {
	h.add(d)
	for _, k := range d.Disks {
		if k.Path != "" {
			h.filesOf(k.Path).put(k.Path, "content of "+k.Path)
		}
	}
}

// pair is two hosts, the first with the VM.
func pair(t *testing.T, d virt.Domain) (w *world, src, dst *host) {
	t.Helper()
	w = newWorld(t, "HV01", "HV02")
	src, dst = w.host("HV01"), w.host("HV02")
	src.put(d)
	return w, src, dst
}

func request() move.Request {
	return move.Request{VM: vmName, Destination: "HV02", IncludeStorage: true}
}

func (a *agent) begin(t *testing.T, req move.Request) string {
	t.Helper()
	rec, err := a.m.Start(context.Background(), move.Operator{Principal: operator}, req)
	if err != nil {
		t.Fatal(err)
	}
	return rec.ID
}

// eventually polls until what holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.After(time.Minute)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("never happened: %s", what)
		}
	}
}

func (h *host) record(id string) (move.Record, bool) {
	a := h.current()
	if a == nil {
		return move.Record{}, false
	}
	rec, err := a.m.Get(context.Background(), id)
	return rec, err == nil
}

// over waits for the end of a move on a host and gives its record.
func (h *host) over(t *testing.T, id string) move.Record {
	t.Helper()
	var rec move.Record
	eventually(t, h.name+" ends move "+id+", which is "+string(rec.Phase), func() bool {
		var ok bool
		rec, ok = h.record(id)
		return ok && rec.Phase.Over() && rec.Ended != nil
	})
	return rec
}

func (h *host) reaches(t *testing.T, id string, p move.Phase) {
	t.Helper()
	eventually(t, h.name+" reaches "+string(p), func() bool {
		rec, ok := h.record(id)
		return ok && rec.Phase == p
	})
}

// has reports whether libvirt on the host knows the VM.
func (h *host) has(uuid string) bool {
	_, err := h.fake.Domain(context.Background(), uuid)
	return err == nil
}

// runsOnlyOn asserts the promise: one running copy, there, and nothing of the
// move left on the other side.
func (w *world) runsOnlyOn(t *testing.T, winner, loser *host) {
	t.Helper()
	if on := w.virt.Running(vmUUID); !slices.Equal(on, []string{winner.name}) {
		t.Errorf("the VM runs on %v, want %s", on, winner.name)
	}
	w.livesOnlyOn(t, winner, loser)
}

// livesOnlyOn is runsOnlyOn for a VM in whatever state.
func (w *world) livesOnlyOn(t *testing.T, winner, loser *host) {
	t.Helper()
	w.clean(t, winner, loser) // each side ends by itself, and not in the same instant
	if !winner.has(vmUUID) {
		t.Errorf("%s does not have the VM", winner.name)
	}
	if loser.has(vmUUID) {
		d, _ := loser.fake.Domain(context.Background(), vmUUID)
		t.Errorf("%s still has the VM: %s (%s)", loser.name, d.State, d.Reason)
	}
	if d, err := winner.fake.Domain(context.Background(), vmUUID); err == nil && (d.Job != "" || !d.Persistent) {
		t.Errorf("VM on %s: job %q, persistent %v", winner.name, d.Job, d.Persistent)
	}
	if got := winner.disks.list(); !slices.Contains(got, disk) {
		t.Errorf("%s has files %v, without %s", winner.name, got, disk)
	}
	if got := loser.disks.list(); len(got) > 0 {
		t.Errorf("%s still has files %v", loser.name, got)
	}
	if !winner.autostart(vmUUID) {
		t.Errorf("the VM is not started with %s any more", winner.name)
	}
}

// clean asserts that no host holds anything for a move any more.
func (w *world) clean(t *testing.T, hosts ...*host) {
	t.Helper()
	for _, h := range hosts {
		// The records end before the last connection is closed.
		var held []string
		eventually(t, h.name+" lets go", func() bool { held = h.current().held(); return len(held) == 0 })
		if s := h.sockets(); len(s) > 0 {
			t.Errorf("%s keeps sockets %v", h.name, s)
		}
		h.disks.mu.Lock()
		if len(h.disks.probes) > 0 {
			t.Errorf("%s keeps probes %v", h.name, h.disks.probes)
		}
		h.disks.mu.Unlock()
	}
	if twice := w.virt.Twice(); len(twice) > 0 {
		t.Errorf("the guest ran twice: %v", twice)
	}
}

var order = []move.Phase{move.Queued, move.Negotiate, move.Authorise, move.Prepare, move.Connect, move.Transfer, move.Handover,
	move.Finish, move.Unknown, move.Confirm, move.Done, move.Failed, move.Cancelled}

// journal asserts that the events of a move are numbered without a gap, that its
// phases go forward, but for one way back from authorise to queued, and that it has
// one end, the last.
func (h *host) journal(t *testing.T, id string) {
	t.Helper()
	rows, err := h.current().store.Events(context.Background(), id, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	var last, back int
	for i, row := range rows {
		if row.Seq != int64(i+1) {
			t.Errorf("%s: event %d has number %d", h.name, i+1, row.Seq)
		}
		if end := row.Kind == string(move.EventEnd); end != (i == len(rows)-1) {
			t.Errorf("%s: event %d of %d is %q", h.name, i+1, len(rows), row.Kind)
		}
		if row.Kind != string(move.EventPhase) {
			continue
		}
		var p move.Phase
		for _, c := range order {
			if strings.Contains(string(row.Body), `"phase":"`+string(c)+`"`) {
				p = c
			}
		}
		at := slices.Index(order, p)
		if p == move.Queued && order[last] == move.Authorise {
			back++
			last = at
		}
		if at < last || at < 0 {
			t.Errorf("%s: phase %q after %q", h.name, p, order[last])
		}
		last = at
	}
	if back > 1 {
		t.Errorf("%s: %d times back in the queue", h.name, back)
	}
	if len(rows) == 0 {
		t.Errorf("%s: no events of move %s", h.name, id)
	}
}

func wantCode(t *testing.T, rec move.Record, p move.Phase, codes ...fault.Code) {
	t.Helper()
	var got fault.Code
	if rec.Error != nil {
		got = rec.Error.Code
	}
	if rec.Phase != p || (len(codes) > 0 && !slices.Contains(codes, got)) {
		t.Errorf("%s: phase %s, error %q (%v); want %s, %v", rec.Role, rec.Phase, got, rec.Error, p, codes)
	}
}

// movesNow asserts that nothing stands in the way of the next attempt.
func (w *world) movesNow(t *testing.T, from, to *host) {
	t.Helper()
	for _, h := range []*host{from, to} {
		h.at(nil)
	}
	w.setRules(nil)
	req := request()
	req.Destination = to.name
	id := from.current().begin(t, req)
	wantCode(t, from.over(t, id), move.Done)
	wantCode(t, to.over(t, id), move.Done)
	w.runsOnlyOn(t, to, from)
	from.journal(t, id)
	to.journal(t, id)
}
