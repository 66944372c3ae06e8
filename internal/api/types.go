package api

import (
	"net/netip"
	"time"

	"drover/internal/eventlog"
	"drover/internal/record"
	"drover/internal/settings"
)

// Hello is what an agent says to anybody, before sign-in. Nothing in it is
// proved: use it to compare versions and clocks, for nothing else.
type Hello struct {
	Host    string    `json:"host" doc:"name of the host, e.g. HV01"`
	Version string    `json:"version" doc:"product version"`
	Oldest  int       `json:"oldest_protocol" doc:"oldest protocol between agents that this one speaks"`
	Newest  int       `json:"newest_protocol"`
	Time    time.Time `json:"time" doc:"the host's clock"`
}

// HostInfo is what a host is and allows. Sizes in bytes.
type HostInfo struct {
	Host            string        `json:"host"`
	UUID            string        `json:"uuid" doc:"the machine's UUID as libvirt knows it"`
	Version         string        `json:"version" doc:"product version"`
	Account         string        `json:"account" doc:"computer account, e.g. HV01$"`
	Realm           string        `json:"realm,omitempty"`
	LibvirtVersion  string        `json:"libvirt_version"`
	QEMUVersion     string        `json:"qemu_version"`
	MemoryBytes     uint64        `json:"memory_bytes"`
	MemoryAvailable uint64        `json:"memory_available_bytes"`
	StorageRoots    []string      `json:"storage_roots"`
	Storage         []StorageRoot `json:"storage" doc:"the same directories, as they are at present"`
	KVM             bool          `json:"kvm" doc:"libvirt can run VMs with KVM here"`
	Machine         string        `json:"machine_id,omitempty" doc:"from /etc/machine-id, by which nothing else than equal ones can be told"`
	TimeZone        TimeZone      `json:"time_zone"`
	Migration       MigrationInfo `json:"migration"`
	Caller          CallerInfo    `json:"caller" doc:"who the host takes the caller for"`
}

// StorageRoot is a directory under which disks of VMs may lie. Sizes in bytes.
type StorageRoot struct {
	Path       string `json:"path"`
	TotalBytes uint64 `json:"total_bytes"`
	FreeBytes  uint64 `json:"free_bytes"`
	Problem    string `json:"problem,omitempty" doc:"why no disk can be made there, e.g. does not exist"`
}

// TimeZone is a host's. Two with equal offsets have the same clock on the wall.
type TimeZone struct {
	Name   string `json:"name,omitempty" doc:"e.g. Europe/Berlin; empty when the host has a file without a name"`
	Winter int    `json:"january_minutes" doc:"minutes east of UTC on 1 January of this year"`
	Summer int    `json:"july_minutes" doc:"the same on 1 July"`
}

// MigrationInfo is a host's live migration settings, and where it listens.
type MigrationInfo struct {
	Settings  settings.Settings `json:"settings"`
	Addresses []netip.AddrPort  `json:"addresses" doc:"where port 6600 listens at present"`
	Running   Running           `json:"running"`
}

// Running counts the moves of a host, in both roles.
type Running struct {
	Migrations        int `json:"migrations" doc:"running moves"`
	StorageMigrations int `json:"storage_migrations" doc:"those that copy disks"`
	Queued            int `json:"queued" doc:"moves that wait"`
}

// NetworkAdapter is one network interface of a host.
type NetworkAdapter struct {
	Name      string         `json:"name"`
	MAC       string         `json:"mac,omitempty"`
	Addresses []netip.Prefix `json:"addresses"`
	Up        bool           `json:"up"`
	SpeedMbps int            `json:"speed_mbps,omitempty" doc:"as the driver says, of bridges, bonds and VLANs that of what is beneath; 0 unknown"`
	MTU       int            `json:"mtu"`
	Kind      string         `json:"kind" doc:"of the link, e.g. device, bridge, veth"`
	Migration bool           `json:"migration" doc:"has an address on which the host takes migrations"`
	Bridge    string         `json:"bridge,omitempty" doc:"the bridge that it is a port of"`
}

// EventFilter selects events of a host's log; zero members select all.
type EventFilter struct {
	After int64            // only those with a higher number
	Since time.Time        // not before
	Level []eventlog.Level // any of these
	VM    string
	Move  string
	IDs   []eventlog.ID
	Limit int // the newest so many; 0: the default of the server
}

// Adjustment changes a running move; a zero member stays as it is.
type Adjustment struct {
	MaxBlackoutMS int `json:"max_blackout_ms,omitempty" minimum:"0" maximum:"60000" doc:"longest blackout that QEMU may plan for"`
}

// CallerInfo is a Caller as the API shows it, and the answer to a sign-in.
type CallerInfo struct {
	Principal string `json:"principal" doc:"Kerberos principal, empty for a local user without one"`
	Roles     []Role `json:"roles"`
	Local     bool   `json:"local,omitempty" doc:"came by the unix socket"`
	LocalUser string `json:"local_user,omitempty"`
	SignIn    string `json:"sign_in,omitempty" doc:"own-credentials or service-asserted"`
}

// VM is a virtual machine of a host. Sizes in bytes.
type VM struct {
	Name        string `json:"name"`
	UUID        string `json:"uuid"`
	State       string `json:"state" doc:"running, paused, shut off, ..."`
	MemoryBytes uint64 `json:"memory_bytes"`
	VCPUs       int    `json:"vcpus"`
	Disks       []Disk `json:"disks"`
	Transient   bool   `json:"transient,omitempty" doc:"it has no persistent definition, so it cannot move"`
	Moving      string `json:"moving,omitempty" doc:"id of the move it takes part in"`
}

// Disk is one disk of a VM. Sizes in bytes.
type Disk struct {
	Target         string `json:"target" doc:"e.g. vda"`
	Device         string `json:"device" doc:"disk, cdrom or floppy"`
	Path           string `json:"path,omitempty"`
	Format         string `json:"format,omitempty"`
	VirtualBytes   uint64 `json:"virtual_bytes"`
	AllocatedBytes uint64 `json:"allocated_bytes"`
}

// Seed is what is left of a disk, from which the next copy of the VM takes what it
// then need not be sent.
type Seed struct {
	ID      string    `json:"id" doc:"ULID"`
	VM      string    `json:"vm"`
	UUID    string    `json:"uuid"`
	Kind    string    `json:"kind" enum:"failed-copy,moved-away,retained" doc:"failed-copy: of a move to this host that failed; moved-away: of a VM that moved from here; retained: the same, and the file stayed where it was"`
	Host    string    `json:"host" doc:"the host whose moves may use it: where the copy came from, or went"`
	Move    string    `json:"move" doc:"the move that left it"`
	Path    string    `json:"path" doc:"where the disk was"`
	File    string    `json:"file" doc:"where the seed is"`
	Bytes   uint64    `json:"bytes" doc:"what it occupies"`
	Content uint64    `json:"content_bytes" doc:"what it can give; 0 while it is being read"`
	Made    time.Time `json:"made"`
	Expires time.Time `json:"expires"`
	InUse   bool      `json:"in_use,omitempty" doc:"a move takes from it now"`
}

// Ticket is one Kerberos ticket in the agent's cache.
type Ticket struct {
	Client  string    `json:"client" doc:"on whose behalf"`
	Service string    `json:"service" doc:"for which service name"`
	Kind    string    `json:"kind" doc:"host: the host's own; evidence: asserted for an operator (S4U2Self); delegated: to act as the operator (S4U2Proxy)"`
	Start   time.Time `json:"start"`
	End     time.Time `json:"end"`
}

// HealthCheck is one thing the agent needs, and whether it has it.
type HealthCheck struct {
	Name   string `json:"name" doc:"e.g. journal, libvirt, keytab"`
	OK     bool   `json:"ok"`
	Reason string `json:"reason,omitempty" doc:"what is wrong"`
}

// Health is the answer of /healthz.
type Health struct {
	OK     bool          `json:"ok"`
	Checks []HealthCheck `json:"checks"`
}

// MoveFilter selects moves; the zero value selects all, newest first.
type MoveFilter struct {
	VM     string      // name or UUID
	Role   record.Role // source, destination
	Active bool        // only those that are not over
	Limit  int         // 0: DefaultLimit
}

// Limits of a list of moves.
const (
	DefaultLimit = 100
	MaxLimit     = 1000
)

// Keep says which side keeps the VM when an administrator resolves a move whose
// outcome is unknown.
type Keep string

// The two sides.
const (
	KeepSource      Keep = "source"
	KeepDestination Keep = "destination"
)
