package stream

import (
	"io"
	"testing"
	"time"

	"drover/internal/fault"
)

func TestStreamsThatNobodyAcceptsAreLimited(t *testing.T) {
	e := newEnv(t, Timing{Grace: 200 * time.Millisecond})
	type ending struct {
		index uint32
		err   error
	}
	endings := make(chan ending, maxPending+1)
	opened := map[uint32]*Stream{}
	for i := range uint32(maxPending + 1) {
		st, err := e.dial.DialData(e.ctx, e.opt, KindDisk, i)
		if err != nil {
			t.Fatal(i, err)
		}
		t.Cleanup(func() { st.Close() })
		opened[i] = st
		go func() {
			_, err := io.ReadAll(st)
			endings <- ending{i, err}
		}()
	}
	// Which one comes up last, and so is over the limit, is not said: the other end
	// takes them up at the same time.
	over := <-endings
	if !fault.Is(over.err, fault.ProtocolError) {
		t.Errorf("the one over the limit: %v", over.err)
	}
	first, err := e.sess.Accept(e.ctx)
	if err != nil || first.Err() != nil {
		t.Fatal(err, first.Err())
	}
	e.unregister() // closes those that wait, and only those
	for range maxPending - 1 {
		if end := <-endings; end.index == first.Index() || !fault.Is(end.err, fault.PeerGone) {
			t.Errorf("%d, which waited: %v", end.index, end.err)
		}
	}
	if err := opened[first.Index()].Err(); err != nil {
		t.Errorf("the accepted one: %v", err)
	}
	first.Close()
	if end := <-endings; end.index != first.Index() {
		t.Errorf("%d ended last, and %d was accepted", end.index, first.Index())
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
