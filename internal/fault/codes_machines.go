package fault

// Codes about virtual machines and what a destination admits.
const (
	VMNotFound         Code = "vm-not-found"
	VMMoving           Code = "vm-already-moving"
	VMBusy             Code = "vm-busy"
	VMState            Code = "vm-state"
	VMStopped          Code = "vm-stopped"
	VMChanged          Code = "vm-changed"
	VMTransient        Code = "vm-transient"
	VMNameTaken        Code = "vm-name-taken"
	VMUUIDTaken        Code = "vm-uuid-taken"
	StorageNotIncluded Code = "storage-not-included"
	DiskUnsupported    Code = "disk-unsupported"
	DiskBackingChain   Code = "disk-backing-chain"
	DiskMedia          Code = "disk-media"
	DiskCacheUnsafe    Code = "disk-cache-unsafe"
	DiskExists         Code = "disk-exists"
	DeviceRefused      Code = "device-refused"
	DefinitionInvalid  Code = "definition-invalid"
	CPUIncompatible    Code = "cpu-incompatible"
	MachineUnsupported Code = "machine-type-unsupported"
	NetworkMissing     Code = "vm-network-missing"
)

var machines = []Entry{
	{VMNotFound, ClassNotFound, 0, "No such VM",
		"{host} has no VM {vm}",
		"No domain of this name or UUID is defined on the host.",
		"list them with `drover vm list --host {host}` or `virsh list --all` on {host}"},
	{VMMoving, ClassRefused, 0, "VM is already moving",
		"VM {vm} on {host} is already moving (move {move})",
		"A VM takes part in one move at a time.",
		"watch it with `drover move watch {move} --host {host}`"},
	{VMBusy, ClassRefused, 0, "VM is busy",
		"VM {vm} on {host} has a job under way: {job}",
		"A backup, snapshot, block job or another migration holds the VM.",
		"wait for it or end it: `virsh domjobinfo {vm}`, `virsh blockjob {vm} TARGET --info`"},
	{VMState, ClassRefused, 0, "VM is in a state that cannot move",
		"VM {vm} on {host} is {state}",
		"Running and paused VMs move with their memory, shut-off VMs by definition and storage. In other states (crashed, being shut down, suspended by its own power management) none of these is safe.",
		"bring it to running or shut off first: `virsh domstate --reason {vm}`"},
	{VMStopped, ClassRefused, 0, "VM stopped while it was moved",
		"VM {vm} on {host} stopped while it was being moved: it is {state}",
		"Its own system shut down or crashed, or somebody ended it with virsh. Nothing of it is on the destination, and its definition is where it was unless it was undefined.",
		"see what ended it: `virsh domstate --reason {vm}` on {host}; `drover move` moves it as it is, also shut off"},
	{VMChanged, ClassRefused, 0, "VM was changed while it was moved",
		"VM {vm} on {host} was changed after the move was agreed: {change}",
		"A snapshot, a changed disk or a new name makes another VM of it than the one that the destination agreed to. It runs on at the source.",
		"look at it, then start the move again: `virsh domblklist {vm}`, `virsh snapshot-list {vm}`"},
	{VMTransient, ClassRefused, 0, "VM is not persistent",
		"VM {vm} on {host} is transient: it has no definition on disk",
		"After a failure a transient VM could not be brought back, so it is not moved.",
		"make it persistent: `virsh dumpxml {vm} > vm.xml && virsh define vm.xml`"},
	{VMNameTaken, ClassRefused, 0, "Name is taken",
		"{host} already has a VM named {vm} (UUID {uuid})",
		"Two VMs on one host cannot have the same name.",
		"rename one: `virsh domrename {vm} NEW-NAME`"},
	{VMUUIDTaken, ClassRefused, 0, "UUID is taken",
		"{host} already has a VM with UUID {uuid}, named {other}",
		"Perhaps an old copy of this VM was left on the destination.",
		"look at it: `virsh dominfo {uuid}`; if it is an old copy, `virsh undefine {uuid}`"},
	{StorageNotIncluded, ClassRefused, 0, "Storage was not included",
		"VM {vm} has disks that {destination} cannot see ({disks}), and the move does not include storage",
		"A disk that is not on storage shared by both hosts must be copied.",
		"add `--include-storage`"},
	{DiskUnsupported, ClassRefused, 0, "Disk cannot be moved",
		"disk {disk} of VM {vm} on {host} cannot be moved: {reason}",
		"qcow2 and raw files are copied; files under the same path on shared storage are left in place.",
		"detach the disk or convert it: `virsh detach-disk {vm} {disk} --config --live`"},
	{DiskBackingChain, ClassRefused, 0, "Disk has a backing file",
		"disk {disk} of VM {vm} on {host} is based on {backing}",
		"Copying the top layer alone would lose data, and copying the chain as one file would change it silently.",
		"make it one file first: `virsh blockpull {vm} {disk} --wait`"},
	{DiskMedia, ClassRefused, 0, "Media is inserted",
		"drive {disk} of VM {vm} on {host} holds {path}, which {destination} does not have",
		"A CD-ROM or floppy image is not moved along.",
		"leave it behind with `--eject-media`, or eject it: `virsh change-media {vm} {disk} --eject --live --config`"},
	{DiskCacheUnsafe, ClassRefused, 0, "Cache mode is unsafe on shared storage",
		"disk {disk} of VM {vm} is on shared storage with cache mode {cache}",
		"With a host cache, the destination could read old data. Only cache='none' and 'directsync' are safe.",
		"set <driver cache='none'/> for the disk: `virsh edit {vm}`, then restart the VM"},
	{DiskExists, ClassRefused, 0, "Destination file exists",
		"{path} exists on {host} and is not the disk of VM {vm}",
		"Drover overwrites no file that it did not make.",
		"remove or rename it on {host} if it is a leftover, or take another place: `--destination-storage-path DIR`, `--vhds DISK=PATH`"},
	{DeviceRefused, ClassRefused, 0, "Device is not admitted",
		"{host} does not admit {what} in the definition of VM {vm}",
		"A destination takes an allow-list of devices and settings from another host; everything else (host devices, QEMU command lines, an emulator of the source's choosing) is refused.",
		"remove it from the VM, or define the VM on {host} by hand: `virsh edit {vm}`"},
	{DefinitionInvalid, ClassRefused, 0, "Definition is not valid",
		"the definition of VM {vm} is not valid for {host}: {problem}",
		"The XML cannot be read, contradicts itself or the rest of the offer, or libvirt on the destination refuses it.",
		"check it on the source: `virsh dumpxml {vm} --migratable | virt-xml-validate -`"},
	{CPUIncompatible, ClassRefused, 0, "CPU does not fit",
		"the CPU of {host} cannot run VM {vm}: {reason}",
		"libvirt compared the VM's CPU with what the destination offers.",
		"give the VM a CPU model that both hosts have ({host} comes nearest to: {available}): `virsh hypervisor-cpu-baseline`; for a VM that is shut off, `--cpu MODEL`"},
	{MachineUnsupported, ClassRefused, 0, "Machine type is not available",
		"{host} has no machine type {machine} for {type}/{arch}",
		"QEMU on the destination is older than the VM's machine type, or lacks the accelerator.",
		"update QEMU on {host}; see `virsh domcapabilities --machine {machine}`"},
	{NetworkMissing, ClassRefused, 0, "VM's network is missing",
		"{host} has no {kind} {name}, which VM {vm} is attached to",
		"The guest would come up without its network.",
		"create it on {host}: `virsh net-define`, `ip link add {name} type bridge`, or attach the VM to what there is ({available}): `--map-network {name}=OTHER`"},
}
