package cli

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"drover/internal/fault"
	"drover/internal/record"
)

func TestBoardShowsWhatIsUnderWayFirst(t *testing.T) {
	move := func(vm string, p record.Phase, ev record.Event) *gathered {
		m := &gathered{started: true, rec: record.Record{VM: vm, Peer: "HV02", Role: record.Source, Created: start, Phase: p}}
		m.view = newView(&m.rec, start)
		ev.Phase, ev.Time = p, start
		m.view.apply(ev, start)
		return m
	}
	done := move("APP01", record.Done, record.Event{})
	done.over = true
	failed := move("APP02", record.Failed, record.Event{})
	failed.over, failed.rec.Error = true, fault.New(fault.VMBusy, "HV01", "vm", "APP02", "job", "backup")
	moves := []*gathered{done, failed,
		move("APP03", record.Queued, record.Event{Waiting: &record.Waiting{Position: 1, Of: 2, Host: "HV02", For: "a place among the 2 migrations of HV02"}}),
		move("evil\x1b", record.Transfer, record.Event{Progress: &record.Progress{Memory: record.Item{Total: gib, Remaining: gib / 2}, Disks: []record.Item{{Total: gib}}}}),
	}
	want := []string{
		`evil\x1b  transfer  75%  512 MiB left  00:00`,
		`APP03     queued (1 of 2, for a place among the 2 migrations of HV02)  00:00`,
		`APP01     done`,
		`APP02     failed  vm-busy`,
	}
	got := boardLines(moves, 84, 24, start)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	want = []string{want[0][:39], "and 3 other moves"}
	if diff := cmp.Diff(want, boardLines(moves, 40, 3, start)); diff != "" {
		t.Error(diff)
	}
}
