package lab

import (
	"fmt"
	"strings"
)

// The domain that DC1 serves.
const (
	Realm   = "LAB.DROVER.TEST"
	Domain  = "lab.drover.test"
	NetBIOS = "LAB"
	BaseDN  = "DC=lab,DC=drover,DC=test"
)

// Names of the members. Hosts are HV01 to HV04; the last is raised only when Options.Hosts names it,
// NEW1 only with Options.Unjoined.
const (
	DC1  = "DC1"
	HV01 = "HV01"
	HV02 = "HV02"
	HV03 = "HV03"
	HV04 = "HV04"
	MGMT = "MGMT"
	NEW1 = "NEW1"
)

// Accounts of the domain, and their passwords.
const (
	UserOperator  = "operator"  // member of GroupOperators
	UserAdmin     = "admin"     // member of GroupAdministrators
	UserViewer    = "viewer"    // member of GroupViewers
	UserNobody    = "nobody1"   // in no group of ours
	UserSensitive = "sensitive" // operator whose account must not be delegated (NOT_DELEGATED)
	UserProtected = "protected" // operator in Protected Users
	UserDisabled  = "disabled"  // operator whose account is disabled

	// UserAdministrator is the domain's built-in Administrator, who may change everything in the
	// directory; in none of our groups. The password is AdministratorPassword.
	UserAdministrator = "Administrator"

	// UserPassword is the password of each user but Administrator.
	UserPassword = "Op-Passw0rd-1"
	// AdministratorPassword is that of the domain's built-in Administrator.
	AdministratorPassword = "Adm-Passw0rd-1"
)

// Groups that map to Drover's roles. Their SIDs are in Lab.GroupSIDs.
const (
	GroupOperators      = "Drover Operators"
	GroupAdministrators = "Drover Administrators"
	GroupViewers        = "Drover Viewers"
)

// Network is one of the lab's networks.
type Network string

// The networks. A member's interface in a network is called like the network.
const (
	Management Network = "mgmt"  // 10.77.0.0/24
	Migration  Network = "mig"   // 192.168.10.0/24
	Migration2 Network = "mig2"  // 192.168.20.0/24: no agent is told of it by AgentSettings
	Guest      Network = "guest" // 10.99.0.0/24: virtual machines and their heartbeats
)

// GuestBridge is the bridge in every host to which virtual machines are attached.
const GuestBridge = "br-guest"

// Networks lists all networks in a fixed order.
var Networks = []Network{Management, Migration, Migration2, Guest}

// Subnet is the network's address range in CIDR notation.
func (n Network) Subnet() string {
	switch n {
	case Management:
		return "10.77.0.0/24"
	case Migration:
		return "192.168.10.0/24"
	case Migration2:
		return "192.168.20.0/24"
	default:
		return "10.99.0.0/24"
	}
}

// ParseNetwork reads the name of a network.
func ParseNetwork(s string) (Network, error) {
	for _, n := range Networks {
		if string(n) == s {
			return n, nil
		}
	}
	return "", fmt.Errorf("no network %q in the lab (there are mgmt, mig, mig2 and guest)", s)
}

// role says what a member is made of.
type role string

const (
	roleFabric      role = "fabric"
	roleDC          role = "dc"
	roleHost        role = "host"
	roleWorkstation role = "workstation"
	roleUnjoined    role = "unjoined" // a newly installed machine that the directory does not know
)

// spec is the fixed part of a member: what it is and where it stands in the networks.
type spec struct {
	name string
	role role
	// addresses maps a network to the member's last byte in it; 0 = attached without address.
	addresses map[Network]byte
}

const fabricName = "fabric"

// members is the whole cast. The order is that of status tables.
var members = []spec{
	{DC1, roleDC, map[Network]byte{Management: 1}},
	{HV01, roleHost, map[Network]byte{Management: 11, Migration: 11, Migration2: 11, Guest: 0}},
	{HV02, roleHost, map[Network]byte{Management: 12, Migration: 12, Migration2: 12, Guest: 0}},
	{HV03, roleHost, map[Network]byte{Management: 13, Migration: 13, Migration2: 13, Guest: 0}},
	{HV04, roleHost, map[Network]byte{Management: 14, Migration: 14, Migration2: 14, Guest: 0}},
	{MGMT, roleWorkstation, map[Network]byte{Management: 20, Guest: 250}},
	{NEW1, roleUnjoined, map[Network]byte{Management: 31, Migration: 31}},
}

// address is the member's IPv4 address in n, "" without one.
func (s spec) address(n Network) string {
	last := s.addresses[n]
	if last == 0 {
		return ""
	}
	return fmt.Sprintf("%s%d", strings.TrimSuffix(n.Subnet(), "0/24"), last)
}

// fqdn is the member's full name in DNS.
func (s spec) fqdn() string { return strings.ToLower(s.name) + "." + Domain }

// DefaultHosts are the hosts of a lab whose options name none: HV01 to HV03. They may delegate to
// one another from the start.
func DefaultHosts() []string { return []string{HV01, HV02, HV03} }

// HostNames lists all hosts that a lab can have, HV01 to HV04. Each has an account in the directory
// and a keytab on DC1, whether it is raised or not.
func HostNames() []string {
	var names []string
	for _, s := range members {
		if s.role == roleHost {
			names = append(names, s.name)
		}
	}
	return names
}
