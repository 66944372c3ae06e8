package labtest

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"drover/internal/fault"
	"drover/internal/record"
	"drover/internal/wire"
	"drover/lab"
)

// tamperDir is where a test says what the source's agent sends otherwise (DROVERD_TAMPER).
const tamperDir = "/run/tamper"

// TestHostileSource: an agent with the right key and tickets that an operator delegated to it sends what
// it should not. The destination, with a libvirt that would do as it is told, refuses and keeps nothing.
func TestHostileSource(t *testing.T) {
	s := startSite(t, lab.Options{Name: "hostile", Hosts: twoHosts})
	vm := s.newVM(t, lab.HV01, "APP01", 101)
	s.run(t, lab.HV01, "mkdir", "-p", tamperDir)
	if err := s.RestartAgent(t.Context(), lab.HV01, "DROVERD_TAMPER="+tamperDir); err != nil {
		t.Fatal(err)
	}
	s.run(t, lab.HV02, "sh", "-c", "mkdir /srv/secret && echo kept > /srv/secret/disk.qcow2 && ln -s /srv/secret /srv/vms/link")
	disk := vm.Disks[0].Path
	devices := func(with string) [2]string { return [2]string{"</devices>", with + "</devices>"} }
	into := func(dir string) [2]string {
		return [2]string{`"kind":"live"`, `"kind":"live","storage_path":"` + dir + `"`}
	}
	malformed, outside := []fault.Code{fault.ProtocolError}, []fault.Code{fault.StoragePathOutside}
	refused := []fault.Code{fault.DeviceRefused, fault.DefinitionInvalid}
	for _, c := range []struct {
		name   string
		kind   wire.Kind
		change [2]string
		codes  []fault.Code
	}{
		{"name with a path", wire.KindOpen, [2]string{`"APP01"`, `"../../etc/APP01"`}, malformed},
		{"disks to outside of the roots", wire.KindOffer, into("/srv/secret"), outside},
		{"disks to above the roots", wire.KindOffer, into("/srv/vms/../secret"), outside},
		{"disks to behind a link", wire.KindOffer, into("/srv/vms/link"), outside},
		{"kernel of the host", wire.KindOffer, [2]string{lab.GuestDir + "/vmlinuz", "/etc/shadow"}, refused},
		{"disk of a negative size", wire.KindOffer, [2]string{`"virtual_bytes":`, `"virtual_bytes":-`}, malformed},
		{"disk that the definition lacks", wire.KindOffer, [2]string{`"target":"vda"`, `"target":"vdb"`}, refused},
		{"command line", wire.KindOffer, [2]string{"</domain>", "<qemu:commandline xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'><qemu:arg value='-S'/></qemu:commandline></domain>"}, refused},
		{"device of the host", wire.KindOffer, devices("<hostdev mode='subsystem' type='usb'><source><vendor id='0x1234'/><product id='0x1'/></source></hostdev>"), refused},
		{"device of the host, once the offer is admitted", wire.KindPrepare, devices("<hostdev mode='subsystem' type='usb'><source><vendor id='0x1234'/><product id='0x1'/></source></hostdev>"), refused},
		{"more memory than was offered", wire.KindPrepare, [2]string{"unit='KiB'>", "unit='MiB'>"}, refused},
	} {
		if !t.Run(c.name, func(t *testing.T) {
			defer s.tamper(t, c.kind, c.change)()
			rec, _ := s.move(t, vm, lab.HV01, lab.HV02, "--no-doctor")
			if rec.Phase != record.Failed || rec.Error == nil || !slices.Contains(c.codes, rec.Error.Code) {
				t.Errorf("%s, %v; want one of %v", rec.Phase, rec.Error, c.codes)
			}
			t.Log(rec.Error)
			if running := s.whereRunning(t, vm); !slices.Equal(running, []string{lab.HV01}) {
				t.Fatalf("it runs on %v", running)
			}
			s.run(t, lab.HV02, "sh", "-c", `test "$(cat /srv/secret/disk.qcow2)" = kept && rm /srv/vms/link`) // or it is a leftover
			s.assertClean(t, vm, lab.HV02)
			s.assertTidy(t, lab.HV01)
			s.run(t, lab.HV02, "ln", "-s", "/srv/secret", "/srv/vms/link")
		}) {
			s.diagnose(t, vm)
			return // the VM may be anywhere
		}
	}
	s.run(t, lab.HV02, "rm", "/srv/vms/link")
	// Where a disk lay at the source is a wish, and what its emulator was nobody asks.
	wishes := [][2]string{{disk, "/srv/secret/disk.qcow2"}, {"/usr/bin/qemu-system-x86_64", "/bin/sh"}}
	defer s.tamper(t, wire.KindOffer, wishes...)()
	defer s.tamper(t, wire.KindPrepare, wishes...)()
	s.mustMove(t, vm, lab.HV01, lab.HV02)
	s.run(t, lab.HV02, "sh", "-c", `test "$(cat /srv/secret/disk.qcow2)" = kept && test -s /srv/vms/disk.qcow2`)
	if text := s.virsh(t, lab.HV02, "dumpxml", vm.Name); strings.Contains(text, "/bin/sh") {
		t.Error(text)
	}
	vm.verify(t)
}

// tamper changes the messages of a kind that HV01's agent sends as a source.
func (s *site) tamper(t *testing.T, k wire.Kind, changes ...[2]string) (undo func()) {
	t.Helper()
	text, err := json.Marshal(changes)
	if err != nil {
		t.Fatal(err)
	}
	file := s.Member(lab.HV01).Path(filepath.Join(tamperDir, string(k)))
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := os.Remove(file); err != nil {
			t.Error(err)
		}
	}
}
