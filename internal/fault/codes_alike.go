package fault

// Codes of what hosts have to have, or to have alike.
const (
	StorageRootUnusable Code = "storage-root-unusable"
	StorageRootFull     Code = "storage-root-full"
	HostsCloned         Code = "hosts-cloned"
	TimeZonesDiffer     Code = "time-zones-differ"
	KVMMissing          Code = "kvm-missing"
	AnyNetworkDiffers   Code = "any-network-differs"
	SettingsDrifted     Code = "settings-drifted"
)

var alikeCodes = []Entry{
	{StorageRootUnusable, ClassUnavailable, 0, "Storage directory cannot be used",
		"the storage directory {path} of {host} {problem}",
		"Disks of VMs that come to the host go there. The file system is not mounted, was mounted read-only after an error, or its server is gone; or the unit of droverd does not let it write there.",
		"see what is there on {host}: `findmnt --target {path}`, `ls -ld {path}`, and where droverd may write, `systemctl show droverd -p ReadWritePaths`; mount it or make it, or take it out of storage.roots in drover.yaml"},
	{StorageRootFull, ClassRefused, 0, "Storage directory is full",
		"the storage directory {path} of {host} has {free} left of {total}",
		"A move with its disks to the host is refused when they do not fit, and the disks of the VMs that are there cannot grow.",
		"see what takes the space on {host}: `du -xh --max-depth 2 {path}`; what Drover keeps for moves back goes with `drover storage seeds purge --host {host}`"},
	{HostsCloned, ClassRefused, 0, "Hosts are clones",
		"{host} and {peer} have the same {what}",
		"The machines were copied from one, and what has to be of its own for each was not made anew. libvirt takes two hosts with one UUID for the same and refuses to move between them; one machine id brings both the same address by DHCP and mixes up their logs.",
		"make it anew on one of them: `{command}`"},
	{TimeZonesDiffer, ClassRefused, 0, "Hosts are in different time zones",
		"the time zone of {host} is {have}, and that of {peer} {want}",
		"A VM whose clock is kept as local time, as that of Windows is, gets another time when it starts on the other host; times in the logs of the two do not fit either.",
		"set it on one of them: `timedatectl set-timezone {zone}`"},
	{KVMMissing, ClassUnavailable, 0, "No KVM",
		"libvirt on {host} cannot use KVM, and on {peer} it can",
		"VMs that run with KVM cannot come to the host. Virtualization is switched off in its firmware, the kernel's module is not loaded, or libvirt may not open /dev/kvm.",
		"see which it is on {host}: `virt-host-validate qemu`, `ls -l /dev/kvm`, `lsmod`"},
	{AnyNetworkDiffers, ClassRefused, 0, "Host moves over any network",
		"{host} uses any network for migration, and {peer} only those that are listed",
		"The others keep migrations to their networks. This host takes them at every address and sends them by every way, so that guests' memory may cross networks that it was to be kept from.",
		"switch it off: `drover host set --host {host} --any-network off`"},
	{SettingsDrifted, ClassRefused, 0, "Settings are not those of the template",
		"settings of {host} are not those of {file}: {settings}",
		"The host was brought to the template or ought to have been, and somebody has changed it since.",
		"bring it there again: `drover host apply {file} --host {host}`"},
}
