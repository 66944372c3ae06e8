package stream

import (
	"runtime"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// each asks for n runs of f in one turn and waits for them.
func each(t *place, n int, f func()) {
	var wg sync.WaitGroup
	wg.Add(n)
	for range n {
		t.do(func() { defer wg.Done(); f() })
	}
	wg.Wait()
}

func TestEncodersStartThreadsWhenThereIsWorkAndNoMoreThanAllowed(t *testing.T) {
	e := NewEncoders(2)
	defer e.Close()
	if n := e.Threads(); n != 0 {
		t.Errorf("%d threads without work", n)
	}
	turn := e.join()
	defer turn.leave()
	var mu sync.Mutex
	now, most := 0, 0
	both := make(chan struct{})
	each(turn, 8, func() {
		mu.Lock()
		now++
		if most = max(most, now); most == 2 {
			select {
			case <-both:
			default:
				close(both)
			}
		}
		mu.Unlock()
		<-both // until two have been at work at a time
		mu.Lock()
		now--
		mu.Unlock()
	})
	if most != 2 || e.Threads() != 2 {
		t.Errorf("%d at a time, %d threads", most, e.Threads())
	}
}

func TestEncodersAreNice(t *testing.T) {
	e := NewEncoders(1)
	defer e.Close()
	var nice int
	var err error
	each(e.join(), 1, func() { nice, err = unix.Getpriority(unix.PRIO_PROCESS, unix.Gettid()) })
	if err != nil || 20-nice < niceness { // the system call's answer is 20 less the niceness
		t.Errorf("niceness %d, %v", 20-nice, err)
	}
}

func TestStreamsTakeTurnsAtEncoders(t *testing.T) {
	e := NewEncoders(1)
	defer e.Close()
	gate, started := make(chan struct{}), make(chan struct{})
	e.join().do(func() { close(started); <-gate })
	<-started
	var mu sync.Mutex
	var order []byte
	var wg sync.WaitGroup
	ask := func(turn *place, name byte, n int) {
		wg.Add(n)
		for range n {
			turn.do(func() {
				defer wg.Done()
				mu.Lock()
				defer mu.Unlock()
				order = append(order, name)
			})
		}
	}
	greedy, modest := e.join(), e.join()
	ask(greedy, 'g', 6)
	ask(modest, 'm', 2)
	close(gate)
	wg.Wait()
	if s := string(order); s != "gmgmgggg" && s != "mgmggggg" {
		t.Errorf("order %s", s)
	}
	greedy.leave()
	modest.leave()
	each(e.join(), 1, func() {}) // those who stay are not disturbed
}

func TestEncodersGrowAndShrinkWhileTheyWork(t *testing.T) {
	e := NewEncoders(1)
	defer e.Close()
	turn := e.join()
	each(turn, 1, func() {})
	e.Resize(3)
	var all sync.WaitGroup
	all.Add(3)
	each(turn, 3, func() { all.Done(); all.Wait() }) // needs three at a time
	if n := e.Threads(); n != 3 {
		t.Errorf("%d threads of 3", n)
	}
	e.Resize(0)
	for end := time.Now().Add(10 * time.Second); e.Threads() > 1; runtime.Gosched() {
		if time.Now().After(end) {
			t.Fatalf("%d threads of 1", e.Threads())
		}
	}
	each(turn, 4, func() {})
	if n := e.Limit(); n != 1 {
		t.Errorf("limit %d", n)
	}
}

func TestClosedEncodersHaveDoneEverythingAndWorkIsDoneByWhoAsks(t *testing.T) {
	e := NewEncoders(2)
	turn, done := e.join(), 0
	var mu sync.Mutex
	count := func() { mu.Lock(); done++; mu.Unlock() }
	for range 100 {
		turn.do(count)
	}
	e.Close()
	e.Close()
	if done != 100 || e.Threads() != 0 {
		t.Errorf("%d of 100 done, %d threads", done, e.Threads())
	}
	turn.do(count)
	(*Encoders)(nil).join().do(count)
	if done != 102 {
		t.Errorf("%d of 102 done", done)
	}
	(*Encoders)(nil).join().leave()
}

func TestEncodersShareThreadsAmongStreamsThatCompress(t *testing.T) {
	e := NewEncoders(4)
	defer e.Close()
	if s := e.Share(); s != 4 {
		t.Errorf("%v threads for nobody", s)
	}
	a, b, _ := e.join(), e.join(), e.join()
	each(a, 1, func() {})
	each(b, 1, func() {})
	e.shared = time.Time{} // it was asked a moment ago
	if s := e.Share(); s != 2 {
		t.Errorf("%v threads for each of two", s)
	}
}

func TestEncodersCountWhatTheyTake(t *testing.T) {
	e := NewEncoders(1)
	each(e.join(), 1, func() {
		for start := threadTime(); threadTime()-start < 5*time.Millisecond; {
		}
	})
	e.Close()
	if s := e.Spent(); s < 5*time.Millisecond {
		t.Errorf("%v of at least 5 ms", s)
	}
}

func TestAskingEncodersAllocatesNothing(t *testing.T) {
	e := NewEncoders(1)
	defer e.Close()
	turn, done := e.join(), make(chan struct{})
	f := func() { done <- struct{}{} }
	if n := testing.AllocsPerRun(1000, func() { turn.do(f); <-done }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkEncoders(b *testing.B) {
	e := NewEncoders(2)
	defer e.Close()
	turn, done := e.join(), make(chan struct{}, 4)
	f := func() { done <- struct{}{} }
	for b.Loop() {
		turn.do(f)
		<-done
	}
}
