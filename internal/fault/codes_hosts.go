package fault

// Codes about hosts, agents and networks.
const (
	HostUnknown        Code = "host-unknown"
	AgentUnreachable   Code = "agent-unreachable"
	AgentTooOld        Code = "agent-version"
	SameHost           Code = "same-host"
	HypervisorDown     Code = "hypervisor-down"
	MigrationDisabled  Code = "migration-disabled"
	NoCommonNetwork    Code = "no-common-network"
	MigrationPort      Code = "migration-port-unreachable"
	NetworkMismatch    Code = "network-mismatch"
	StorageFull        Code = "storage-full"
	MemoryFull         Code = "memory-full"
	StoragePathOutside Code = "storage-path-outside"
	StorageFailed      Code = "storage-failed"
	SeedDamaged        Code = "seed-damaged"
)

var hosts = []Entry{
	{HostUnknown, ClassNotFound, 0, "No such host",
		"the name {name} has no address on {host}",
		"DNS (or /etc/hosts) does not know the name.",
		"see `getent hosts {name}`; use the host's name, not an address: Kerberos needs names"},
	{AgentUnreachable, ClassUnavailable, 0, "No agent answers",
		"no droverd answers at {address} ({host})",
		"The host is down, droverd does not run there, or a firewall is between.",
		"on {host}: `systemctl status droverd`; from here: `nc -vz {host} 6601`"},
	{AgentTooOld, ClassRefused, 0, "Versions do not fit",
		"{host} speaks protocol {have}, {peer} needs {want}",
		"Two agents that share no protocol version cannot move VMs to each other.",
		"update droverd on the older host"},
	{SameHost, ClassUsage, 0, "Source and destination are the same",
		"{name} is {host} itself; a move needs another host",
		"A move needs two hosts.",
		"name another host with `--to`"},
	{HypervisorDown, ClassUnavailable, 0, "libvirt does not answer",
		"libvirt on {host} does not answer at {socket}",
		"droverd talks to the local libvirt socket, and nothing answers there.",
		"on {host}: `systemctl status libvirtd virtqemud`, then `virsh -c qemu:///system list`"},
	{MigrationDisabled, ClassRefused, 0, "Live migration is disabled",
		"{host} has {direction} live migration disabled",
		"A host moves VMs only after an administrator has enabled it, as on Hyper-V.",
		"enable it: `drover host set --host {host} --{direction} on`"},
	{NoCommonNetwork, ClassRefused, 0, "No common migration network",
		"{host} and {destination} share no migration network: {host} has {source_networks}, {destination} has {destination_networks}",
		"Migration traffic is allowed only on the networks that both hosts list. Falling back to another network would put guests' memory where nobody wants it.",
		"list a network that both hosts are on, on both: `drover host set --host {host} --add-network 192.168.10.0/24`; see them with `drover host compare {host} {destination}`"},
	{MigrationPort, ClassUnavailable, 0, "Migration port does not answer",
		"{address} does not answer {host} on the migration network",
		"The agent answers on its management address, but not on port 6600 of the migration network: link down, wrong VLAN, or a firewall.",
		"on {host}: `nc -vz {ip} 6600`, `ip route get {ip}`"},
	{NetworkMismatch, ClassInternal, 0, "Traffic took another network",
		"a stream of move {move} runs from {local} to {remote}, outside the chosen network {network}",
		"The addresses of a connection's sockets disagree with the plan. The move is stopped rather than carried on a network that was not allowed.",
		"look for NAT or policy routing between the hosts: `ip rule`, `nft list ruleset`"},
	{StorageFull, ClassRefused, 0, "Not enough disk space",
		"{host} has {free} free in {path}, VM {vm} needs {needed}",
		"The free space of the destination's file system, less what other incoming moves reserved, does not hold the disks.",
		"free space there, or choose another place with `--destination-storage-path`"},
	{MemoryFull, ClassRefused, 0, "Not enough memory",
		"{host} has {free} of memory available, VM {vm} needs {needed}",
		"The destination's available memory, less what other incoming moves reserved, does not hold the VM.",
		"stop or move VMs on {host} first"},
	{SeedDamaged, ClassUnavailable, 0, "A seed is damaged",
		"what {host} kept of the disks from an earlier copy is not what it was",
		"The destination hashes each block that it takes from a seed, and one was not what the source has: the file was changed, or its storage is faulty. Nothing wrong was written; the seed is dropped.",
		"move the VM again, for which all is sent; if it happens once more, look at the storage of {host} (`drover storage seeds list` shows what it keeps)"},
	{StoragePathOutside, ClassRefused, 0, "Path is outside the storage roots",
		"{path} is not under a storage root of {host} ({roots})",
		"A destination writes disks only under the directories its administrator listed.",
		"use `--destination-storage-path` with a directory under {roots}, or add one to storage.roots on {host}"},
	{StorageFailed, ClassUnavailable, 0, "Disk image cannot be made or read",
		"{host}: {path}: {problem}",
		"Creating, reading or removing a disk image failed.",
		"look at the path on {host}: `ls -l {path}`, `qemu-img info -U {path}`"},
}
