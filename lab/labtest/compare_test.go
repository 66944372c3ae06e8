package labtest

import (
	"context"
	"encoding/json"
	"maps"
	"os"
	"path"
	"strings"
	"testing"

	"drover/internal/fault"
	"drover/internal/record"
	"drover/internal/wire"
	"drover/lab"
)

// TestCompareThenMove: a running VM with several things in the way of its move.
// Comparing names all of them with the options that cure; with these options the
// comparison is empty, and the move does what they say.
func TestCompareThenMove(t *testing.T) {
	s := startSite(t, lab.Options{Name: "compare", Hosts: twoHosts})
	vm := s.incompatibleVM(t)
	taken := path.Base(vm.Disks[0].Path)
	s.run(t, lab.HV02, "sh", "-c", "echo precious > "+lab.VMDir+"/"+taken)
	before := s.pictures(t)

	first := s.compare(t, 11, "--to", lab.HV02)
	want := map[fault.Code]string{fault.NetworkMissing: "--map-network br-other=" + lab.GuestBridge, fault.DiskMedia: "--eject-media",
		fault.StorageNotIncluded: "--include-storage"}
	if got := optionsOf(first); !maps.Equal(got, want) {
		t.Fatalf("in the way: %v, want %v", got, want)
	}
	flags := []string{"--to", lab.HV02, "--include-storage"}
	second := s.compare(t, 11, flags...)
	moved := strings.TrimSuffix(vm.Disks[0].Path, ".qcow2") + "-1.qcow2"
	delete(want, fault.StorageNotIncluded)
	want[fault.DiskExists] = "--vhds vda=" + moved
	if got := optionsOf(second); !maps.Equal(got, want) {
		t.Fatalf("in the way: %v, want %v", got, want)
	}
	for _, option := range optionsOf(second) {
		flags = append(flags, strings.Fields(option)...)
	}
	last := s.compare(t, 0, flags...)
	if last.Plan == nil || last.Plan.Disks[0].DestinationPath != moved || last.Plan.Disks[1].Action != wire.Empty {
		t.Fatalf("plan: %+v", last.Plan)
	}
	s.unchanged(t, before)
	for _, host := range twoHosts {
		if recs, err := s.moves(t.Context(), host); err != nil || len(recs) > 0 {
			t.Errorf("%s has moves: %v, %v", host, recs, err)
		}
	}
	vm.verify(t)

	var rec record.Record
	r := s.drover(t, append([]string{"move", vm.Name, "--host", lab.HV01, "-o", "json"}, flags...)...)
	if err := json.Unmarshal([]byte(r.Stdout), &rec); err != nil || r.Status != 0 || rec.Phase != record.Done || rec.Kind != wire.Live {
		t.Fatalf("move: status %d, %v: %s%s", r.Status, err, r.Stdout, r.Stderr)
	}
	vm.verify(t)
	for _, state := range [][]string{nil, {"--inactive"}} { // as it runs, and as it will start again
		xml := s.virsh(t, lab.HV02, append([]string{"dumpxml", vm.Name}, state...)...)
		for _, part := range []string{"bridge='" + lab.GuestBridge + "'", moved, "dev='hda'"} {
			if !strings.Contains(xml, part) {
				t.Errorf("%v: no %s in\n%s", state, part, xml)
			}
		}
		for _, part := range []string{"br-other", "setup.iso"} {
			if strings.Contains(xml, part) {
				t.Errorf("%v: %s is still in\n%s", state, part, xml)
			}
		}
	}
	if text := s.run(t, lab.HV02, "cat", lab.VMDir+"/"+taken); text != "precious" {
		t.Errorf("the file that was in the way: %q", text)
	}
	s.run(t, lab.HV01, "test", "-e", lab.VMDir+"/setup.iso") // the medium is not the move's
	if out := s.run(t, lab.HV01, "sh", "-c", "ls "+lab.VMDir); strings.Contains(out, "qcow2") {
		t.Errorf("left on %s: %s", lab.HV01, out)
	}
}

// incompatibleVM runs on HV01, attached to a bridge that HV02 does not have, with
// a CD that HV02 does not have.
func (s *site) incompatibleVM(t *testing.T) *machine {
	t.Helper()
	// The other bridge leads to the same network, so that the guest is heard.
	s.run(t, lab.HV01, "sh", "-c", "ip link add br-other type bridge && ip link set br-other up && ip link add other0 type veth peer name other1 && "+
		"ip link set other0 master br-other up && ip link set other1 master "+lab.GuestBridge+" up && head -c 1M /dev/zero > "+lab.VMDir+"/setup.iso")
	vm, err := s.DefineVM(t.Context(), lab.HV01, smallVM("APP01", 101))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.RemoveVM(context.Background(), vm) })
	s.redefine(t, lab.HV01, vm.Name, "bridge='"+lab.GuestBridge+"'", "bridge='br-other'", "</devices>",
		"<disk type='file' device='cdrom'><driver name='qemu' type='raw'/><source file='"+lab.VMDir+"/setup.iso'/><target dev='hda' bus='ide'/><readonly/></disk></devices>")
	s.virsh(t, lab.HV01, "start", vm.Name)
	m := &machine{VM: vm}
	s.observe(t, m)
	return m
}

// compare compares APP01 and gives what drover printed.
func (s *site) compare(t *testing.T, status int, flags ...string) (c record.Comparison) {
	t.Helper()
	r := s.drover(t, append([]string{"compare", "APP01", "--host", lab.HV01, "-o", "json"}, flags...)...)
	if err := json.Unmarshal([]byte(r.Stdout), &c); err != nil || r.Status != status {
		t.Fatalf("compare %v: status %d, want %d, %v: %s%s", flags, r.Status, status, err, r.Stdout, r.Stderr)
	}
	return c
}

func optionsOf(c record.Comparison) map[fault.Code]string {
	out := map[fault.Code]string{}
	for _, i := range c.Incompatibilities {
		out[i.Code] = i.Option
	}
	return out
}

// TestCompareNamesWhatNoOptionCures: a VM that is bound to its host in every way,
// shut off, and one CPU that it may get instead of its own.
func TestCompareNamesWhatNoOptionCures(t *testing.T) {
	s := startSite(t, lab.Options{Name: "bound", Hosts: twoHosts})
	o := smallVM("APP01", 101)
	vm, err := s.DefineVM(t.Context(), lab.HV01, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.RemoveVM(context.Background(), vm) })
	plain := s.virsh(t, lab.HV01, "dumpxml", "--inactive", vm.Name)
	s.redefine(t, lab.HV01, vm.Name, "</devices>", "<hostdev mode='subsystem' type='pci'><source><address domain='0' bus='0' slot='0' function='0'/></source></hostdev></devices>",
		"<os>", "<memoryBacking><hugepages><page size='16' unit='GiB'/></hugepages></memoryBacking><cputune><vcpupin vcpu='0' cpuset='500'/></cputune><numatune><memory mode='strict' nodeset='7'/></numatune><os>")
	before := s.pictures(t)
	c := s.compare(t, 11, "--to", lab.HV02, "--include-storage")
	found := optionsOf(c)
	for _, code := range []fault.Code{fault.DeviceRefused, fault.HostCPUMissing, fault.NUMANodeMissing, fault.HugePagesMissing} {
		if option, ok := found[code]; !ok || option != "" {
			t.Errorf("%s: %v, %q", code, ok, option)
		}
	}
	if len(found) != 4 {
		t.Errorf("found %v", found)
	}
	s.unchanged(t, before)

	if err := os.WriteFile(s.Member(lab.HV01).Path("/tmp/plain.xml"), []byte(plain), 0o600); err != nil {
		t.Fatal(err)
	}
	s.virsh(t, lab.HV01, "define", "/tmp/plain.xml")
	flags := []string{"--to", lab.HV02, "--include-storage", "--cpu", "kvm64", "--map-storage", lab.VMDir + "=" + lab.SharedDir}
	s.compare(t, 0, flags...)
	if r := s.drover(t, append([]string{"move", vm.Name, "--host", lab.HV01}, flags...)...); r.Status != 0 {
		t.Fatalf("%+v", r)
	}
	xml := s.virsh(t, lab.HV02, "dumpxml", vm.Name)
	if moved := lab.SharedDir + "/" + path.Base(vm.Disks[0].Path); !strings.Contains(xml, ">kvm64</model>") || strings.Contains(xml, "qemu64") || !strings.Contains(xml, moved) {
		t.Errorf("as moved:\n%s", xml)
	}
	s.virsh(t, lab.HV02, "start", vm.Name)
	s.observe(t, &machine{VM: vm})
	if r := s.drover(t, "compare", vm.Name, "--host", lab.HV02, "--to", lab.HV01, "--cpu", "qemu64", "-o", "json"); r.Status != 11 || !strings.Contains(r.Stdout, string(fault.CPUFixed)) {
		t.Errorf("another CPU for a VM that runs: %+v", r)
	}
}
