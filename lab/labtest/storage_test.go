package labtest

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"

	"drover/internal/fault"
	"drover/internal/guest"
	"drover/internal/record"
	"drover/internal/wire"
	"drover/lab"
)

// TestStorage: what becomes of disks, and of the variables of UEFI guests.
func TestStorage(t *testing.T) {
	s := startSite(t, lab.Options{Name: "storage", Hosts: []string{lab.HV01, lab.HV02}})
	t.Run("shut off", s.testShutOff)
	t.Run("disk from elsewhere", s.testElsewhere)
	t.Run("disks that stay", s.testDisksThatStay)
	t.Run("no space", s.testNoSpace)
	t.Run("drives", s.testDrives)
	t.Run("shared", s.testShared)
	t.Run("several disks and connections", s.testSeveral)
	t.Run("paused", s.testPaused)
	t.Run("UEFI shut off", s.testUEFIShutOff)
	t.Run("UEFI", s.testUEFI)
}

// write puts a pattern on a disk of a VM that is shut off.
func (s *site) write(t *testing.T, host string, d lab.VMDisk, pattern byte, offset, length string) {
	t.Helper()
	s.run(t, host, "qemu-io", "-f", d.Format, "-c", fmt.Sprintf("write -P %d %s %s", pattern, offset, length), d.Path)
}

// content is a digest of what a guest would read from an image.
func (s *site) content(t *testing.T, host, file, format string) string {
	t.Helper()
	return s.run(t, host, "sh", "-c", `qemu-img convert -U -f "$2" -O raw "$1" /tmp/content.raw && sha256sum < /tmp/content.raw && stat -c %s /tmp/content.raw && rm /tmp/content.raw`, "-", file, format)
}

// allocated is what a file occupies, in bytes.
func (s *site) allocated(t *testing.T, host, file string) int {
	t.Helper()
	blocks, err := strconv.Atoi(s.run(t, host, "stat", "-c", "%b", file))
	if err != nil {
		t.Fatal(err)
	}
	return blocks * 512
}

func (s *site) exists(t *testing.T, host, file string) bool {
	t.Helper()
	_, err := s.Member(host).Run(t.Context(), "test", "-e", file)
	return err == nil
}

// moveOff moves a VM that is shut off.
func (s *site) moveOff(t *testing.T, vm *lab.VM, from, to string, flags ...string) record.Record {
	t.Helper()
	rec := s.mustMove(t, &machine{VM: vm}, from, to, flags...)
	if rec.Kind != wire.Offline || rec.Plan.Kind != wire.Offline {
		t.Errorf("moved as %s", rec.Kind)
	}
	if state := s.virsh(t, to, "domstate", vm.Name); state != "shut off" {
		t.Errorf("%s is %s on %s", vm.Name, state, to)
	}
	s.assertClean(t, &machine{VM: vm}, from)
	return rec
}

func (s *site) testShutOff(t *testing.T) {
	vm := s.define(t, lab.HV01, "OFF01", lab.VMDisk{Format: "qcow2", MiB: 192}, lab.VMDisk{Format: "raw", MiB: 96})
	s.virsh(t, lab.HV01, "autostart", "OFF01")
	before := make([]string, len(vm.Disks))
	sizes := make([]int, len(vm.Disks))
	for i, d := range vm.Disks {
		s.write(t, lab.HV01, d, byte(0x51+i), "1M", "3M")
		s.write(t, lab.HV01, d, byte(0x61+i), strconv.Itoa(d.MiB-1)+"M", "512k")
		before[i], sizes[i] = s.content(t, lab.HV01, d.Path, d.Format), s.allocated(t, lab.HV01, d.Path)
	}
	same := func(host, dir string) {
		t.Helper()
		for i, d := range vm.Disks {
			p := path.Join(dir, path.Base(d.Path))
			if got := s.content(t, host, p, d.Format); got != before[i] {
				t.Errorf("%s on %s has other content", p, host)
			}
			if got := s.allocated(t, host, p); got > sizes[i]+1<<20 {
				t.Errorf("%s on %s occupies %d bytes, %d at the source", p, host, got, sizes[i])
			}
		}
	}
	s.moveOff(t, vm, lab.HV01, lab.HV02)
	same(lab.HV02, lab.VMDir)
	if got := s.virsh(t, lab.HV02, "list", "--all", "--autostart", "--name"); got != "OFF01" {
		t.Errorf("autostart of %q", got)
	}
	s.run(t, lab.HV01, "mkdir", "-p", "/srv/vms/deep")
	defer s.run(t, lab.HV01, "rm", "-r", "/srv/vms/deep")
	r := s.drover(t, moveArgs(&machine{VM: vm}, lab.HV02, lab.HV01, "--destination-storage-path", "/srv/vms/deep", "--retain-vhd-copies-on-source")...)
	if r.Status != 0 {
		t.Fatalf("%+v", r)
	}
	same(lab.HV01, "/srv/vms/deep")
	same(lab.HV02, lab.VMDir) // retained
	if list := s.virsh(t, lab.HV01, "domblklist", "OFF01"); strings.Count(list, "/srv/vms/deep/") != 2 {
		t.Errorf("the definition names\n%s", list)
	}
	// The retained copies are in the way of the next move, and stay.
	deep := []string{"move", "OFF01", "--host", lab.HV01, "--to", lab.HV02, "--include-storage"}
	s.refused(t, lab.UserOperator, refusal{fault.DiskExists, 5, []string{"HV02", vm.Disks[0].Path, "OFF01"}},
		append(deep, "--destination-storage-path", lab.VMDir)...)
	same(lab.HV02, lab.VMDir)
}

// testElsewhere: a disk whose place is under no root of the destination goes to the
// first one.
func (s *site) testElsewhere(t *testing.T) {
	vm := s.define(t, lab.HV01, "ELSE01", lab.VMDisk{Path: "/var/tmp/ELSE01.raw", Format: "raw", MiB: 8})
	s.write(t, lab.HV01, vm.Disks[0], 0x77, "1M", "1M")
	sum := s.content(t, lab.HV01, vm.Disks[0].Path, "raw")
	rec := s.moveOff(t, vm, lab.HV01, lab.HV02)
	defer s.run(t, lab.HV02, "rm", lab.VMDir+"/ELSE01.raw")
	if got := rec.Plan.Disks[0].DestinationPath; got != lab.VMDir+"/ELSE01.raw" || s.content(t, lab.HV02, got, "raw") != sum {
		t.Errorf("moved to %s, or not as it was", got)
	}
	if s.exists(t, lab.HV01, vm.Disks[0].Path) {
		t.Error("the disk is still at the source")
	}
}

// testDisksThatStay: disks of a shut-off VM that are not moved, and why.
func (s *site) testDisksThatStay(t *testing.T) {
	move := []string{"move", "BAD01", "--host", lab.HV01, "--to", lab.HV02, "--include-storage"}
	for _, c := range []struct {
		name   string
		disks  []lab.VMDisk
		before func(*lab.VM)
		flags  []string
		want   refusal
	}{
		{"there is another file", []lab.VMDisk{{MiB: 8}}, func(vm *lab.VM) { s.run(t, lab.HV02, "sh", "-c", "echo mine > "+vm.Disks[0].Path) }, nil,
			refusal{fault.DiskExists, 5, []string{"HV02", "/srv/vms/BAD01-0.qcow2", "BAD01"}}},
		{"same name in two directories", []lab.VMDisk{{Path: "/srv/vms/a/d.raw", Format: "raw", MiB: 8}, {Path: "/srv/vms/b/d.raw", Format: "raw", MiB: 8}}, nil,
			[]string{"--destination-storage-path", "/srv/vms/c"}, refusal{fault.DiskExists, 5, []string{"HV02", "/srv/vms/c/d.raw", "vda", "vdb"}}},
		{"backing file", []lab.VMDisk{{MiB: 8}}, func(vm *lab.VM) {
			s.run(t, lab.HV01, "qemu-img", "create", "-q", "-f", "raw", "/srv/vms/base.raw", "8M")
			s.run(t, lab.HV01, "qemu-img", "create", "-q", "-f", "qcow2", "-b", "/srv/vms/base.raw", "-F", "raw", vm.Disks[0].Path)
		}, nil, refusal{fault.DiskBackingChain, 5, []string{"HV01", "BAD01", "vda", "/srv/vms/base.raw"}}},
		{"shareable", []lab.VMDisk{{MiB: 8, Format: "raw"}}, func(*lab.VM) { s.redefine(t, lab.HV01, "BAD01", "<target dev='vda'", "<shareable/><target dev='vda'") }, nil,
			refusal{fault.DiskUnsupported, 5, []string{"HV01", "BAD01", "vda", "shareable"}}},
		{"file is missing", []lab.VMDisk{{MiB: 8}}, func(vm *lab.VM) { s.run(t, lab.HV01, "rm", vm.Disks[0].Path) }, nil,
			refusal{fault.StorageFailed, 6, []string{"HV01", "/srv/vms/BAD01-0.qcow2"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, host := range []string{lab.HV01, lab.HV02} {
				s.run(t, host, "mkdir", "-p", "/srv/vms/a", "/srv/vms/b", "/srv/vms/c")
				defer s.run(t, host, "sh", "-c", "rm -rf /srv/vms/*")
			}
			vm := s.define(t, lab.HV01, "BAD01", c.disks...)
			if c.before != nil {
				c.before(vm)
			}
			s.refused(t, lab.UserOperator, c.want, append(slices.Clone(move), c.flags...)...)
		})
	}
}

func (s *site) testNoSpace(t *testing.T) {
	vm := s.define(t, lab.HV01, "BIG01", lab.VMDisk{Format: "raw", MiB: 32})
	s.write(t, lab.HV01, vm.Disks[0], 0x33, "0", "24M")
	s.run(t, lab.HV02, "mkdir", "-p", "/srv/vms/small")
	s.run(t, lab.HV02, "mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", "/srv/vms/small")
	defer s.run(t, lab.HV02, "sh", "-c", "umount /srv/vms/small && rmdir /srv/vms/small")
	s.refused(t, lab.UserOperator, refusal{fault.StorageFull, 5, []string{"HV02", "/srv/vms/small", "BIG01"}},
		"move", "BIG01", "--host", lab.HV01, "--to", lab.HV02, "--include-storage", "--destination-storage-path", "/srv/vms/small")
}

// testDrives: a medium is refused and the drive named, an empty drive goes along.
func (s *site) testDrives(t *testing.T) {
	vm := s.define(t, lab.HV01, "CD01", lab.VMDisk{MiB: 8})
	s.run(t, lab.HV01, "sh", "-c", "echo medium > /srv/vms/medium.iso")
	defer s.run(t, lab.HV01, "rm", "/srv/vms/medium.iso")
	drive := "<disk type='file' device='cdrom'><driver name='qemu' type='raw'/>%s<target dev='sda' bus='sata'/><readonly/></disk></devices>"
	s.redefine(t, lab.HV01, "CD01", "</devices>", fmt.Sprintf(drive, "<source file='/srv/vms/medium.iso'/>"))
	s.refused(t, lab.UserOperator, refusal{fault.DiskMedia, 5, []string{"HV01", "CD01", "sda", "/srv/vms/medium.iso"}},
		"move", "CD01", "--host", lab.HV01, "--to", lab.HV02, "--include-storage")
	s.virsh(t, lab.HV01, "change-media", "CD01", "sda", "--eject", "--config")
	rec := s.mustMove(t, &machine{VM: vm}, lab.HV01, lab.HV02)
	if len(rec.Plan.Disks) != 2 || rec.Plan.Disks[1].Action != wire.Empty {
		t.Errorf("%+v", rec.Plan.Disks)
	}
	if list := s.virsh(t, lab.HV02, "domblklist", "CD01", "--details"); !strings.Contains(list, "cdrom") {
		t.Errorf("the drive is gone:\n%s", list)
	}
}

// testShared: what both hosts see is left in place, and known by content: HV02 has
// another file under the path of the local disk.
func (s *site) testShared(t *testing.T) {
	vm := s.newVM(t, lab.HV01, "SH01", 103, func(o *lab.VMOptions) { o.Disks = []lab.VMDisk{{Path: lab.SharedDir + "/SH01.qcow2", MiB: 64}} })
	inode := s.run(t, lab.HV01, "stat", "-c", "%i", vm.Disks[0].Path)
	for _, hop := range [][2]string{{lab.HV01, lab.HV02}, {lab.HV02, lab.HV01}} {
		args := []string{"move", "SH01", "--host", hop[0], "--to", hop[1], "-o", "json"}
		if hop[0] == lab.HV02 {
			args = append(args, "--include-storage") // makes no difference
		}
		if r := s.drover(t, args...); r.Status != 0 || !strings.Contains(r.Stdout, `"action": "shared"`) {
			t.Fatalf("%+v", r)
		}
		vm.verify(t)
		if got := s.run(t, hop[0], "stat", "-c", "%i", vm.Disks[0].Path); got != inode {
			t.Errorf("inode %s, was %s", got, inode)
		}
		if got := s.run(t, hop[0], "ls", "-A", lab.SharedDir); got != "SH01.qcow2" {
			t.Errorf("on shared storage: %s", got)
		}
	}
	local := s.define(t, lab.HV01, "LOC01", lab.VMDisk{MiB: 8})
	s.run(t, lab.HV02, "qemu-img", "create", "-q", "-f", "qcow2", local.Disks[0].Path, "8M")
	s.refused(t, lab.UserOperator, refusal{fault.StorageNotIncluded, 5, []string{"LOC01", "HV02", "vda"}}, "move", "LOC01", "--host", lab.HV01, "--to", lab.HV02)
	s.refused(t, lab.UserOperator, refusal{fault.DiskExists, 5, []string{"LOC01", "HV02", local.Disks[0].Path}}, "move", "LOC01", "--host", lab.HV01, "--to", lab.HV02, "--include-storage")
	t.Run("unsafe cache", func(t *testing.T) {
		s.define(t, lab.HV01, "SH02", lab.VMDisk{Path: lab.SharedDir + "/SH02.qcow2", MiB: 8})
		s.redefine(t, lab.HV01, "SH02", "cache='none'", "cache='writeback'")
		s.virsh(t, lab.HV01, "start", "SH02")
		s.refused(t, lab.UserOperator, refusal{fault.DiskCacheUnsafe, 5, []string{"SH02", "vda", "writeback"}}, "move", "SH02", "--host", lab.HV01, "--to", lab.HV02)
	})
}

// testSeveral: a running VM with disks of both formats, over two connections.
func (s *site) testSeveral(t *testing.T) {
	vm := s.newVM(t, lab.HV01, "MANY01", 104, func(o *lab.VMOptions) {
		o.Disks = []lab.VMDisk{{Format: "qcow2", MiB: 512}, {Format: "raw", MiB: 256}}
	})
	rec := s.mustMove(t, vm, lab.HV01, lab.HV02, "--connections", "2")
	vm.verify(t)
	s.assertClean(t, vm, lab.HV01)
	streams := map[string]int{}
	for _, st := range rec.Summary.Streams {
		streams[st.Kind]++
	}
	if streams["memory"] != 3 || streams["disk"] < 2 {
		t.Errorf("streams %v, want three of memory and one per disk", streams)
	}
	for i, d := range rec.Plan.Disks {
		if got := s.allocated(t, lab.HV02, vm.Disks[i].Path); got > int(d.AllocatedBytes)+8<<20 {
			t.Errorf("%s occupies %d bytes, %d at the source", d.Target, got, d.AllocatedBytes)
		}
	}
}

// testPaused: a VM that an administrator stopped moves as it stands.
func (s *site) testPaused(t *testing.T) {
	vm := s.newVM(t, lab.HV01, "PAU01", 105)
	s.virsh(t, lab.HV01, "suspend", "PAU01")
	rec := s.mustMove(t, vm, lab.HV01, lab.HV02)
	if rec.Kind != wire.Paused {
		t.Errorf("moved as %s", rec.Kind)
	}
	s.assertClean(t, vm, lab.HV01)
	if got := s.virsh(t, lab.HV02, "domstate", "--reason", "PAU01"); !strings.HasPrefix(got, "paused") {
		t.Errorf("%s after the move", got)
	}
	back := s.mustMove(t, vm, lab.HV02, lab.HV01)
	if back.Kind != wire.Paused {
		t.Errorf("moved back as %s", back.Kind)
	}
	s.virsh(t, lab.HV01, "resume", "PAU01")
	vm.lives(t)
	vm.verify(t)
}

const nvramDir = "/var/lib/libvirt/qemu/nvram/"

// marked starts a UEFI guest once, so that libvirt makes its variables, stops it
// and leaves a mark there that no template has.
func (s *site) marked(t *testing.T, name string, number byte, disks ...lab.VMDisk) (vm *lab.VM, sum string) {
	t.Helper()
	p := guest.DefaultParams()
	p.Memory = 32 << 20
	vm, err := s.DefineVM(t.Context(), lab.HV01, lab.VMOptions{Name: name, Number: number, UEFI: true, Disks: disks, Params: &p})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.RemoveVM(context.Background(), vm) })
	s.virsh(t, lab.HV01, "start", name)
	s.virsh(t, lab.HV01, "destroy", name)
	file := nvramDir + name + "_VARS.fd"
	s.run(t, lab.HV01, "sh", "-c", `printf 'a mark of the guest' | dd of="$1" bs=1 seek=400000 conv=notrunc status=none`, "-", file)
	return vm, s.sum(t, lab.HV01, file)
}

func (s *site) sum(t *testing.T, host, file string) string {
	t.Helper()
	return s.run(t, host, "sh", "-c", `sha256sum < "$1"`, "-", file)
}

func (s *site) testUEFIShutOff(t *testing.T) {
	vm, sum := s.marked(t, "EFI01", 106, lab.VMDisk{MiB: 8})
	file := nvramDir + "EFI01_VARS.fd"
	for _, hop := range [][2]string{{lab.HV01, lab.HV02}, {lab.HV02, lab.HV01}} {
		s.moveOff(t, vm, hop[0], hop[1])
		if got := s.sum(t, hop[1], file); got != sum {
			t.Errorf("other UEFI variables on %s", hop[1])
		}
		if s.exists(t, hop[0], file) {
			t.Errorf("%s is still on %s", file, hop[0])
		}
	}
	t.Run("there are others", func(t *testing.T) {
		s.run(t, lab.HV02, "sh", "-c", `mkdir -p "$(dirname "$1")" && echo mine > "$1"`, "-", file)
		defer s.run(t, lab.HV02, "rm", file)
		s.refused(t, lab.UserOperator, refusal{fault.DiskExists, 5, []string{"HV02", file, "EFI01"}},
			"move", "EFI01", "--host", lab.HV01, "--to", lab.HV02, "--include-storage")
		if got := s.run(t, lab.HV02, "cat", file); got != "mine" {
			t.Errorf("the other file: %s", got)
		}
	})
}

// testUEFI: the variables of a running guest are in its memory, and so in the
// destination's file.
func (s *site) testUEFI(t *testing.T) {
	vm := s.newVM(t, lab.HV01, "EFI02", 107, func(o *lab.VMOptions) { o.UEFI = true })
	file := nvramDir + "EFI02_VARS.fd"
	sum := s.sum(t, lab.HV01, file)
	s.mustMove(t, vm, lab.HV01, lab.HV02)
	vm.verify(t)
	if got := s.sum(t, lab.HV02, file); got != sum {
		t.Error("other UEFI variables at the destination")
	}
	if s.exists(t, lab.HV01, file) {
		t.Errorf("%s is still at the source", file)
	}
	s.assertClean(t, vm, lab.HV01)
}
