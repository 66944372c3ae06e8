package guest

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"
)

// profileFiles is little content that is made quickly.
var profileFiles = sync.OnceValue(func() Files {
	var text, code []byte
	for i := range 40 << 10 {
		text = append(text, "line "+strconv.Itoa(i)+" of the text\n"...)
		code = le.AppendUint64(code, uint64(i)*0x9e3779b97f4a7c15>>40)
	}
	return Files{Text: text, Code: code, Log: logLines(600 << 10)}
})

// The memory of every profile verifies after it was rewritten, as the kernel
// command line describes it.
func TestProfilesVerify(t *testing.T) {
	for _, profile := range Profiles() {
		t.Run(profile.Name, func(t *testing.T) {
			profile.Params.Name = profile.Name
			p, err := ParseCmdline(profile.Params.Cmdline())
			if err != nil || p != profile.Params {
				t.Fatalf("reads back as %+v, %v", p, err)
			}
			m := NewMemory(make([]byte, 16<<20), testNonce, p, profileFiles())
			if err := m.Fill(t.Context()); err != nil {
				t.Fatal(err)
			}
			done := m.Rewrite(20000, p.Partial)
			if err := m.VerifyAll(t.Context()); err != nil {
				t.Fatal(err)
			}
			s := m.Status()
			if s.Errors != 0 || done < 20000 || s.Rewritten != uint64(done) || s.GenerationSum != s.Rewritten {
				t.Errorf("%d done: %+v", done, s)
			}
			if len(m.hot) == 0 || len(m.cold) == 0 {
				t.Errorf("%d units are rewritten often, %d seldom", len(m.hot), len(m.cold))
			}
		})
	}
}

// With a skew, the hot share of the pages gets its share of the rewrites.
func TestSkewSendsRewritesToHotPages(t *testing.T) {
	p := Params{Mix: Mix{Zero: 20, Heap: 60, Random: 20}, Skew: Skew{Rewrites: 80, Pages: 20}, Rows: 4}
	m := NewMemory(make([]byte, 16<<20), testNonce, p, Files{})
	if err := m.Fill(t.Context()); err != nil {
		t.Fatal(err)
	}
	m.Rewrite(50000, 100)
	sum := func(pages []uint32) (n int) {
		for _, i := range pages {
			n += int(m.gens[i])
		}
		return n
	}
	hot, cold := sum(m.hot), sum(m.cold)
	if hot+cold != 50000 || hot < 39000 || hot > 41000 {
		t.Errorf("%d rewrites of hot pages, %d of cold ones", hot, cold)
	}
	if share := 100 * len(m.hot) / (len(m.hot) + len(m.cold)); share < 17 || share > 23 {
		t.Errorf("%d %% of the heap is hot", share)
	}
}

// A partial rewrite of a heap page changes a few rows, neither all nor 8 bytes.
func TestHeapIsUpdatedInFewRows(t *testing.T) {
	m := NewMemory(make([]byte, PageSize), testNonce, Params{Mix: Mix{Heap: 100}, Rows: 8}, Files{})
	if err := m.Fill(t.Context()); err != nil {
		t.Fatal(err)
	}
	const updates = 1000
	rows, bytes := 0, 0
	for range updates {
		before := *m.page(0)
		m.Rewrite(1, 100)
		for j := range pageRows {
			n := 0
			for i := pageHeader + j*rowSize; i < pageHeader+(j+1)*rowSize; i++ {
				if before[i] != m.page(0)[i] {
					n++
				}
			}
			bytes += n
			rows += min(n, 1)
		}
	}
	t.Logf("%.1f rows and %.0f bytes change at once", float64(rows)/float64(updates), float64(bytes)/float64(updates))
	if rows < 3*updates || rows > 6*updates || bytes < 10*rows || bytes > 80*rows {
		t.Errorf("%d rows, %d bytes in %d updates", rows, bytes, updates)
	}
}

// No two pages have a body in common, in whatever order they were made.
func TestPagesAreNotAlike(t *testing.T) {
	for _, kind := range []Mix{{Heap: 100}, {Random: 100}, {Text: 100}} {
		m := NewMemory(make([]byte, 8<<20), testNonce, Params{Mix: kind, Rows: 4}, Files{})
		if err := m.Fill(t.Context()); err != nil {
			t.Fatal(err)
		}
		m.Rewrite(2000, 50)
		seen := make(map[string]int)
		for i := range m.gens {
			// The key of a heap's first row is its own anyway.
			body := string(m.page(i)[pageHeader+offUUID : pageHeader+rowSize])
			if j, ok := seen[body]; ok {
				t.Fatalf("%s: pages %d and %d are alike", kind, j, i)
			}
			seen[body] = i
		}
	}
}

// A reused buffer holds another kind of content, also zeros and again something.
func TestBuffersChangeTheirKind(t *testing.T) {
	p := Params{Mix: Mix{Zero: 50, Random: 50}, Buffer: 64 << 10}
	m := NewMemory(make([]byte, 64<<10), testNonce, p, Files{})
	if err := m.Fill(t.Context()); err != nil {
		t.Fatal(err)
	}
	changes, was := 0, m.kind(0)
	for range 100 {
		if n := m.Rewrite(1, 0); n != 16 {
			t.Fatalf("%d pages were rewritten", n)
		}
		if is := m.kind(15); is != was {
			changes, was = changes+1, is
		}
	}
	if err := m.VerifyAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s := m.Status(); s.Errors != 0 || changes < 20 {
		t.Errorf("%d changes, %+v", changes, s)
	}
	if err := m.Flip(3); err != nil {
		t.Fatal(err)
	}
	before := m.gens[0]
	m.Rewrite(64, 0)
	if m.gens[0] != before || m.Status().Errors == 0 {
		t.Error("a wrong page was overwritten with its buffer")
	}
}

// What the initramfs carries is what the guest makes its memory of.
func TestFilesTravelInTheInitramfs(t *testing.T) {
	dir := t.TempDir()
	path := func(name string, data []byte) {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	path("prog", append([]byte("\x7fELF"), make([]byte, 9000)...))
	path("text", profileFiles().Text[:5000])
	path("packed", append([]byte("\x1f\x8b"), make([]byte, 3000)...))
	path("other", make([]byte, 3000))
	files, err := CollectFiles([]string{dir}, FilesSizes{Text: 6000, Code: 8000, Log: 1000, Packed: 2000})
	if err != nil || len(files.Text) != 5000 || len(files.Code) != 8000 || len(files.Log) != 1000 || len(files.Packed) != 2000 {
		t.Fatalf("%d of text, %d of code, %d of log, %d packed, %v", len(files.Text), len(files.Code), len(files.Log), len(files.Packed), err)
	}
	out, err := os.Create(filepath.Join(dir, "initrd"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	if err := BuildInitramfs(out, filepath.Join(dir, "prog"), dir, nil, files); err != nil {
		t.Fatal(err)
	}
	got, err := ReadFiles(out.Name())
	if err != nil || string(got.Text) != string(files.Text) || string(got.Code) != string(files.Code) || string(got.Log) != string(files.Log) {
		t.Errorf("%v", err)
	}
	if _, err := CollectFiles([]string{filepath.Join(dir, "none")}, GuestFiles); err == nil {
		t.Error("no files, no error")
	}
}

// fileBoot is bootFiles with the machine's files in the initramfs.
func fileBoot(t *testing.T) BootFiles {
	t.Helper()
	requireBoot(t)
	files, err := CollectFiles(MachineRoots(), GuestFiles)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	dir := t.TempDir()
	init := filepath.Join(dir, "init")
	if err := CompileInit(ctx, init); err != nil {
		t.Fatal(err)
	}
	boot, err := PrepareBoot(ctx, testCache(), init, filepath.Join(dir, "initrd"), files)
	required(t, err)
	return boot
}

// Every profile boots, and its heartbeat goes on while memory is rewritten; the
// rate that the machine reaches is logged, for it depends on the machine.
func TestProfilesBoot(t *testing.T) {
	boot := fileBoot(t)
	for _, profile := range Profiles() {
		t.Run(profile.Name, func(t *testing.T) {
			p := profile.Params
			p.Name, p.Addr = "APP01", testParams().Addr
			begin := time.Now()
			v := startVM(t, boot, p, testDisk(t), "-m", strconv.Itoa(profile.MemoryMiB))
			o := v.observe()
			v.wait(o, 2*bootLimit, "filled memory", func(s Status) bool { return s.Ready })
			t.Logf("ready %.1f s after start", time.Since(begin).Seconds())
			o.ResetGaps()
			first := v.wait(o, bootLimit, "reset", func(s Status) bool { return s.Ready })
			cpu := cpuTime(t, v.cmd.Process.Pid)
			last := v.wait(o, bootLimit, "10 s of work", func(s Status) bool { return s.UptimeNs > first.UptimeNs+10e9 })
			cpu = cpuTime(t, v.cmd.Process.Pid) - cpu
			snap := o.Snapshot()
			t.Logf("%.1f MiB/s of %d; emulator uses %.0f%% of a processor; largest gap between answers %s",
				DirtyRate(first, last)/(1<<20), p.Rewrite>>20, 10*cpu.Seconds(), snap.Blackout)
			if last.Errors() != 0 || last.Memory.Rewritten == first.Memory.Rewritten {
				t.Errorf("%+v", last)
			}
			if dir := os.Getenv("DROVER_GUEST_RAM"); dir != "" {
				v.execute("pmemsave", map[string]any{"val": 0, "size": profile.MemoryMiB << 20, "filename": filepath.Join(dir, profile.Name+".ram")}, nil)
			}
			v.stop()
		})
	}
}
