package bench

import (
	"context"
	"errors"
	"io"
	"math"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"drover/internal/guest"
)

func names(ways []way) (out []string) {
	for _, w := range ways {
		out = append(out, w.Name)
	}
	return out
}

func TestWaysAreChosenByNameInTheOrderOfTheTable(t *testing.T) {
	for _, c := range []struct {
		asked []string
		quick bool
		want  []string
	}{
		{nil, false, WayNames()},
		{nil, true, []string{"libvirt-tcp", "libvirt-multifd", "libvirt-multifd-zstd", "libvirt-tls", "relay", "drover-tcpip", "drover-compression", "drover-tcpip-plain"}},
		{[]string{"relay", "libvirt-xbzrle"}, false, []string{"libvirt-xbzrle", "relay"}},
		{[]string{"libvirt-xbzrle"}, true, []string{"libvirt-xbzrle"}},
	} {
		got, err := selectWays(c.asked, c.quick)
		if err != nil || !slices.Equal(names(got), c.want) {
			t.Errorf("%v, quick %v: %v, %v; want %v", c.asked, c.quick, names(got), err, c.want)
		}
	}
	if _, err := selectWays([]string{"carrier-pigeon"}, false); err == nil {
		t.Error("an unknown way was taken")
	}
}

// Every way in every round, and none always first or always after the same one.
func TestRoundsGoThroughAllWaysInDifferentOrders(t *testing.T) {
	first, before := map[string]bool{}, map[string]bool{}
	const rounds = 5
	for round := range rounds {
		order := names(inOrder(allWays, round))
		sorted, want := slices.Sorted(slices.Values(order)), slices.Sorted(slices.Values(WayNames()))
		if !slices.Equal(sorted, want) {
			t.Fatalf("round %d: %v", round, order)
		}
		first[order[0]] = true
		if i := slices.Index(order, "relay"); i > 0 {
			before[order[i-1]] = true
		}
	}
	if len(first) != rounds || len(before) < 2 {
		t.Errorf("first were %v, before the relay %v", first, before)
	}
}

func TestLinks(t *testing.T) {
	got, err := selectLinks([]string{"250M", "10G", "unshaped"}, false)
	want := []Link{{Name: "250M", Shaped: 250e6}, {Name: "10G", Shaped: 10e9}, {Name: "unshaped"}}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%v, %v", got, err)
	}
	if all, err := selectLinks(nil, false); err != nil || len(all) != 4 {
		t.Errorf("%v, %v", all, err)
	}
	if quick, err := selectLinks(nil, true); err != nil || len(quick) != 2 || quick[0].Name != "1G" {
		t.Errorf("%v, %v", quick, err)
	}
	for _, bad := range [][]string{{"fast"}, {"100"}, {"0M"}, {"-1G"}, {"1G", "1G"}, {""}, {"1gbit"}} {
		if got, err := selectLinks(bad, false); err == nil {
			t.Errorf("%q: %v", bad, got)
		}
	}
}

func TestGuests(t *testing.T) {
	of := func(asked []string, quick, storage bool) string {
		t.Helper()
		chosen, err := selectSubjects(asked, quick, storage)
		if err != nil {
			t.Fatal(err)
		}
		var out []string
		for _, s := range chosen {
			out = append(out, s.name)
		}
		return strings.Join(out, " ")
	}
	for _, c := range []struct {
		asked          []string
		quick, storage bool
		want           string
	}{
		{nil, false, false, "idle database build"},
		{nil, false, true, "idle database build storage"},
		{nil, true, false, strings.Join(quickGuests, " ")},
		{[]string{"build"}, true, true, "build storage"},
		{[]string{"storage"}, false, false, "storage"},
	} {
		if got := of(c.asked, c.quick, c.storage); got != c.want {
			t.Errorf("%+v: %s", c, got)
		}
	}
	if _, err := selectSubjects([]string{"desktop"}, false, false); err == nil {
		t.Error("an unknown guest was taken")
	}
}

// A run of hours must not write its records over the content that is compared at the end.
func TestTheStorageGuestsRecordsStayBelowTheContent(t *testing.T) {
	p := storageSubject().params
	if hours := time.Duration(firstExtent/guest.RecordSize) * p.Record / time.Hour; hours < 3 {
		t.Errorf("the records reach the content after %d hours", hours)
	}
	if last := extentAt(extents-1) + extentBytes; last > diskBytes {
		t.Errorf("the content ends at %d of %d", last, diskBytes)
	}
}

func TestMedian(t *testing.T) {
	for _, c := range []struct {
		of   []float64
		want float64
	}{{[]float64{3, 1, 2}, 2}, {[]float64{4, 1, 3, 2}, 2.5}, {[]float64{7}, 7}} {
		if got := median(c.of); got != c.want {
			t.Errorf("%v: %v", c.of, got)
		}
	}
	if !math.IsNaN(median(nil)) {
		t.Error("the median of nothing is a number")
	}
}

func report() *Report {
	r := &Report{Guests: []Content{{Guest: "idle"}}, Links: []Link{{Name: "1G", Shaped: 1e9, Measured: 95e7}}}
	for _, w := range allWays {
		r.addWay(w.Way)
	}
	for round, total := range []int64{1000, 5000, 2000} {
		r.Samples = append(r.Samples,
			Sample{Way: "libvirt-tcp", Guest: "idle", Link: "1G", Round: round + 1, TotalMS: total, WireBytes: 100 << 20, BlackoutGuestMS: 50},
			Sample{Way: "libvirt-tls", Guest: "idle", Link: "1G", Round: round + 1, TotalMS: 1, WireBytes: 1, BlackoutGuestMS: 1},
			Sample{Way: "drover-compression", Guest: "idle", Link: "1G", Round: round + 1, TotalMS: total / 2, WireBytes: 40 << 20, BlackoutGuestMS: 50})
	}
	for round := 1; round <= 2; round++ {
		s := Sample{Way: "relay", Guest: "idle", Link: "1G", Round: round}
		r.Samples = append(r.Samples, s.failed(notConverged+" 3s"))
	}
	return r
}

// What failed has no share in the medians, and what is encrypted none in the best
// unencrypted peer's.
func TestMediansAndRatios(t *testing.T) {
	r := report()
	var out strings.Builder
	if err := r.print(&out); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(out.String()) {
		f := strings.Fields(line)
		if len(f) == 0 || f[0] != "drover-compression" {
			continue
		}
		if tail := f[len(f)-5:]; !slices.Equal(tail, []string{"0.50", "1000.00", "0.40", "1.00", "-"}) {
			t.Errorf("ratios %v in\n%s", tail, out.String())
		}
		return
	}
	t.Errorf("no line of drover-compression in\n%s", out.String())
}

func TestWhatDoesNotConvergeIsTriedTwice(t *testing.T) {
	r := report()
	if n := r.gaveUp(Sample{Way: "relay", Guest: "idle", Link: "1G", Round: 3}); n != triesWithoutEnd {
		t.Errorf("gave up %d times", n)
	}
	if n := r.gaveUp(Sample{Way: "relay", Guest: "idle", Link: "10G", Round: 3}); n != 0 {
		t.Errorf("gave up %d times on another link", n)
	}
}

func TestResumeKeepsWhatIsThere(t *testing.T) {
	out := filepath.Join(t.TempDir(), "deep", "bench.json")
	one := &bench{Options: Options{Out: out, Rounds: 3}, report: *report()}
	if err := one.write(); err != nil {
		t.Fatal(err)
	}
	two := &bench{Options: Options{Out: out, Rounds: 5, Resume: true, Links: []string{"1G"}, Guests: []string{"idle"}, Ways: []string{"libvirt-tcp"}}}
	if err := errors.Join(two.choose(), two.open()); err != nil {
		t.Fatal(err)
	}
	g, l, w := two.plan.guests[0], two.plan.links[0], two.plan.ways[0]
	if two.report.Rounds != 5 || two.wanted(w, g, l, 3) || !two.wanted(w, g, l, 4) || !two.missesAny(g) {
		t.Errorf("%d rounds, %d samples", two.report.Rounds, len(two.report.Samples))
	}
	two.Rounds = 3
	if two.missesAny(g) {
		t.Error("a guest that has all its samples would be booted")
	}
	fresh := &bench{Options: Options{Out: out, Rounds: 5}}
	if err := errors.Join(fresh.choose(), fresh.open()); err != nil || len(fresh.report.Samples) != 0 {
		t.Errorf("without --resume: %d samples, %v", len(fresh.report.Samples), err)
	}
	none := &bench{Options: Options{Out: filepath.Join(t.TempDir(), "none.json"), Resume: true}}
	if err := errors.Join(none.choose(), none.open()); err != nil {
		t.Errorf("with nothing to resume: %v", err)
	}
}

func TestVersionNumbers(t *testing.T) {
	for s, want := range map[string]int{"9.0.0": 9000000, "11.3.0": 11003000, " 9.4.0\n": 9004000, "9": 0, "a.b.c": 0, "": 0} {
		if got := versionNumber(s); got != want {
			t.Errorf("%q: %d", s, got)
		}
	}
}

func TestFieldsOfStatusAndStatistics(t *testing.T) {
	const text = "Name:\tdroverd\nVmHWM:\t  40960 kB\nitem\ntime_elapsed: 4280\ndowntime: x\n"
	for name, want := range map[string]int64{"VmHWM:": 40960, "time_elapsed:": 4280, "downtime:": -1, "VmRSS:": -1} {
		if got := field(text, name); got != want {
			t.Errorf("%s: %d", name, got)
		}
	}
}

func TestOwnProcessIsMeasured(t *testing.T) {
	if p := residentPeak(os.Getpid()); p < 1<<20 {
		t.Errorf("peak %d", p)
	}
	if !slices.Contains(children(os.Getppid()), os.Getpid()) {
		t.Error("not among the children of its parent")
	}
	start, err := guestMemory(os.Getpid(), 1<<12)
	if err != nil || start == 0 {
		t.Errorf("a mapping of our own: %d, %v", start, err)
	}
}

// pair is a TCP connection.
func pair(t *testing.T) (a, b net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if a, err = net.Dial("tcp4", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if b, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	return a, b
}

// The relay carries both directions, and their ends one by one.
func TestCarrierCarriesHalfClosedConnections(t *testing.T) {
	defer goleak.VerifyNone(t)
	c := &carrier{}
	qemu, near := pair(t)
	far, other := pair(t)
	c.carry(near, far)
	send := func(conn net.Conn, text string) {
		t.Helper()
		if _, err := io.WriteString(conn, text); err != nil {
			t.Fatal(err)
		}
		if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
	}
	receive := func(conn net.Conn, want string) {
		t.Helper()
		if got, err := io.ReadAll(conn); err != nil || string(got) != want {
			t.Errorf("%q, %v", got, err)
		}
	}
	send(qemu, "memory")
	receive(other, "memory")
	send(other, "thanks")
	receive(qemu, "thanks")
	c.end()
	qemu.Close()
	other.Close()
	c.carry(pair(t)) // too late: closed at once
	c.end()
}

func TestThroughputIsMeasured(t *testing.T) {
	defer goleak.VerifyNone(t)
	out, in := pair(t)
	defer in.Close()
	sent := make(chan error, 1)
	go func() { sent <- flood(out, 60*time.Millisecond) }()
	if bits, err := drain(in, 0); err != nil || bits <= 0 {
		t.Errorf("%v, %v", bits, err)
	}
	if err := <-sent; err != nil {
		t.Error(err)
	}
}

func TestContentOfTheDiskIsFilesAndNoise(t *testing.T) {
	defer goleak.VerifyNone(t)
	ctx, cancel := context.WithCancel(t.Context())
	files, done := realFiles(ctx)
	some := make([]byte, 1<<20)
	if _, err := io.ReadFull(files, some); err != nil {
		t.Error(err)
	}
	cancel()
	done()
}
