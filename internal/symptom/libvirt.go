package symptom

import "drover/internal/fault"

// libvirt are messages of libvirt about migration.
var libvirt = []Symptom{
	{ID: "libvirt-same-host", Origin: Libvirt, Title: "Attempt to migrate guest to the same host",
		Means: "libvirt takes both hosts for one: their host UUIDs are the same.", Causes: []Cause{because("the hosts are clones, with one machine-id or one UUID from the firmware", fault.SameHost)},
		Run: []string{"virsh capabilities | grep uuid", "cat /etc/machine-id"}, Source: libvirt1},
	{ID: "libvirt-connect", Origin: Libvirt, Title: "unable to connect to server at", Texts: []string{"unable to connect to server at * No route to host", "unable to connect to server at * Connection refused"},
		Means: "libvirt itself tried to reach the other host. Drover's moves need none of libvirt's ports, only 6600 and 6601.", Causes: []Cause{portShut, filtered}, Run: []string{runPorts}, Source: libvirt1 + "; docs/protocol.md"},
	{ID: "libvirt-unsafe-cache", Origin: Libvirt, Title: "Unsafe migration: Migration may lead to data corruption if disks use cache other than none or directsync", Texts: []string{"Unsafe migration"},
		Means: "A disk's cache mode could keep on the source what the destination has to read.", Causes: []Cause{because("a disk on shared storage has another cache mode than none or directsync", fault.DiskCacheUnsafe)},
		Run: []string{runCompare, "virsh dumpxml VM | grep cache="}, Source: libvirt1},
	{ID: "libvirt-unsafe-storage", Origin: Libvirt, Title: "Unsafe migration: Migration without shared storage is unsafe",
		Means: "The disks are local and were not to be moved along.", Causes: []Cause{because("storage was not included", fault.StorageNotIncluded)}, Run: []string{"drover move VM --host SOURCE --to DESTINATION --include-storage"}, Source: libvirt1},
	{ID: "libvirt-cpu", Origin: Libvirt, Title: "guest CPU doesn't match specification", Texts: []string{"guest CPU doesn't match specification: missing features", "Host CPU does not provide required features", "the CPU is incompatible with host CPU"},
		Means: "The destination's processor lacks features that the VM was started with.", Causes: []Cause{because("the processors, their firmware or their microcode differ", fault.CPUIncompatible, fault.CPUFixed)},
		Run: []string{runCompare}, Source: libvirt1},
	{ID: "libvirt-machine", Origin: Libvirt, Title: "Emulator does not support machine type", Texts: []string{"Emulator * does not support machine type", "Target domain machine type * does not match source"},
		Means: "The destination's QEMU does not have the VM's machine type.", Causes: []Cause{because("the destination is older", fault.MachineUnsupported, fault.VersionTooOld)}, Run: []string{runCompare}, Source: libvirt1},
	{ID: "libvirt-already-active", Origin: Libvirt, Title: "domain is already active", Texts: []string{"domain * is already active", "domain * already exists with uuid", "domain * is already defined with uuid", "domain with name * already exists"},
		Means: "The destination has a VM of that name or UUID.", Causes: []Cause{because("another VM has the name", fault.VMNameTaken), because("a copy of this VM is left there", fault.VMUUIDTaken)}, Run: []string{"virsh list --all", runCompare}, Source: libvirt1},
	{ID: "libvirt-busy", Origin: Libvirt, Title: "cannot acquire state change lock", Texts: []string{"cannot acquire state change lock (held by", "domain * is being migrated out"},
		Means: "libvirt does something else with the VM at the moment.", Causes: []Cause{because("another move or job of this VM runs", fault.VMMoving, fault.VMBusy), because("libvirt hangs", fault.HypervisorDown)}, Run: []string{"virsh domjobinfo VM", "drover move list --host SOURCE"}, Source: libvirt1},
	{ID: "libvirt-network", Origin: Libvirt, Title: "no network with matching name", Texts: []string{"Network not found", "Cannot get interface MTU on"},
		Means: "The destination lacks a network or a bridge that the VM uses.", Causes: []Cause{because("the networks of the hosts have different names", fault.NetworkMissing)}, Run: []string{runCompare}, Source: libvirt1},
	{ID: "libvirt-storage-file", Origin: Libvirt, Title: "Cannot access storage file", Texts: []string{"Cannot access backing file"},
		Means: "A disk's file is not there, or QEMU may not open it.", Causes: []Cause{because("the path is not on the destination", fault.StoragePathOutside, fault.StorageNotIncluded, fault.DiskBackingChain), because("permissions", fault.StorageFailed)}, Run: []string{runCompare}, Source: libvirt1},
	{ID: "libvirt-monitor", Origin: Libvirt, Title: "QEMU unexpectedly closed the monitor", Texts: []string{"End of file from qemu monitor", "QEMU monitor was closed"},
		Means: "QEMU ended, on the destination mostly because it could not start with what it was given.", Causes: []Cause{because("the VM cannot start there; QEMU's log tells more", fault.PrepareFailed, fault.DeviceRefused), because("QEMU crashed or was killed, for want of memory for example", fault.SocketLost, fault.MemoryFull)},
		Run: []string{"tail /var/log/libvirt/qemu/VM.log", runCompare}, Source: libvirt1},
	{ID: "libvirt-down", Origin: Libvirt, Title: "Failed to connect socket to '/var/run/libvirt/libvirt-sock'", Texts: []string{"Failed to connect socket to * libvirt-sock", "Failed to connect socket to * virtqemud-sock", "error from service", "authentication unavailable: no polkit agent available"},
		Means: "libvirt does not answer on the host, or not to who asks.", Causes: []Cause{because("libvirtd or virtqemud does not run", fault.HypervisorDown)}, Run: []string{"systemctl status libvirtd virtqemud", "drover host show --host HOST"}, Source: libvirt1},
	{ID: "libvirt-sasl", Origin: Libvirt, Title: "Failed to start SASL negotiation", Texts: []string{"Failed to step SASL negotiation", "SASL mechanism * not supported by server", "authentication failed", "SASL client identity * not allowed by ACL"},
		Means: "A sign-in to libvirt over the network failed. Drover signs in to its own agents and needs none of it.", Causes: []Cause{because("virsh or another program spoke to libvirt directly; move with Drover")}, Run: []string{"drover move VM --host SOURCE --to DESTINATION"}, Source: libvirt1 + "; docs/protocol.md"},
}

// qemu are messages of QEMU about migration.
var qemu = []Symptom{
	{ID: "qemu-blocked", Origin: QEMU, Title: "State blocked by non-migratable device", Texts: []string{"State blocked by non-migratable CPU device", "does not support migration", "Outgoing migration blocked", "VFIO migration is not supported", "Back-end does not support migration state transfer"},
		Means: "The VM has a device whose state cannot be moved.", Causes: []Cause{because("a device of the host is passed through, or a device has no migration", fault.DeviceRefused), because("the TPM's state stays", fault.TPMState, fault.TPMMissing)}, Run: []string{runCompare}, Source: qemu1},
	{ID: "qemu-load", Origin: QEMU, Title: "error while loading state for instance", Texts: []string{"load of migration failed", "error while loading state", "Missing section footer", "Unknown savevm section"},
		Means: "The destination's QEMU could not read the state of a device: the two machines are not alike.", Causes: []Cause{because("different versions of QEMU, machine types or devices", fault.MachineUnsupported, fault.VersionTooOld, fault.PrepareFailed), because("the connection broke off on the way", fault.TransferFailed, fault.SocketLost)},
		Run: []string{runCompare, "tail /var/log/libvirt/qemu/VM.log"}, Source: "messages of QEMU"},
	{ID: "qemu-length", Origin: QEMU, Title: "Length mismatch", Texts: []string{"Length mismatch: * in != ", "Mismatched RAM page size"},
		Means: "Memory or firmware of the VM has another size on the destination.", Causes: []Cause{because("the definition differs, or the hosts have firmware of different sizes", fault.DefinitionInvalid, fault.HugePagesMissing, fault.PrepareFailed)}, Run: []string{runCompare}, Source: "messages of QEMU"},
	{ID: "qemu-machine", Origin: QEMU, Title: "Machine type received is and local is", Texts: []string{"Machine type received is * and local is"},
		Means: "The destination started the VM with another machine type.", Causes: []Cause{because("the machine type is an alias that means different things on the hosts", fault.MachineUnsupported)}, Run: []string{runCompare}, Source: qemu1},
	{ID: "qemu-stream", Origin: QEMU, Title: "Not a migration stream", Texts: []string{"Ack, bad migration stream", "Not a migration stream (bad magic"},
		Means: "Something else than a migration came by the connection.", Causes: []Cause{because("another program connected to the port, or the connection was damaged", fault.ProtocolError, fault.TransferFailed)}, Run: []string{runEvents}, Source: qemu1},
	{ID: "qemu-lock", Origin: QEMU, Title: "Failed to get \"write\" lock", Texts: []string{"Failed to get * lock", "Failed to get shared * lock", "Is another process using the image"},
		Means: "The disk's file is open in another QEMU.", Causes: []Cause{because("the VM, or another one, runs with the same disk", fault.VMUUIDTaken, fault.DiskExists), because("storage is shared between the hosts, and was to be copied", fault.StorageFailed)}, Run: []string{"virsh list --all", runCompare}, Source: qemu1},
	{ID: "qemu-cpu", Origin: QEMU, Title: "Host doesn't support requested features", Texts: []string{"TCG doesn't support requested feature", "host doesn't support requested feature"},
		Means: "The host's processor lacks features that the VM asks for.", Causes: []Cause{because("the processors differ", fault.CPUIncompatible, fault.HostCPUMissing)}, Run: []string{runCompare}, Source: qemu1},
	{ID: "qemu-socket", Origin: QEMU, Title: "Unable to write to socket", Texts: []string{"Unable to write to socket: Broken pipe", "Unable to write to socket: Connection reset by peer", "Unable to read from socket"},
		Means: "The connection over which the VM's memory goes ended.", Causes: []Cause{because("the other end gave up; its message is the cause", fault.SocketLost, fault.PeerGone, fault.TransferFailed)}, Run: []string{runEvents}, Source: "messages of QEMU"},
}
