package drive

import (
	"context"
	"errors"
	"io"
	"slices"
	"testing"
	"time"

	"drover/internal/record"
	"drover/lab/faults"
	"drover/lab/soak"
)

// The schedule names faults and points; package faults has them.
func TestEveryFaultCanHappen(t *testing.T) {
	for seed := range uint64(3) {
		for _, p := range soak.Schedule(seed, 200) {
			if p.Fault == soak.None {
				continue
			}
			f, found := faults.ByName(string(p.Fault))
			if !found || f.Fatal {
				t.Fatalf("%s: %+v", p, f)
			}
			if at := (faults.Point{Role: p.Point.Role, Phase: p.Point.Phase}); !slices.Contains(faults.Points(), at) {
				t.Fatalf("%s: nothing is journalled at %s", p, at)
			}
		}
	}
}

func TestBrokenIsSaidOnce(t *testing.T) {
	r := &run{Options: Options{Stderr: io.Discard}, result: &soak.Result{}, mentions: map[string]bool{}}
	r.broken(soak.Broken{Step: 3, What: "left on HV01: file /x"})
	r.broken(soak.Broken{Step: 4, What: "left on HV01: file /x"})
	r.broken(soak.Broken{Step: 4, VM: "SOAK01", What: "lost"})
	if len(r.result.Broken) != 2 {
		t.Errorf("%v", r.result.Broken)
	}
}

func TestSplit(t *testing.T) {
	ours, libvirts := split([]string{"1, was 0: HV01 file: /run/libvirt/qemu/x", "1, was 0: HV01 file: /srv/vms/x"})
	if !slices.Equal(ours, []string{"1, was 0: HV01 file: /srv/vms/x"}) || !slices.Equal(libvirts, []string{"1, was 0: HV01 file: /run/libvirt/qemu/x"}) {
		t.Errorf("%q, %q", ours, libvirts)
	}
}

func TestWanted(t *testing.T) {
	over := func(r record.Record) bool { return r.Phase.Over() }
	if err := wanted(record.Record{Phase: record.Done}, nil)(over); err != nil {
		t.Error(err)
	}
	if err := wanted(record.Record{Phase: record.Transfer}, nil)(over); err == nil {
		t.Error("transfer is over")
	}
	if err := wanted(record.Record{Phase: record.Done}, io.EOF)(over); !errors.Is(err, io.EOF) {
		t.Error(err)
	}
}

// The error that is given is what was the matter, not that the time was up.
func TestUntil(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	asked := 0
	err := faults.Until(ctx, time.Microsecond, func(context.Context) error {
		if asked++; asked == 3 {
			cancel()
			return context.Canceled
		}
		return io.ErrUnexpectedEOF
	})
	if !errors.Is(err, io.ErrUnexpectedEOF) || !errors.Is(err, context.Canceled) || asked < 3 {
		t.Errorf("%v after %d", err, asked)
	}
}

func TestOnlyAStepOfTheSchedule(t *testing.T) {
	if _, err := Run(t.Context(), Options{Moves: 10, Only: 11, Stderr: io.Discard}); err == nil {
		t.Error("step 11 of 10")
	}
}
