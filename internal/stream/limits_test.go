package stream

import (
	"io"
	"testing"
	"time"

	"drover/internal/fault"
)

func TestStreamsThatNobodyAcceptsAreLimited(t *testing.T) {
	e := newEnv(t, Timing{Grace: 200 * time.Millisecond})
	var waiting []*Stream
	for i := range maxPending + 1 {
		st, err := e.dial.DialData(e.ctx, e.opt, KindDisk, uint32(i))
		if err != nil {
			t.Fatal(i, err)
		}
		t.Cleanup(func() { st.Close() })
		waiting = append(waiting, st)
	}
	// They come up one after the other, so the last is the one over the limit.
	last := waiting[maxPending]
	if _, err := last.Read(make([]byte, 1)); !fault.Is(err, fault.ProtocolError) {
		t.Errorf("the one over the limit: %v", err)
	}
	first, err := e.sess.Accept(e.ctx)
	if err != nil || first.Err() != nil {
		t.Fatal(err, first.Err())
	}
	defer first.Close()
	e.unregister() // closes those that wait, and only those
	for _, st := range waiting[1:maxPending] {
		if _, err := io.ReadAll(st); !fault.Is(err, fault.PeerGone) {
			t.Errorf("one that waited: %v", err)
		}
	}
	if err := waiting[0].Err(); err != nil {
		t.Errorf("the accepted one: %v", err)
	}
}

// Abort must end although a writer is stuck, so that no RESET can go out.
func TestAbortDoesNotWaitForAPeerThatTakesNothing(t *testing.T) {
	e := newEnv(t, Timing{Grace: 100 * time.Millisecond})
	_, st := e.bare(t, KindMemory, 0)
	wrote := make(chan error, 1)
	go func() {
		for {
			if _, err := st.Write(make([]byte, 1<<20)); err != nil {
				wrote <- err
				return
			}
		}
	}()
	var before uint64
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for range tick.C { // until the connection takes no more
		now := st.Counters().WireSent
		if now > 0 && now == before {
			break
		}
		before = now
	}
	start := time.Now()
	st.Abort(fault.New(fault.Cancelled, ""))
	if d := time.Since(start); d > patience/4 {
		t.Errorf("Abort took %v", d)
	}
	if err := <-wrote; !fault.Is(err, fault.Cancelled) {
		t.Errorf("Write: %v", err)
	}
}
