package guest

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

func listen(t *testing.T, addr string) net.PacketConn {
	t.Helper()
	// Sockets that share a port all get a broadcast, as copies of a guest do.
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var opErr error
		err := c.Control(func(fd uintptr) {
			opErr = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1)
		})
		if err != nil {
			return err
		}
		return opErr
	}}
	conn, err := lc.ListenPacket(t.Context(), "udp4", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// background runs f until the test ends and waits for it.
func background(t *testing.T, f func(ctx context.Context) error) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := f(ctx); err != nil {
			t.Error(err)
		}
	})
	stop = func() { cancel(); wg.Wait() }
	t.Cleanup(stop)
	return stop
}

func startResponder(t *testing.T, addr, name string) (*Memory, net.Addr) {
	t.Helper()
	m := testMemory(t, 64, testMix)
	r := NewResponder(name, testNonce, m, &Clock{})
	ring, _ := testRing(t, 8, 20)
	if err := r.AddRing(ring); err != nil {
		t.Fatal(err)
	}
	r.SetReady()
	conn := listen(t, addr)
	background(t, func(ctx context.Context) error { return r.Serve(ctx, conn) })
	return m, conn.LocalAddr()
}

func startObserver(t *testing.T, target net.Addr, name string) *Observer {
	t.Helper()
	o := NewObserver(listen(t, "0.0.0.0:0"), ObserverConfig{Target: target, Interval: 5 * time.Millisecond, Name: name})
	background(t, o.Run)
	return o
}

func deadline(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

func TestObserverSeesAResponder(t *testing.T) {
	_, addr := startResponder(t, "127.0.0.1:0", "APP01")
	o := startObserver(t, addr, "APP01")
	s, err := o.VerifyNow(deadline(t, 10*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	if s.Nonce != testNonce || s.Memory.Passes != 1 || !s.Ready || len(s.Disks) != 1 || s.Disks[0].Verified < 8 {
		t.Errorf("status %+v", s)
	}
	from := s.Seq
	if _, err := o.Wait(deadline(t, 10*time.Second), func(s Status) bool { return s.Seq > from+20 }); err != nil {
		t.Fatal(err)
	}
	snap := o.Snapshot()
	if snap.Doubles != 0 || snap.Restarts != 0 || snap.Regressions != 0 || snap.Answered < 20 || snap.Blackout == 0 {
		t.Errorf("snapshot %+v", snap)
	}
	if snap.Last.RequestGapNs < int64(time.Millisecond) {
		t.Errorf("gap between requests %d ns at an interval of 5 ms", snap.Last.RequestGapNs)
	}
}

func TestVerifyNowReportsDamage(t *testing.T) {
	m, addr := startResponder(t, "127.0.0.1:0", "APP01")
	if err := m.Flip(3); err != nil {
		t.Fatal(err)
	}
	o := startObserver(t, addr, "APP01")
	if _, err := o.VerifyNow(deadline(t, 10*time.Second)); err == nil || !strings.Contains(err.Error(), "page 3") {
		t.Errorf("got %v", err)
	}
}

func TestObserverIgnoresOtherGuests(t *testing.T) {
	_, addr := startResponder(t, "127.0.0.1:0", "APP02")
	o := startObserver(t, addr, "APP01")
	other := startObserver(t, addr, "APP02")
	if _, err := other.Wait(deadline(t, 10*time.Second), func(s Status) bool { return s.Seq > 20 }); err != nil {
		t.Fatal(err)
	}
	if snap := o.Snapshot(); snap.Answered != 0 || snap.Sent == 0 {
		t.Errorf("snapshot %+v", snap)
	}
}

// Two copies of a guest hear the same broadcast; both answer.
func TestTwoCopiesAreSeen(t *testing.T) {
	_, first := startResponder(t, "0.0.0.0:0", "APP01")
	port := first.(*net.UDPAddr).Port
	target := &net.UDPAddr{IP: net.IPv4(127, 255, 255, 255), Port: port}
	o := startObserver(t, target, "APP01")
	if _, err := o.Wait(deadline(t, 10*time.Second), func(s Status) bool { return s.Seq > 10 }); err != nil {
		t.Fatal(err)
	}
	if snap := o.Snapshot(); snap.Doubles != 0 {
		t.Fatalf("one copy: %+v", snap)
	}
	startResponder(t, fmt.Sprintf("0.0.0.0:%d", port), "APP01")
	_, err := o.Wait(deadline(t, 10*time.Second), func(Status) bool { return o.Snapshot().Doubles > 3 })
	if err != nil {
		t.Fatal(err)
	}
	if snap := o.Snapshot(); !strings.Contains(snap.FirstDouble, "twice: to request") {
		t.Errorf("snapshot %+v", snap)
	}
}

// heard feeds an Observer that sends nothing.
func heard(o *Observer, at time.Duration, s Status) {
	o.snap.Sent = max(o.snap.Sent, s.Seq)
	o.note(s, "10.99.0.101:7700", time.Unix(0, 0).Add(at))
}

func TestBlackoutIsTheLargestGap(t *testing.T) {
	o := NewObserver(nil, ObserverConfig{})
	for i, at := range []int{0, 10, 20, 430, 440, 500} {
		heard(o, time.Duration(at)*time.Millisecond, Status{Seq: uint64(i + 1), Nonce: 1})
	}
	snap := o.Snapshot()
	if snap.Blackout != 410*time.Millisecond || snap.BlackoutEnd.Sub(time.Unix(0, 0)) != 430*time.Millisecond {
		t.Errorf("snapshot %+v", snap)
	}
	o.ResetGaps()
	heard(o, 530*time.Millisecond, Status{Seq: 7, Nonce: 1})
	if snap := o.Snapshot(); snap.Blackout != 30*time.Millisecond {
		t.Errorf("after reset %+v", snap)
	}
}

func TestStateThatGoesBackIsSeen(t *testing.T) {
	base := Status{Seq: 5, Nonce: 1, Serial: 50, Memory: MemoryStatus{GenerationSum: 100, Verified: 9}, Disks: []DiskStatus{{Flushed: 7}}}
	for _, tc := range []struct {
		name     string
		change   func(*Status)
		want     string
		restarts uint64
	}{
		{"forward", func(s *Status) { s.Serial++ }, "", 0},
		{"older answer overtaken", func(s *Status) { s.Seq, s.Serial = 4, 49 }, "", 0},
		{"answers", func(s *Status) { s.Serial = 49 }, "answers fell from 50 to 49", 0},
		{"memory", func(s *Status) { s.Memory.GenerationSum-- }, "generation sum fell from 100 to 99", 0},
		{"disk", func(s *Status) { s.Disks = []DiskStatus{{Flushed: 6}} }, "records flushed fell from 7 to 6", 0},
		{"restart", func(s *Status) { s.Nonce, s.Serial = 2, 1 }, "", 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			o := NewObserver(nil, ObserverConfig{})
			heard(o, 0, base)
			next := base
			next.Seq++
			tc.change(&next)
			heard(o, time.Millisecond, next)
			snap := o.Snapshot()
			if (snap.Regressions > 0) != (tc.want != "") || !strings.HasSuffix(snap.FirstRegression, tc.want) || snap.Restarts != tc.restarts {
				t.Errorf("snapshot %+v", snap)
			}
		})
	}
}

func TestOneMachineIsNotTakenForTwo(t *testing.T) {
	a := Status{Seq: 5, Nonce: 1, Serial: 50, UptimeNs: 1000}
	for _, tc := range []struct {
		name    string
		change  func(*Status)
		doubles uint64
		repeats uint64
	}{
		{"datagram delivered twice", func(*Status) {}, 0, 0},
		{"request delivered twice", func(s *Status) { s.Serial, s.UptimeNs = 51, 1001 }, 0, 1},
		{"next request", func(s *Status) { s.Seq, s.Serial, s.UptimeNs = 6, 51, 1001 }, 0, 0},
		{"restarted machine", func(s *Status) { s.Nonce, s.UptimeNs = 2, 7 }, 0, 1},
		{"copy, same request", func(s *Status) { s.UptimeNs = 1001 }, 1, 0},
		{"copy, another request", func(s *Status) { s.Seq, s.UptimeNs = 6, 1001 }, 1, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			o := NewObserver(nil, ObserverConfig{})
			heard(o, 0, a)
			b := a
			tc.change(&b)
			heard(o, time.Millisecond, b)
			snap := o.Snapshot()
			if snap.Doubles != tc.doubles || snap.Repeats != tc.repeats || (tc.doubles > 0) != (snap.FirstDouble != "") {
				t.Errorf("snapshot %+v", snap)
			}
			if tc.doubles > 0 && snap.Sound() == nil {
				t.Error("two copies are sound")
			}
		})
	}
}

func TestResetReachesTheGuest(t *testing.T) {
	clock := &Clock{}
	clock.note(time.Unix(1, 0))
	clock.note(time.Unix(3, 0))
	r := NewResponder("APP01", testNonce, testMemory(t, 8, testMix), clock)
	ask := func(op Op, sent time.Duration, observer uint64) Status {
		return r.answer(Request{Op: op, Observer: observer, SentNs: int64(sent)})
	}
	ask(OpPing, 0, 1)
	ask(OpPing, time.Hour, 2) // another clock
	s := ask(OpPing, 700*time.Millisecond, 1)
	if s.RequestGapNs != int64(700*time.Millisecond) || s.Clock.MonotonicGapNs != int64(2*time.Second) {
		t.Fatalf("before: %+v", s)
	}
	if s = ask(OpReset, 750*time.Millisecond, 1); s.RequestGapNs != 0 || s.Clock.MonotonicGapNs != 0 || s.Clock.RealtimeGapNs != 0 {
		t.Fatalf("after: %+v", s)
	}
	if s = ask(OpPing, 760*time.Millisecond, 1); s.RequestGapNs != int64(10*time.Millisecond) {
		t.Fatalf("later: %+v", s)
	}
}
