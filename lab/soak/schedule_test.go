package soak

import (
	"reflect"
	"slices"
	"testing"

	"drover/internal/record"
)

const runMoves = 200

func TestScheduleIsAFunctionOfTheSeed(t *testing.T) {
	for seed := range uint64(20) {
		if !reflect.DeepEqual(Schedule(seed, runMoves), Schedule(seed, runMoves)) {
			t.Fatalf("seed %d gives two schedules", seed)
		}
	}
	if reflect.DeepEqual(Schedule(1, runMoves), Schedule(2, runMoves)) {
		t.Error("two seeds give one schedule")
	}
}

// The first seeds stand for all: of each run some faults come often, all come in a few.
func TestScheduleHasEveryFaultAtManyPoints(t *testing.T) {
	faults, points := map[Fault]int{}, map[Point]int{}
	for seed := range uint64(5) {
		for _, p := range Schedule(seed, runMoves) {
			faults[p.Fault]++
			points[p.Point]++
		}
	}
	for _, f := range Faults() {
		if faults[f] < 5 {
			t.Errorf("%s: %d times in five runs", f, faults[f])
		}
	}
	for _, p := range anywhere {
		if points[p] < 5 {
			t.Errorf("%s: %d times in five runs", p, points[p])
		}
	}
}

// A step begins where those before it have left the VMs, and no VM moves twice in it.
func TestScheduleHangsTogether(t *testing.T) {
	for seed := range uint64(50) {
		plans := Schedule(seed, runMoves)
		if len(plans) != runMoves {
			t.Fatalf("%d plans", len(plans))
		}
		parts := PartsOf(runMoves)
		for i, p := range plans {
			at := Places(plans, p.Step)
			hops := []Hop{p.Hop}
			if p.Beside != nil {
				hops = append(hops, *p.Beside)
			}
			if p.Step != i+1 || len(hops) == 2 && hops[0].VM == hops[1].VM {
				t.Fatalf("seed %d, place %d: %s", seed, i, p)
			}
			for _, h := range hops {
				if h.From != at[h.VM] || h.To == h.From || !slices.Contains(Hosts(), h.To) {
					t.Fatalf("seed %d: %s, and the VMs are at %v", seed, p, at)
				}
			}
			if p.Step <= parts.WarmUp && (p.Fault != None || p.Beside != nil) || p.Step <= parts.AgentsStay && p.Fault.EndsAgent() {
				t.Fatalf("seed %d: too early: %s", seed, p)
			}
		}
		for _, p := range plans {
			for vm, host := range Places(plans, p.Step) {
				if p.Fault == DiskFull && host == p.To && vm != VMs()[2].Name {
					t.Fatalf("seed %d: %s has its disk there: %s", seed, vm, p)
				}
			}
		}
		for _, vm := range VMs() {
			if at := Places(plans, parts.WarmUp+1)[vm.Name]; at != vm.Home {
				t.Fatalf("seed %d: after the warm-up %s is at %s", seed, vm.Name, at)
			}
		}
	}
}

func TestPointsSuitTheirFaults(t *testing.T) {
	for _, k := range kinds {
		if (k.fault == None) != (len(k.points) == 0) {
			t.Errorf("%s: %d points", k.fault, len(k.points))
		}
		for _, p := range k.points {
			if p.Role == "" || p.Phase == record.Queued {
				t.Errorf("%s: %+v", k.fault, p)
			}
			if k.fault == KillDestinationQEMU && p.Phase != record.Connect && p.Phase != record.Transfer {
				t.Errorf("%s: in %s the guest may run there", k.fault, p)
			}
		}
	}
}

func TestArgs(t *testing.T) {
	h := Hop{VM: "SOAK01", From: "HV01", To: "HV02", Storage: true, Connections: 2, Performance: "TCPIP", Bandwidth: 60_000_000}
	want := []string{"move", "SOAK01", "--host", "HV01", "--to", "HV02", "--include-storage", "--connections", "2", "--performance", "TCPIP", "--bandwidth", "60000000"}
	if got := h.Args(); !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
	if got := (Hop{VM: "SOAK03", From: "HV01", To: "HV02"}).Args(); len(got) != 6 {
		t.Errorf("got %q", got)
	}
	p := Plan{Step: 7, Hop: h, Fault: CutMigration, Point: midway[0], OutageMS: 3000, Beside: &Hop{VM: "SOAK02", From: "HV02", To: "HV03"}}
	const text = "7: SOAK01 from HV01 to HV02 with its disk, 2 connections, TCPIP, 60 Mbit/s; migration network cut, source in the middle of transfer, for 3s; " +
		"beside it SOAK02 from HV02 to HV03"
	if got := p.String(); got != text {
		t.Errorf("got %s", got)
	}
}
