package faults

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"drover/internal/fault"
	"drover/internal/record"
	"drover/lab"
)

// TestEveryCaseIsExpectedSomewhere: the table has a line for all of the matrix, and no
// fault that leaves one host and all journals needs a person.
func TestEveryCaseIsExpectedSomewhere(t *testing.T) {
	seen := map[Case]bool{}
	for _, c := range Cases() {
		e := Expect(c)
		if len(e.Lives) == 0 {
			t.Errorf("%s: nothing is expected", c)
		}
		if e.Person && c.Fault != DestinationGone {
			t.Errorf("%s: a person decides, and the destination is there", c)
		}
		if seen[c] {
			t.Errorf("%s: twice in the matrix", c)
		}
		seen[c] = true
	}
	if len(seen) < 470 {
		t.Errorf("%d cases", len(seen))
	}
}

func TestExpect(t *testing.T) {
	at := func(r record.Role, p record.Phase) Point { return Point{r, p} }
	for _, c := range []struct {
		at    Point
		fault string
		want  []Place
	}{
		{at(record.Source, record.Transfer), AgentSource, []Place{AtSource}},
		{at(record.Source, record.Handover), AgentSource, []Place{AtSource}},
		{at(record.Destination, record.Finish), AgentSource, []Place{AtDestination}},
		{at(record.Destination, record.Finish), AgentDestination, []Place{AtSource}},
		{at(record.Destination, record.Confirm), AgentDestination, []Place{AtDestination}},
		{at(record.Source, record.Handover), DeafSource, []Place{AtDestination}},
		{at(record.Source, record.Handover), DeafDestination, []Place{AtSource}},
		{at(record.Source, record.Transfer), QEMUSource, []Place{Nowhere}},
		{at(record.Source, record.Handover), QEMUSource, []Place{AtDestination}},
		{at(record.Destination, record.Confirm), QEMUDestination, []Place{Nowhere}},
		{at(record.Source, record.Handover), SourceGone, []Place{Nowhere}},
		{at(record.Destination, record.Handover), SourceGone, []Place{AtDestination}},
		{at(record.Source, record.Queued), CutManagement, []Place{AtSource}},
		{at(record.Source, record.Connect), CutManagement, []Place{AtDestination}},
		{at(record.Source, record.Finish), Cancel, []Place{AtDestination}},
	} {
		if got := Expect(Case{At: c.at, Fault: c.fault}).Lives; !slices.Equal(got, c.want) {
			t.Errorf("%s at %s: %v, want %v", c.fault, c.at, got, c.want)
		}
	}
}

// TestOrder: the end of a move comes first, and all parts together are the whole.
func TestOrder(t *testing.T) {
	cases := Cases()
	if first := cases[0]; first.Storage || first.At.Phase != record.Transfer {
		t.Errorf("begins with %s", first)
	}
	early := slices.IndexFunc(cases, func(c Case) bool { return c.At.Phase == record.Queued })
	late := slices.IndexFunc(cases, func(c Case) bool { return c.Storage && c.At.Phase == record.Confirm })
	if early < late {
		t.Error("early phases come before late ones")
	}
	var together []Case
	for i := range 3 {
		together = append(together, Shard(cases, i+1, 3)...)
	}
	for _, c := range cases {
		if !slices.Contains(together, c) {
			t.Errorf("%s is in no part", c)
		}
	}
	if len(together) != len(cases) {
		t.Errorf("%d in the parts, %d in all", len(together), len(cases))
	}
}

func TestSelect(t *testing.T) {
	storage := true
	cases, err := Options{Only: "source:handover/agent", Storage: &storage}.Select()
	if err != nil || len(cases) != 3 {
		t.Errorf("%v, %v", cases, err)
	}
	for _, o := range []Options{{Only: "nonsense"}, {Only: "("}, {Shard: 4, Shards: 3}, {Shards: 3}} {
		if cases, err := o.Select(); err == nil {
			t.Errorf("%+v gives %d cases", o, len(cases))
		}
	}
}

// TestResume: what was as promised is kept, all else is tried again.
func TestResume(t *testing.T) {
	cases := Cases()[:4]
	file := filepath.Join(t.TempDir(), "sub", "faults.json")
	r := &Report{}
	r.put(Result{Case: cases[0], Lives: AtSource})
	r.put(Result{Case: cases[1], Broken: []string{"two copies"}})
	r.put(Result{Case: cases[2], Problem: "no lab"})
	if err := r.write(file); err != nil {
		t.Fatal(err)
	}
	again, err := Read(file, true)
	if err != nil {
		t.Fatal(err)
	}
	if got := again.missing(cases); !slices.Equal(got, cases[1:]) {
		t.Errorf("missing: %v", got)
	}
	if n := again.broken(cases); n != 2 {
		t.Errorf("%d are broken", n)
	}
	again.put(Result{Case: cases[1], Lives: AtSource})
	if n := again.broken(cases); n != 1 || len(again.Results) != 3 {
		t.Errorf("%d are broken of %d", n, len(again.Results))
	}
	if _, err := Read(filepath.Join(t.TempDir(), "none"), true); err == nil {
		t.Error("a report that is not there is read")
	}
}

func TestPrintedCommand(t *testing.T) {
	e := fault.New(fault.OutcomeUnknown, "HV01", "move", "01ABC", "destination", "HV02", "vm", "APP01")
	got := strings.Join(printed(e.Hint(), "source"), " ")
	if !strings.HasPrefix(got, "drover move resolve 01ABC ") || !strings.Contains(got, "--keep source") || strings.Contains(got, "|") {
		t.Errorf("%q of %q", got, e.Hint())
	}
	if got := printed("ask your administrator", "source"); got != nil {
		t.Errorf("%q", got)
	}
}

// TestTimeline: a VM that changes hands is one copy, one that is seen here, there and
// here again is two.
func TestTimeline(t *testing.T) {
	start := time.Unix(1000, 0)
	see := func(l *timeline, host string, from, to time.Duration) {
		l.saw(host, span{start.Add(from), start.Add(to)})
	}
	const ms = time.Millisecond
	for _, c := range []struct {
		name string
		seen func(*timeline)
		want int
	}{
		{"handed over", func(l *timeline) {
			see(l, "A", 0, 0)
			see(l, "A", 10*ms, 10*ms)
			see(l, "B", 20*ms, 20*ms)
			see(l, "B", 30*ms, 30*ms)
		}, 1},
		{"both run", func(l *timeline) { see(l, "A", 0, 0); see(l, "B", 10*ms, 10*ms); see(l, "A", 20*ms, 20*ms) }, 2},
		{"it came back", func(l *timeline) {
			see(l, "A", 0, 0)
			see(l, "B", time.Second, time.Second)
			see(l, "A", 5*time.Second, 5*time.Second)
		}, 1},
		{"a slow answer", func(l *timeline) { see(l, "A", 0, 5*ms); see(l, "B", 10*ms, 20*ms); see(l, "A", 8*ms, 40*ms) }, 1},
	} {
		l := newTimeline("test")
		c.seen(&l)
		if l.copies != c.want || (l.evidence != "") != (c.want > 1) {
			t.Errorf("%s: %d copies, %s", c.name, l.copies, l.evidence)
		}
	}
}

func TestBelongs(t *testing.T) {
	vm := &lab.VM{Name: "APP01", Disks: []lab.VMDisk{{Path: "/srv/vms/APP01-0.qcow2"}}}
	ids, lives := map[string]string{"APP01": "3"}, map[string]*lab.VM{"APP01": vm}
	for line, want := range map[string]bool{
		"file /srv/vms/APP01-0.qcow2":                    true,
		"file /srv/vms/APP01-1.qcow2":                    false,
		"file /run/libvirt/qemu/APP01.xml":               true,
		"file /var/lib/libvirt/qemu/domain-3-APP01":      true,
		"file /var/lib/libvirt/qemu/domain-2-APP01/x":    false,
		"unix socket /run/drover/m/01ABC/memory.sock":    false,
		"connection 192.168.10.11:6600 192.168.10.12:99": false,
	} {
		if got := belongs(line, ids, lives); got != want {
			t.Errorf("%s: %v", line, got)
		}
	}
	var left Leftovers
	for _, line := range []string{"file /var/lib/libvirt/qemu/domain-2-APP01/x", "file /var/lib/libvirt/qemu/nvram/APP01_VARS.fd", "listening on 0.0.0.0:6602"} {
		left.add(line)
	}
	if len(left.Forgotten) != 1 || len(left.Ours) != 2 {
		t.Errorf("%+v", left)
	}
}

// TestReport: the generated part is replaced, what a person wrote stays.
func TestReport(t *testing.T) {
	dir := t.TempDir()
	first, second, page := filepath.Join(dir, "1.json"), filepath.Join(dir, "2.json"), filepath.Join(dir, "faults.md")
	cases := Cases()
	versions := map[string]string{"qemu": "10.0", "libvirt": "11.3"}
	good := Result{Case: cases[0], Lives: AtSource, Expected: []Place{AtSource}, Verified: true, Copies: 1, Settled: 2}
	bad := Result{Case: cases[1], Lives: Nowhere, Expected: []Place{AtSource}, Broken: []string{"lost | gone"}, Copies: 2,
		Left: Leftovers{Forgotten: []string{"HV01: file /var/lib/libvirt/qemu/domain-7-APP01"}}}
	for file, r := range map[string]*Report{first: {Versions: versions, Results: []Result{good, {Case: cases[1], Problem: "no lab"}}}, second: {Versions: versions, Results: []Result{bad}}} {
		if err := r.write(file); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(page, []byte("# Faults\n\nmine\n\n"+generatedBegin+"\nold\n"+generatedEnd+"\n\nalso mine\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := WriteReport([]string{first, second}, page, "\n## More\n"); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	text := string(raw)
	for _, want := range []string{"\nmine\n", "\nalso mine\n", "QEMU 10.0", "| tried | 2 |", "| most copies that ran at one instant | 2 |", "| guests lost | 1 |",
		"| with any promise broken | 1 |", "lost | gone", "/domain-N-APP01", "## More", " S 2 |"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in the page:\n%s", want, text)
		}
	}
	if strings.Contains(text, "old") || strings.Contains(text, "no lab") {
		t.Errorf("what was replaced is there:\n%s", text)
	}
	if err := os.WriteFile(page, []byte("# Faults\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := WriteReport([]string{first}, page); err == nil {
		t.Error("a page without marks was overwritten")
	}
	if err := WriteReport([]string{first}, filepath.Join(dir, "new.md")); err != nil {
		t.Error(err)
	}
}
