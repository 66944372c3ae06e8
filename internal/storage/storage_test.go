package storage

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"drover/internal/fault"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func testContext(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestResolveFollowsLinksAndStaysInside(t *testing.T) {
	base, err := filepath.EvalSymlinks(t.TempDir())
	must(t, err)
	root, outside := filepath.Join(base, "vm"), filepath.Join(base, "secret")
	must(t, os.MkdirAll(filepath.Join(root, "a"), 0o755))
	must(t, os.MkdirAll(outside, 0o755))
	must(t, os.WriteFile(filepath.Join(outside, "f"), nil, 0o600))
	for link, to := range map[string]string{"out": outside, "file": filepath.Join(outside, "f"), "in": filepath.Join(root, "a"), "dangling": filepath.Join(outside, "new")} {
		must(t, os.Symlink(to, filepath.Join(root, link)))
	}
	must(t, os.Symlink(root, filepath.Join(base, "alias")))
	r, err := NewRoots("HV02", []string{filepath.Join(base, "alias")})
	must(t, err)
	for in, want := range map[string]string{
		"a/x.qcow2":       filepath.Join(root, "a/x.qcow2"),
		"new/dir/x.qcow2": filepath.Join(root, "new/dir/x.qcow2"),
		"in/x.qcow2":      filepath.Join(root, "a/x.qcow2"),
		"a/../x":          filepath.Join(root, "x"),
		"":                "", // the root itself
		"../secret/f":     "",
		"out/f":           "",
		"out/new":         "",
		"file":            "",
		"dangling":        "",
		"..":              "",
		"a/\x00":          "",
	} {
		got, err := r.Resolve(filepath.Join(base, "alias") + "/" + in)
		if want == "" {
			if !fault.Is(err, fault.StoragePathOutside) {
				t.Errorf("%q: got %q, %v; want a refusal", in, got, err)
			}
			continue
		}
		if err != nil || got != want {
			t.Errorf("%q: got %q, %v; want %q", in, got, err, want)
		}
	}
	if _, err := r.Resolve("relative"); !fault.Is(err, fault.StoragePathOutside) {
		t.Errorf("relative: %v", err)
	}
	if _, err := r.Resolve(base + "/aliasx/f"); !fault.Is(err, fault.StoragePathOutside) {
		t.Errorf("a root as mere prefix: %v", err)
	}
	if _, err := NewRoots("HV02", []string{"/"}); err == nil {
		t.Error("/ was taken as a root")
	}
}

func TestCreateMakesSparseImagesAndUndoes(t *testing.T) {
	ctx, f := testContext(t), Files{Host: "HV02", Mode: 0o640}
	for _, format := range []string{QCOW2, Raw} {
		t.Run(format, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "APP01/disks/d.img")
			undo, err := f.Create(ctx, path, format, 8<<30, "APP01")
			must(t, err)
			img, err := f.Inspect(ctx, path, format)
			must(t, err)
			if img.Format != format || img.VirtualBytes != 8<<30 || img.AllocatedBytes > 1<<20 || img.Backing != "" || img.DataFile != "" {
				t.Errorf("made %+v", img)
			}
			if fi, err := os.Stat(path); err != nil || fi.Mode().Perm() != 0o640 {
				t.Errorf("mode %v, %v", fi.Mode(), err)
			}
			if _, err := f.Create(ctx, path, format, 1<<20, "APP01"); !fault.Is(err, fault.DiskExists) {
				t.Errorf("a second time: %v", err)
			}
			if img, err := f.Inspect(ctx, path, format); err != nil || img.VirtualBytes != 8<<30 {
				t.Errorf("the existing file was touched: %+v, %v", img, err)
			}
			must(t, undo())
			must(t, undo())
			if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
				t.Errorf("undo left %v, %v", left, err)
			}
		})
	}
}

func TestUndoLeavesWhatIsNotItsOwn(t *testing.T) {
	ctx, f := testContext(t), Files{Host: "HV02"}
	path := filepath.Join(t.TempDir(), "APP01/d.img")
	undo, err := f.Create(ctx, path, Raw, 1<<20, "APP01")
	must(t, err)
	other := path + ".new"
	must(t, os.WriteFile(other, []byte("somebody else's"), 0o600))
	must(t, os.Rename(other, path))
	must(t, undo())
	if b, err := os.ReadFile(path); err != nil || string(b) != "somebody else's" {
		t.Errorf("%q, %v", b, err)
	}
}

func TestCreateThroughLinkIsRefused(t *testing.T) {
	ctx, f, dir := testContext(t), Files{Host: "HV02"}, t.TempDir()
	must(t, os.Symlink(filepath.Join(dir, "target"), filepath.Join(dir, "link")))
	if _, err := f.Create(ctx, filepath.Join(dir, "link"), Raw, 1<<20, "APP01"); !fault.Is(err, fault.DiskExists) {
		t.Errorf("got %v", err)
	}
	if _, err := os.Lstat(filepath.Join(dir, "target")); !errors.Is(err, fs.ErrNotExist) {
		t.Error("the link's target was made")
	}
}

func TestInspectNeverProbes(t *testing.T) {
	ctx, f, dir := testContext(t), Files{Host: "HV01"}, t.TempDir()
	path, base := filepath.Join(dir, "d.img"), filepath.Join(dir, "base.raw")
	must(t, os.WriteFile(base, make([]byte, 1<<20), 0o600))
	if out, err := exec.Command("qemu-img", "create", "-q", "-f", "qcow2", "-b", base, "-F", "raw", path).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	img, err := f.Inspect(ctx, path, Raw)
	if err != nil || img.Format != Raw || img.Backing != "" {
		t.Errorf("as raw: %+v, %v", img, err)
	}
	if img, err = f.Inspect(ctx, path, QCOW2); err != nil || img.Backing != base {
		t.Errorf("as qcow2: %+v, %v", img, err)
	}
	for _, format := range []string{"", "vmdk"} {
		if _, err := f.Inspect(ctx, path, format); !fault.Is(err, fault.StorageFailed) {
			t.Errorf("format %q: %v", format, err)
		}
	}
	if _, err := f.Inspect(ctx, filepath.Join(dir, "none"), Raw); !fault.Is(err, fault.StorageFailed) || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("missing: %v", err)
	}
}

func TestRemoveTakesRegularFilesOnly(t *testing.T) {
	f, dir := Files{Host: "HV01"}, t.TempDir()
	path := filepath.Join(dir, "f")
	must(t, os.WriteFile(path, nil, 0o600))
	must(t, f.Remove(path))
	must(t, f.Remove(path))
	must(t, os.Symlink("/dev/null", path))
	if err := f.Remove(path); !fault.Is(err, fault.StorageFailed) {
		t.Errorf("a link: %v", err)
	}
	if err := f.Remove(dir); !fault.Is(err, fault.StorageFailed) {
		t.Errorf("a directory: %v", err)
	}
}

func TestReservationsAddUp(t *testing.T) {
	f, dir := Files{Host: "HV02"}, t.TempDir()
	space, err := f.Free(filepath.Join(dir, "no/such/file"))
	must(t, err)
	if space.FreeBytes < 64<<20 {
		t.Fatalf("only %d bytes free for the test", space.FreeBytes)
	}
	b := NewBook(f)
	most := space.FreeBytes / 4 * 3
	path := filepath.Join(dir, "a")
	release, err := b.ReserveDisks("APP01", []Need{{path, most}})
	must(t, err)
	if _, err := b.ReserveDisks("APP02", []Need{{filepath.Join(dir, "b"), most}}); !fault.Is(err, fault.StorageFull) {
		t.Errorf("promised twice: %v", err)
	}
	// All or none: the small one must not stay reserved.
	if _, err := b.ReserveDisks("APP02", []Need{{filepath.Join(dir, "b"), 1 << 20}, {filepath.Join(dir, "c"), most}}); !fault.Is(err, fault.StorageFull) {
		t.Errorf("second of two: %v", err)
	}
	if len(b.disks) != 1 {
		t.Errorf("%d reservations are left, want 1", len(b.disks))
	}
	release()
	release()
	release2, err := b.ReserveDisks("APP02", []Need{{filepath.Join(dir, "b"), most}})
	must(t, err)
	release2()
}

func TestReservationCountsWhatIsWrittenOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a")
	r := reservedDisk{need: Need{path, 16 << 20}}
	if got := r.outstanding(); got != 16<<20 {
		t.Errorf("before: %d", got)
	}
	must(t, os.WriteFile(path, bytes.Repeat([]byte{1}, 4<<20), 0o600))
	fd, err := os.OpenFile(path, os.O_RDWR, 0)
	must(t, err)
	must(t, errors.Join(fd.Sync(), fd.Close()))
	if got := r.outstanding(); got > 12<<20 || got < 11<<20 {
		t.Errorf("with 4 MiB written: %d", got)
	}
}

func TestMemoryReservationsAddUp(t *testing.T) {
	b := NewBook(Files{Host: "HV02"})
	release, err := b.ReserveMemory("APP01", 6<<30, 10<<30)
	must(t, err)
	if _, err := b.ReserveMemory("APP02", 5<<30, 10<<30); !fault.Is(err, fault.MemoryFull) {
		t.Errorf("promised twice: %v", err)
	}
	release()
	release()
	if _, err := b.ReserveMemory("APP02", 5<<30, 10<<30); err != nil {
		t.Error(err)
	}
}

func TestProbeTellsSharedFromAlike(t *testing.T) {
	f := Files{Host: "HV01"}
	shared, alike := t.TempDir(), t.TempDir()
	for _, d := range []string{shared, alike} {
		must(t, os.WriteFile(filepath.Join(d, "disk.raw"), make([]byte, 4096), 0o600))
	}
	p, cleanup, err := f.WriteProbe(shared, "01ABC", filepath.Join(shared, "disk.raw"))
	must(t, err)
	if !f.SeesProbe(shared, p) {
		t.Error("the same directory is not seen")
	}
	if f.SeesProbe(alike, p) {
		t.Error("a directory with a file of the same name counts as the same")
	}
	// Even a copy of the probe does not make another file the same one.
	must(t, os.WriteFile(filepath.Join(alike, p.Name), []byte(p.Nonce), 0o600))
	if f.SeesProbe(alike, p) {
		t.Error("another file counts as the disk")
	}
	for name, change := range map[string]func(*Probe){
		"nonce":           func(p *Probe) { p.Nonce = strings.Repeat("0", 64) },
		"empty nonce":     func(p *Probe) { p.Nonce = "" },
		"name that leads": func(p *Probe) { p.Name = "../x" },
		"other name":      func(p *Probe) { p.Name = "disk.raw" },
		"longer disk":     func(p *Probe) { p.Files = []FileID{{"disk.raw", p.Files[0].Inode, 8192}} },
		"file elsewhere":  func(p *Probe) { p.Files = []FileID{{"../" + filepath.Base(shared) + "/disk.raw", p.Files[0].Inode, 1}} },
	} {
		bad := p
		change(&bad)
		if f.SeesProbe(shared, bad) {
			t.Errorf("%s: seen", name)
		}
	}
	must(t, cleanup())
	must(t, cleanup())
	if f.SeesProbe(shared, p) {
		t.Error("seen after its removal")
	}
	if _, _, err := f.WriteProbe(shared, "../x"); err == nil {
		t.Error("an id with a path was taken")
	}
	if _, _, err := f.WriteProbe(shared, "1", filepath.Join(alike, "disk.raw")); err == nil {
		t.Error("a disk of another directory was taken")
	}
}

func TestProbesOfKilledAgentsAreRemoved(t *testing.T) {
	dir := t.TempDir()
	old, fresh, foreign := filepath.Join(dir, ".drover-probe-old"), filepath.Join(dir, ".drover-probe-fresh"), filepath.Join(dir, "disk.qcow2")
	for _, path := range []string{old, fresh, foreign} {
		must(t, os.WriteFile(path, []byte("x"), 0o600))
	}
	past := time.Now().Add(-2 * staleProbe)
	must(t, os.Chtimes(old, past, past))
	must(t, os.Chtimes(foreign, past, past))
	_, cleanup, err := (Files{}).WriteProbe(dir, "new")
	must(t, err)
	must(t, cleanup())
	if _, err := os.Stat(old); !os.IsNotExist(err) {
		t.Errorf("the old probe is still there: %v", err)
	}
	for _, path := range []string{fresh, foreign} {
		if _, err := os.Stat(path); err != nil {
			t.Errorf("%s was touched: %v", path, err)
		}
	}
}

func TestProbeDoesNotOpenPipes(t *testing.T) {
	dir := t.TempDir()
	must(t, syscall.Mkfifo(filepath.Join(dir, ".drover-probe-1"), 0o600))
	if (Files{}).SeesProbe(dir, Probe{Name: ".drover-probe-1", Nonce: strings.Repeat("0", 64)}) {
		t.Error("seen")
	}
}

func TestPushCopiesContentAndKeepsHoles(t *testing.T) {
	ctx := testContext(t)
	src, dst := Files{Host: "HV01"}, Files{Host: "HV02"}
	for _, format := range []string{QCOW2, Raw} {
		t.Run(format, func(t *testing.T) {
			dir := t.TempDir()
			from, to, socket := filepath.Join(dir, "from"), filepath.Join(dir, "to"), filepath.Join(dir, "s")
			if _, err := src.Create(ctx, from, format, 256<<20, "APP01"); err != nil {
				t.Fatal(err)
			}
			data := make([]byte, 3<<20)
			_, _ = rand.Read(data)
			raw := filepath.Join(dir, "data")
			must(t, os.WriteFile(raw, data, 0o600))
			if out, err := exec.Command("qemu-io", "-f", format, "-c", "write -s "+raw+" 64M 3M", from).CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			if _, err := dst.Create(ctx, to, format, 256<<20, "APP01"); err != nil {
				t.Fatal(err)
			}
			s, err := dst.ServeImage(ctx, to, format, socket)
			must(t, err)
			defer s.Close()
			var last, total uint64
			must(t, src.PushImage(ctx, from, format, s.Socket(), func(d, n uint64) { last, total = d, n }))
			must(t, s.Close())
			must(t, s.Close())
			if total != 256<<20 || last != total {
				t.Errorf("progress ended at %d of %d", last, total)
			}
			if out, err := exec.Command("qemu-img", "compare", "-f", format, "-F", format, from, to).CombinedOutput(); err != nil {
				t.Errorf("content differs: %v: %s", err, out)
			}
			img, err := dst.Inspect(ctx, to, format)
			must(t, err)
			if img.AllocatedBytes > 16<<20 {
				t.Errorf("3 MiB of data occupy %d bytes", img.AllocatedBytes)
			}
			if left, err := filepath.Glob(socket + "*"); err != nil || len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

func TestPushEndsWithItsContext(t *testing.T) {
	dir := t.TempDir()
	f := Files{Host: "HV01"}
	path := filepath.Join(dir, "d")
	_, err := f.Create(testContext(t), path, Raw, 1<<20, "APP01")
	must(t, err)
	ctx, cancel := context.WithCancelCause(testContext(t))
	why := errors.New("operator cancelled")
	cancel(why)
	if err := f.PushImage(ctx, path, Raw, filepath.Join(dir, "nobody"), nil); !errors.Is(err, why) {
		t.Errorf("got %v", err)
	}
	if err := f.PushImage(testContext(t), path, Raw, filepath.Join(dir, "nobody"), nil); !fault.Is(err, fault.StorageFailed) {
		t.Errorf("no server: %v", err)
	}
}

func TestServerThatDiesIsAnError(t *testing.T) {
	ctx, f, dir := testContext(t), Files{Host: "HV02"}, t.TempDir()
	path := filepath.Join(dir, "d")
	_, err := f.Create(ctx, path, Raw, 1<<20, "APP01")
	must(t, err)
	s, err := f.ServeImage(ctx, path, Raw, filepath.Join(dir, "s"))
	must(t, err)
	must(t, s.cmd.Process.Kill())
	<-s.done
	if err := s.Close(); !fault.Is(err, fault.StorageFailed) {
		t.Errorf("got %v", err)
	}
	if _, err := f.ServeImage(ctx, filepath.Join(dir, "none"), Raw, filepath.Join(dir, "s")); !fault.Is(err, fault.StorageFailed) {
		t.Errorf("missing image: %v", err)
	}
}

// spare is room that others would give back.
type spare struct {
	bytes uint64
	asked uint64
}

func (s *spare) Reclaimable(uint64) uint64 { return s.bytes }

func (s *spare) Reclaim(_, bytes uint64, _ string) uint64 {
	s.asked += bytes
	return 0
}

func TestRoomThatCanBeReclaimedCountsAndIsMadeBeforeItIsUsed(t *testing.T) {
	dir := t.TempDir()
	f := Files{Host: "HV02"}
	b := NewBook(f)
	space, err := f.Free(dir)
	must(t, err)
	want := Need{filepath.Join(dir, "a"), space.FreeBytes + 1<<30}
	if _, err := b.ReserveDisks("APP01", []Need{want}); !fault.Is(err, fault.StorageFull) {
		t.Fatalf("more than there is: %v", err)
	}
	s := &spare{bytes: 2 << 30}
	b.Spare = s
	release, err := b.ReserveDisks("APP01", []Need{want})
	must(t, err)
	if s.asked > 0 {
		t.Error("room was taken for what may never be written")
	}
	if err := b.MakeRoom("APP01", want.Path); !fault.Is(err, fault.StorageFull) || s.asked == 0 {
		t.Errorf("asked for %d bytes, of which none came: %v", s.asked, err)
	}
	release()
	s.asked = 0
	if err := b.MakeRoom("APP01", want.Path); err != nil || s.asked > 0 {
		t.Errorf("asked for %d bytes that nobody needs: %v", s.asked, err)
	}
}

func TestNoDiskLiesInAHiddenDirectory(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	must(t, err)
	r, err := NewRoots("HV02", []string{dir})
	must(t, err)
	r.Hidden = ".drover-seeds-"
	must(t, os.Mkdir(filepath.Join(dir, ".drover-seeds-hv02"), 0o700))
	must(t, os.Symlink(".drover-seeds-hv02", filepath.Join(dir, "link")))
	for _, p := range []string{".drover-seeds-hv02/x.disk", "deep/.drover-seeds-hv09/x", "link/x", ".drover-seeds-hv02"} {
		if real, err := r.Resolve(filepath.Join(dir, p)); !fault.Is(err, fault.StoragePathOutside) {
			t.Errorf("%s: %s, %v", p, real, err)
		}
	}
	if _, err := r.Resolve(filepath.Join(dir, "my.drover-seeds-x.qcow2")); err != nil {
		t.Error(err)
	}
}
