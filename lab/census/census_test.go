package census

import (
	"slices"
	"strings"
	"testing"
)

func TestGrowth(t *testing.T) {
	before := Census{"HV01 file: a": 1, "HV01 goroutines": 40, "HV01 socket: tcp ESTAB": 3, "HV01 process: sh": 2}
	after := Census{"HV01 file: a": 2, "HV01 goroutines": 44, "HV01 socket: tcp ESTAB": 6, "HV01 file: b": 1}
	want := []string{"2, was 1: HV01 file: a", "1, was 0: HV01 file: b", "6, was 3: HV01 socket: tcp ESTAB"}
	if got := before.Growth(after); !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
	if got := before.Growth(before); got != nil {
		t.Errorf("the same has grown: %q", got)
	}
}

func TestReadMetrics(t *testing.T) {
	const text = `# HELP go_goroutines Number of goroutines.
go_goroutines 42
go_memstats_heap_inuse_bytes 1.2345e+07
process_open_fds 31
process_resident_memory_bytes 4.194304e+07
process_start_time_seconds 1.76376e+09
`
	want := Agent{Start: "1.76376e+09", RSS: 40 << 20, Heap: 12345000, Goroutines: 42, OpenFiles: 31}
	if got, err := readMetrics(strings.NewReader(text)); err != nil || got != want {
		t.Errorf("got %+v, %v", got, err)
	}
	if _, err := readMetrics(strings.NewReader("go_goroutines 42\n")); err == nil {
		t.Error("metrics without the process's own are accepted")
	}
}

func TestNames(t *testing.T) {
	for _, c := range []struct {
		kind, line, want string
	}{
		{"file", "/srv/vms/APP01-0.qcow2", "/srv/vms/APP#-#.qcow#"},
		{"interface", "vnet12@if3 UP", "vnet#@if#"},
		{"mount", "tmpfs /run tmpfs rw", "/run"},
		{"socket", "tcp LISTEN 0 4096 10.77.0.11:6601 0.0.0.0:*", "tcp LISTEN 10.77.0.11:6601"},
		{"socket", "tcp ESTAB 0 0 10.77.0.11:6601 10.77.0.12:40000", "tcp ESTAB"},
	} {
		if got := name(c.kind, strings.Fields(c.line)); got != c.want {
			t.Errorf("%s %q: got %q, want %q", c.kind, c.line, got, c.want)
		}
	}
}
