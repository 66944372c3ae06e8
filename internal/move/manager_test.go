package move_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"drover/internal/fault"
	"drover/internal/move"
	"drover/internal/store"
	"drover/internal/virt"
)

func TestStartRefusesAtOnce(t *testing.T) {
	cases := map[string]struct {
		edit func(*virt.Domain, *move.Request)
		code fault.Code
	}{
		"no such VM":   {func(_ *virt.Domain, r *move.Request) { r.VM = "NOVM" }, fault.VMNotFound},
		"I/O error":    {func(d *virt.Domain, _ *move.Request) { d.State, d.Reason = virt.Paused, "io-error" }, fault.VMState},
		"managed save": {func(d *virt.Domain, _ *move.Request) { d.State, d.HasManagedSave = virt.Shutoff, true }, fault.VMState},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			d, req := vm(), request()
			c.edit(&d, &req)
			w, src, dst := pair(t, d)
			_, err := src.current().m.Start(context.Background(), move.Operator{Principal: operator}, req)
			wantFault(t, err, c.code)
			if list, err := src.current().m.List(context.Background(), store.Filter{}); err != nil || len(list) > 0 {
				t.Errorf("journalled %v, %v", list, err)
			}
			w.clean(t, src, dst)
		})
	}
}

func TestStartRefusesWhereMigrationIsDisabled(t *testing.T) {
	m := move.NewManager(move.Options{Host: "HV01"})
	_, err := m.Start(context.Background(), move.Operator{}, request())
	wantFault(t, err, fault.MigrationDisabled)
}

func TestMoveThatEndsBeforeItBegins(t *testing.T) {
	w, src, dst := pair(t, vm())
	src.onceAt(move.Source, move.Queued, func(*agent) error { return errors.New("injected") })
	if _, err := src.current().m.Start(context.Background(), move.Operator{Principal: operator}, request()); err == nil {
		t.Fatal("started")
	}
	list, err := src.current().m.List(context.Background(), store.Filter{})
	if err != nil || len(list) != 1 || !list[0].Phase.Over() || list[0].Ended == nil {
		t.Errorf("records %+v, %v", list, err)
	}
	w.movesNow(t, src, dst)
}

func TestUnknownDestination(t *testing.T) {
	w, src, dst := pair(t, vm())
	req := request()
	req.Destination = "HV99"
	wantCode(t, src.over(t, src.current().begin(t, req)), move.Failed, fault.AgentUnreachable)
	req.Destination = "HV01"
	wantCode(t, src.over(t, src.current().begin(t, req)), move.Failed)
	w.runsOnlyOn(t, src, dst)
}

func TestSecondMoveOfTheVMIsRefused(t *testing.T) {
	w, src, dst := pair(t, vm())
	in, release := src.fake.Hang("Perform")
	defer release()
	id := src.current().begin(t, request())
	<-in
	for _, name := range []string{vmName, vmUUID} {
		req := request()
		req.VM = name
		_, err := src.current().m.Start(context.Background(), move.Operator{Principal: operator}, req)
		wantFault(t, err, fault.VMMoving)
	}
	other := vm()
	other.Name, other.UUID = "DB01", "99999999-2222-4333-8444-555555555555"
	other.Disks = nil
	src.add(other)
	req := request()
	req.VM = "DB01"
	release()
	wantCode(t, src.over(t, id), move.Done)
	wantCode(t, src.over(t, src.current().begin(t, req)), move.Done)
	w.runsOnlyOn(t, dst, src)
}

func TestDrainRefusesNewMovesAndWaits(t *testing.T) {
	w, src, dst := pair(t, vm())
	in, release := src.fake.Hang("Perform")
	defer release()
	id := src.current().begin(t, request())
	<-in
	a := src.current()
	drained := make(chan struct{})
	go func() { defer close(drained); a.m.Drain(context.Background()) }()
	other := vm()
	other.Name, other.UUID, other.Disks = "DB01", "99999999-2222-4333-8444-555555555555", nil
	src.add(other)
	eventually(t, "new moves are refused", func() bool {
		_, err := a.m.Start(context.Background(), move.Operator{Principal: operator}, move.Request{VM: "DB01", Destination: "HV02", DryRun: true})
		return fault.Is(err, fault.ShuttingDown)
	})
	select {
	case <-drained:
		t.Fatal("it did not wait for the running move")
	default:
	}
	release()
	select {
	case <-drained:
	case <-time.After(10 * time.Second):
		t.Fatal("it waits for ever")
	}
	wantCode(t, src.over(t, id), move.Done)
	w.runsOnlyOn(t, dst, src)
}

func TestDrainCancelsWhatTakesTooLong(t *testing.T) {
	for _, name := range []string{"HV01", "HV02"} {
		t.Run(name, func(t *testing.T) {
			w, src, dst := pair(t, vm())
			in, release := src.fake.Hang("Perform")
			defer release()
			id := src.current().begin(t, request())
			<-in
			ctx, cancel := context.WithCancel(context.Background())
			cancel()
			w.host(name).current().m.Drain(ctx)
			if name == "HV02" {
				release()
			}
			rec := w.host(name).over(t, id)
			wantCode(t, rec, move.Failed, fault.ShuttingDown)
			src.over(t, id)
			dst.over(t, id)
			w.runsOnlyOn(t, src, dst)
		})
	}
}

func TestCancelOfWhatIsOverOrNeverWas(t *testing.T) {
	_, src, _ := pair(t, vm())
	id := src.current().begin(t, request())
	src.over(t, id)
	eventually(t, "the move is over", func() bool {
		_, err := src.current().m.Cancel(context.Background(), id, operator)
		return fault.Is(err, fault.MoveOver)
	})
	_, err := src.current().m.Cancel(context.Background(), moveID, operator)
	wantFault(t, err, fault.MoveNotFound)
	_, err = src.current().m.Get(context.Background(), moveID)
	wantFault(t, err, fault.MoveNotFound)
}

func TestListIsNewestFirstAndFiltered(t *testing.T) {
	w, src, dst := pair(t, vm())
	var ids []string
	for range 3 {
		req := request()
		req.DryRun = true
		id := src.current().begin(t, req)
		src.over(t, id)
		dst.over(t, id)
		ids = append(ids, id)
		w.clean(t, src, dst)
	}
	slices.Sort(ids)
	slices.Reverse(ids)
	list := func(h *host, f store.Filter) (got []string) {
		recs, err := h.current().m.List(context.Background(), f)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range recs {
			got = append(got, r.ID)
		}
		return got
	}
	if got := list(src, store.Filter{}); !slices.Equal(got, ids) {
		t.Errorf("list %v, want %v", got, ids)
	}
	if got := list(src, store.Filter{Limit: 1}); len(got) != 1 {
		t.Errorf("limit 1: %v", got)
	}
	if got := list(src, store.Filter{Role: string(move.Destination)}); len(got) > 0 {
		t.Errorf("as destination: %v", got)
	}
	if got := list(dst, store.Filter{Role: string(move.Destination), VM: vmName}); len(got) != 3 {
		t.Errorf("at the destination: %v", got)
	}
	if got := list(src, store.Filter{Unfinished: true}); len(got) > 0 {
		t.Errorf("unfinished: %v", got)
	}
}

// watch collects the events of a move until the end.
func watch(t *testing.T, a *agent, id string, after int64) (events []move.Event) {
	t.Helper()
	return watchTelling(t, a, id, after, func(move.Event) {})
}

// watchTelling is watch that tells of each event as it comes.
func watchTelling(t *testing.T, a *agent, id string, after int64, tell func(move.Event)) (events []move.Event) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	for e, err := range a.m.Watch(ctx, id, after) {
		if err != nil {
			t.Fatal(err)
		}
		events = append(events, e)
		tell(e)
	}
	if ctx.Err() != nil {
		t.Fatal("the watch did not end")
	}
	return events
}

func TestWatchShowsAllAndResumes(t *testing.T) {
	_, src, _ := pair(t, vm())
	in, release := src.fake.Hang("Perform")
	defer release()
	id := src.current().begin(t, request())
	<-in
	first := make(chan []move.Event)
	shown := make(chan struct{})
	seen := sync.OnceFunc(func() { close(shown) })
	go func() {
		first <- watchTelling(t, src.current(), id, 0, func(e move.Event) {
			if e.Kind == move.EventProgress {
				seen()
			}
		})
	}()
	select { // the transfer goes on until its progress has been shown
	case <-shown:
	case <-time.After(20 * time.Second):
		t.Fatal("no progress was shown")
	}
	release()
	live := <-first
	again := watch(t, src.current(), id, 0)
	journalled := slices.DeleteFunc(slices.Clone(live), func(e move.Event) bool { return e.Kind == move.EventProgress })
	if len(journalled) == len(live) {
		t.Error("no progress was shown")
	}
	if len(journalled) != len(again) {
		t.Errorf("%d events while it ran, %d afterwards", len(journalled), len(again))
	}
	var phases []move.Phase
	plans := 0
	for i, e := range again {
		if e.Seq != int64(i+1) || e.Move != id {
			t.Errorf("event %d: %+v", i+1, e)
		}
		switch e.Kind {
		case move.EventPhase:
			phases = append(phases, e.Phase)
		case move.EventPlan:
			plans++
		}
	}
	want := append([]move.Phase{move.Queued}, acting...)
	if !slices.Equal(phases, want) {
		t.Errorf("phases %v", phases)
	}
	if last := again[len(again)-1]; plans != 1 || last.Kind != move.EventEnd || last.Phase != move.Done || last.Summary == nil {
		t.Errorf("%d plans, end %+v", plans, last)
	}
	if rest := watch(t, src.current(), id, 5); len(rest) != len(again)-5 || rest[0].Seq != 6 {
		t.Errorf("after 5: %d events, the first %d", len(rest), rest[0].Seq)
	}
	if rest := watch(t, src.current(), id, int64(len(again))); len(rest) > 0 {
		t.Errorf("after the end: %+v", rest)
	}
}

func TestWatchEnds(t *testing.T) {
	_, src, _ := pair(t, vm())
	for e, err := range src.current().m.Watch(context.Background(), moveID, 0) {
		if !fault.Is(err, fault.MoveNotFound) {
			t.Errorf("no such move: %+v, %v", e, err)
		}
	}
	in, release := src.fake.Hang("Perform")
	defer release()
	id := src.current().begin(t, request())
	<-in
	ctx, cancel := context.WithCancel(context.Background())
	for range src.current().m.Watch(ctx, id, 0) {
		cancel() // and the loop ends, though the move goes on
	}
	for range src.current().m.Watch(context.Background(), id, 0) {
		break
	}
	cancel()
	release()
	src.over(t, id)
}

func TestWatchEndsWhenTheMoveIsLeft(t *testing.T) {
	_, src, _, id := adrift(t, true)
	done := make(chan []move.Event)
	a := src.current()
	seen := make(chan struct{})
	go func() {
		var got []move.Event
		for e := range a.m.Watch(context.Background(), id, 0) {
			if got = append(got, e); e.Phase == move.Unknown && len(got) > 0 && e.Kind == move.EventPhase {
				close(seen)
			}
		}
		done <- got
	}()
	<-seen
	stopped, cancel := context.WithCancel(context.Background())
	cancel()
	a.m.Drain(stopped)
	got := <-done
	if last := got[len(got)-1]; last.Kind == move.EventEnd {
		t.Errorf("an end of what has none: %+v", last)
	}
}
