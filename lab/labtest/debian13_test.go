package labtest

import (
	"strings"
	"testing"

	"drover/lab"
)

// TestDebian13: hosts with QEMU 10 and libvirt 11 behind the modular daemon's
// socket. One VM goes there and back, running and shut off.
func TestDebian13(t *testing.T) {
	s := startSite(t, lab.Options{Name: "debian13", Rootfs: "trixie", Hosts: []string{lab.HV01, lab.HV02}})
	for _, host := range []string{lab.HV01, lab.HV02} {
		if v := s.virsh(t, host, "version"); !strings.Contains(v, "QEMU 10.") || !strings.Contains(v, "libvirt 11.") {
			t.Fatalf("%s has\n%s", host, v)
		}
		if s.exists(t, host, "/run/libvirt/libvirt-sock") || !s.exists(t, host, "/run/libvirt/virtqemud-sock") {
			t.Fatalf("%s has not virtqemud's socket alone", host)
		}
	}
	vm := s.newVM(t, lab.HV01, "APP01", 101)
	for _, hop := range [][2]string{{lab.HV01, lab.HV02}, {lab.HV02, lab.HV01}} {
		rec := s.mustMove(t, vm, hop[0], hop[1], "--connections", "2")
		if !rec.Summary.Encrypted || rec.Summary.DelegatedService != migration+"/"+hop[1] || rec.Summary.Network != lab.Migration.Subnet() {
			t.Errorf("%+v", rec.Summary)
		}
		vm.verify(t)
		s.assertClean(t, vm, hop[0])
	}
	s.virsh(t, lab.HV01, "destroy", "APP01")
	s.moveOff(t, vm.VM, lab.HV01, lab.HV02)
}
