package doctor

import (
	"context"
	"slices"
	"strings"

	"drover/internal/fault"
	"drover/internal/finding"
	"drover/internal/look"
)

// shortName follows the search list as programs do.
func (x *examination) shortName(ctx context.Context, h *seenHost) {
	if len(x.resolver.Servers) == 0 || len(h.addrs.dns) == 0 || h.FQDN == "" {
		return
	}
	silent := false
	for _, name := range x.resolver.Candidates(strings.ToLower(h.Name)) {
		if strings.EqualFold(name, h.FQDN) {
			return
		}
		var a look.Answer
		for _, s := range x.resolver.Servers { // the next is asked when one is silent
			if a = x.Machine.Host(ctx, s, name); a.Definite() {
				break
			}
		}
		silent = silent || !a.Definite()
		if a.State != look.Found || sameAddrs(a.Addresses(), h.addrs.dns) {
			continue
		}
		fix, undo := searchList(x.resolver.Path, h.Name, firstDomain(x.resolver.Search, zoneOf(h.FQDN)))
		x.tell(finding.Error, h.FQDN, fault.New(fault.ShortNameElsewhere, "", "short", h.Name, "found", name, "addresses", joinAddrs(a.Addresses()), "name", h.FQDN, "path", x.resolver.Path),
			"the search list is "+strings.Join(x.resolver.Search, " ")+"; "+plainServer(a.Server)+" has "+name+" with "+joinAddrs(a.Addresses()), x.resolver.Path, aboutHost(h),
			cure("with the next program that is started", fix, undo))
		return
	}
	if silent {
		x.didNot(AreaNames, "short name", h.Name, "a name server does not answer")
		return
	}
	if len(h.addrs.listed) > 0 {
		return // this machine finds it all the same
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.unresolved = append(x.unresolved, h)
}

// unresolvedShort tells of the search list once for each domain that it lacks.
func (x *examination) unresolvedShort() {
	zones := map[string][]*seenHost{}
	for _, h := range x.hosts { // in their order
		if slices.Contains(x.unresolved, h) {
			zones[zoneOf(h.FQDN)] = append(zones[zoneOf(h.FQDN)], h)
		}
	}
	for zone, hosts := range zones {
		var short, full []string
		for _, h := range hosts {
			short, full = append(short, h.Name), append(full, h.FQDN)
		}
		fix, undo := searchList(x.resolver.Path, hosts[0].Name, lastDomain(x.resolver.Search, zone))
		x.tell(finding.Warning, strings.Join(full, ", "), fault.New(fault.ShortNameUnresolved, "", "short", strings.Join(short, ", "), "path", x.resolver.Path, "domain", zone, "name", full[0]),
			"the search list is "+strings.Join(x.resolver.Search, " "), x.resolver.Path, func(f *finding.Finding) {
				if len(hosts) == 1 {
					f.Host = hosts[0].Name
				}
			}, cure("with the next program that is started", fix, undo))
	}
}
