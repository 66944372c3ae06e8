package labtest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"drover/internal/fault"
	"drover/internal/record"
	"drover/internal/settings"
	"drover/lab"
)

// queueRate makes the moves of small guests last some seconds, so that they meet.
const queueRate = 120_000_000

// tiny is a guest of which four run on a machine of two CPUs.
func tiny(o *lab.VMOptions) {
	o.Params.Memory, o.Params.Rewrite = 16<<20, 1<<20
	o.Disks = []lab.VMDisk{{MiB: 16}}
}

// TestQueue moves four VMs at a limit of two: two run, two wait, all end well; the
// destination's limit counts as the source's does, and two hosts that swap VMs at
// their limits come to an end.
func TestQueue(t *testing.T) {
	s := startSite(t, lab.Options{Name: "queue", Hosts: twoHosts})
	if err := s.SetRate(t.Context(), lab.Migration, queueRate); err != nil {
		t.Fatal(err)
	}
	var vms []*machine
	for i := range 4 {
		vms = append(vms, s.newVM(t, lab.HV01, fmt.Sprintf("APP%02d", i+1), byte(101+i), tiny))
	}
	t.Run("four at a limit of two", func(t *testing.T) {
		waited := s.moveTogether(t, vms, lab.HV01, lab.HV02)
		for _, w := range waited {
			if w.Host != lab.HV01 || !strings.Contains(w.For, "2 migrations of HV01") {
				t.Errorf("one waited for %+v", w)
			}
		}
		if most(s.arrived(t, lab.HV02, vms)) != 2 {
			t.Errorf("HV02 had %d moves at once, want 2", most(s.arrived(t, lab.HV02, vms)))
		}
		s.allSound(t, vms, lab.HV02)
	})
	t.Run("the destination's limit", func(t *testing.T) {
		s.limit(t, lab.HV01, 1)
		waited := s.moveTogether(t, vms, lab.HV02, lab.HV01)
		if !slices.ContainsFunc(waited, func(w record.Waiting) bool {
			return w.Host == lab.HV01 && strings.Contains(w.For, "1 migrations of HV01")
		}) {
			t.Errorf("none waited for the destination: %+v", waited)
		}
		if got := most(s.arrived(t, lab.HV01, vms)); got != 1 {
			t.Errorf("HV01 had %d moves at once, its limit is 1", got)
		}
		s.allSound(t, vms, lab.HV01)
	})
	t.Run("a swap at a limit of one", func(t *testing.T) {
		s.limit(t, lab.HV01, 2)
		s.moveTogether(t, vms[2:], lab.HV01, lab.HV02)
		s.limit(t, lab.HV01, 1)
		s.limit(t, lab.HV02, 1)
		there, back := s.together(vms[:2], lab.HV01, lab.HV02), s.together(vms[2:], lab.HV02, lab.HV01)
		for _, err := range []error{<-there, <-back} {
			if err != nil {
				t.Error(err)
			}
		}
		s.allSound(t, vms[:2], lab.HV02)
		s.allSound(t, vms[2:], lab.HV01)
	})
	t.Run("a disk with a job of its own", func(t *testing.T) {
		vm := vms[2]
		s.virsh(t, lab.HV01, "blockcopy", vm.Name, "vda", "--dest", "/srv/vms/copy.qcow2", "--transient-job", "--bandwidth", "1")
		_, r := s.move(t, vm, lab.HV01, lab.HV02)
		refusal{fault.VMBusy, 5, []string{vm.Name, "block copy of vda"}}.hold(t, r)
		s.virsh(t, lab.HV01, "blockjob", vm.Name, "vda", "--abort")
	})
}

func (s *site) limit(t *testing.T, host string, n int) {
	t.Helper()
	if _, err := s.SetSettings(t.Context(), host, settings.Change{MaximumMigrations: &n}); err != nil {
		t.Fatal(err)
	}
}

// together moves VMs with one command and says whether all of them are done.
func (s *site) together(vms []*machine, from, to string) <-chan error {
	args := []string{"move"}
	for _, vm := range vms {
		args = append(args, vm.Name)
	}
	args = append(args, "--host", from, "--to", to, "--include-storage", "-o", "json")
	out := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
		defer cancel()
		r, err := s.Drover(ctx, lab.UserOperator, args...)
		var recs []record.Record
		if err == nil {
			err = json.Unmarshal([]byte(r.Stdout), &recs)
		}
		if err == nil && (r.Status != 0 || len(recs) != len(vms) || slices.ContainsFunc(recs, func(r record.Record) bool { return r.Phase != record.Done })) {
			err = errors.New("not all are done")
		}
		if err != nil {
			err = fmt.Errorf("%v: status %d: %w\n%s%s", args, r.Status, err, r.Stdout, r.Stderr)
		}
		out <- err
	}()
	return out
}

// moveTogether is together, watching what waits meanwhile and that no host ever
// shows more moves under way than it may have.
func (s *site) moveTogether(t *testing.T, vms []*machine, from, to string) (waited []record.Waiting) {
	t.Helper()
	over := s.together(vms, from, to)
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case err := <-over:
			if err != nil {
				t.Fatal(err)
			}
			return waited
		case <-tick.C:
		}
		recs, err := s.moves(t.Context(), from, "--active")
		if err != nil {
			t.Errorf("list while moves are under way: %v", err)
			continue
		}
		busy := 0
		for _, r := range recs {
			switch {
			case r.Waiting != nil:
				waited = append(waited, *r.Waiting)
			case r.Phase != record.Queued:
				busy++
			}
		}
		if busy > 2 {
			t.Errorf("%s shows %d moves under way", from, busy)
		}
	}
}

// arrived are a host's records of the last moves that brought the VMs.
func (s *site) arrived(t *testing.T, host string, vms []*machine) (last []record.Record) {
	t.Helper()
	recs, err := s.moves(t.Context(), host)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range recs { // newest first
		if r.Role == record.Destination && len(last) < len(vms) && r.Ended != nil {
			last = append(last, r)
		}
	}
	if len(last) != len(vms) {
		t.Errorf("%s has records of %d arrivals, want %d", host, len(last), len(vms))
	}
	return last
}

// most is how many of the moves were under way at the same time: a destination's
// record begins when it has given the move a place, and ends with that.
func most(recs []record.Record) (n int) {
	for _, at := range recs {
		meanwhile := 0
		for _, r := range recs {
			if !r.Created.After(at.Created) && r.Ended.After(at.Created) {
				meanwhile++
			}
		}
		n = max(n, meanwhile)
	}
	return n
}

// allSound: the VMs run on the host and nowhere else, and their memory is whole.
func (s *site) allSound(t *testing.T, vms []*machine, host string) {
	t.Helper()
	for _, vm := range vms {
		if on := s.whereRunning(t, vm); !slices.Equal(on, []string{host}) {
			t.Errorf("%s runs on %v, want %s", vm.Name, on, host)
		}
		vm.verify(t)
	}
}
