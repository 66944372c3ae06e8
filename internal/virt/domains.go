package virt

import (
	"context"
	"fmt"
	"slices"

	lv "github.com/digitalocean/go-libvirt"
	"libvirt.org/go/libvirtxml"
)

// State is a domain's state.
type State string

// States, named as virsh does.
const (
	Running     State = "running"
	Paused      State = "paused"
	Shutdown    State = "in shutdown"
	Shutoff     State = "shut off"
	Crashed     State = "crashed"
	PMSuspended State = "pmsuspended"
	NoState     State = "no state"
)

// Domain is what a move needs to know of a VM.
type Domain struct {
	Name, UUID string
	State      State
	// Reason is libvirt's reason of the state, such as "migration" for Paused.
	Reason      string
	Persistent  bool
	MemoryBytes uint64
	VCPUs       int
	// Type is kvm or qemu; Arch such as x86_64; Machine such as pc-q35-7.2.
	Type, Arch, Machine string
	Disks               []Disk
	// NVRAM is the path of the UEFI variables, "" without; Loader the firmware.
	NVRAM, Loader string
	Networks      []NIC
	// Job is the kind of the job under way, "" for none; BlockJob the one of a disk,
	// such as "block commit of vda".
	Job, BlockJob  string
	HasManagedSave bool
	Snapshots      int
	// Autostart: the host starts the VM when libvirt starts.
	Autostart bool
}

// Disk is one drive of a domain.
type Disk struct {
	// Target is the guest-side name, such as vda; it names the disk in a move.
	Target string
	// Device is disk, cdrom, floppy or lun.
	Device string
	// Type is libvirt's source type: file, block, network, volume, ...; "" for
	// a drive without medium.
	Type                string
	Path                string
	Format              string
	Cache               string
	Backing             string
	ReadOnly, Shareable bool
	// VirtualBytes is what the guest sees, AllocatedBytes what the file occupies.
	VirtualBytes, AllocatedBytes uint64
	Serial                       string
}

// NIC is one network interface of a domain.
type NIC struct {
	MAC string
	// Kind is bridge, network, user, ...; Name the bridge's or network's.
	Kind, Name, Model string
}

// Domains lists all domains, running or not.
func (h *Host) Domains(ctx context.Context) ([]Domain, error) {
	var out []Domain
	err := h.with(ctx, func(l *lv.Libvirt) error {
		out = nil
		doms, _, err := l.ConnectListAllDomains(1, lv.ConnectListDomainsActive|lv.ConnectListDomainsInactive)
		if err != nil {
			return err
		}
		for _, d := range doms {
			dom, err := describe(l, d)
			if hasCode(err, codeNoDomain) {
				continue // it went away since it was listed
			}
			if err != nil {
				return fmt.Errorf("describe %s: %w", d.Name, err)
			}
			out = append(out, dom)
		}
		return nil
	})
	return out, err
}

// Domain describes one domain, named by UUID or name. A name that looks like a
// UUID is taken for one first.
func (h *Host) Domain(ctx context.Context, nameOrUUID string) (Domain, error) {
	var out Domain
	err := h.with(ctx, func(l *lv.Libvirt) error {
		d, err := lookup(l, nameOrUUID)
		if hasCode(err, codeNoDomain) {
			if byName, nerr := l.DomainLookupByName(nameOrUUID); nerr == nil {
				d, err = byName, nil
			}
		}
		if err != nil {
			return err
		}
		out, err = describe(l, d)
		return err
	})
	return out, h.domainError(err, nameOrUUID, "describe")
}

func describe(l *lv.Libvirt, d lv.Domain) (Domain, error) {
	out := Domain{Name: d.Name, UUID: formatUUID(d.UUID)}
	state, reason, err := l.DomainGetState(d, 0)
	if err != nil {
		return out, err
	}
	out.State, out.Reason = convertState(state, reason)
	persistent, err := l.DomainIsPersistent(d)
	if err != nil {
		return out, err
	}
	out.Persistent = persistent != 0
	if out.Persistent {
		auto, err := l.DomainGetAutostart(d)
		if err != nil {
			return out, err
		}
		out.Autostart = auto != 0
	}
	x, err := l.DomainGetXMLDesc(d, 0)
	if err != nil {
		return out, err
	}
	var def libvirtxml.Domain
	if err := def.Unmarshal(x); err != nil {
		return out, fmt.Errorf("read definition: %w", err)
	}
	if err := fillDefinition(&out, &def); err != nil {
		return out, err
	}
	if err := fillState(l, d, &out); err != nil {
		return out, err
	}
	fillSizes(l, d, out.Disks, out.Job == "")
	return out, nil
}

// statistics is what fillSizes needs of libvirt.
type statistics interface {
	ConnectGetAllDomainStats(doms []lv.Domain, stats, flags uint32) ([]lv.DomainStatsRecord, error)
}

// fillSizes asks for the disks' sizes. DomainGetBlockInfo would wait for the
// domain's job, 20 s and longer for an incoming migration, so the statistics
// are used, which can be told not to wait: then sizes are missing instead. They are
// so as well while somebody else only asks something, which is over soon: without a
// job they are waited for.
func fillSizes(l statistics, d lv.Domain, disks []Disk, wait bool) {
	for _, flags := range []uint32{uint32(lv.ConnectGetAllDomainsStatsNowait), 0} {
		recs, err := l.ConnectGetAllDomainStats([]lv.Domain{d}, uint32(lv.DomainStatsBlock), flags)
		if err != nil {
			return
		}
		readSizes(recs, disks)
		unknown := func(d Disk) bool { return d.Path != "" && d.VirtualBytes == 0 }
		if !wait || !slices.ContainsFunc(disks, unknown) {
			return
		}
	}
}

func readSizes(recs []lv.DomainStatsRecord, disks []Disk) {
	if len(recs) == 0 {
		return
	}
	text, num := map[string]string{}, map[string]uint64{}
	for _, p := range recs[0].Params {
		switch v := p.Value.I.(type) {
		case string:
			text[p.Field] = v
		case uint64:
			num[p.Field] = v
		case uint32:
			num[p.Field] = uint64(v)
		}
	}
	for n := uint64(0); n < num["block.count"]; n++ {
		key := fmt.Sprintf("block.%d.", n)
		for i := range disks {
			if disks[i].Target == text[key+"name"] {
				disks[i].VirtualBytes, disks[i].AllocatedBytes = num[key+"capacity"], num[key+"allocation"]
			}
		}
	}
}

// fillState reads what only some states have; what a driver does not support
// counts as absent.
func fillState(l *lv.Libvirt, d lv.Domain, out *Domain) error {
	if saved, err := l.DomainHasManagedSaveImage(d, 0); err == nil {
		out.HasManagedSave = saved != 0
	}
	if n, err := l.DomainSnapshotNum(d, 0); err == nil {
		out.Snapshots = int(n)
	}
	if out.State == Shutoff {
		return nil
	}
	job, err := activeJob(l, d)
	if err != nil && !hasCode(err, codeOperationInvalid) {
		return err
	}
	out.Job = job
	if job == "" { // with one, libvirt may have this question wait for it
		out.BlockJob = blockJob(l, d, out.Disks)
	}
	return nil
}

// blockJobNames are virDomainBlockJobType in words.
var blockJobNames = map[lv.DomainBlockJobType]string{
	lv.DomainBlockJobTypePull: "block pull", lv.DomainBlockJobTypeCopy: "block copy", lv.DomainBlockJobTypeCommit: "block commit",
	lv.DomainBlockJobTypeActiveCommit: "block commit", lv.DomainBlockJobTypeBackup: "backup",
}

// blockJob finds a disk with a job of its own, which libvirt does not count among
// the domain's jobs. What cannot be asked counts as none: libvirt's Begin refuses it.
func blockJob(l *lv.Libvirt, d lv.Domain, disks []Disk) string {
	for _, disk := range disks {
		if disk.Path == "" {
			continue
		}
		found, kind, _, _, _, err := l.DomainGetBlockJobInfo(d, disk.Target, 0)
		if err != nil || found <= 0 {
			continue
		}
		name := blockJobNames[lv.DomainBlockJobType(kind)]
		if name == "" {
			name = "block job"
		}
		return name + " of " + disk.Target
	}
	return ""
}

func fillDefinition(out *Domain, def *libvirtxml.Domain) error {
	out.Type = def.Type
	if def.Memory != nil {
		m, err := memoryBytes(uint64(def.Memory.Value), def.Memory.Unit)
		if err != nil {
			return err
		}
		out.MemoryBytes = m
	}
	if def.VCPU != nil {
		out.VCPUs = int(def.VCPU.Value)
	}
	if def.OS != nil {
		if def.OS.Type != nil {
			out.Arch, out.Machine = def.OS.Type.Arch, def.OS.Type.Machine
		}
		if def.OS.Loader != nil {
			out.Loader = def.OS.Loader.Path
		}
		if def.OS.NVRam != nil {
			out.NVRAM = nvramPath(def.OS.NVRam)
		}
	}
	if def.Devices == nil {
		return nil
	}
	for i := range def.Devices.Disks {
		out.Disks = append(out.Disks, convertDisk(&def.Devices.Disks[i]))
	}
	for i := range def.Devices.Interfaces {
		out.Networks = append(out.Networks, convertNIC(&def.Devices.Interfaces[i]))
	}
	return nil
}

func nvramPath(n *libvirtxml.DomainNVRam) string {
	if n.Source != nil && n.Source.File != nil {
		return n.Source.File.File
	}
	return n.NVRam
}

func convertDisk(d *libvirtxml.DomainDisk) Disk {
	k := Disk{Device: d.Device, ReadOnly: d.ReadOnly != nil, Shareable: d.Shareable != nil, Serial: d.Serial}
	if k.Device == "" {
		k.Device = "disk"
	}
	if d.Target != nil {
		k.Target = d.Target.Dev
	}
	if d.Driver != nil {
		k.Format, k.Cache = d.Driver.Type, d.Driver.Cache
	}
	if k.Type, k.Path = diskSource(d.Source); k.Type == "file" && k.Path == "" {
		k.Type = "" // a drive without medium
	}
	// An empty <backingStore/> ends the chain.
	if b := d.BackingStore; b != nil && b.Format != nil {
		if _, k.Backing = diskSource(b.Source); k.Backing == "" {
			k.Backing = "(not a file)"
		}
	}
	return k
}

func diskSource(s *libvirtxml.DomainDiskSource) (kind, path string) {
	switch {
	case s == nil:
		return "", ""
	case s.File != nil:
		return "file", s.File.File
	case s.Block != nil:
		return "block", s.Block.Dev
	case s.Dir != nil:
		return "dir", s.Dir.Dir
	case s.Network != nil:
		return "network", s.Network.Protocol + ":" + s.Network.Name
	case s.Volume != nil:
		return "volume", s.Volume.Pool + "/" + s.Volume.Volume
	case s.NVME != nil:
		return "nvme", ""
	case s.VHostUser != nil:
		return "vhostuser", ""
	case s.VHostVDPA != nil:
		return "vhostvdpa", s.VHostVDPA.Dev
	}
	return "unknown", ""
}

func convertNIC(i *libvirtxml.DomainInterface) NIC {
	var n NIC
	if i.MAC != nil {
		n.MAC = i.MAC.Address
	}
	if i.Model != nil {
		n.Model = i.Model.Type
	}
	switch s := i.Source; {
	case s == nil:
	case s.Bridge != nil:
		n.Kind, n.Name = "bridge", s.Bridge.Bridge
	case s.Network != nil:
		n.Kind, n.Name = "network", s.Network.Network
	case s.User != nil:
		n.Kind = "user"
	case s.Direct != nil:
		n.Kind, n.Name = "direct", s.Direct.Dev
	default:
		n.Kind = "other"
	}
	return n
}

// memoryBytes converts a scaled integer of libvirt.
func memoryBytes(v uint64, unit string) (uint64, error) {
	scale := map[string]uint64{
		"b": 1, "bytes": 1, "": 1 << 10, "k": 1 << 10, "KiB": 1 << 10, "KB": 1e3,
		"M": 1 << 20, "MiB": 1 << 20, "MB": 1e6, "G": 1 << 30, "GiB": 1 << 30, "GB": 1e9,
		"T": 1 << 40, "TiB": 1 << 40, "TB": 1e12,
	}
	s, ok := scale[unit]
	if !ok {
		return 0, fmt.Errorf("unknown unit of memory %q", unit)
	}
	if v > (1<<62)/s {
		return 0, fmt.Errorf("memory of %d %s is too large", v, unit)
	}
	return v * s, nil
}

func convertState(state, reason int32) (State, string) {
	switch lv.DomainState(state) {
	case lv.DomainRunning, lv.DomainBlocked:
		return Running, ""
	case lv.DomainPaused:
		return Paused, pausedReasons[lv.DomainPausedReason(reason)]
	case lv.DomainShutdown:
		return Shutdown, ""
	case lv.DomainShutoff:
		return Shutoff, ""
	case lv.DomainCrashed:
		return Crashed, ""
	case lv.DomainPmsuspended:
		return PMSuspended, ""
	}
	return NoState, ""
}

// pausedReasons are virsh's words for virDomainPausedReason.
var pausedReasons = map[lv.DomainPausedReason]string{
	lv.DomainPausedUser: "user", lv.DomainPausedMigration: "migration", lv.DomainPausedSave: "save",
	lv.DomainPausedDump: "dump", lv.DomainPausedIoerror: "io-error", lv.DomainPausedWatchdog: "watchdog",
	lv.DomainPausedFromSnapshot: "from-snapshot", lv.DomainPausedShuttingDown: "shutting-down",
	lv.DomainPausedSnapshot: "snapshot", lv.DomainPausedCrashed: "crashed", lv.DomainPausedStartingUp: "starting-up",
	lv.DomainPausedPostcopy: "postcopy", lv.DomainPausedPostcopyFailed: "postcopy-failed",
}
