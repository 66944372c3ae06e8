package doctor

import (
	"net/netip"

	"drover/internal/look"
)

// Passage is how a host's agent sees one address at which a destination takes moves: over
// a network that a move would choose, from the address that it would use.
type Passage struct {
	Network     netip.Prefix   `json:"network"`
	Source      netip.Addr     `json:"source" doc:"this host's address on the network"`
	Interface   string         `json:"interface,omitempty" doc:"the interface that has it"`
	Destination netip.AddrPort `json:"destination"`
	State       look.PortState `json:"state" enum:"open,closed,filtered,unreachable,blocked,unclear" doc:"what became of a connection: refused is closed, no answer at all filtered"`
	Detail      string         `json:"detail,omitempty" doc:"why it is not open"`
	// Packet is 0 when Unsized says why no size was tried.
	Packet  int    `json:"packet_bytes,omitempty" doc:"the largest packet that a move would send, with its headers"`
	Passes  int    `json:"passes_bytes,omitempty" doc:"the largest that arrived, of those that were tried"`
	Unsized string `json:"unsized,omitempty" doc:"why no size was tried"`
	// Route is how this host's routes lead to the address, where they do so by another
	// interface than one of the network.
	Route *Detour `json:"route,omitempty" doc:"the route to the address, where it leads by another network"`
}

// Detour is a route that leads by another network than it should.
type Detour struct {
	To        netip.Prefix `json:"to"`
	Gateway   netip.Addr   `json:"gateway,omitzero"`
	Interface string       `json:"interface"`
	Source    netip.Addr   `json:"source" doc:"the address that connections have which take it"`
	Metric    int          `json:"metric,omitempty"`
	Table     int          `json:"table" doc:"the table that has the route; 254 is main"`
}

// Adapter is a network interface of a host.
type Adapter struct {
	Name      string
	Addresses []netip.Prefix
	MTU       int
	SpeedMbps int // 0 where it is not known
}

// on says whether the interface has an address.
func (a Adapter) on(ip netip.Addr) bool {
	for _, p := range a.Addresses {
		if p.Addr() == ip {
			return true
		}
	}
	return false
}
