package move

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"testing"
	"time"

	"drover/internal/virt"
	"drover/internal/wire"
)

// limited is an Outgoing that only remembers limits.
type limited struct {
	Outgoing
	told []time.Duration
	err  error
}

func (l *limited) SetMaxDowntime(_ context.Context, d time.Duration) error {
	l.told = append(l.told, d)
	return l.err
}

func aiming(kind wire.MoveKind, limitMS int) (*source, *limited) {
	l := &limited{}
	r := &run{m: &Manager{opt: Options{StatsInterval: 500 * time.Millisecond}}, log: slog.New(slog.DiscardHandler)}
	r.rec.Request.MaxBlackoutMS = limitMS
	return &source{run: r, kind: kind, out: l}, l
}

func TestAMoveTriesForAPartOfTheBlackoutAtFirst(t *testing.T) {
	for _, c := range []struct {
		kind  wire.MoveKind
		limit int
		want  time.Duration
	}{
		{wire.Live, 0, 30 * time.Millisecond},
		{wire.Live, 900, 90 * time.Millisecond},
		{wire.Live, 60, leastAim},
		{wire.Live, 10, 10 * time.Millisecond},
		{wire.Paused, 900, 900 * time.Millisecond},
	} {
		s, l := aiming(c.kind, c.limit)
		if got := s.firstLimit(); got != c.want {
			t.Errorf("%s with %d ms: %s, want %s", c.kind, c.limit, got, c.want)
		}
		if err := s.tellLimit(t.Context(), 90*time.Millisecond); err != nil {
			t.Fatal(err)
		}
		want := leastAim
		if c.kind != wire.Live {
			want = 90 * time.Millisecond
		}
		if !slices.Equal(l.told, []time.Duration{want}) {
			t.Errorf("%s: told %v, want %s", c.kind, l.told, want)
		}
	}
}

// Emulated by QEMU 7.2 a guest lost pages in rounds that a short limit adds.
func TestAnEmulatedGuestIsSentInFewRounds(t *testing.T) {
	for _, c := range []struct {
		kind, qemu string
		want       time.Duration
	}{{"qemu", "7.2.22", 900 * time.Millisecond}, {"qemu", "", 900 * time.Millisecond}, {"qemu", "10.0.13", 90 * time.Millisecond}, {"kvm", "7.2.22", 90 * time.Millisecond}} {
		s, _ := aiming(wire.Live, 900)
		s.dom.Type, s.own = c.kind, &virt.HostFacts{QEMUVersion: c.qemu}
		if got := s.firstLimit(); got != c.want {
			t.Errorf("%s on QEMU %q: %s, want %s", c.kind, c.qemu, got, c.want)
		}
	}
}

func TestTheWholeLimitIsUsedWhenRoundsBringLittle(t *testing.T) {
	const often, interval = 100 * time.Millisecond, 500 * time.Millisecond
	for name, c := range map[string]struct {
		st   virt.JobStats
		next time.Duration
		told bool
	}{
		"nothing sent yet":        {virt.JobStats{MemoryRemaining: 1 << 30}, interval, false},
		"early in the first":      {virt.JobStats{Iteration: 1, MemoryRemaining: 1 << 30, MemoryBPS: 100 << 20}, interval, false},
		"near its end":            {virt.JobStats{Iteration: 1, MemoryRemaining: 60 << 20, MemoryBPS: 100 << 20}, 300 * time.Millisecond, false},
		"at its end":              {virt.JobStats{Iteration: 1, MemoryRemaining: 1 << 20, MemoryBPS: 100 << 20}, often, false},
		"a guest that is calm":    {virt.JobStats{Iteration: 3, MemoryRemaining: 9 << 20, MemoryBPS: 100 << 20, DirtyRate: 20 << 20}, often, false},
		"a guest that is busy":    {virt.JobStats{Iteration: 2, MemoryRemaining: 9 << 20, MemoryBPS: 100 << 20, DirtyRate: 60 << 20}, interval, true},
		"many rounds":             {virt.JobStats{Iteration: 6, MemoryRemaining: 9 << 20, MemoryBPS: 100 << 20, DirtyRate: 20 << 20}, interval, true},
		"nothing known of either": {virt.JobStats{Iteration: 2}, often, false},
	} {
		t.Run(name, func(t *testing.T) {
			s, l := aiming(wire.Live, 900)
			s.firstLimit()
			if next := s.judge(t.Context(), c.st); next != c.next {
				t.Errorf("looks again after %s, want %s", next, c.next)
			}
			if told := slices.Equal(l.told, []time.Duration{900 * time.Millisecond}); told != c.told {
				t.Errorf("told %v", l.told)
			}
		})
	}
}

func TestALimitThatIsNotTakenIsToldAgain(t *testing.T) {
	s, l := aiming(wire.Live, 900)
	s.firstLimit()
	busy := virt.JobStats{Iteration: 2, MemoryBPS: 1, DirtyRate: 2}
	l.err = errors.New("the domain has another job")
	s.judge(t.Context(), busy)
	l.err = nil
	for range 3 {
		s.judge(t.Context(), busy)
	}
	if len(l.told) != 2 {
		t.Errorf("told %v", l.told)
	}
	if err := s.tellLimit(t.Context(), time.Second); err != nil || l.told[2] != time.Second {
		t.Errorf("an operator's limit becomes %v, %v", l.told, err)
	}
}
