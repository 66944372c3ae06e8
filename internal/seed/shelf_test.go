package seed

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

var quiet = slog.New(slog.DiscardHandler)

// overwrite changes a block of a seed, as somebody with an editor would.
func overwrite(t *testing.T, file string, block int64, data []byte) {
	t.Helper()
	f, err := os.OpenFile(file, os.O_WRONLY, 0)
	if err == nil {
		_, err = f.WriteAt(data, block*BlockSize)
		f.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestASeedThatWasChangedIsReadAgain(t *testing.T) {
	s := newStock(t)
	s.disk("a.raw", random(4*BlockSize, 1), s.mine(FailedCopy))
	if s.lent("u1", "HV02") != 4 {
		t.Fatal("not lent")
	}
	overwrite(t, s.List()[0].File, 2, random(BlockSize, 9))
	if got := s.lent("u1", "HV02"); got != 3 {
		t.Errorf("%d blocks, want the three that are as they were and none that is new", got)
	}
}

func TestADamagedSeedIsDropped(t *testing.T) {
	s := newStock(t)
	s.disk("a.raw", random(4*BlockSize, 1), s.mine(FailedCopy))
	set := s.Lend(t.Context(), "u1", "HV02")
	p := make([]byte, BlockSize)
	if err := set.Block(0, Proof{1}, p); err != ErrDamaged {
		t.Error(err)
	}
	set.Close()
	if got := s.List(); len(got) != 0 {
		t.Errorf("still there: %+v", got)
	}
}

// Disk streams may still run when a move gives its seeds back.
func TestASeedThatWasGivenBackIsNotDamaged(t *testing.T) {
	s := newStock(t)
	s.disk("a.raw", random(4*BlockSize, 1), s.mine(FailedCopy))
	set := s.Lend(t.Context(), "u1", "HV02")
	set.Close()
	if err := set.Block(0, Proof{1}, make([]byte, BlockSize)); err == nil || errors.Is(err, ErrDamaged) || errors.Is(err, ErrMalformed) {
		t.Error(err)
	}
	if len(s.List()) != 1 {
		t.Error("dropped")
	}
}

func TestSeedsOutliveTheAgentAndLeftoversDoNot(t *testing.T) {
	s := newStock(t)
	s.disk("a.raw", random(4*BlockSize, 1), s.mine(MovedAway))
	s.lent("u1", "HV02")
	dir, id := s.dir(s.root), s.List()[0].ID
	s.Close()
	// What kill -9 may leave: a description without its file, one half written, and no ledger.
	other := strings.Repeat("0", 26)
	for _, name := range []string{other + ".json", id + ".json.tmp", other + ".disk"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("{"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Remove(filepath.Join(dir, id+".ledger")); err != nil {
		t.Fatal(err)
	}
	s.open()
	if got := s.lent("u1", "HV02"); got != 4 {
		t.Errorf("%d blocks after a restart", got)
	}
	entries, _ := os.ReadDir(dir)
	if len(entries) != 3 {
		t.Errorf("%v", entries)
	}
}

func TestSeedsAreBounded(t *testing.T) {
	s := newStock(t)
	if s.disk("large.raw", random(5<<20, 1), s.mine(FailedCopy)) {
		t.Error("larger than all may be")
	}
	for n, name := range []string{"a.raw", "b.raw", "c.raw"} {
		o := s.mine(FailedCopy)
		o.UUID = name
		s.disk(name, random(2<<20, uint64(n)), o)
		s.lent(name, "HV02")
	}
	if got := s.List(); len(got) != 1 || got[0].UUID != "c.raw" { // with its ledger, a second one is too much
		t.Errorf("%+v", got)
	}
	s.now = s.now.Add(time.Hour + time.Second)
	if s.lent("c.raw", "HV02") != 0 {
		t.Error("lent after its time")
	}
	s.Tidy()
	if len(s.List()) != 0 {
		t.Error("kept after its time")
	}
	s.o.MaxAge = 0
	if s.disk("d.raw", random(BlockSize, 1), s.mine(FailedCopy)) {
		t.Error("kept where nothing is kept")
	}
}

func TestTriesThatFailLeaveOneCopy(t *testing.T) {
	s := newStock(t)
	data := random(16*BlockSize, 1)
	for _, blocks := range []int{4, 12, 8} {
		s.disk("a.raw", data[:blocks*BlockSize], s.mine(FailedCopy))
		s.lent("u1", "HV02")
	}
	if got := s.List(); len(got) != 2 || got[0].Content != 12*BlockSize {
		t.Errorf("%+v", got)
	}
}

func TestASeedGivesItsRoomBack(t *testing.T) {
	s := newStock(t)
	for n, uuid := range []string{"own", "u1", "u2"} {
		o := s.mine(FailedCopy)
		o.UUID, o.VM = uuid, uuid
		s.disk(uuid+".raw", random(1<<20, uint64(n)), o)
		s.lent(uuid, "HV02")
	}
	var st unix.Stat_t
	if err := unix.Stat(s.root, &st); err != nil {
		t.Fatal(err)
	}
	if got := s.Reclaimable(st.Dev); got < 3<<20 {
		t.Errorf("%d bytes", got)
	}
	set := s.Lend(t.Context(), "u1", "HV02")
	defer set.Close()
	if freed := s.Reclaim(st.Dev, 1<<20, "own"); freed < 1<<20 || len(s.List()) != 2 {
		t.Errorf("%d bytes, left %+v", freed, s.List())
	}
	if freed := s.Reclaim(st.Dev, 3<<20, "own"); freed < 1<<20 || len(s.List()) != 1 || set.Len() == 0 {
		t.Errorf("%d bytes, left %+v", freed, s.List())
	}
	if s.Reclaimable(st.Dev+1) != 0 || s.Reclaim(st.Dev+1, 1, "") != 0 {
		t.Error("room on another file system")
	}
}

func TestARetainedDiskStaysAndIsLent(t *testing.T) {
	s := newStock(t)
	if !s.disk("a.raw", random(3*BlockSize, 1), s.mine(Retained)) || s.lent("u1", "HV02") != 3 {
		t.Fatal("not lent")
	}
	s.Purge("")
	if _, err := os.Stat(filepath.Join(s.root, "a.raw")); err != nil {
		t.Error("a disk that stayed was removed: ", err)
	}
}

func TestSpentSeedsGoAndThoseOfTheMoveStay(t *testing.T) {
	s := newStock(t)
	for _, move := range []string{"before", "now"} {
		o := s.mine(MovedAway)
		o.Move = move
		s.disk(move, random(2*BlockSize, uint64(len(move))), o)
		s.lent("u1", "HV02")
	}
	s.Spent("u1", "now")
	if got := s.List(); len(got) != 1 || got[0].Move != "now" {
		t.Errorf("%+v", got)
	}
}

func TestWhatIsNoDiskOfOursIsNotKept(t *testing.T) {
	s := newStock(t)
	file := filepath.Join(s.root, "a.raw")
	if err := os.WriteFile(file, random(BlockSize, 1), 0o644); err != nil {
		t.Fatal(err)
	}
	deep := filepath.Join(s.root, "deep")
	if err := os.Mkdir(deep, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(deep, "c.raw"), random(BlockSize, 1), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(deep, filepath.Join(s.root, "over")); err != nil {
		t.Fatal(err)
	}
	for name, path := range map[string]string{"over a link": filepath.Join(s.root, "over", "c.raw"), "a link": filepath.Join(s.root, "link"), "second name": filepath.Join(s.root, "second"), "gone": filepath.Join(s.root, "gone"),
		"outside": filepath.Join(t.TempDir(), "b.raw")} {
		switch name {
		case "a link":
			_ = os.Symlink(file, path)
		case "second name":
			_ = os.Link(file, path)
		case "outside":
			_ = os.WriteFile(path, random(BlockSize, 1), 0o644)
		}
		if s.Keep(path, s.mine(FailedCopy)) {
			t.Errorf("%s: kept", name)
		}
	}
}

// As the unit has it, droverd is root with CAP_CHOWN and CAP_DAC_OVERRIDE and nothing
// else, and disks are QEMU's.
func TestTheDiskOfAnotherUserIsKept(t *testing.T) {
	s := newStock(t)
	file := filepath.Join(s.root, "a.raw")
	if err := os.WriteFile(file, random(3*BlockSize, 1), 0o644); err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() == 0 {
		_ = os.Chown(file, 64055, 64055) // not without CAP_CHOWN
	}
	if !s.Keep(file, s.mine(MovedAway)) || s.lent("u1", "HV02") != 3 {
		t.Fatal("not kept, or not lent")
	}
	if fi, err := os.Stat(s.List()[0].File); err != nil || fi.Mode().Perm() != 0o600 || fi.Sys().(*syscall.Stat_t).Uid != uint32(os.Geteuid()) {
		t.Errorf("%v, %v", fi, err)
	}
	if fi, err := os.Stat(s.dir(s.root)); err != nil || fi.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v", fi, err)
	}
}

// What a start finds is read at once and by several; nobody may see the list half made.
func TestAStartReadsManySeedsAtATime(t *testing.T) {
	s := newStock(t)
	for n := range 8 {
		o := s.mine(FailedCopy)
		o.UUID = strconv.Itoa(n)
		s.disk(o.UUID+".raw", random(2*BlockSize, uint64(n)), o)
		s.lent(o.UUID, "HV02")
	}
	for range 20 {
		s.Close()
		s.open()
		if got := s.List(); len(got) != 8 || !slices.IsSortedFunc(got, func(a, b Info) int { return a.Made.Compare(b.Made) }) {
			t.Fatalf("%+v", got)
		}
	}
}

func TestWhatIsReadInTimeIsLentAndTheRestIsNot(t *testing.T) {
	s := newStock(t)
	data := random(8*BlockSize, 1)
	s.disk("a.raw", data[:4*BlockSize], s.mine(FailedCopy))
	s.lent("u1", "HV02")
	s.turn <- struct{}{} // somebody else's file is read
	s.disk("b.raw", data[4*BlockSize:], s.mine(FailedCopy))
	for range 20 {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		set := s.Lend(ctx, "u1", "HV02")
		if set == nil || set.Len() != 4 {
			t.Fatalf("%+v", set)
		}
		set.Close()
	}
	<-s.turn
	if got := s.lent("u1", "HV02"); got != 8 {
		t.Errorf("%d blocks when all are read", got)
	}
}

// opened tells whether this process has a file of a directory open.
func opened(t *testing.T, dir string) bool {
	t.Helper()
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return slices.ContainsFunc(fds, func(fd os.DirEntry) bool {
		file, _ := os.Readlink("/proc/self/fd/" + fd.Name())
		return strings.HasPrefix(file, dir+"/") && strings.Contains(file, ".disk")
	})
}

func TestASeedThatIsReadGivesItsRoomBackAtOnce(t *testing.T) {
	s := newStock(t)
	s.o.MaxBytes = 1 << 30
	s.disk("a.raw", bytes.Repeat(random(1<<20, 1), 64), s.mine(FailedCopy))
	dir, i := s.dir(s.root), s.seeds[0]
	read := func() bool {
		select {
		case <-i.ready:
			return true
		default:
			return false
		}
	}
	for deadline := time.Now().Add(time.Minute); !opened(t, dir) && !read(); {
		if time.Now().After(deadline) {
			t.Fatal("not read")
		}
	}
	var st unix.Stat_t
	if err := unix.Stat(s.root, &st); err != nil {
		t.Fatal(err)
	}
	if freed := s.Reclaim(st.Dev, 1, ""); freed < 64<<20 {
		t.Errorf("%d bytes", freed)
	}
	if opened(t, dir) {
		t.Error("the file is still read, and has its room")
	}
	s.Close()
	if left, err := os.ReadDir(dir); !os.IsNotExist(err) {
		t.Errorf("left: %v, %v", left, err)
	}
}

func TestADescriptionIsNotBelieved(t *testing.T) {
	s := newStock(t)
	s.disk("a.raw", random(3*BlockSize, 1), s.mine(Retained))
	s.lent("u1", "HV02")
	dir := s.dir(s.root)
	s.Close()
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, random(4*BlockSize, 2), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Dir(secret), filepath.Join(s.root, "over")); err != nil {
		t.Fatal(err)
	}
	for n, path := range []string{secret, s.root + "/../" + filepath.Base(filepath.Dir(secret)) + "/secret", s.root + "/over/secret", "", s.root} {
		i := item{Origin: s.mine(Retained), ID: strings.Repeat("0", 25) + strconv.Itoa(n), Made: s.now}
		i.Path = path
		b, err := json.Marshal(&i)
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, i.ID+".json"), b, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	s.open()
	if got := s.lent("u1", "HV02"); got != 3 {
		t.Errorf("%d blocks, want those of the disk and no more: %+v", got, s.List())
	}
}

func TestADirectoryThatOthersWriteToHasNoSeeds(t *testing.T) {
	s := newStock(t)
	s.disk("a.raw", random(3*BlockSize, 1), s.mine(FailedCopy))
	s.lent("u1", "HV02")
	dir := s.dir(s.root)
	for name, change := range map[string]func() error{
		"mode":  func() error { return os.Chmod(dir, 0o777) },
		"owner": func() error { return os.Chown(dir, 64055, -1) },
	} {
		if name == "owner" && os.Geteuid() != 0 {
			continue
		}
		s.Close()
		if err := change(); err != nil {
			t.Fatal(err)
		}
		s.open()
		if got := s.List(); len(got) > 0 {
			t.Errorf("%s: %+v", name, got)
		}
		if s.disk("b.raw", random(3*BlockSize, 2), s.mine(FailedCopy)) {
			t.Errorf("%s: kept", name)
		}
		if left, err := os.ReadDir(dir); err != nil || len(left) != 3 {
			t.Errorf("%s: %v, %v", name, left, err)
		}
		if err := errors.Join(os.Chmod(dir, 0o700), os.Chown(dir, os.Geteuid(), -1)); err != nil {
			t.Fatal(err)
		}
	}
	s.Close()
	s.open()
	if got := s.lent("u1", "HV02"); got != 3 {
		t.Errorf("%d blocks when it is ours again", got)
	}
}
