package stream

import (
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// niceness of the threads that compress. Guests have 0, so that where a guest and
// a thread of ours want the same processor the guest gets three quarters of it.
// With 10 it would get nine tenths: a move on a busy host would then be as slow as
// if it did not compress at all, for a time that is longer in turn.
const niceness = 5

const (
	// A thread without work ends after keepThread.
	keepThread = 10 * time.Second
	// A stream counts as one that compresses for countsFor after it did.
	countsFor = 500 * time.Millisecond
)

// Encoders are the threads of a host that compress blocks, for all its streams
// together: a bounded number, started when there is work and ended when there is
// none for a while. Streams take turns, so that none waits for all blocks of
// another.
type Encoders struct {
	mu      sync.Mutex
	limit   int
	turns   []*place // of the streams, in the order of their turns
	next    int
	queued  int
	threads int
	busy    int
	closed  bool
	wake    sync.Cond
	wg      sync.WaitGroup

	shared time.Time // when active was counted
	active int
	spent  atomic.Int64 // ns of processors
}

// place is a stream's place among the others.
type place struct {
	e    *Encoders
	jobs []func()
	last time.Time // when it had work
}

// NewEncoders makes Encoders with at most n threads. Close ends them.
func NewEncoders(n int) *Encoders {
	e := &Encoders{limit: max(n, 1)}
	e.wake.L = &e.mu
	return e
}

// Resize sets how many threads there may be, at least one. What is being
// compressed is finished.
func (e *Encoders) Resize(n int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.limit = max(n, 1)
	e.hire()
	e.wake.Broadcast()
}

// Limit is how many threads there may be.
func (e *Encoders) Limit() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.limit
}

// Threads is how many there are.
func (e *Encoders) Threads() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.threads
}

// Share is how many threads there are for each stream that compresses.
func (e *Encoders) Share() float64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	if now := time.Now(); now.Sub(e.shared) > countsFor/5 {
		e.shared, e.active = now, 0
		for _, t := range e.turns {
			if len(t.jobs) > 0 || now.Sub(t.last) < countsFor {
				e.active++
			}
		}
	}
	return float64(e.limit) / float64(max(e.active, 1))
}

// Spent is the processors' time that compressing took so far, on all threads.
func (e *Encoders) Spent() time.Duration { return time.Duration(e.spent.Load()) }

// join gives a stream its place, which leave takes back.
func (e *Encoders) join() *place {
	t := &place{e: e}
	if e != nil {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.turns = append(e.turns, t)
	}
	return t
}

// leave gives the place back, when all that was asked for is done.
func (t *place) leave() {
	if t == nil || t.e == nil {
		return
	}
	t.e.mu.Lock()
	defer t.e.mu.Unlock()
	for i, o := range t.e.turns {
		if o == t {
			t.e.turns = append(t.e.turns[:i], t.e.turns[i+1:]...)
			break
		}
	}
}

// do has f run on one of the threads, some time soon, and does not wait for it.
// Without Encoders, and on closed ones, it runs f itself. A caller that keeps f
// from one call to the next makes no allocation.
func (t *place) do(f func()) {
	e := t.e
	if e == nil {
		f()
		return
	}
	e.mu.Lock()
	if e.closed {
		e.mu.Unlock()
		f()
		return
	}
	t.jobs = append(t.jobs, f)
	t.last = time.Now()
	e.queued++
	e.hire()
	e.mu.Unlock()
	e.wake.Signal()
}

// hire starts a thread where there is work for one more. Under mu.
func (e *Encoders) hire() {
	for e.queued > e.threads-e.busy && e.threads < e.limit && !e.closed {
		e.threads++
		e.wg.Go(e.work)
	}
}

// work is one thread. Its goroutine ends without giving the thread back, which
// therefore ends too: nothing else is to run with its niceness.
func (e *Encoders) work() {
	runtime.LockOSThread()
	_ = unix.Setpriority(unix.PRIO_PROCESS, unix.Gettid(), niceness) // if not, guests have to share
	before := threadTime()
	alarm := time.AfterFunc(keepThread, func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.wake.Broadcast()
	})
	defer alarm.Stop()
	e.mu.Lock()
	defer e.mu.Unlock()
	since := time.Now()
	for e.threads <= e.limit {
		f := e.take()
		if f == nil {
			if e.closed || time.Since(since) >= keepThread {
				break
			}
			alarm.Reset(keepThread - time.Since(since))
			e.wake.Wait()
			continue
		}
		e.busy++
		e.mu.Unlock()
		f()
		now := threadTime()
		e.spent.Add(int64(now - before))
		before, since = now, time.Now()
		e.mu.Lock()
		e.busy--
	}
	e.spent.Add(int64(threadTime() - before))
	e.threads--
	e.wake.Signal() // it may have been told of work that it does not do
}

// take gives the next job, of the stream whose turn it is. Under mu.
func (e *Encoders) take() func() {
	for range e.turns {
		e.next = (e.next + 1) % len(e.turns)
		t := e.turns[e.next]
		if len(t.jobs) == 0 {
			continue
		}
		f := t.jobs[0]
		n := copy(t.jobs, t.jobs[1:])
		t.jobs[n] = nil
		t.jobs = t.jobs[:n]
		e.queued--
		return f
	}
	return nil
}

// Close ends the threads when everything that was asked is done. It is safe
// twice.
func (e *Encoders) Close() {
	e.mu.Lock()
	e.closed = true
	e.mu.Unlock()
	e.wake.Broadcast()
	e.wg.Wait()
}

// threadTime is the processors' time of this thread; its differences mean
// something to a goroutine that is locked to it, and nearly so to one that does
// not block in between.
func threadTime() time.Duration {
	var t unix.Timespec
	if unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t) != nil {
		return 0
	}
	return time.Duration(t.Nano())
}
