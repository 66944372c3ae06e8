package symptom

import "drover/internal/fault"

// Causes that several messages about connections share.
var (
	portShut = because("nothing listens on port 6600 of the migration address: migration is off, the service does not run, or it has no address",
		fault.PortClosed, fault.MigrationPort, fault.MigrationDisabled, fault.MigrationPortUnbound, fault.AgentUnreachable)
	filtered     = because("a firewall drops what goes to port 6600, or the address is on a network without a way to it", fault.PortFiltered, fault.MigrationPort, fault.NoCommonNetwork, fault.NetworkMismatch)
	wrongAddress = because("the name leads to an address that is not the host's: an old record, or the hosts file", fault.DNSAddressStale, fault.DNSAddressExtra, fault.DNSAddressShared, fault.HostsFileOverrides, fault.ShortNameElsewhere)
	hungUp       = because("the destination hung up: it refused the sign-in, or what stands between ended the connection", fault.AuthRefused, fault.NotDelegated, fault.PeerGone)
)

// connection are errors of connections (MS-ERREF, as HRESULT of Win32).
var connection = []Symptom{
	{ID: "0x8007274D", Origin: Windows, Number: 0x8007274D, Title: "No connection could be made because the target machine actively refused it", Texts: []string{"WSAECONNREFUSED", "Connection refused"},
		Means: "The destination is there and has nothing on that port.", Causes: []Cause{portShut, wrongAddress},
		Run: []string{runPorts, "netstat -ano | findstr 6600"}, Source: erref + "; " + kb},
	{ID: "0x8007274C", Origin: Windows, Number: 0x8007274C, Title: "A connection attempt failed because the connected party did not properly respond after a period of time", Texts: []string{"WSAETIMEDOUT", "Connection timed out"},
		Means: "Nothing came back from the destination.", Causes: []Cause{filtered, wrongAddress, because("the host is down", fault.HostSilent)},
		Run: []string{runPorts, "Test-NetConnection DESTINATION -Port 6600"}, Source: erref + "; " + kb},
	{ID: "0x80072746", Origin: Windows, Number: 0x80072746, Title: "An existing connection was forcibly closed by the remote host", Texts: []string{"WSAECONNRESET", "Connection reset by peer", "Failed to send data for a Virtual Machine migration"},
		Means: "The connection was there, and the other end, or something between, ended it.", Causes: []Cause{hungUp, because("the destination's service ended during the move", fault.PeerGone, fault.SocketLost)},
		Run: []string{runEvents, runDoctor}, Source: erref + "; " + kb},
	{ID: "0x8007271D", Origin: Windows, Number: 0x8007271D, Title: "An attempt was made to access a socket in a way forbidden by its access permissions", Texts: []string{"WSAEACCES"},
		Means: "The host itself, mostly its firewall or antivirus, forbids the connection.", Causes: []Cause{filtered, portShut},
		Run: []string{runPorts}, Source: erref + "; " + kb},
	{ID: "0x80072741", Origin: Windows, Number: 0x80072741, Title: "The requested address is not valid in its context", Texts: []string{"WSAEADDRNOTAVAIL", "Cannot assign requested address"},
		Means: "The host was to use an address that it does not have.", Causes: []Cause{because("the migration network names an address that is gone, or comes up late", fault.MigrationPortUnbound, fault.NoCommonNetwork)},
		Run: []string{"drover host show --host HOST"}, Source: erref},
	{ID: "0x80072AF9", Origin: Windows, Number: 0x80072AF9, Title: "No such host is known", Texts: []string{"WSAHOST_NOT_FOUND", "Name or service not known", "Temporary failure in name resolution"},
		Means: "The name of the host is not found.", Causes: []Cause{because("the host has no DNS record, or the domain's name servers are not asked", fault.DNSNameMissing, fault.DNSServerSilent, fault.ShortNameUnresolved, fault.HostUnknown), because("the name is misspelt", fault.HostNotInDirectory)},
		Run: []string{runPorts, "nslookup DESTINATION"}, Source: erref},
	{ID: "0x800706BA", Origin: Windows, Number: 0x800706BA, Title: "The RPC server is unavailable", Texts: []string{"RPC_S_SERVER_UNAVAILABLE"},
		Means: "A Windows service could not be reached by its management interface.", Causes: []Cause{because("a firewall, or the host is down", fault.PortFiltered, fault.HostSilent, fault.AgentUnreachable), wrongAddress},
		Run: []string{runPorts}, Source: erref},
	{ID: "0x80070035", Origin: Windows, Number: 0x80070035, Title: "The network path was not found", Texts: []string{"ERROR_BAD_NETPATH"},
		Means: "A share of the other host cannot be reached.", Causes: []Cause{because("port 445 of the host is closed or filtered", fault.PortClosed, fault.PortFiltered), wrongAddress, noCIFS},
		Run: []string{runPorts}, Source: erref},
}

// hyperV are events and messages of Hyper-V.
var hyperV = []Symptom{
	{ID: "event-21024", Origin: HyperV, Event: 21024, Title: "Virtual machine migration operation failed at migration source",
		Texts: []string{"Virtual machine migration operation for * failed at migration source", "Event ID 21024", "Fehler beim Migrationsvorgang f\u00fcr den virtuellen Computer bei der Migrationsquelle"},
		Means: "The source gave a move up; the lines below this one say why.", Causes: []Cause{listLacks, noTransition, portShut, filtered, nameOf},
		Run: []string{runDoctor, "Get-WinEvent -LogName Microsoft-Windows-Hyper-V-VMMS-Admin -MaxEvents 60"}, Source: kb + "; " + howto},
	{ID: "event-20306", Origin: HyperV, Event: 20306, Title: "The Virtual Machine Management Service failed to establish a connection for a Virtual Machine migration with host",
		Texts: []string{"Failed to establish a connection with host", "Event ID 20306", "Fehler beim Herstellen einer Verbindung mit dem Host"},
		Means: "The source could not connect or sign in to the destination; the number in brackets tells which.", Causes: []Cause{listLacks, noTransition, portShut, filtered, nameOf},
		Run: []string{runDoctor}, Source: kb + "; " + howto},
	{ID: "event-21502", Origin: HyperV, Event: 21502, Title: "Live migration of a virtual machine failed", Texts: []string{"Live migration of * failed", "Event ID 21502"},
		Means: "The general event for a live migration that failed, of a cluster as well; its text says why.", Causes: []Cause{listLacks, portShut, filtered, because("the destination lacks something that the VM needs", fault.NetworkMissing, fault.CPUIncompatible, fault.MemoryFull, fault.DiskMedia)},
		Run: []string{runDoctor, runCompare}, Source: kb},
	{ID: "event-21501", Origin: HyperV, Event: 21501, Title: "virtual machine migration limit was reached", Texts: []string{"migration limit * was reached", "please wait for completion of an ongoing migration operation"},
		Means: "As many moves run as the host allows at a time.", Causes: []Cause{because("the limit is reached, or is zero", fault.MigrationLimit, fault.LimitZero)},
		Run: []string{"drover move list --host HOST", "drover host show --host HOST"}, Source: kb},
	{ID: "event-21125", Origin: HyperV, Event: 21125, Title: "Configuration setup for live migration failed on the destination node", Texts: []string{"virtual switch used by the VM doesn't exist on the destination", "virtual switch * does not exist on the destination"},
		Means: "The destination has no virtual switch of the name that the VM uses.", Causes: []Cause{because("the networks of the hosts have different names", fault.NetworkMissing)},
		Run: []string{runCompare}, Source: kb},
	{ID: "event-20417", Origin: HyperV, Event: 20417, Title: "completed the live migration of virtual machine with an unexpectedly long blackout time", Texts: []string{"completed the live migration of virtual machine * with an unexpectedly long blackout time", "unexpectedly long blackout"},
		Means: "The move succeeded, and the VM stood still for long.", Causes: []Cause{because("the migration network is slow for what the VM writes")},
		Run: []string{runCompare}, Source: kb},
	{ID: "hardware-not-compatible", Origin: HyperV, Title: "The hardware on the destination computer is not compatible with the hardware requirements of this virtual machine",
		Texts: []string{"The hardware on the destination computer isn't compatible with the hardware requirements of this virtual machine", "is using processor-specific features not supported on host"},
		Means: "The VM uses features of the processor that the destination lacks.", Causes: []Cause{because("the processors differ", fault.CPUIncompatible, fault.CPUFixed)},
		Run: []string{runCompare, "Set-VMProcessor VM -CompatibilityForMigrationEnabled $true"}, Source: kb},
	{ID: "listener-disabled", Origin: HyperV, Title: "The Virtual Machine Management Service disabled the listener for Virtual Machine migration connections",
		Texts: []string{"disabled the listener for Virtual Machine migration connections", "Live migrations are not enabled", "migration is disabled"},
		Means: "The host takes no moves.", Causes: []Cause{because("live migration is off, or group policy turned the listener off", fault.MigrationDisabled, fault.MigrationPortUnbound)},
		Run: []string{"drover host set --live-migration on --host HOST", "gpupdate /force"}, Source: kb},
	{ID: "0x800705AA", Origin: HyperV, Number: 0x800705AA, Title: "Insufficient system resources exist to complete the requested service", Texts: []string{"ERROR_NO_SYSTEM_RESOURCES", "Failed to create partition: Insufficient system resources"},
		Means: "The destination has too little free memory for the VM.", Causes: []Cause{because("too little memory is free", fault.MemoryFull, fault.HugePagesMissing)},
		Run: []string{runCompare}, Source: kb},
	{ID: "0x8007000E", Origin: HyperV, Number: 0x8007000E, Title: "Ran out of memory", Texts: []string{"E_OUTOFMEMORY", "could not initialize memory"},
		Means: "The destination has too little free memory for the VM.", Causes: []Cause{because("too little memory is free", fault.MemoryFull)},
		Run: []string{runCompare}, Source: kb},
	{ID: "0x80070070", Origin: HyperV, Number: 0x80070070, Title: "There is not enough space on the disk", Texts: []string{"ERROR_DISK_FULL", "No space left on device"},
		Means: "The disks of the VM do not fit at the destination.", Causes: []Cause{because("the storage is full", fault.StorageFull)},
		Run: []string{runCompare}, Source: erref},
	{ID: "0xC03A0014", Origin: HyperV, Number: 0xC03A0014, Title: "A virtual disk support provider for the specified file was not found", Texts: []string{"ERROR_VIRTDISK_PROVIDER_NOT_FOUND"},
		Means: "A medium in the VM's drive, mostly an ISO, cannot be opened at the destination.", Causes: []Cause{because("a medium is in the drive", fault.DiskMedia)},
		Run: []string{runCompare, "Set-VMDvdDrive -VMName VM -Path $null"}, Source: kb},
}
