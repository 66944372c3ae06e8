package plan

import (
	"fmt"

	"drover/internal/fault"
	"drover/internal/record"
	"drover/internal/virt"
	"drover/internal/wire"
)

// CodecTCPIP is the codec of the performance option TCPIP: memory as it is.
const CodecTCPIP = "TCPIP (uncompressed)"

// KindOf says how a VM moves; "vm-state" for a state in which it cannot.
func KindOf(host string, d virt.Domain) (wire.MoveKind, error) {
	switch d.State {
	case virt.Running:
		return wire.Live, nil
	case virt.Paused:
		// Paused by its administrator it moves as it stands. Any other reason
		// (I/O error, a migration that was given up) needs a person first.
		if d.Reason == "user" {
			return wire.Paused, nil
		}
		return "", fault.New(fault.VMState, host, "vm", d.Name, "state", fmt.Sprintf("paused (%s)", d.Reason))
	case virt.Shutoff:
		if d.HasManagedSave {
			return "", fault.New(fault.VMState, host, "vm", d.Name, "state", "shut off with saved memory (managed save)")
		}
		return wire.Offline, nil
	}
	return "", fault.New(fault.VMState, host, "vm", d.Name, "state", string(d.State))
}

// HasStorage reports whether the VM has a writable disk, which is what the
// delegation for storage is about.
func HasStorage(d virt.Domain) bool {
	for _, disk := range d.Disks {
		if disk.Device == "disk" && disk.Path != "" {
			return true
		}
	}
	return false
}

// CheckSource refuses a VM that cannot move, whatever the destination.
func CheckSource(host string, d virt.Domain) error {
	if all := Objections(host, d); len(all) > 0 {
		return all[0]
	}
	return nil
}

// Objections are all for which CheckSource would refuse the VM.
func Objections(host string, d virt.Domain) (all []error) {
	if !d.Persistent {
		all = append(all, fault.New(fault.VMTransient, host, "vm", d.Name))
	}
	if d.Job != "" {
		all = append(all, fault.New(fault.VMBusy, host, "vm", d.Name, "job", d.Job))
	}
	if d.BlockJob != "" {
		all = append(all, fault.New(fault.VMBusy, host, "vm", d.Name, "job", d.BlockJob))
	}
	if d.Snapshots > 0 {
		all = append(all, fault.New(fault.VMBusy, host, "vm", d.Name, "job", fmt.Sprintf("%d snapshots, which libvirt does not move along", d.Snapshots)))
	}
	for _, disk := range d.Disks {
		if err := checkDisk(host, d.Name, disk); err != nil {
			all = append(all, err)
		}
	}
	return all
}

func checkDisk(host, vm string, d virt.Disk) error {
	unsupported := func(reason string) error {
		return fault.New(fault.DiskUnsupported, host, "disk", d.Target, "vm", vm, "reason", reason)
	}
	switch {
	case d.Type == "" || d.Path == "" && d.Type == "file":
		return nil // an empty drive
	case d.Device == "lun":
		return unsupported("it is a passed-through SCSI device")
	case d.Type != "file":
		return unsupported(fmt.Sprintf("its source is a %s, not a file", d.Type))
	case d.Backing != "":
		return fault.New(fault.DiskBackingChain, host, "disk", d.Target, "vm", vm, "backing", d.Backing)
	case d.Format != "qcow2" && d.Format != "raw":
		return unsupported("its format is " + d.Format)
	case d.Shareable:
		return unsupported("it is shared with other VMs (<shareable/>)")
	}
	return nil
}

// CheckDestination refuses a destination that cannot be one.
func CheckDestination(host string, d virt.Domain, hostUUID string, dst wire.HostFacts) error {
	switch {
	case dst.UUID != "" && dst.UUID == hostUUID:
		return fault.New(fault.SameHost, host, "name", dst.Host)
	case !dst.Incoming:
		return fault.New(fault.MigrationDisabled, dst.Host, "direction", "incoming")
	}
	return nil
}

// Input is what a plan is made of.
type Input struct {
	Host, Destination string
	Domain            virt.Domain
	Kind              wire.MoveKind
	Offered           []wire.Disk
	Admitted          []wire.AdmittedDisk
	LeftOut           []string
	IncludeStorage    bool
	Retain            bool
	Eject             bool
	Connections       int
	Reason            string // for the number of connections
	Networks          []record.Route
	Passed            []record.Passed
	Transport         Carriage
	Notes             []string
	Delegation        record.Delegation
	Cipher            string
}

// Make makes the plan. The destination's answer is checked too: it must speak
// of exactly the disks that were offered, and copy none that was not asked for.
func Make(in Input) (record.Plan, error) {
	p := record.Plan{VM: in.Domain.Name, UUID: in.Domain.UUID, Kind: in.Kind, Source: in.Host, Destination: in.Destination,
		Networks: in.Networks, Passed: in.Passed, Performance: in.Transport.Performance, Notes: in.Notes, Codec: in.Transport.Codec(), Encryption: in.Cipher, Connections: max(in.Connections, 1), ConnectionsReason: in.Reason, Delegation: in.Delegation,
		Keeps: in.Retain, LeftOut: in.LeftOut, Disks: make([]record.DiskPlan, 0, len(in.Offered))}
	if in.Kind != wire.Offline {
		p.MemoryBytes = in.Domain.MemoryBytes
	} else {
		p.Connections, p.ConnectionsReason = 0, ""
	}
	wrong := func(problem string) (record.Plan, error) {
		return record.Plan{}, fault.New(fault.ProtocolError, in.Host, "peer", in.Destination, "problem", problem)
	}
	if len(in.Admitted) != len(in.Offered) {
		return wrong("an answer for other disks than were offered")
	}
	for i, o := range in.Offered {
		a := in.Admitted[i]
		switch {
		case a.Target != o.Target:
			return wrong("an answer for disk " + a.Target + " instead of " + o.Target)
		case a.Action == wire.Empty && o.Path != "" && (!in.Eject || o.Device == "disk"):
			return wrong("disk " + a.Target + " would be left behind")
		case a.Action != wire.Empty && o.Path == "":
			return wrong("a file for the empty drive " + a.Target)
		case a.Action == wire.Copy && (!in.IncludeStorage || a.Path == "" || o.Device != "disk"):
			return wrong("disk " + a.Target + " would be copied without being asked for")
		case a.Action == wire.Shared && a.Path != o.Path:
			return wrong("disk " + a.Target + " is shared, but under another path")
		case a.Action == wire.Shared && o.Probe == nil:
			return wrong("disk " + a.Target + " is called shared without proof")
		case a.Action != wire.Copy && a.Action != wire.Shared && a.Action != wire.Empty:
			return wrong(fmt.Sprintf("disk %s with the unknown action %q", a.Target, a.Action))
		}
		p.Disks = append(p.Disks, record.DiskPlan{Target: o.Target, Action: a.Action, Format: o.Format, SourcePath: o.Path, DestinationPath: a.Path,
			VirtualBytes: o.VirtualBytes, AllocatedBytes: o.AllocatedBytes})
	}
	return p, nil
}
