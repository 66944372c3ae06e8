package stream

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync/atomic"
	"testing"
	"time"
)

// paced plays streams that send as fast as their limits let them, on a clock of
// its own: how many bytes were out by the end, and the longest that one stream
// had to wait. Timers are late.
func paced(streams int, limits []*Limit, start time.Time, span, late time.Duration, at map[time.Duration]func()) (sent int, longest time.Duration) {
	const work = 5 * time.Microsecond // a write that does not block
	next := make([]time.Time, streams)
	for i := range next {
		next[i] = start
	}
	last := slices.Clone(next)
	for {
		i := 0
		for j := range next {
			if next[j].Before(next[i]) {
				i = j
			}
		}
		now := next[i]
		if now.Sub(start) >= span {
			return sent, longest
		}
		for t, f := range at {
			if now.Sub(start) >= t {
				f()
				delete(at, t)
			}
		}
		n := pieceOf(limits, 16<<10)
		wait := book(limits, now, n)
		if wait < shortest {
			wait = 0
		} else {
			wait += late
		}
		out := now.Add(wait + work)
		if out.Sub(start) <= span {
			sent += n
		}
		longest = max(longest, out.Sub(last[i]))
		last[i], next[i] = out, out
	}
}

func TestLimitHoldsWithOneStreamAndWithMany(t *testing.T) {
	start := time.Unix(1e9, 0)
	const span = 10 * time.Second
	for _, bits := range []float64{1e6, 20e6, 100e6, 1e9} {
		for _, streams := range []int{1, 4, 17} {
			for _, late := range []time.Duration{0, 60 * time.Millisecond} {
				t.Run(fmt.Sprintf("%.0f Mbit/s, %d streams, timers %v late", bits/1e6, streams, late), func(t *testing.T) {
					l := &Limit{}
					l.SetRate(bits / 8)
					sent, longest := paced(streams, []*Limit{l}, start, span, late, nil)
					if rate := float64(sent) * 8 / span.Seconds(); rate < bits*0.95 || rate > bits*1.05 {
						t.Errorf("%.2f Mbit/s", rate/1e6)
					}
					if longest > (Timing{}).withDefaults().Ping {
						t.Errorf("a stream sent nothing for %v", longest)
					}
				})
			}
		}
	}
}

func TestTheTightestOfSeveralLimitsHolds(t *testing.T) {
	start := time.Unix(1e9, 0)
	host, network := &Limit{}, &Limit{}
	host.SetRate(10e6)
	network.SetRate(2e6)
	if sent, _ := paced(3, []*Limit{host, network}, start, 10*time.Second, 0, nil); sent < 19e6 || sent > 21e6 {
		t.Errorf("%d bytes in 10 s", sent)
	}
}

func TestLimitChangesWhileItIsInUse(t *testing.T) {
	start := time.Unix(1e9, 0)
	l := &Limit{}
	l.SetRate(1e6)
	sent, _ := paced(4, []*Limit{l}, start, 10*time.Second, 0, map[time.Duration]func(){
		5 * time.Second: func() { l.SetRate(10e6) },
	})
	if want := 55e6; float64(sent) < want*0.95 || float64(sent) > want*1.05 {
		t.Errorf("%d bytes, want %.0f", sent, want)
	}
	l.SetRate(1000) // a piece that was cut before is larger than the burst now
	if wait := l.reserve(start.Add(10*time.Second), maxPiece); wait < 60*time.Second || wait > time.Hour {
		t.Errorf("64 KiB at 1000 bytes per second wait %v", wait)
	}
}

func TestLimitThatIsLoweredByFarSilencesNobody(t *testing.T) {
	start := time.Unix(1e9, 0)
	l := NewLimit(1.25e9)
	_, longest := paced(100, []*Limit{l}, start, 15*time.Second, 0, map[time.Duration]func(){
		300 * time.Millisecond: func() { l.SetRate(1e6 / 8) },
	})
	if longest > (Timing{}).withDefaults().Ping {
		t.Errorf("a stream sent nothing for %v", longest)
	}
}

// Without a limit nothing is held up, and with one the bytes below TLS are what is
// counted, in both directions at both ends.
func TestPaceIsAskedForEveryPieceOfDataStreams(t *testing.T) {
	var asked [2]atomic.Int64
	pace := func(local netip.Addr, d Direction) []*Limit {
		if local != netip.MustParseAddr("127.0.0.1") {
			t.Errorf("local address %v", local)
		}
		if d == Out {
			asked[1].Add(1)
		} else {
			asked[0].Add(1)
		}
		return []*Limit{fast}
	}
	e := newEnv(t, Timing{}, func(o *ListenOptions) { o.Pace = pace })
	if ctl, err := DialControl(e.ctx, e.opt); err != nil {
		t.Fatal(err)
	} else {
		ctl.Close()
	}
	if asked[0].Load()+asked[1].Load() != 0 {
		t.Error("a control connection was held to a pace")
	}
	e.opt.Pace = pace
	src, dst := e.pair(t, KindDisk, 0)
	go func() {
		_, _ = src.Write(make([]byte, 1<<20))
		_ = src.CloseWrite()
	}()
	if _, err := dst.WriteTo(discard{}); err != nil {
		t.Fatal(err)
	}
	if asked[0].Load() == 0 || asked[1].Load() < 1<<20/maxPiece {
		t.Errorf("asked %d times before reading, %d before writing", asked[0].Load(), asked[1].Load())
	}
}

var fast = NewLimit(1e12)

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }

func TestClosingEndsAWaitForTheLimit(t *testing.T) {
	slow := NewLimit(1) // a byte per second
	e := newEnv(t, Timing{Grace: 50 * time.Millisecond})
	e.opt.Pace = func(_ netip.Addr, d Direction) []*Limit {
		if d == Out {
			return []*Limit{slow}
		}
		return nil
	}
	src, _ := e.pair(t, KindMemory, 0)
	wrote := make(chan error, 1)
	go func() {
		_, err := src.Write(make([]byte, 1<<20))
		wrote <- err
	}()
	eventually(t, "the first piece", func() bool { return slow.reserve(time.Now(), 0) > 0 || slow.lim.Tokens() < 0 })
	src.Close()
	if err := <-wrote; !errors.Is(err, errClosed) {
		t.Errorf("Write: %v", err)
	}
}
