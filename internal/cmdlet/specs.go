package cmdlet

import "slices"

// What parameters of Windows have no counterpart, and why.
const (
	ownTicket    = "drover acts with your Kerberos ticket; sign in as somebody else with `drover login`"
	session      = "drover has no CIM sessions; name the host with -ComputerName"
	noPools      = "libvirt's hosts have no resource pools"
	ownPlace     = "libvirt keeps definitions and snapshots' metadata in places of its own; disks are placed with -DestinationStoragePath or -Vhds"
	notMigration = "drover sets on a host what concerns live migration, and nothing else"
	onlyShell    = "it is for PowerShell's own variables and streams, which drover does not have"
	noReport     = "there is no report to hand on: repeat Move-VM with the options that Compare-VM named"
)

func absent(why string, names ...string) (out []Parameter) {
	for _, n := range names {
		out = append(out, Parameter{Name: n, Kind: List, Absent: why})
	}
	return out
}

// common are the parameters that every cmdlet has.
var common = append([]Parameter{
	{Name: "Verbose", Aliases: []string{"vb"}, Kind: Switch, Help: "tell the verb of drover that is carried out"},
	{Name: "ErrorAction", Aliases: []string{"ea"}, Help: "Continue (default) or Stop: what follows when one of several hosts fails"},
}, absent(onlyShell, "Debug", "WarningAction", "InformationAction", "ProgressAction", "ErrorVariable", "WarningVariable", "InformationVariable", "OutVariable", "OutBuffer", "PipelineVariable")...)

// shown are drover's additions to cmdlets that put out objects.
var shown = []Parameter{
	{Name: "Select", Kind: List, Help: "the properties to show, as | Select does"},
	{Name: "Format", Help: "List, Table or Json, as | fl, | ft and | ConvertTo-Json do"},
}

var changing = []Parameter{
	{Name: "WhatIf", Aliases: []string{"wi"}, Kind: Switch, Help: "tell what would be done, and do nothing"},
	{Name: "Confirm", Aliases: []string{"cf"}, Kind: Switch, Help: "ask before anything is done"},
}

var passthru = Parameter{Name: "Passthru", Kind: Switch, Help: "accepted; the result is shown anyway"}

func hosts(position int) Parameter {
	return Parameter{Name: "ComputerName", Aliases: []string{"Cn"}, Kind: List, Position: position, Help: "the hosts; this machine without it, and for localhost and \".\""}
}

func params(groups ...[]Parameter) []Parameter { return slices.Concat(append(groups, common)...) }

var fromMigration = []string{"VirtualMachineMigrationEnabled", "VirtualMachineMigrationAuthenticationType", "VirtualMachineMigrationPerformanceOption"}

var all = []*Cmdlet{
	{
		Name: "Enable-VMMigration", Short: "Let VMs come and go by live migration",
		Native: "drover host set --live-migration on", Verb: []string{"host", "set"}, Examples: []string{"Enable-VMMigration", "Enable-VMMigration -ComputerName HV01,HV02"},
		Parameters: params([]Parameter{hosts(1), passthru}, absent(ownTicket, "Credential"), absent(session, "CimSession"), changing),
	},
	{
		Name: "Disable-VMMigration", Short: "Let no VM come or go any more",
		Native: "drover host set --live-migration off", Verb: []string{"host", "set"}, Examples: []string{"Disable-VMMigration HV01"},
		Parameters: params([]Parameter{hosts(1), passthru}, absent(ownTicket, "Credential"), absent(session, "CimSession"), changing),
	},
	{
		Name: "Get-VMHost", Short: "Show hosts and their migration settings",
		Native: "drover host show", Examples: []string{"Get-VMHost -ComputerName HV01,HV02 '|' Select ComputerName,VirtualMachineMigrationAuthenticationType", "'Get-VMHost | fl *Migration*'"},
		Parameters: params([]Parameter{hosts(1)}, absent(ownTicket, "Credential"), absent(session, "CimSession"), shown),
		Properties: slices.Concat([]string{"ComputerName"}, fromMigration, []string{"IncomingMigrationEnabled", "OutgoingMigrationEnabled",
			"MaximumVirtualMachineMigrations", "MaximumStorageMigrations", "UseAnyNetworkForMigration", "MigrationNetworks", "MigrationAddresses", "MigrationBandwidthLimit",
			"MigrationEncryption", "MigrationCompressionCores", "RunningMigrations", "QueuedMigrations", "MemoryCapacity", "MemoryAvailable", "VirtualHardDiskPath", "HypervisorVersion"}),
		Shown: slices.Concat([]string{"ComputerName"}, fromMigration),
	},
	{
		Name: "Set-VMHost", Short: "Change a host's migration settings",
		Native: "drover host set", Verb: []string{"host", "set"},
		Examples: []string{"Set-VMHost -VirtualMachineMigrationAuthenticationType Kerberos", "Set-VMHost -ComputerName HV01,HV02 -UseAnyNetworkForMigration '$true'"},
		Parameters: params([]Parameter{hosts(1),
			{Name: "VirtualMachineMigrationAuthenticationType", Help: "Kerberos or CredSSP (--authentication)"},
			{Name: "VirtualMachineMigrationPerformanceOption", Help: "Compression, TCPIP or SMB (--performance)"},
			{Name: "UseAnyNetworkForMigration", Kind: Bool, Help: "$true or $false (--any-network)"},
			{Name: "MaximumVirtualMachineMigrations", Kind: Number, Help: "simultaneous live migrations (--maximum-migrations)"},
			{Name: "MaximumStorageMigrations", Kind: Number, Help: "simultaneous storage migrations (--maximum-storage-migrations)"},
			passthru},
			absent(notMigration, "VirtualHardDiskPath", "VirtualMachinePath", "MacAddressMaximum", "MacAddressMinimum", "FibreChannelWwnn", "FibreChannelWwpnMaximum",
				"FibreChannelWwpnMinimum", "NumaSpanningEnabled", "EnableEnhancedSessionMode", "ResourceMeteringSaveInterval"),
			absent(ownTicket, "Credential"), absent(session, "CimSession"), changing),
	},
	{
		Name: "Get-VMHostNetworkAdapter", Short: "Show a host's network interfaces",
		Native: "GET /v1/network-adapters of the agent's API", Examples: []string{"Get-VMHostNetworkAdapter", "Get-VMHostNetworkAdapter -ComputerName HV01 -Format List"},
		Parameters: params([]Parameter{{Name: "Name", Kind: List, Position: 1, Help: "interfaces, with wildcards"}, hosts(0)}, shown),
		Properties: []string{"Name", "ComputerName", "Status", "MacAddress", "IPAddresses", "LinkSpeed", "Mtu", "Kind", "Bridge", "UsedForMigration"},
		Shown:      []string{"Name", "ComputerName", "Status", "IPAddresses", "UsedForMigration"},
	},
	{
		Name: "Get-VMMigrationNetwork", Short: "Show the networks that carry migrations",
		Native: "drover host show", Examples: []string{"Get-VMMigrationNetwork", "Get-VMMigrationNetwork '192.168.*' -ComputerName HV01"},
		Parameters: params([]Parameter{{Name: "Subnet", Kind: List, Position: 1, Help: "networks, with wildcards"},
			{Name: "Priority", Kind: List, Help: "only those of these priorities"}, hosts(0)}, absent(ownTicket, "Credential"), absent(session, "CimSession"), shown),
		Properties: []string{"Subnet", "Priority", "BandwidthLimit", "ComputerName"},
		Shown:      []string{"Subnet", "Priority", "ComputerName"},
	},
	{
		Name: "Add-VMMigrationNetwork", Short: "Add a network that carries migrations",
		Native: "drover host set --add-network CIDR,priority=N", Verb: []string{"host", "set"}, Examples: []string{"Add-VMMigrationNetwork 192.168.10.0/24 -Priority 10"},
		Parameters: params([]Parameter{{Name: "Subnet", Position: 1, Required: true, Help: "CIDR, or one address"},
			{Name: "Priority", Kind: Number, Position: 2, Help: "lower first"}, hosts(0), passthru}, absent(ownTicket, "Credential"), absent(session, "CimSession"), changing),
	},
	{
		Name: "Set-VMMigrationNetwork", Short: "Change a network that carries migrations, or add it",
		Native: "drover host set --remove-network OLD --add-network NEW,priority=N", Verb: []string{"host", "set"},
		Examples: []string{"Set-VMMigrationNetwork 192.168.10.1", "Set-VMMigrationNetwork 192.168.10.1 192.168.10.0/24 -NewPriority 5"},
		Parameters: params([]Parameter{{Name: "Subnet", Position: 1, Required: true, Help: "the network as it is, with wildcards; alone, it is added if it is not there"},
			{Name: "NewSubnet", Position: 2, Help: "what it becomes"}, {Name: "NewPriority", Kind: Number, Help: "lower first"}, hosts(0), passthru},
			absent(ownTicket, "Credential"), absent(session, "CimSession"), changing),
	},
	{
		Name: "Remove-VMMigrationNetwork", Short: "Remove networks that carry migrations",
		Native: "drover host set --remove-network CIDR", Verb: []string{"host", "set"}, Examples: []string{"Remove-VMMigrationNetwork 192.168.10.1"},
		Parameters: params([]Parameter{{Name: "Subnet", Kind: List, Position: 1, Required: true, Help: "networks, with wildcards"}, hosts(0), passthru},
			absent(ownTicket, "Credential"), absent(session, "CimSession"), changing),
	},
	{
		Name: "Get-VM", Short: "Show VMs",
		Native: "drover vm list, drover vm show", Examples: []string{"Get-VM", "Get-VM -ComputerName HV02 APP01"},
		Parameters: params([]Parameter{{Name: "Name", Aliases: []string{"VMName"}, Kind: List, Position: 1, Help: "VMs, with wildcards"},
			{Name: "Id", Help: "the VM with this UUID"}, hosts(0)}, absent(ownTicket, "Credential"), absent(session, "CimSession"), shown),
		Properties: []string{"Name", "State", "MemoryAssigned", "ProcessorCount", "Status", "ComputerName", "Id", "Path"},
		Shown:      []string{"Name", "State", "MemoryAssigned", "ProcessorCount", "Status", "ComputerName"},
	},
	moving("Move-VM", "Move VMs to another host", []string{"move"}, "drover move VM --to HOST",
		[]string{"Move-VM -Name APP01 -DestinationHost HV02 -IncludeStorage", "Move-VM APP01 HV02 -WhatIf", `Move-VM APP01 HV02 -Vhds vda=/srv/vms/app01.qcow2`}),
	moving("Compare-VM", "Find what is in the way of a move", []string{"compare"}, "drover compare VM --to HOST",
		[]string{"Compare-VM -Name APP01 -DestinationHost HV02"}),
	{
		Name: "Test-NetConnection", Aliases: []string{"TNC"}, Short: "Try to connect to a port",
		Native:   "drover host show, which has the addresses to connect to",
		Examples: []string{"Test-NetConnection -Port 6600", "Test-NetConnection HV02 -Port 6600"},
		Parameters: params([]Parameter{{Name: "ComputerName", Aliases: []string{"RemoteAddress", "Cn"}, Position: 1, Help: "host or address; without it the migration addresses of this machine's agent"},
			{Name: "Port", Aliases: []string{"RemotePort"}, Kind: Number, Required: true, Help: "TCP port, from 1 to 65535"},
			{Name: "InformationLevel", Help: "Quiet prints only True or False"}}, absent("give the number with -Port", "CommonTCPPort"),
			absent("drover tests TCP ports, not routes", "TraceRoute", "Hops", "DiagnoseRouting", "ConstrainInterface", "ConstrainSourceAddress"), shown),
		Properties: []string{"ComputerName", "RemoteAddress", "RemotePort", "SourceAddress", "TcpTestSucceeded", "Reason"},
	},
	{
		Name: "Get-WinEvent", Short: "Show a host's event log, newest first",
		Native: "drover events", Examples: []string{"Get-WinEvent -LogName Microsoft-Windows-Hyper-V-VMMS-Admin -MaxEvents 200"},
		Parameters: params([]Parameter{{Name: "LogName", Position: 1, Required: true, Help: "Drover, or Microsoft-Windows-Hyper-V-VMMS-Admin for the same"},
			{Name: "MaxEvents", Kind: Number, Help: "how many"}, {Name: "Oldest", Kind: Switch, Help: "oldest first"}, {Name: "ComputerName", Aliases: []string{"Cn"}, Help: "the host"}},
			absent("use drover events, which filters by --level, --vm, --id and --since", "FilterHashtable", "FilterXml", "FilterXPath", "ProviderName", "ListLog", "ListProvider", "Path"),
			absent(ownTicket, "Credential"), shown),
		Properties: []string{"TimeCreated", "Id", "LevelDisplayName", "Message", "LogName", "MachineName", "RecordId", "UserId", "Code", "VMName", "MoveId"},
		Shown:      []string{"TimeCreated", "Id", "LevelDisplayName", "Message"},
	},
	{
		Name: "Get-ADComputer", Short: "Show a computer's account in the directory",
		Native: "drover spn list, drover delegation plan", Examples: []string{"Get-ADComputer HV01 -Properties msDS-AllowedToDelegateTo"},
		Parameters: params([]Parameter{{Name: "Identity", Position: 1, Required: true, Help: "the account"},
			{Name: "Properties", Aliases: []string{"Property"}, Kind: List, Help: "attributes to show as well; \"*\" for all that drover reads"},
			{Name: "Server", Help: "domain controller (--server)"}},
			absent("drover looks up one account at a time: name it", "Filter", "LDAPFilter", "SearchBase", "SearchScope", "ResultSetSize", "ResultPageSize", "Partition"),
			absent(ownTicket, "Credential", "AuthType"), shown),
		Properties: []string{"DistinguishedName", "DNSHostName", "Enabled", "Name", "ObjectClass", "SamAccountName", "SID"}, Open: true,
	},
	{
		Name: "setspn", Short: "List, find, check, add and delete service names",
		Native: "drover spn", Examples: []string{"setspn -L HV01", "setspn -Q Microsoft Virtual System Migration Service/*", "setspn -X"}, Tool: setspn,
	},
	{
		Name: "klist", Short: "Show or purge the tickets of a host's agent",
		Native: "drover ticket list, drover ticket purge", Examples: []string{"klist", "klist purge -li 0x3e7"}, Tool: klist,
	},
	instead("Get-ClusterNode", "", "drover host compare HV01 HV02"),
	instead("Set-ADObject", "one list for all hosts puts each host's own name into its list, and nothing of it can be undone", "drover delegation plan HV01 HV02 --out plan.json"),
	instead("Set-ADAccountControl", "the flag belongs to the same plan as the list of services, with a baseline to go back to", "drover delegation plan HV01 HV02 --out plan.json"),
	instead("Import-Module", "there are no modules: the directory's verbs are part of drover", "drover delegation --help"),
}

func instead(name, why, command string) *Cmdlet {
	return &Cmdlet{Name: name, Short: "Not carried out: tells what to use in its place", Native: command, Instead: &Instead{why, command}}
}

// moving are the two cmdlets that take what a move takes.
func moving(name, short string, verb []string, native string, examples []string) *Cmdlet {
	return &Cmdlet{
		Name: name, Short: short, Verb: verb, Native: native, Examples: examples,
		Parameters: params([]Parameter{
			{Name: "Name", Aliases: []string{"VMName"}, Kind: List, Position: 1, Required: true, Help: "the VM; several with commas between"},
			{Name: "DestinationHost", Position: 2, Required: true, Help: "where it goes (--to)"},
			{Name: "ComputerName", Aliases: []string{"Cn"}, Help: "the host on which it runs; this machine without it (--host)"},
			{Name: "IncludeStorage", Kind: Switch, Help: "copy its disks, too (--include-storage)"},
			{Name: "DestinationStoragePath", Help: "directory for the copied disks (--destination-storage-path)"},
			{Name: "Vhds", Kind: List, Help: "place of single disks: TARGET=PATH, or @{SourceFilePath=...; DestinationFilePath=...} (--vhds)"},
			{Name: "RetainVhdCopiesOnSource", Kind: Switch, Help: "keep the source's disk files (--retain-vhd-copies-on-source)"},
			{Name: "AsJob", Kind: Switch, Help: "start it and return (--detach)"},
			passthru}, absent(ownTicket, "Credential", "DestinationCredential"), absent(session, "CimSession", "DestinationCimSession"),
			absent(noPools, "ResourcePoolName"), absent(ownPlace, "VirtualMachinePath", "SnapshotFilePath", "SmartPagingFilePath"),
			absent("files that nobody refers to any more are removed after a move in any case", "RemoveSourceUnmanagedVhds"),
			absent(noReport, "CompatibilityReport"), absent("name the VM with -Name", "VM"), changing),
	}
}
