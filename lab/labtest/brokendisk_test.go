package labtest

import (
	"context"
	"path/filepath"
	"testing"

	"drover/internal/record"
	"drover/lab"
)

// TestDisksThatFail: a disk that is full, or that gives I/O errors, on either side ends the move
// and not the VM.
func TestDisksThatFail(t *testing.T) {
	s := newScene(t, "baddisk", "APP01", 101)
	for name, breaks := range map[string]func(*testing.T, *volume){
		"destination full":                 func(t *testing.T, v *volume) { v.fill(t) },
		"what is below a destination full": func(t *testing.T, v *volume) { v.starve(t) },
	} {
		s.run(t, name, func(t *testing.T) {
			v := s.mount(t, s.hop().to, lab.VMDir)
			st := s.moveTo(t, record.Destination, record.Transfer)
			breaks(t, v)
			st.goOn(t)
			s.awaitOver(t, st.h.from)
			s.awaitOver(t, st.h.to)
			v.remove(t)
			st.ends(t, st.h.from, lost...)
		})
	}
	s.lastMove(t)
	s.run(t, "source with I/O errors", s.testSourceDiskBreaks)
	s.lastMove(t)
}

// testSourceDiskBreaks moves a VM whose disk cannot be read any more. It stays where it is.
func (s *scene) testSourceDiskBreaks(t *testing.T) {
	dir := filepath.Join(lab.SharedDir, "bad") // seen by this host only, with what is mounted there
	v := s.mount(t, s.at, dir)
	defer v.remove(t)
	good := s.vm
	s.vm = s.newVM(t, s.at, "BAD01", 102, func(o *lab.VMOptions) {
		o.Disks = []lab.VMDisk{{Path: filepath.Join(dir, "BAD01.raw"), Format: "raw", MiB: 24}}
	})
	defer func() {
		s.RemoveVM(context.Background(), s.vm.VM)
		s.vm.watch.Close()
		s.vm = good
	}()
	st := s.moveTo(t, record.Source, record.Transfer, "--destination-storage-path", lab.VMDir)
	v.tear(t)
	st.goOn(t)
	s.awaitOver(t, st.h.from)
	s.awaitOver(t, st.h.to)
	rec, err := s.show(t.Context(), st.h.from, st.id)
	if err != nil || rec.Phase != record.Failed {
		t.Errorf("the move is %s, %v", rec.Phase, err)
	}
	s.assertCode(t, rec, lost...)
	if state := s.virsh(t, st.h.from, "domstate", s.vm.Name); state != "running" && state != "paused" {
		t.Errorf("the VM is %s", state)
	}
	s.assertClean(t, s.vm, st.h.to)
}

// volume is a small file system of a host, in a file that can be broken.
type volume struct {
	host *lab.Member
	dir  string
}

// Where a volume's file is, in a file system of its own.
const (
	under     = "/run/volume"
	volumeImg = under + "/image"
)

// mount puts a file system of 32 MiB over a directory of a host.
func (s *scene) mount(t *testing.T, host, dir string) *volume {
	t.Helper()
	v := &volume{host: s.Member(host), dir: dir}
	v.run(t, "mkdir -p "+under+" "+dir)
	v.run(t, "mount -t tmpfs -o size=40m tmpfs "+under)
	v.run(t, "truncate -s 32M "+volumeImg)
	v.run(t, "mkfs.ext4 -q -F -O ^has_journal "+volumeImg)
	v.run(t, "mount -o loop,errors=continue "+volumeImg+" "+dir)
	v.run(t, "rmdir "+dir+"/lost+found")
	t.Cleanup(func() { v.remove(t) })
	return v
}

func (v *volume) run(t *testing.T, script string) {
	t.Helper()
	if _, err := v.host.Run(context.Background(), "sh", "-c", script); err != nil {
		t.Fatal(err)
	}
}

// fill leaves no room.
func (v *volume) fill(t *testing.T) {
	t.Helper()
	v.run(t, "dd if=/dev/zero of="+v.dir+"/.fill bs=64k 2>/dev/null || true")
}

// starve takes the room from under what is stored, as a thin pool that is full does.
func (v *volume) starve(t *testing.T) {
	t.Helper()
	v.run(t, "dd if=/dev/zero of="+under+"/fill bs=64k 2>/dev/null || true")
}

// tear takes the ground from under what is stored: reading it is an I/O error. A write in
// between would make the file as long as it was, and holes of it can be read.
func (v *volume) tear(t *testing.T) {
	t.Helper()
	v.run(t, "fsfreeze -f "+v.dir)
	v.run(t, "truncate -s 1M "+volumeImg)
	v.starve(t)
	v.run(t, "fsfreeze -u "+v.dir)
}

// remove unmounts, also what is in use or broken; safe twice.
func (v *volume) remove(t *testing.T) {
	t.Helper()
	v.run(t, "if mountpoint -q "+under+"; then umount -l "+v.dir+" && umount -l "+under+"; fi")
}
