package plan_test

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"drover/internal/fault"
	"drover/internal/plan"
	"drover/internal/record"
	"drover/internal/virt"
	"drover/internal/wire"
)

func wantCode(t *testing.T, err error, code fault.Code) {
	t.Helper()
	if code == "" && err != nil || code != "" && !fault.Is(err, code) {
		t.Errorf("error %v, want %q", err, code)
	}
}

func TestKindOf(t *testing.T) {
	for name, c := range map[string]struct {
		d    virt.Domain
		kind wire.MoveKind
		code fault.Code
	}{
		"running":               {virt.Domain{State: virt.Running}, wire.Live, ""},
		"paused by somebody":    {virt.Domain{State: virt.Paused, Reason: "user"}, wire.Paused, ""},
		"paused by an error":    {virt.Domain{State: virt.Paused, Reason: "io-error"}, "", fault.VMState},
		"given up":              {virt.Domain{State: virt.Paused, Reason: "migration"}, "", fault.VMState},
		"paused, nobody knows":  {virt.Domain{State: virt.Paused}, "", fault.VMState},
		"shut off":              {virt.Domain{State: virt.Shutoff}, wire.Offline, ""},
		"saved":                 {virt.Domain{State: virt.Shutoff, HasManagedSave: true}, "", fault.VMState},
		"running, saved before": {virt.Domain{State: virt.Running, HasManagedSave: true}, wire.Live, ""},
		"shutting down":         {virt.Domain{State: virt.Shutdown}, "", fault.VMState},
		"crashed":               {virt.Domain{State: virt.Crashed}, "", fault.VMState},
		"suspended":             {virt.Domain{State: virt.PMSuspended}, "", fault.VMState},
		"no state":              {virt.Domain{State: virt.NoState}, "", fault.VMState},
		"a state of the future": {virt.Domain{State: "dreaming"}, "", fault.VMState},
	} {
		t.Run(name, func(t *testing.T) {
			kind, err := plan.KindOf("HV01", c.d)
			wantCode(t, err, c.code)
			if kind != c.kind {
				t.Errorf("kind %q, want %q", kind, c.kind)
			}
		})
	}
}

func image() virt.Disk {
	return virt.Disk{Target: "vda", Device: "disk", Type: "file", Path: "/vms/a.qcow2", Format: "qcow2"}
}

func TestCheckSource(t *testing.T) {
	good := virt.Domain{Name: "APP01", Persistent: true, State: virt.Running, Disks: []virt.Disk{image()}}
	for name, c := range map[string]struct {
		edit func(*virt.Domain)
		code fault.Code
	}{
		"good":             {func(*virt.Domain) {}, ""},
		"raw":              {func(d *virt.Domain) { d.Disks[0].Format = "raw" }, ""},
		"no disks":         {func(d *virt.Domain) { d.Disks = nil }, ""},
		"empty drive":      {func(d *virt.Domain) { d.Disks = []virt.Disk{{Target: "sda", Device: "cdrom"}} }, ""},
		"empty file drive": {func(d *virt.Domain) { d.Disks = []virt.Disk{{Target: "sda", Device: "cdrom", Type: "file"}} }, ""},
		"transient":        {func(d *virt.Domain) { d.Persistent = false }, fault.VMTransient},
		"busy":             {func(d *virt.Domain) { d.Job = "backup" }, fault.VMBusy},
		"busy disk":        {func(d *virt.Domain) { d.BlockJob = "block commit of vda" }, fault.VMBusy},
		"snapshots":        {func(d *virt.Domain) { d.Snapshots = 2 }, fault.VMBusy},
		"passed through":   {func(d *virt.Domain) { d.Disks[0].Device, d.Disks[0].Type = "lun", "block" }, fault.DiskUnsupported},
		"block device":     {func(d *virt.Domain) { d.Disks[0].Type = "block" }, fault.DiskUnsupported},
		"network disk":     {func(d *virt.Domain) { d.Disks[0].Type = "network" }, fault.DiskUnsupported},
		"network, no path": {func(d *virt.Domain) { d.Disks[0].Type, d.Disks[0].Path = "network", "" }, fault.DiskUnsupported},
		"backing chain":    {func(d *virt.Domain) { d.Disks[0].Backing = "/vms/base.qcow2" }, fault.DiskBackingChain},
		"format":           {func(d *virt.Domain) { d.Disks[0].Format = "vmdk" }, fault.DiskUnsupported},
		"format unknown":   {func(d *virt.Domain) { d.Disks[0].Format = "" }, fault.DiskUnsupported},
		"shareable":        {func(d *virt.Domain) { d.Disks[0].Shareable = true }, fault.DiskUnsupported},
		"the second is bad": {func(d *virt.Domain) {
			d.Disks = append(d.Disks, virt.Disk{Target: "vdb", Device: "disk", Type: "volume", Path: "p/v"})
		}, fault.DiskUnsupported},
		"medium in a drive":  {func(d *virt.Domain) { d.Disks[0].Device, d.Disks[0].Format = "cdrom", "raw" }, ""}, // the destination may see it
		"paused with a disk": {func(d *virt.Domain) { d.State, d.Reason = virt.Paused, "user" }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			d := good
			d.Disks = []virt.Disk{image()}
			c.edit(&d)
			wantCode(t, plan.CheckSource("HV01", d), c.code)
		})
	}
}

func TestHasStorage(t *testing.T) {
	for name, c := range map[string]struct {
		disks []virt.Disk
		want  bool
	}{
		"none":        {nil, false},
		"a disk":      {[]virt.Disk{image()}, true},
		"a CD":        {[]virt.Disk{{Target: "sda", Device: "cdrom", Type: "file", Path: "/vms/x.iso"}}, false},
		"empty drive": {[]virt.Disk{{Target: "sda", Device: "cdrom"}}, false},
		"CD and disk": {[]virt.Disk{{Target: "sda", Device: "cdrom"}, image()}, true},
	} {
		if got := plan.HasStorage(virt.Domain{Disks: c.disks}); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestCheckDestination(t *testing.T) {
	for name, c := range map[string]struct {
		uuid string
		dst  wire.HostFacts
		code fault.Code
	}{
		"good":            {"a", wire.HostFacts{UUID: "b", Incoming: true}, ""},
		"itself":          {"a", wire.HostFacts{UUID: "a", Incoming: true}, fault.SameHost},
		"both unknown":    {"", wire.HostFacts{Incoming: true}, ""},
		"takes none":      {"a", wire.HostFacts{UUID: "b"}, fault.MigrationDisabled},
		"itself and none": {"a", wire.HostFacts{UUID: "a"}, fault.SameHost},
	} {
		t.Run(name, func(t *testing.T) { wantCode(t, plan.CheckDestination("HV01", virt.Domain{}, c.uuid, c.dst), c.code) })
	}
}

func input() plan.Input {
	return plan.Input{Host: "HV01", Destination: "HV02", Kind: wire.Live, IncludeStorage: true, Connections: 4, Cipher: "TLS 1.3, x",
		Domain: virt.Domain{Name: "APP01", UUID: "u", MemoryBytes: 1 << 30},
		Offered: []wire.Disk{
			{Target: "vda", Device: "disk", Path: "/vms/a.qcow2", Format: "qcow2", VirtualBytes: 10, AllocatedBytes: 5},
			{Target: "vdb", Device: "disk", Path: "/shared/b.raw", Format: "raw", VirtualBytes: 20, AllocatedBytes: 20, Probe: &wire.Probe{}},
			{Target: "sda", Device: "cdrom"},
		},
		Admitted: []wire.AdmittedDisk{{Target: "vda", Action: wire.Copy, Path: "/alt/a.qcow2"}, {Target: "vdb", Action: wire.Shared, Path: "/shared/b.raw"},
			{Target: "sda", Action: wire.Empty}},
		Networks:   []record.Route{{Subnet: netip.MustParsePrefix("192.168.10.0/24")}},
		Delegation: record.Delegation{Operator: "anna@LAB"},
	}
}

func TestMakeTellsEverything(t *testing.T) {
	got, err := plan.Make(input())
	if err != nil {
		t.Fatal(err)
	}
	in := input()
	want := record.Plan{VM: "APP01", UUID: "u", Kind: wire.Live, Source: "HV01", Destination: "HV02", Networks: in.Networks, MemoryBytes: 1 << 30,
		Codec: plan.CodecTCPIP, Encryption: "TLS 1.3, x", Connections: 4, Delegation: in.Delegation, Disks: []record.DiskPlan{
			{Target: "vda", Action: wire.Copy, Format: "qcow2", SourcePath: "/vms/a.qcow2", DestinationPath: "/alt/a.qcow2", VirtualBytes: 10, AllocatedBytes: 5},
			{Target: "vdb", Action: wire.Shared, Format: "raw", SourcePath: "/shared/b.raw", DestinationPath: "/shared/b.raw", VirtualBytes: 20, AllocatedBytes: 20},
			{Target: "sda", Action: wire.Empty},
		}}
	if d := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Prefix{}, netip.Addr{})); d != "" {
		t.Error(d)
	}
	remove, retain := got.SourceFiles()
	if cmp.Diff([]string{"/vms/a.qcow2"}, remove) != "" || len(retain) > 0 {
		t.Errorf("removes %v, retains %v; only what is copied is removed", remove, retain)
	}
}

func TestMakeOfVariants(t *testing.T) {
	in := input()
	in.Kind = wire.Offline
	p, err := plan.Make(in)
	if err != nil || p.MemoryBytes != 0 || p.Connections != 0 {
		t.Errorf("offline: memory %d over %d connections, %v", p.MemoryBytes, p.Connections, err)
	}
	in = input()
	in.Connections = 0
	if p, err = plan.Make(in); err != nil || p.Connections != 1 {
		t.Errorf("plain: %d connections, %v", p.Connections, err)
	}
	in = input()
	in.Retain = true
	p, err = plan.Make(in)
	remove, retain := p.SourceFiles()
	if err != nil || len(remove) > 0 || cmp.Diff([]string{"/vms/a.qcow2"}, retain) != "" {
		t.Errorf("retain: removes %v, retains %v, %v", remove, retain, err)
	}
	in = input()
	in.Offered, in.Admitted = nil, nil
	if p, err = plan.Make(in); err != nil || p.Disks == nil {
		t.Errorf("without disks: %v, %v; the list is empty, not absent", p.Disks, err)
	}
}

func TestMakeRefusesWhatWasNotAgreed(t *testing.T) {
	for name, edit := range map[string]func(*plan.Input){
		"fewer disks": func(in *plan.Input) { in.Admitted = in.Admitted[:2] },
		"more disks": func(in *plan.Input) {
			in.Admitted = append(in.Admitted, wire.AdmittedDisk{Target: "vdz", Action: wire.Copy, Path: "/z"})
		},
		"another order":           func(in *plan.Input) { in.Admitted[0], in.Admitted[1] = in.Admitted[1], in.Admitted[0] },
		"copy without storage":    func(in *plan.Input) { in.IncludeStorage = false },
		"copy to nowhere":         func(in *plan.Input) { in.Admitted[0].Path = "" },
		"copy of a CD":            func(in *plan.Input) { in.Offered[0].Device = "cdrom" },
		"copy of an empty drive":  func(in *plan.Input) { in.Admitted[2] = wire.AdmittedDisk{Target: "sda", Action: wire.Copy, Path: "/z"} },
		"shared under other name": func(in *plan.Input) { in.Admitted[1].Path = "/shared/c.raw" },
		"shared without proof":    func(in *plan.Input) { in.Offered[1].Probe = nil },
		"shared empty drive":      func(in *plan.Input) { in.Admitted[2].Action = wire.Shared },
		"disk left behind":        func(in *plan.Input) { in.Admitted[0] = wire.AdmittedDisk{Target: "vda", Action: wire.Empty} },
		"no action":               func(in *plan.Input) { in.Admitted[0].Action = "" },
		"unknown action":          func(in *plan.Input) { in.Admitted[0].Action = "burn" },
	} {
		t.Run(name, func(t *testing.T) {
			in := input()
			edit(&in)
			p, err := plan.Make(in)
			wantCode(t, err, fault.ProtocolError)
			if d := cmp.Diff(record.Plan{}, p, cmpopts.EquateComparable(netip.Prefix{}, netip.Addr{})); d != "" {
				t.Errorf("a plan all the same: %s", d)
			}
		})
	}
}
