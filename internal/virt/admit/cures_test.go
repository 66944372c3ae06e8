package admit

import (
	"slices"
	"strings"
	"testing"

	"drover/internal/fault"
)

func TestExamineGivesAllObjectionsAndLeavesOutWhatWasRefused(t *testing.T) {
	xml := readTestdata(t, "q35.xml")
	for _, edit := range [][2]string{
		{"<memballoon model='virtio'/>", "<hostdev mode='subsystem' type='pci'/><filesystem type='mount'/>"},
		{"<source bridge='br0'/>", "<source bridge='../../etc'/>"},
		{"<target dev='vda' bus='virtio'/>", "<target dev='vdb' bus='virtio'/>"},
	} {
		if !strings.Contains(xml, edit[0]) {
			t.Fatalf("testdata has no %s", edit[0])
		}
		xml = strings.Replace(xml, edit[0], edit[1], 1)
	}
	a, errs := Examine([]byte(xml), policy())
	var all []string
	for _, err := range errs {
		all = append(all, string(fault.From(err).Code)+": "+fault.From(err).Message())
	}
	text := strings.Join(all, "\n")
	for _, part := range []string{"hostdev", "filesystem", "../../etc", "vdb", "attached"} {
		if !strings.Contains(text, part) {
			t.Errorf("nothing is said of %s:\n%s", part, text)
		}
	}
	if a == nil || a.XML != "" || a.Name != "APP01" || a.MemoryBytes != 2<<30 {
		t.Fatalf("of a refused definition: %+v", a)
	}
	if slices.ContainsFunc(a.Bridges, func(b string) bool { return strings.Contains(b, "/") }) {
		t.Errorf("a refused bridge is to be looked at: %v", a.Bridges)
	}
	if _, err := Domain([]byte(xml), policy()); !fault.Is(err, fault.DeviceRefused) {
		t.Errorf("Domain: %v", err)
	}
}

func TestInterfacesGoWhereTheyAreMapped(t *testing.T) {
	p := policy()
	p.Networks = map[string]Attachment{"br0": {Name: "lan", Network: true}, "default": {Name: "ovs0", OpenVSwitch: true}}
	a, err := Domain([]byte(readTestdata(t, "q35.xml")), p)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(a.Networks, []string{"lan"}) || !slices.Equal(a.Bridges, []string{"ovs0"}) {
		t.Errorf("networks %v, bridges %v", a.Networks, a.Bridges)
	}
	for _, want := range []string{`network="lan"`, `bridge="ovs0"`, `<virtualport type="openvswitch"/>`, "52:54:00:aa:bb:cc"} {
		if !strings.Contains(a.XML, want) {
			t.Errorf("no %s in\n%s", want, a.XML)
		}
	}
	for _, gone := range []string{`"br0"`, `"default"`} {
		if strings.Contains(a.XML, gone) {
			t.Errorf("%s is still in\n%s", gone, a.XML)
		}
	}
	// What was written is what the same host admits again, as it does at Prepare.
	p.Networks = nil
	p.Disks["vda"] = DiskFile{"/srv/vm/APP01/app01.qcow2", "qcow2"}
	if _, err := Domain([]byte(a.XML), p); err != nil {
		t.Errorf("not admitted again: %v", err)
	}
}

func TestMediaAreLeftBehindOnlyWhenAskedFor(t *testing.T) {
	xml := `<domain type="kvm"><name>APP01</name><uuid>0a1b2c3d-0001-4002-8003-000000000001</uuid><memory>1024</memory><os><type>hvm</type></os><devices>` +
		`<disk type="file" device="cdrom"><driver name="qemu" type="raw"/><source file="/iso/setup.iso"/><target dev="sda" bus="sata"/><readonly/></disk>` +
		`<disk type="file" device="disk"><driver name="qemu" type="qcow2"/><source file="/x/app01.qcow2"/><target dev="vda" bus="virtio"/></disk></devices></domain>`
	p := policy()
	if _, err := Domain([]byte(xml), p); !fault.Is(err, fault.DeviceRefused) {
		t.Errorf("a medium that was not offered: %v", err)
	}
	p.Eject = true
	a, err := Domain([]byte(xml), p)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(a.XML, "setup.iso") || !strings.Contains(a.XML, `dev="sda"`) || a.Disks[0].Path != "" {
		t.Errorf("drive: %+v\n%s", a.Disks[0], a.XML)
	}
	delete(p.Disks, "vda")
	if _, err := Domain([]byte(xml), p); !fault.Is(err, fault.DeviceRefused) {
		t.Errorf("a disk is no medium: %v", err)
	}
}

func TestCPUIsReplacedWithWhatBelongsToIt(t *testing.T) {
	p := policy()
	p.CPU = "qemu64"
	a, err := Domain([]byte(readTestdata(t, "q35.xml")), p)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(a.XML, "Skylake") || !strings.Contains(a.XML, `<model fallback="forbid">qemu64</model>`) || !strings.Contains(a.CPUXML, "qemu64") || a.CPUMode != "custom" {
		t.Errorf("CPU %s in\n%s", a.CPUXML, a.XML)
	}
	p.CPU = "x' y"
	if _, err := Domain([]byte(readTestdata(t, "q35.xml")), p); !fault.Is(err, fault.DeviceRefused) {
		t.Errorf("a model with a blank: %v", err)
	}
}

func TestPlacesOfTheHostAreRead(t *testing.T) {
	xml := `<domain type="kvm"><name>APP01</name><uuid>0a1b2c3d-0001-4002-8003-000000000001</uuid><memory>1024</memory><vcpu cpuset="0-1">2</vcpu>` +
		`<cputune><vcpupin vcpu="0" cpuset="4"/><emulatorpin cpuset="0-1"/></cputune><numatune><memory mode="strict" nodeset="1"/></numatune>` +
		`<memoryBacking><hugepages><page size="2" unit="M"/></hugepages></memoryBacking><os><type>hvm</type></os>` +
		`<devices><tpm model="tpm-crb"><backend type="emulator" version="2.0"/></tpm></devices></domain>`
	p := policy()
	p.Disks = nil
	a, err := Domain([]byte(xml), p)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(a.CPUSets, []string{"0-1", "4"}) || !slices.Equal(a.NUMANodes, []string{"1"}) || !slices.Equal(a.HugePages, []uint64{2 << 20}) || !a.TPM {
		t.Errorf("read %+v", a)
	}
	a, err = Domain([]byte(strings.Replace(xml, `<page size="2" unit="M"/>`, "", 1)), p)
	if err != nil || !slices.Equal(a.HugePages, []uint64{0}) {
		t.Errorf("pages of the default size: %v, %v", a.HugePages, err)
	}
}
