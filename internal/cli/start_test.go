package cli

import (
	"bytes"
	"context"
	"errors"
	"iter"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"drover/internal/api"
	"drover/internal/fault"
	"drover/internal/record"
)

// slowStart is an agent whose answer to StartMove the test gives.
type slowStart struct {
	agent
	asked  chan struct{}
	answer chan record.Record
}

func (s *slowStart) StartMove(ctx context.Context, _ record.Request) (record.Record, error) {
	close(s.asked)
	select {
	case r := <-s.answer:
		return r, nil
	case <-ctx.Done():
		return record.Record{}, ctx.Err()
	}
}

// noted tells when something was printed.
type noted struct {
	mu  sync.Mutex
	buf bytes.Buffer
	ch  chan struct{}
}

func (n *noted) Write(p []byte) (int, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	select {
	case n.ch <- struct{}{}:
	default:
	}
	return n.buf.Write(p)
}

func TestSignalBeforeTheAnswerIsKeptForTheMove(t *testing.T) {
	defer goleak.VerifyNone(t)
	errs := &noted{ch: make(chan struct{}, 1)}
	p := newProgram(nil, &bytes.Buffer{}, errs)
	a := &slowStart{asked: make(chan struct{}), answer: make(chan record.Record, 1)}
	signals := make(chan os.Signal, 1)
	signals <- os.Interrupt
	go func() {
		<-a.asked
		<-errs.ch // the signal was seen before the answer comes
		a.answer <- record.Record{ID: fakeID}
	}()
	rec, pending, err := p.start(t.Context(), a, target{}, record.Request{}, signals)
	if err != nil || rec.ID != fakeID || pending != os.Interrupt {
		t.Fatalf("start = %v, %v, %v", rec.ID, pending, err)
	}
	if !strings.Contains(errs.buf.String(), "has not answered yet; interrupt again to give up") {
		t.Errorf("stderr = %q", errs.buf.String())
	}
}

func TestSecondSignalBeforeTheAnswerGivesUp(t *testing.T) {
	defer goleak.VerifyNone(t)
	p := newProgram(nil, &bytes.Buffer{}, &bytes.Buffer{})
	a := &slowStart{asked: make(chan struct{}), answer: make(chan record.Record)}
	signals := make(chan os.Signal, 2)
	signals <- os.Interrupt
	signals <- syscall.SIGTERM
	_, _, err := p.start(t.Context(), a, target{}, record.Request{}, signals)
	if fault.ExitStatus(err) != fault.ClassCancelled.ExitStatus() {
		t.Fatalf("start = %v, want it cancelled", err)
	}
}

// cancelled waits for the pending signal's cancel, then for its event.
func TestPendingSignalCancelsTheMoveThatWasStarted(t *testing.T) {
	defer goleak.VerifyNone(t)
	f := newFakeAgent("HV01", runningScenario)
	defer f.close()
	rec, err := f.StartMove(t.Context(), api.Caller{}, record.Request{VM: "APP01", Destination: "HV02"})
	if err != nil {
		t.Fatal(err)
	}
	p := newProgram(nil, &bytes.Buffer{}, &bytes.Buffer{})
	fw := &follower{p: p, a: direct{fakeAgent: f}, rec: rec, pending: os.Interrupt}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := p.stay(ctx, fw); !fault.Is(err, fault.Cancelled) || errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("stay = %v, want cancelled", err)
	}
}

func TestAThirdSignalStopsWaiting(t *testing.T) {
	defer goleak.VerifyNone(t)
	f := newFakeAgent("HV01", "plan\nwait never\n")
	defer f.close()
	rec, err := f.StartMove(t.Context(), api.Caller{}, record.Request{VM: "APP01", Destination: "HV02"})
	if err != nil {
		t.Fatal(err)
	}
	var errs bytes.Buffer
	p := newProgram(nil, &bytes.Buffer{}, &errs)
	signals := make(chan os.Signal, 1)
	signals <- os.Interrupt
	fw := &follower{p: p, a: direct{fakeAgent: f}, rec: rec, pending: syscall.SIGTERM, signals: signals}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := p.stay(ctx, fw); !fault.Is(err, fault.Cancelled) || ctx.Err() != nil {
		t.Fatalf("stay = %v, want cancelled", err)
	}
	if !strings.Contains(errs.String(), "no longer waiting; see `drover move show "+fakeID) {
		t.Errorf("stderr = %q", errs.String())
	}
}

// direct is a fakeAgent without HTTP between.
type direct struct {
	agent
	fakeAgent *fakeAgent
}

func (d direct) Move(ctx context.Context, id string) (record.Record, error) {
	return d.fakeAgent.Move(ctx, id)
}

func (d direct) Watch(ctx context.Context, id string, after int64) iter.Seq2[record.Event, error] {
	return d.fakeAgent.Watch(ctx, id, after)
}

func (d direct) CancelMove(ctx context.Context, id string) (record.Record, error) {
	return d.fakeAgent.CancelMove(ctx, api.Caller{}, id)
}
