// Package settings holds what an administrator sets on a host for live
// migration: the vocabulary of Hyper-V's host settings, their values, their
// rules and their changes. It is data only; the agent keeps it.
package settings

import (
	"net/netip"
)

// Settings are a host's live migration settings.
type Settings struct {
	// Revision counts the changes; 0 is a host on which nothing was ever set.
	Revision int64 `json:"revision" doc:"counts the changes of this host's settings"`
	// Incoming and Outgoing: live migration enabled; off until enabled.
	Incoming bool `json:"incoming_enabled" doc:"whether the host accepts VMs"`
	Outgoing bool `json:"outgoing_enabled" doc:"whether VMs may leave the host"`
	// MaximumMigrations counts moves of running VMs in both roles together;
	// MaximumStorageMigrations those that copy disks. 0 takes none.
	MaximumMigrations        int            `json:"maximum_migrations" minimum:"0" maximum:"128" doc:"simultaneous live migrations, incoming and outgoing together"`
	MaximumStorageMigrations int            `json:"maximum_storage_migrations" minimum:"0" maximum:"128" doc:"simultaneous moves that copy disks, incoming and outgoing together"`
	Authentication           Authentication `json:"authentication_type" enum:"Kerberos,CredSSP"`
	Performance              Performance    `json:"performance_option" enum:"TCPIP,Compression,SMB" doc:"how memory reaches the destination"`
	// AnyNetwork lets every network carry migrations; Networks then only order them.
	AnyNetwork bool      `json:"use_any_network" doc:"use any network for migration"`
	Networks   []Network `json:"networks" doc:"migration networks, by priority"`
	// Bandwidth bounds the host's migration traffic, each direction by itself.
	Bandwidth  Rate       `json:"bandwidth_limit" doc:"bits per second for all migrations of the host, per direction; 0: none"`
	Encryption Encryption `json:"encryption" enum:"Required,Allowed,Off" doc:"a move is unencrypted only where both hosts say Off"`
	// CompressionCores bounds the processors that compress, for all moves that leave
	// the host together; 0 leaves it to the host.
	CompressionCores Cores `json:"compression_cores" minimum:"0" maximum:"1024" doc:"processors that may compress at a time, for all moves from the host together; 0: half of the host's"`
}

// Network is a migration network.
type Network struct {
	// Subnet is a CIDR without host bits, or one address (/32, /128).
	Subnet netip.Prefix `json:"subnet" doc:"CIDR, or one address as /32 or /128"`
	// Priority orders the networks, lower first; equal ones are used together.
	Priority  int  `json:"priority" minimum:"0" maximum:"1000000" doc:"lower number first; networks of equal priority are used together"`
	Bandwidth Rate `json:"bandwidth_limit,omitempty" doc:"bits per second on this network, per direction; 0: none"`
}

// Authentication is the type of authentication of the host's moves.
type Authentication string

// CredSSP can be set, and a move that would need it says that it is not
// available yet.
const (
	Kerberos Authentication = "Kerberos"
	CredSSP  Authentication = "CredSSP"
)

// Performance is how memory reaches the destination.
type Performance string

// SMB can be set, and a move that would need it says that it is not available yet.
const (
	TCPIP       Performance = "TCPIP"
	Compression Performance = "Compression"
	SMB         Performance = "SMB"
)

// Encryption is the host's policy for the streams of moves.
type Encryption string

// Required and Allowed both encrypt; Off does not, where the other host says
// Off too. Authentication does not depend on it.
const (
	Required Encryption = "Required"
	Allowed  Encryption = "Allowed"
	Off      Encryption = "Off"
)

// Default are the settings of a host on which nothing was set.
func Default() Settings {
	return Settings{MaximumMigrations: 2, MaximumStorageMigrations: 2, Authentication: Kerberos, Performance: Compression, Encryption: Required, Networks: []Network{}}
}

// Encrypted tells whether a move between two hosts with these policies is
// encrypted.
func Encrypted(a, b Encryption) bool { return a != Off || b != Off }

// Plain reports whether a policy agrees to carry data unencrypted.
func (e Encryption) Plain() bool { return e == Off }

// Subnets are the networks' subnets, by priority and then as given.
func (s Settings) Subnets() []netip.Prefix {
	var out []netip.Prefix
	for _, n := range s.Networks {
		out = append(out, n.Subnet)
	}
	return out
}
