package plan_test

import (
	"math"
	"testing"

	"drover/internal/fault"
	"drover/internal/plan"
	"drover/internal/record"
	"drover/internal/virt"
	"drover/internal/wire"
)

func TestRequestsThatCannotBeMeant(t *testing.T) {
	m := func(k, v string) map[string]string { return map[string]string{k: v} }
	for name, c := range map[string]struct {
		kind wire.MoveKind
		r    record.Request
		code fault.Code
	}{
		"nothing asked":           {wire.Live, record.Request{}, ""},
		"network":                 {wire.Live, record.Request{MapNetwork: m("virbr0", "br-lan")}, ""},
		"network with a path":     {wire.Live, record.Request{MapNetwork: m("virbr0", "../x")}, fault.Usage},
		"disk":                    {wire.Live, record.Request{IncludeStorage: true, DiskPaths: m("vda", "/a/b")}, ""},
		"disk by its path":        {wire.Live, record.Request{IncludeStorage: true, DiskPaths: m("/vms/a.qcow2", "/a/b")}, ""},
		"no such disk":            {wire.Live, record.Request{IncludeStorage: true, DiskPaths: m("vdz", "/a/b")}, fault.Usage},
		"disk, storage stays":     {wire.Live, record.Request{DiskPaths: m("vda", "/a/b")}, fault.Usage},
		"storage, storage stays":  {wire.Live, record.Request{MapStorage: m("/a", "/b")}, fault.Usage},
		"CPU of a running VM":     {wire.Live, record.Request{CPU: "qemu64"}, fault.CPUFixed},
		"CPU of a paused VM":      {wire.Paused, record.Request{CPU: "qemu64"}, fault.CPUFixed},
		"CPU of one shut off":     {wire.Offline, record.Request{CPU: "qemu64"}, ""},
		"CPU that is no name":     {wire.Offline, record.Request{CPU: "a b"}, fault.Usage},
		"relative destination":    {wire.Live, record.Request{IncludeStorage: true, MapStorage: m("/a", "b")}, fault.Usage},
		"bandwidth":               {wire.Live, record.Request{Bandwidth: 5e8}, ""},
		"bandwidth of nothing":    {wire.Live, record.Request{Bandwidth: 1}, fault.Usage},
		"time":                    {wire.Live, record.Request{TimeoutMS: 1000}, ""},
		"time without end":        {wire.Live, record.Request{TimeoutMS: math.MaxInt64}, fault.Usage},
		"disk to a relative file": {wire.Live, record.Request{IncludeStorage: true, DiskPaths: m("vda", "b")}, fault.Usage},
	} {
		t.Run(name, func(t *testing.T) {
			all := plan.CheckRequest("HV01", virt.Domain{Name: "APP01", Disks: []virt.Disk{image(), {Target: "sda"}}}, c.kind, c.r)
			var first error
			if len(all) > 0 {
				first = all[0]
			}
			wantCode(t, first, c.code)
		})
	}
}

func TestVersionsThatAreTooOldForWhatIsAsked(t *testing.T) {
	for name, c := range map[string]struct {
		libvirt, qemu string
		connections   int
		code          fault.Code
	}{
		"new enough":       {"9.0.0", "7.2.22", 4, ""},
		"exactly":          {"5.2.0", "4.0.0", 4, ""},
		"libvirt too old":  {"5.1.9", "7.2.0", 4, fault.VersionTooOld},
		"QEMU too old":     {"10.0.0", "3.1.9", 4, fault.VersionTooOld},
		"old, not needed":  {"1.0.0", "1.0.0", 0, ""},
		"cannot be read":   {"", "git", 4, ""},
		"short":            {"9", "7", 4, ""},
		"major is greater": {"11.0.0", "10.0.0", 1, ""},
	} {
		t.Run(name, func(t *testing.T) {
			wantCode(t, plan.CheckVersions("HV02", c.libvirt, c.qemu, record.Request{Connections: c.connections}), c.code)
		})
	}
}

func TestAllObjectionsToASource(t *testing.T) {
	d := virt.Domain{Name: "APP01", Job: "backup", Snapshots: 1, Disks: []virt.Disk{{Target: "vda", Device: "lun", Type: "block", Path: "/dev/x"}, {Target: "vdb", Device: "disk", Type: "file", Path: "/x", Format: "vmdk"}}}
	if all := plan.Objections("HV01", d); len(all) != 5 {
		t.Errorf("%d objections: %v", len(all), all)
	}
}

func TestMediaAreLeftBehindOnlyWhereAskedFor(t *testing.T) {
	in := input()
	in.Offered[2].Path, in.Eject = "/iso/x.iso", true
	p, err := plan.Make(in)
	if err != nil || p.Disks[2].Action != wire.Empty || p.Disks[2].SourcePath != "/iso/x.iso" {
		t.Errorf("%+v, %v", p.Disks, err)
	}
	if remove, _ := p.SourceFiles(); len(remove) != 1 {
		t.Errorf("removes %v; the medium stays", remove)
	}
	in.Eject = false
	_, err = plan.Make(in)
	wantCode(t, err, fault.ProtocolError)
	in = input()
	in.Eject, in.Admitted[0] = true, wire.AdmittedDisk{Target: "vda", Action: wire.Empty}
	_, err = plan.Make(in)
	wantCode(t, err, fault.ProtocolError)
}
