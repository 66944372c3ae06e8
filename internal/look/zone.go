package look

import (
	"context"
	"strings"

	"github.com/miekg/dns"
)

// Zone asks one server for the zone that a name is in, which the start of authority
// names whether the name is there or not; "" when the server does not say.
func (m Machine) Zone(ctx context.Context, server, name string) string {
	q := new(dns.Msg)
	q.SetQuestion(dns.Fqdn(name), dns.TypeSOA)
	r, err := m.exchange(ctx, "udp", server, q)
	if err != nil {
		return ""
	}
	for _, rr := range append(r.Answer, r.Ns...) {
		if zone := rr.Header().Name; rr.Header().Rrtype == dns.TypeSOA && dns.IsSubDomain(zone, dns.Fqdn(name)) {
			return strings.ToLower(strings.TrimSuffix(zone, "."))
		}
	}
	return ""
}
