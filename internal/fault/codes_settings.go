package fault

// Codes about a host's settings, the queue and comparisons.
const (
	NotAvailable         Code = "not-available"
	SettingsInvalid      Code = "settings-invalid"
	SettingsChanged      Code = "settings-changed"
	TemplateInvalid      Code = "template-invalid"
	MigrationPortUnbound Code = "migration-port-unbound"
	MigrationLimit       Code = "migration-limit"
	MoveTimeout          Code = "move-timeout"
	MoveNotAdjustable    Code = "move-not-adjustable"
	HostCPUMissing       Code = "host-cpu-missing"
	NUMANodeMissing      Code = "numa-node-missing"
	HugePagesMissing     Code = "huge-pages-missing"
	TPMState             Code = "tpm-state-stays"
	TPMMissing           Code = "tpm-missing"
	CPUFixed             Code = "cpu-fixed"
	VersionTooOld        Code = "version-too-old"
	EncryptionRequired   Code = "encryption-required"
	NoCluster            Code = "no-cluster"
	CmdletElsewhere      Code = "cmdlet-elsewhere"
)

var settingsCodes = []Entry{
	{NotAvailable, ClassRefused, 0, "Not available yet",
		"{what} is not available yet",
		"The setting is part of the vocabulary and can be stored, but this version of Drover cannot move VMs with it.",
		"choose another: `{instead}`"},
	{SettingsInvalid, ClassUsage, 0, "Setting refused",
		"{host} does not take the setting {setting}: {problem}",
		"The value is outside what the setting allows, or contradicts another one. Nothing was changed.",
		"see the settings and their values with `drover host set --help`"},
	{SettingsChanged, ClassRefused, 0, "Settings were changed meanwhile",
		"the settings of {host} have revision {have}, not {want}: somebody changed them meanwhile",
		"The change was decided by looking at settings that are no longer those of the host. Nothing was changed.",
		"look again and repeat the change: `drover host show --host {host}`"},
	{TemplateInvalid, ClassUsage, 0, "Not a template of settings",
		"{file} is no template of a host's settings: {problem}",
		"A template is YAML with the keys that the export writes. An unknown key or a wrong value would leave hosts half set up, so nothing is applied.",
		"make one from a host that is right: `drover host export --host HV01`"},
	{MigrationPortUnbound, ClassUnavailable, 0, "No migration address",
		"{host} has no address on its migration networks ({networks}), so port 6600 is closed there",
		"Live migration is enabled, and no interface has an address in any of the networks that are listed.",
		"list the network that the host is on: `drover host set --add-network 192.168.10.0/24 --host {host}`; its addresses: `ip -brief address`"},
	{MigrationLimit, ClassUnavailable, 0, "Limit of simultaneous migrations reached",
		"{host} runs as many {what} as it may: {limit}",
		"Each host bounds its simultaneous migrations, incoming and outgoing together. A move waits for a place unless it was told not to.",
		"repeat it without `--no-wait`, or raise the limit: `drover host set --maximum-migrations N --host {host}`"},
	{HostCPUMissing, ClassRefused, 0, "Pinned to CPUs that are missing",
		"{host} has no CPUs {cpus} (it has {have}), which VM {vm} is pinned to",
		"The VM, or a part of it, may only run on CPUs that the destination does not have.",
		"change what it is pinned to: `virsh vcpupin {vm}`, `virsh emulatorpin {vm}`"},
	{NUMANodeMissing, ClassRefused, 0, "Bound to a NUMA node that is missing",
		"{host} has no NUMA nodes {nodes} (it has {have}), which the memory of VM {vm} is bound to",
		"The VM's memory may only come from nodes that the destination does not have.",
		"change what it is bound to: `virsh numatune {vm} --nodeset NODES`"},
	{HugePagesMissing, ClassRefused, 0, "Huge pages are missing",
		"{host} has {free} free in huge pages of {size}, VM {vm} needs {needed}",
		"The VM's memory is backed by huge pages, which the destination has not set aside, or not enough of them.",
		"set more of them aside on {host}: `virsh allocpages {size} COUNT`"},
	{TPMState, ClassRefused, 0, "TPM state would stay behind",
		"VM {vm} is shut off and has a TPM, whose state does not come to {host} with the definition",
		"The state of an emulated TPM, with the keys in it, goes along with the memory of a running VM only. Without it the guest could not open what it has sealed.",
		"start the VM and move it live: `virsh start {vm}`"},
	{TPMMissing, ClassRefused, 0, "TPM cannot be emulated",
		"{host} cannot emulate the TPM of VM {vm}",
		"libvirt on the destination has no TPM emulator: swtpm is not installed, or QEMU lacks the device.",
		"update {host}, for example `apt-get install swtpm swtpm-tools`; see `virsh domcapabilities`"},
	{CPUFixed, ClassRefused, 0, "CPU of a running VM stays",
		"VM {vm} on {host} is not shut off, so its CPU cannot be replaced by {model}",
		"A guest that runs uses the features of the CPU it was started with. Only a VM that is shut off can get another.",
		"get along without `--cpu`, or shut the VM down first: `virsh shutdown {vm}`"},
	{VersionTooOld, ClassRefused, 0, "Version is too old",
		"{host} has {program} {have}, and {feature} needs {need}",
		"A feature that was asked for, or that the VM uses, came with a later version.",
		"update {host}, or get along without {feature}; see `drover host show --host {host}`"},
	{NoCluster, ClassRefused, 0, "No failover cluster",
		"{cmdlet} asks for the nodes of a failover cluster, and there is none",
		"Drover's hosts stand alone: none knows of the others before a move. What a cluster keeps alike is compared instead.",
		"put the hosts side by side: `drover host compare HV01 HV02`"},
	{CmdletElsewhere, ClassUsage, 0, "Not carried out",
		"drover does not carry out {cmdlet}: {why}",
		"The cmdlet is known from documents about live migration, and Drover does what it is for in another way.",
		"use `{command}`"},
	{EncryptionRequired, ClassRefused, 0, "Encryption required",
		"{host} takes the streams of {peer} only encrypted",
		"A move is unencrypted only where the policies of both hosts say Off. The destination's did when the move began, and does not now.",
		"start the move again, or compare the policies: `drover host compare {host} {peer}`"},
	{MoveTimeout, ClassRefused, 0, "Time of the move is over",
		"the transfer of VM {vm} has not come to an end within {limit}, so {host} ended it",
		"The move was given a time budget, and at its end the guest was still changing memory, or the link was slower than expected. The VM runs on at the source.",
		"see what is expected with `drover move {vm} --dry-run`; give it more time, `--on-timeout pause`, `--auto-converge` or a longer `--max-blackout`"},
	{MoveNotAdjustable, ClassRefused, 0, "Move takes no other limit",
		"the longest blackout of move {move} on {host} cannot be changed: {reason}",
		"Only the source of a live move can change it, and only until the VM is handed over.",
		"see how far the move is with `drover move show {move} --host {host}`"},
}
