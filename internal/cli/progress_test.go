package cli

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"drover/internal/record"
)

const (
	mib = 1 << 20
	gib = 1 << 30
)

var start = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

// transferView is a move 42 s old: memory under way, one disk done, one not.
func transferView() *view {
	v := newView(&record.Record{ID: "01", VM: "APP01", Peer: "HV02", Role: record.Source, Created: start}, start)
	v.source, v.destination = "HV01", "HV02"
	v.apply(record.Event{Time: start.Add(42 * time.Second), Kind: record.EventProgress, Phase: record.Transfer, Progress: &record.Progress{
		Memory:    record.Item{Name: "memory", Total: 4 * gib, Done: 5 * gib, Remaining: gib, Rate: 112 * mib},
		Disks:     []record.Item{{Name: "vda", Total: 10 * gib, Done: 10 * gib}, {Name: "vdb", Total: 2 * gib, Done: gib / 2, Remaining: 3 * gib / 2, Rate: 95 * mib}},
		DirtyRate: 12 * mib, Iteration: 3, WireBytes: 15 * gib, BlackoutMS: 120,
	}}, start)
	return v
}

func TestBlockFitsTheTerminal(t *testing.T) {
	for _, tc := range []struct {
		name          string
		width, height int
		want          string
	}{
		{"wide terminal has bars", 100, 24, `
APP01  HV01 -> HV02  transfer  00:42
  memory  [#####################.......]   75%  5.0 GiB / 4.0 GiB  112 MiB/s  1.0 GiB left
  vdb     [#######.....................]   25%  512 MiB / 2.0 GiB   95 MiB/s  1.5 GiB left
  vda     [############################]  100%    10 GiB / 10 GiB      0 B/s      0 B left
  dirty rate 12 MiB/s, iteration 3, 15 GiB on the wire, blackout about 120 ms
`},
		{"80 columns have a small bar", 80, 24, `
APP01  HV01 -> HV02  transfer  00:42
  memory  [############.....]   75%  5.0 GiB / 4.0 GiB  112 MiB/s  1.0 GiB left
  vdb     [####.............]   25%  512 MiB / 2.0 GiB   95 MiB/s  1.5 GiB left
  vda     [#################]  100%    10 GiB / 10 GiB      0 B/s      0 B left
  dirty rate 12 MiB/s, iteration 3, 15 GiB on the wire, blackout about 120 ms
`},
		{"narrow terminal is cut", 40, 24, `
APP01  HV01 -> HV02  transfer  00:42
  memory   75%  5.0 GiB / 4.0 GiB  112
  vdb      25%  512 MiB / 2.0 GiB   95
  vda     100%    10 GiB / 10 GiB
  dirty rate 12 MiB/s, iteration 3, 15
`},
		{"low terminal leaves disks out", 80, 5, `
APP01  HV01 -> HV02  transfer  00:42
  memory  [############.....]   75%  5.0 GiB / 4.0 GiB  112 MiB/s  1.0 GiB left
  and 2 other disks
  dirty rate 12 MiB/s, iteration 3, 15 GiB on the wire, blackout about 120 ms
`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			lines := transferView().block(tc.width, tc.height, start)
			for i, l := range lines {
				if len(l) >= tc.width {
					t.Errorf("line %d has %d characters in a terminal of %d: %q", i, len(l), tc.width, l)
				}
				lines[i] = strings.TrimRight(l, " ")
			}
			if len(lines) >= tc.height {
				t.Errorf("%d lines in a terminal of %d", len(lines), tc.height)
			}
			if diff := cmp.Diff(strings.TrimPrefix(tc.want, "\n"), strings.Join(lines, "\n")+"\n"); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestElapsedRunsBetweenEventsAndIgnoresTheDifferenceOfClocks(t *testing.T) {
	ours := start.Add(-7 * time.Hour)
	v := newView(&record.Record{VM: "A", Created: start}, ours)
	if got := v.elapsed(ours.Add(3 * time.Second)); got != 3*time.Second {
		t.Errorf("before any event: %v, want 3s", got)
	}
	v.apply(record.Event{Time: start.Add(10 * time.Second), Phase: record.Prepare}, ours.Add(time.Minute))
	if got := v.elapsed(ours.Add(time.Minute + 2*time.Second)); got != 12*time.Second {
		t.Errorf("after an event: %v, want 12s", got)
	}
}

func TestRedrawTakesBackExactlyItsOwnLines(t *testing.T) {
	var b strings.Builder
	d := &redrawer{canvas{screen: &screen{w: &b, terminal: true, size: func() (int, int) { return 62, 24 }}}}
	v := newView(&record.Record{VM: "A", Peer: "HV02", Role: record.Source, Created: start, Phase: record.Queued}, start)
	d.tick(v, start)
	v.apply(record.Event{Time: start, Phase: record.Transfer, Progress: &record.Progress{Memory: record.Item{Name: "memory", Total: gib, Remaining: gib}}}, start)
	d.event(v, record.Event{Kind: record.EventProgress}, start)
	d.notice("careful\x1b[2J")
	d.tick(v, start)
	d.clear()
	d.clear()
	want := "\rA  this host -> HV02  queued  00:00\x1b[K\n\x1b[J" +
		"\x1b[1A\rA  this host -> HV02  transfer  00:00\x1b[K\n" +
		"\r  memory    0%      0 B / 1.0 GiB      0 B/s  1.0 GiB left\x1b[K\n" +
		"\r  dirty rate 0 B/s, iteration 0, 0 B on the wire\x1b[K\n\x1b[J" +
		"\x1b[3A\r\x1b[Jcareful\\x1b[2J\n" +
		"\rA  this host -> HV02  transfer  00:00\x1b[K\n" +
		"\r  memory    0%      0 B / 1.0 GiB      0 B/s  1.0 GiB left\x1b[K\n" +
		"\r  dirty rate 0 B/s, iteration 0, 0 B on the wire\x1b[K\n\x1b[J" +
		"\x1b[3A\r\x1b[J"
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Error(diff)
	}
}

func TestPlainLinesAreThinnedOut(t *testing.T) {
	var b strings.Builder
	d := &liner{w: &b}
	v := transferView()
	for s := range 13 {
		ev := record.Event{Time: start.Add(time.Duration(s) * time.Second), Kind: record.EventProgress, Phase: record.Transfer, Progress: &record.Progress{
			Memory: record.Item{Name: "memory", Total: gib, Done: uint64(s) * 64 * mib, Remaining: gib - uint64(s)*64*mib, Rate: 64 * mib},
		}}
		v.apply(ev, start)
		d.event(v, ev, start)
	}
	ev := record.Event{Time: start.Add(14 * time.Second), Kind: record.EventPhase, Phase: record.Handover}
	v.apply(ev, start)
	d.event(v, ev, start)
	var want strings.Builder
	fmt.Fprintln(&want, "00:00 transfer")
	for _, s := range []int{0, 5, 10} {
		done, left := size(uint64(s)*64*mib), size(gib-uint64(s)*64*mib)
		fmt.Fprintf(&want, "00:%02d transfer: memory %d%% (%s of 1.0 GiB, 64 MiB/s, %s left); dirty rate 0 B/s, iteration 0, 0 B on the wire\n", s, s*64*100/1024, done, left)
	}
	fmt.Fprintln(&want, "00:14 handover")
	if diff := cmp.Diff(want.String(), b.String()); diff != "" {
		t.Error(diff)
	}
}

func TestTextFromElsewhereCannotDriveTheTerminal(t *testing.T) {
	for in, want := range map[string]string{
		"APP01":            "APP01",
		"Büro-Server":      "Büro-Server",
		"a\x1b]0;owned\a":  `a\x1b]0;owned\x07`,
		"a\nb\rc":          `a\x0ab\x0dc`,
		"c1\u009b2J":       `c1\x9b2J`,
		"evil\u202etxt":    `evil\x202etxt`,
		"tab\tkept as hex": `tab\x09kept as hex`,
	} {
		if got := clean(in); got != want {
			t.Errorf("clean(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestMeasuredTimesAndCounts(t *testing.T) {
	for ms, want := range map[int64]string{0: "0 ms", 212: "212 ms", 999: "999 ms", 41200: "41.2 s", 750_000: "12m30s"} {
		if got := milliseconds(ms); got != want {
			t.Errorf("milliseconds(%d) = %q, want %q", ms, got, want)
		}
	}
	if got := clock(time.Hour + 2*time.Minute + 3*time.Second); got != "1:02:03" {
		t.Errorf("clock = %q", got)
	}
	for _, tc := range []struct{ total, remaining, want uint64 }{{100, 100, 0}, {100, 1, 99}, {0, 0, 100}, {100, 300, 0}} {
		if got := percent(tc.total, tc.remaining); got != tc.want {
			t.Errorf("percent(%d, %d) = %d, want %d", tc.total, tc.remaining, got, tc.want)
		}
	}
}
