package guest

import (
	"encoding/xml"
	"io"
	"strings"
	"testing"
)

func testSpec() Spec {
	return Spec{
		Name: `A&B<"'>`, UUID: "7c9e6679-7425-40de-944b-e07fc1f90ae7", MemoryMiB: 384, VCPUs: 2, Type: TypeQEMU,
		Machine: "q35", Boot: BootFiles{"/b/vmlinuz", "/b/initrd"}, Cmdline: "console=ttyS0 drover.name=A",
		Loader: "/usr/share/OVMF/OVMF_CODE.fd", NVRAM: "/v/A_VARS.fd", NVRAMTemplate: "/usr/share/OVMF/OVMF_VARS.fd",
		Disks:  []DiskSpec{{"/v/a.qcow2", "qcow2", ""}, {"/v/b.raw", "raw", "writeback"}},
		Bridge: "br0", MAC: "52:54:00:00:00:01", Console: "/v/console.log",
	}
}

// domainXML is the part of libvirt's format that the guest uses.
type domainXML struct {
	Type   string `xml:"type,attr"`
	Name   string `xml:"name"`
	UUID   string `xml:"uuid"`
	Memory struct {
		Unit  string `xml:"unit,attr"`
		Value int    `xml:",chardata"`
	} `xml:"memory"`
	VCPU int `xml:"vcpu"`
	OS   struct {
		Type struct {
			Machine string `xml:"machine,attr"`
		} `xml:"type"`
		Loader string `xml:"loader"`
		NVRAM  struct {
			Template string `xml:"template,attr"`
			Path     string `xml:",chardata"`
		} `xml:"nvram"`
		Kernel  string `xml:"kernel"`
		Initrd  string `xml:"initrd"`
		Cmdline string `xml:"cmdline"`
	} `xml:"os"`
	CPU   string `xml:"cpu>model"`
	Disks []struct {
		Driver struct {
			Type  string `xml:"type,attr"`
			Cache string `xml:"cache,attr"`
		} `xml:"driver"`
		Source struct {
			File string `xml:"file,attr"`
		} `xml:"source"`
		Target struct {
			Dev string `xml:"dev,attr"`
		} `xml:"target"`
	} `xml:"devices>disk"`
	Interfaces []struct {
		MAC struct {
			Address string `xml:"address,attr"`
		} `xml:"mac"`
		Source struct {
			Bridge string `xml:"bridge,attr"`
		} `xml:"source"`
		Model struct {
			Type string `xml:"type,attr"`
		} `xml:"model"`
	} `xml:"devices>interface"`
	Serials []struct {
		Type   string `xml:"type,attr"`
		Source struct {
			Path string `xml:"path,attr"`
		} `xml:"source"`
	} `xml:"devices>serial"`
}

func TestDomainXMLReadsBack(t *testing.T) {
	s := testSpec()
	text, err := DomainXML(s)
	if err != nil {
		t.Fatal(err)
	}
	var d domainXML
	if err := xml.Unmarshal([]byte(text), &d); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	if d.Name != s.Name || d.UUID != s.UUID || d.Type != "qemu" || d.Memory.Value != 384 || d.Memory.Unit != "MiB" || d.VCPU != 2 || d.CPU != "qemu64" {
		t.Errorf("domain %+v", d)
	}
	if os := d.OS; os.Type.Machine != "q35" || os.Kernel != s.Boot.Kernel || os.Initrd != s.Boot.Initrd ||
		os.Cmdline != s.Cmdline || os.Loader != s.Loader || os.NVRAM.Path != s.NVRAM || os.NVRAM.Template != s.NVRAMTemplate {
		t.Errorf("os %+v", d.OS)
	}
	disks := d.Disks
	if len(disks) != 2 || disks[0].Driver.Cache != "none" || disks[0].Target.Dev != "vda" ||
		disks[1].Driver.Type != "raw" || disks[1].Source.File != "/v/b.raw" || disks[1].Target.Dev != "vdb" {
		t.Errorf("disks %+v", disks)
	}
	nic := d.Interfaces
	if len(nic) != 1 || nic[0].Source.Bridge != "br0" || nic[0].MAC.Address != s.MAC || nic[0].Model.Type != "virtio" {
		t.Errorf("interfaces %+v", nic)
	}
	if len(d.Serials) != 1 || d.Serials[0].Type != "file" || d.Serials[0].Source.Path != s.Console {
		t.Errorf("serials %+v", d.Serials)
	}
}

func TestSmallestDomain(t *testing.T) {
	text, err := DomainXML(Spec{Name: "a", MemoryMiB: 256, Type: TypeKVM, Boot: BootFiles{"/k", "/i"}})
	if err != nil {
		t.Fatal(err)
	}
	for dec := xml.NewDecoder(strings.NewReader(text)); ; {
		if _, err := dec.Token(); err == io.EOF {
			break
		} else if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
	}
	for _, absent := range []string{"<uuid>", "<loader", "<nvram", "<disk", "<interface", "type='file'"} {
		if strings.Contains(text, absent) {
			t.Errorf("%s in\n%s", absent, text)
		}
	}
}

func TestImpossibleDomainsAreRefused(t *testing.T) {
	for name, spoil := range map[string]func(*Spec){
		"no name":         func(s *Spec) { s.Name = "" },
		"little memory":   func(s *Spec) { s.MemoryMiB = 8 },
		"type":            func(s *Spec) { s.Type = "xen" },
		"machine":         func(s *Spec) { s.Machine = "microvm" },
		"no initrd":       func(s *Spec) { s.Boot.Initrd = "" },
		"loader alone":    func(s *Spec) { s.NVRAM = "" },
		"format":          func(s *Spec) { s.Disks[0].Format = "vhdx" },
		"too many disks":  func(s *Spec) { s.Disks = make([]DiskSpec, maxDisks+1) },
		"disk of no path": func(s *Spec) { s.Disks[1].Path = "" },
	} {
		s := testSpec()
		spoil(&s)
		if _, err := DomainXML(s); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
