package agent

import (
	"errors"
	"fmt"
	"math"
	"runtime"
	"testing"
	"time"

	"drover/internal/settings"
	"drover/internal/stream"
)

func TestIdleProcessorsAreThoseOfLate(t *testing.T) {
	e := stream.NewEncoders(3)
	defer e.Close()
	p := newProcessors(e)
	stat, failure := "", error(nil)
	p.read = func(b []byte) (int, error) { return copy(b, stat), failure }
	later := func() { p.looked = p.looked.Add(-2 * lookEvery) }
	all := float64(runtime.NumCPU())

	stat = "cpu  100 0 100 700 100 0 0 0 50 0\ncpu0 1 2 3 4\n"
	if v := p.Idle(); v != all/2 {
		t.Errorf("%v at the first look", v)
	}
	stat = "cpu  160 0 115 715 110 0 0 0 90 0\n" // 75 of 100 at work
	if v := p.Idle(); v != all/2 {
		t.Errorf("%v a moment later", v)
	}
	later()
	if v := p.Idle(); math.Abs(v-all/4) > 1e-9 {
		t.Errorf("%v of %v", v, all)
	}
	for _, bad := range []string{"", "cpu", "intr 1 2 3 4 5", "cpu 1 2 3 x", "cpu 1 1 1 1"} {
		stat = bad
		later()
		if v := p.Idle(); math.Abs(v-all/4) > 1e-9 {
			t.Errorf("%v after %q", v, bad)
		}
	}
	failure = errors.New("gone")
	later()
	_ = p.Idle()
	failure, stat = nil, "cpu  1160 0 115 715 110 0 0 0 90 0\n"
	p.looked = p.looked.Add(-time.Hour)
	if v := p.Idle(); math.Abs(v-all/4) > 1e-9 {
		t.Errorf("%v from a look an hour ago", v)
	}
	stat = "cpu  1160 0 115 815 110 0 0 0 90 0\n"
	later()
	if v := p.Idle(); v != all {
		t.Errorf("%v of %v, with nothing to do", v, all)
	}
	if s := p.Encoders(); s != 3 {
		t.Errorf("%v encoders", s)
	}
}

func TestTheSystemTellsItsTicks(t *testing.T) {
	var b [512]byte
	n, err := readStat(b[:])
	got, ok := parseTicks(b[:n])
	if err != nil || !ok || got.all == 0 || got.idle > got.all {
		t.Error(fmt.Sprint(got, ok, err))
	}
}

func TestEncodersFollowTheSettings(t *testing.T) {
	s := settings.Default()
	c := newCoder(s)
	defer c.close()
	if n, want := c.encoders.Limit(), max(runtime.NumCPU()/2, 1); n != want {
		t.Errorf("%d threads by default, not %d", n, want)
	}
	s.CompressionCores = settings.Cores(runtime.NumCPU() + 7)
	c.follow(s)
	if n, want := c.encoders.Limit(), runtime.NumCPU(); n != want || c.host.Encoders() != float64(want) {
		t.Errorf("%d threads of %d, %v for a stream", n, want, c.host.Encoders())
	}
}
