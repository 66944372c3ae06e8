package doctor

import (
	"fmt"
	"net/netip"
	"slices"

	"drover/internal/fault"
	"drover/internal/finding"
	"drover/internal/look"
)

// unansweredIPv6 tells which addresses of IPv6 in DNS lead to nothing. Whether the host
// has them it says itself: this machine may have no IPv6 to try them with.
func (x *examination) unansweredIPv6() {
	for _, h := range x.hosts {
		for _, a := range h.addrs.dns {
			r := h.addrs.at[a]
			if !a.Is6() || r == nil || r.api.State == look.Open || x.toldOfAddress(h, a) {
				continue
			}
			known := h.agent != nil && len(h.agent.Adapters) > 0
			switch {
			case known && !slices.ContainsFunc(h.agent.Adapters, func(d Adapter) bool { return d.on(a) }):
				x.unanswered(h, a, h.Name+" has no such address")
			case r.api.State == look.Unreachable:
				x.didNot(AreaNames, "address of IPv6", h.Name, "there is no way to "+a.String()+" from here: "+r.api.Detail)
			case known || r.api.Answers():
				x.unanswered(h, a, fmt.Sprintf("the port is %s (%s)", r.api.State, r.api.Detail))
			}
		}
	}
}

// toldOfAddress says that an address is known to be a wrong one of the host.
func (x *examination) toldOfAddress(h *seenHost, a netip.Addr) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return slices.ContainsFunc(x.found, func(f finding.Finding) bool {
		return (f.Code == fault.DNSAddressExtra || f.Code == fault.DNSAddressStale || f.Code == fault.HostSilent || f.Code == fault.PortClosed || f.Code == fault.PortFiltered) &&
			f.Host == h.Name && (slices.Contains(f.Values, a.String()) || len(h.addrs.dns) == 1)
	})
}

func (x *examination) unanswered(h *seenHost, a netip.Addr, reason string) {
	zone, label := x.zone(h)
	x.tell(finding.Warning, h.FQDN, fault.New(fault.IPv6Unanswered, h.Name, "name", h.FQDN, "address", a.String(), "reason", reason,
		"controller", x.nameServer(), "zone", zone, "label", label),
		"address records "+joinAddrs(h.addrs.dns)+"; "+reason, h.addrs.server, aboutHost(h), func(f *finding.Finding) {
			f.Values, f.Effect = []string{a.String()}, x.recordLife(h)
			f.Fix, f.Undo = x.record(h, false, a), x.record(h, true, a)
		})
}
