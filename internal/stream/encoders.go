package stream

import "sync"

// Encoders are the threads of a host that compress blocks, for all its streams
// together. What is asked first is done first, and since a stream has few blocks
// in flight none waits for long behind another's.
type Encoders struct {
	mu     sync.Mutex
	some   sync.Cond
	jobs   []func()
	closed bool
	wg     sync.WaitGroup
}

// NewEncoders starts n threads, which Close ends.
func NewEncoders(n int) *Encoders {
	e := &Encoders{}
	e.some.L = &e.mu
	for range max(n, 1) {
		e.wg.Go(e.work)
	}
	return e
}

// Do has f run on one of the threads, some time soon, and does not wait for it.
// On nil Encoders, and on closed ones, it runs f itself. A caller that keeps f
// from one call to the next makes no allocation.
func (e *Encoders) Do(f func()) {
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
	e.jobs = append(e.jobs, f)
	e.mu.Unlock()
	e.some.Signal()
}

func (e *Encoders) work() {
	for {
		e.mu.Lock()
		for len(e.jobs) == 0 {
			if e.closed {
				e.mu.Unlock()
				return
			}
			e.some.Wait()
		}
		f := e.jobs[0]
		n := copy(e.jobs, e.jobs[1:])
		e.jobs[n] = nil
		e.jobs = e.jobs[:n]
		e.mu.Unlock()
		f()
	}
}

// Close ends the threads when everything that was asked is done. It is safe
// twice.
func (e *Encoders) Close() {
	e.mu.Lock()
	e.closed = true
	e.mu.Unlock()
	e.some.Broadcast()
	e.wg.Wait()
}
