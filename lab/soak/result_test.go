package soak

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"drover/internal/record"
	"drover/lab/census"
)

var update = flag.Bool("update", false, "rewrite testdata")

func made(vm string, phase record.Phase) Made { return Made{ID: "m1", VM: vm, Phase: phase} }

func sample() *Result {
	again := made("SOAK01", record.Done)
	again.Again = true
	beside := made("SOAK02", record.Done)
	beside.Beside = true
	step := func(n int, f Fault, settled int64, made ...Made) Step {
		return Step{Plan: Plan{Step: n, Fault: f}, SettledMS: settled, Made: made}
	}
	r := &Result{
		Seed: 42, Planned: 200, Limit: time.Hour, Started: time.Date(2026, 11, 21, 22, 0, 0, 0, time.UTC), DurationMS: 1_234_567,
		Versions: map[string]string{"qemu": "10.0.3", "libvirt": "11.3.0", "drover": "v0.1", "kernel": "6.1", "cores": "2"},
		VMs:      VMs(), Copies: 1, Heartbeats: 123456,
		Steps: []Step{
			step(1, None, 100, made("SOAK01", record.Done)),
			step(2, CutBoth, 4000, made("SOAK01", record.Failed), beside, again),
			step(3, CutBoth, 2000, made("SOAK01", record.Done)),
			step(4, Cancel, 500, made("SOAK01", record.Cancelled), again),
		},
		Growth: []Figure{{Host: "HV01", What: "agent: resident memory", Unit: "bytes", Before: 50 << 20, After: 52 << 20, Allowed: 74 << 20, Moves: 60}},
	}
	r.Steps[2].Missed = true
	r.Sum()
	return r
}

func TestSum(t *testing.T) {
	r := sample()
	if r.Moves != 7 || r.Outcomes["done"] != 5 || r.Outcomes["failed"] != 1 || r.Outcomes["cancelled"] != 1 {
		t.Errorf("%d moves, %v", r.Moves, r.Outcomes)
	}
	want := []FaultCount{
		{Fault: None, Moves: 4, Done: 4},
		{Fault: CutBoth, Moves: 2, Done: 1, Stayed: 1, Missed: 1, SettledMedianMS: 4000, SettledMaxMS: 4000},
		{Fault: Cancel, Moves: 1, Stayed: 1, SettledMedianMS: 500, SettledMaxMS: 500},
	}
	if len(r.Faults) != len(want) {
		t.Fatalf("%+v", r.Faults)
	}
	for i, f := range r.Faults {
		f.settled = nil
		if w := want[i]; f.Fault != w.Fault || f.Moves != w.Moves || f.Done != w.Done || f.Stayed != w.Stayed || f.Missed != w.Missed ||
			f.SettledMedianMS != w.SettledMedianMS || f.SettledMaxMS != w.SettledMaxMS {
			t.Errorf("got %+v, want %+v", f, w)
		}
	}
	r.Sum()
	if r.Moves != 7 {
		t.Errorf("summed twice: %d moves", r.Moves)
	}
}

func TestSound(t *testing.T) {
	for name, spoil := range map[string]func(*Result){
		"broken": func(r *Result) { r.Broken = append(r.Broken, Broken{Step: 2, What: "lost"}) },
		"grown":  func(r *Result) { r.Grown = append(r.Grown, "2, was 1: HV01 file: x") },
		"figure": func(r *Result) { r.Growth[0].After = r.Growth[0].Allowed + 1 },
	} {
		r := sample()
		if !r.Sound() {
			t.Fatal("a good run is not sound")
		}
		if spoil(r); r.Sound() {
			t.Errorf("%s: sound", name)
		}
	}
}

func TestMarkdown(t *testing.T) {
	bad := sample()
	bad.Stopped = "the limit of 1h0m0s"
	bad.Broken = []Broken{{Step: 2, VM: "SOAK01", Move: "m1", What: "runs on <two> | hosts"}}
	bad.Growth[0].After = 80 << 20
	bad.Grown, bad.LibvirtGrown = []string{"2, was 1: HV01 file: /srv/vms/x"}, []string{"1, was 0: HV02 file: /run/libvirt/qemu/domain-#-SOAK#"}
	for name, r := range map[string]*Result{"good.md": sample(), "bad.md": bad} {
		path, got := filepath.Join("testdata", name), Markdown(r)
		if *update {
			if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if got != string(want) {
			t.Errorf("%s differs; -update rewrites it:\n%s", name, got)
		}
		if strings.HasSuffix(got, "\n\n") || strings.Contains(got, "\n\n\n") || strings.Contains(got, "%!") {
			t.Errorf("%s:\n%q", name, got)
		}
	}
}

func TestAgentFigures(t *testing.T) {
	var samples []Sample
	life := func(host, start string, n int, of func(i int) census.Agent) {
		for i := range n {
			a := of(i)
			a.Start = start
			samples = append(samples, Sample{Host: host, Moves: i, Agent: a})
		}
	}
	flat := func(i int) census.Agent { return census.Agent{RSS: 50 << 20, Goroutines: 40 + i%3, OpenFiles: 30} }
	life("HV01", "1", 40, flat)
	life("HV01", "2", 30, func(i int) census.Agent { return census.Agent{RSS: int64(i) << 30} }) // shorter
	life("HV02", "1", 40, func(i int) census.Agent {
		return census.Agent{RSS: 50<<20 + int64(i)<<20, Goroutines: 40 + i, OpenFiles: 30 + i/2}
	})
	life("HV03", "1", 3*window-1, flat)
	figures := AgentFigures(samples)
	if len(figures) != 6 {
		t.Fatalf("%+v", figures)
	}
	for i, f := range figures {
		if f.Grown() != (f.Host == "HV02") {
			t.Errorf("%+v: grown %v", f, f.Grown())
		}
		if i < 3 && (f.Host != "HV01" || f.Moves != 34) {
			t.Errorf("%+v", f)
		}
	}
}

func TestStateFigures(t *testing.T) {
	before := census.Size{Files: 4, Bytes: 100 << 10}
	for _, c := range []struct {
		name  string
		after census.Size
		grown bool
	}{
		{"as it was", before, false},
		{"a journal of ten moves more", census.Size{Files: 4, Bytes: before.Bytes + 10*JournalAllowance}, false},
		{"more than ten moves need", census.Size{Files: 4, Bytes: before.Bytes + 10*JournalAllowance + 1}, true},
		{"another file", census.Size{Files: 5, Bytes: before.Bytes}, true},
	} {
		grown := false
		for _, f := range StateFigures("HV01", before, c.after, 10) {
			grown = grown || f.Grown()
		}
		if grown != c.grown {
			t.Errorf("%s: grown %v", c.name, grown)
		}
	}
}

func TestReadGivesWhatWasWritten(t *testing.T) {
	want := sample()
	raw, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "soak.json")
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := Read(path)
	if err != nil || Markdown(got) != Markdown(want) {
		t.Errorf("%v, %+v", err, got)
	}
	if _, err := Read(path + ".not"); err == nil {
		t.Error("read what is not there")
	}
}
