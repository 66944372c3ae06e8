package virttest

import (
	"context"
	"errors"
	"testing"

	"drover/internal/virt"
)

const uuid = "0a1b2c3d-0001-4002-8003-000000000001"

func pair(t testing.TB) (Pair, *World, *FakeHost, *FakeHost) {
	w := NewWorld()
	a, b := w.Host("HV01"), w.Host("HV02")
	a.Add(virt.Domain{Name: "APP01", UUID: uuid, State: virt.Running, Persistent: true, MemoryBytes: 1 << 30})
	t.Cleanup(func() {
		if twice := w.Twice(); !t.Failed() && t.Name() != "TestWorldSeesTwoCopies" && len(twice) > 0 {
			t.Errorf("two copies: %v", twice)
		}
	})
	return Pair{Source: a, Destination: b, Params: virt.MigrationParams{Name: "APP01", UUID: uuid}}, w, a, b
}

func TestFakeKeepsTheContract(t *testing.T) {
	RunContract(t, func(t testing.TB) Pair {
		p, _, _, _ := pair(t)
		return p
	})
}

func TestWorldSeesTwoCopies(t *testing.T) {
	p, w, a, _ := pair(t)
	f := &flow{T: t, ctx: t.Context(), p: p}
	f.finish()
	f.must(f.out.Close(), a.Resume(t.Context(), uuid))
	if len(w.Twice()) == 0 || len(w.Running(uuid)) != 2 {
		t.Errorf("not noticed: %v, running on %v", w.Twice(), w.Running(uuid))
	}
}

func TestAbortedPerformLeavesGuestRunning(t *testing.T) {
	p, w, a, _ := pair(t)
	f := &flow{T: t, ctx: t.Context(), p: p}
	f.prepare()
	entered, release := a.Hang("Perform")
	defer release()
	why := errors.New("operator cancelled")
	ctx, cancel := context.WithCancelCause(t.Context())
	go func() {
		<-entered
		cancel(why)
	}()
	if _, err := f.out.Perform(ctx, f.cookie, ""); !errors.Is(err, why) {
		t.Errorf("got %v", err)
	}
	if on := w.Running(uuid); len(on) != 1 || on[0] != "HV01" {
		t.Errorf("runs on %v", on)
	}
}

func TestFaultsCanBeScripted(t *testing.T) {
	p, _, a, _ := pair(t)
	want := errors.New("scripted")
	a.Fail("Begin", want)
	o, err := p.Source.Outgoing(t.Context(), p.Params)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := o.Begin(t.Context()); !errors.Is(err, want) {
		t.Errorf("got %v", err)
	}
	a.Fail("Begin", nil)
	if _, _, err := o.Begin(t.Context()); err != nil {
		t.Errorf("healed: %v", err)
	}
}
