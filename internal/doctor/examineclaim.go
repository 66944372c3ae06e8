package doctor

import (
	"net/netip"
	"slices"

	"drover/internal/look"
)

// open says that the host's management port was seen open at an address, so that this
// machine reaches the host there.
func (s *addresses) open(a netip.Addr) bool {
	r := s.at[a]
	return r != nil && r.api.State == look.Open
}

// claims says that by what the host's agent tells an address is the host's, though
// nothing answers there: a migration network may be one that only hosts reach.
func (h *seenHost) claims(a netip.Addr) bool {
	if h.agent == nil {
		return false
	}
	if len(h.agent.Addresses) > 0 {
		return slices.ContainsFunc(h.agent.Addresses, func(at netip.AddrPort) bool { return at.Addr() == a })
	}
	s := h.agent.Settings // it listens on none, and says which it would take
	return s.AnyNetwork || slices.ContainsFunc(s.Subnets(), func(n netip.Prefix) bool { return n.Contains(a) })
}
