package bench

import (
	"encoding/json"
	"flag"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func TestSpread(t *testing.T) {
	for _, tc := range []struct {
		values []float64
		want   string
	}{
		{nil, "-"},
		{[]float64{-1}, "-"},
		{[]float64{2}, "2.0"},
		{[]float64{3, 1, 2}, "2.0 (1.0-3.0)"},
		{[]float64{4, 1, 2, 3}, "2.5 (1.0-4.0)"},
		{[]float64{2, -1, 2.01}, "2.0"},
	} {
		if got := spreadOf(tc.values).text(1, "%.1f"); got != tc.want {
			t.Errorf("%v gave %q, want %q", tc.values, got, tc.want)
		}
	}
}

// sampleReport has every case that the page tells apart: met and missed targets, a
// way that is not available, one that always fails, one that failed once.
func sampleReport() *Report {
	r := &Report{
		Versions: map[string]string{"qemu": "7.2.22 (Debian)", "libvirt": "9.0.0", "cores": "2", "drover": "test"},
		Started:  "2026-11-21T08:00:00Z", Rounds: 3,
		Ways: []Way{peer("libvirt-tcp", false), peer("libvirt-multifd", false), peer("libvirt-tls", true),
			{Name: "relay"}, {Name: tcpip, Encrypted: true}, {Name: compression, Encrypted: true}, {Name: tcpipPlain}},
		Links:       []Link{{Name: "100M", Shaped: 100e6, Measured: 95e6}, {Name: unshaped, Measured: 40e9}},
		Unavailable: map[string]string{"libvirt-multifd-zstd": "libvirt 9.0.0 does not have it, 9.4 does"},
		Guests: []Content{
			{Guest: "idle", Description: "idle server", MemoryBytes: 512 << 20, ZeroShare: 0.38, Zstd1Ratio: 2.31, Compressor: "klauspost zstd, fastest",
				DirtyBytes: 786432, RestCPU: 0.31, Filled: &Filled{Mix: "zero:12,text:18", Bytes: 240 << 20, Zstd1Ratio: 2, Compressor: "zstd 1.5.4 -1", WholeShare: 0.27, PartialBytes: 102}},
			{Guest: "build", Description: "build | machine", MemoryBytes: 384 << 20, DiskBytes: 1 << 30, ZeroShare: 0.2, Zstd1Ratio: 2.4, DirtyBytes: 200 << 20},
		},
	}
	add := func(guest, link, way string, factor float64, failed string) {
		for round := 1; round <= 3; round++ {
			ms := (1000 + 10*float64(round)) * factor
			s := Sample{Way: way, Guest: guest, Link: link, Round: round, TotalMS: int64(ms), MigrationMS: int64(ms) - 300,
				BlackoutGuestMS: int64(100 * factor), BlackoutLibvirtMS: -1, WireBytes: int64(factor * (300 << 20)), CPUQEMU: factor, CPULibvirt: 0.1}
			if strings.HasPrefix(way, "drover") {
				s.CPUAgents, s.AgentPeak, s.Detail = 0.5, 90<<20, "2 connections"
			}
			if failed == "always" || failed == "once" && round == 2 {
				s = Sample{Way: way, Guest: guest, Link: link, Round: round, Failed: "did not converge within 60 s"}
			}
			r.Samples = append(r.Samples, s)
		}
	}
	for _, link := range []string{"100M", unshaped} {
		for way, factor := range map[string]float64{"libvirt-tcp": 10, "libvirt-multifd": 11, "libvirt-tls": 15, "relay": 10.5, tcpip: 10.4, compression: 4.5, tcpipPlain: 10.6} {
			add("idle", link, way, factor, map[string]string{tcpip: "once"}[way])
		}
	}
	add("build", unshaped, "libvirt-tcp", 5, "")
	add("build", unshaped, "libvirt-multifd", 6, "always")
	add("build", unshaped, compression, 7, "")
	add("build", "100M", "libvirt-tcp", 1, "always")
	add("build", "100M", compression, 30, "once")
	return r
}

func TestTargetsAreJudged(t *testing.T) {
	r := sampleReport()
	find := func(link, way, figure, against string) target {
		for _, tg := range targets() {
			if tg.link == link && tg.way == way && tg.figure == figure && tg.against == against {
				return tg
			}
		}
		t.Fatalf("no target %s %s %s %s", link, way, figure, against)
		return target{}
	}
	for _, tc := range []struct {
		guest, link, way, figure, against string
		want                              string
	}{
		{"idle", "100M", compression, "total time", bestPeer, "0.45"},
		{"idle", "100M", compression, "total time", nativeTLS, "0.30"},
		{"idle", "100M", compression, "total time", ownTCPIP, "0.43"},
		{"idle", unshaped, tcpipPlain, "total time", bestPeer, "1.06 **missed**"},
		{"idle", "", compression, "agent's memory", absolute, "90 MiB"},
		{"idle", "1G", compression, "total time", bestPeer, "-"},
		{"build", unshaped, compression, "total time", bestPeer, "1.40 **missed**"},
		{"build", unshaped, compression, "total time", nativeTLS, "-"},
		{"build", "100M", compression, "total time", bestPeer, "no move of the other ended, 1 of 3 moves failed"},
	} {
		tg := find(tc.link, tc.way, tc.figure, tc.against)
		if got := tg.judge(r, tc.guest).cell(tg); !strings.HasPrefix(got, tc.want) {
			t.Errorf("%s %s: %s of %s to %s is %q, want %q", tc.guest, tc.link, tc.figure, tc.way, tc.against, got, tc.want)
		}
	}
	// A way of ours that never gets through is a miss, whatever the others did.
	for i := range r.Samples {
		if s := &r.Samples[i]; s.Way == compression && s.Guest == "idle" {
			*s = Sample{Way: s.Way, Guest: s.Guest, Link: s.Link, Round: s.Round, Failed: "no"}
		}
	}
	tg := find("100M", compression, "total time", bestPeer)
	if v := tg.judge(r, "idle"); !v.measured || v.met || !math.IsNaN(v.value) {
		t.Errorf("%+v", v)
	}
}

// The ratio to the least value of any way is shown where the fastest is not it.
func TestStrictRatioIsShown(t *testing.T) {
	r := sampleReport()
	for i := range r.Samples {
		if s := &r.Samples[i]; s.Way == "libvirt-multifd" && s.Guest == "idle" {
			s.WireBytes /= 4
		}
	}
	for _, tg := range targets() {
		if tg.link == "100M" && tg.figure == "wire bytes" {
			if got := tg.judge(r, "idle").cell(tg); got != "0.45 (1.64)" {
				t.Errorf("got %q", got)
			}
		}
	}
}

func TestReportPage(t *testing.T) {
	dir := t.TempDir()
	r := sampleReport()
	raw, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	in, out := filepath.Join(dir, "in.json"), filepath.Join(dir, "bench.md")
	write(t, in, string(raw))
	write(t, out, "old\n"+notesBegin+"\nA note.\n\nAnother.\n"+notesEnd+"\nold\n")
	if err := WriteReport([]string{in}, out); err != nil {
		t.Fatal(err)
	}
	golden(t, out, "testdata/report.md")
	golden(t, filepath.Join(dir, "bench", "qemu-7.2.22-build.svg"), "testdata/build.svg")
	golden(t, filepath.Join(dir, "bench", "qemu-7.2.22-idle.svg"), "testdata/idle.svg")
	first := read(out)
	if err := WriteReport([]string{in}, out); err != nil || read(out) != first {
		t.Errorf("written again it differs, %v", err)
	}
	if err := WriteReport([]string{in, in}, out); err == nil {
		t.Error("two reports of one generation")
	}
	if err := WriteReport([]string{out}, out); err == nil {
		t.Error("a page is no report")
	}
}

func golden(t *testing.T, got, want string) {
	t.Helper()
	if *update {
		write(t, want, read(got))
	}
	if read(got) != read(want) {
		t.Errorf("%s differs from %s; -update rewrites it:\n%s", got, want, read(got))
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// read is a file's content, "" of one that is not there.
func read(path string) string {
	raw, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	return string(raw)
}
