package doctor

import (
	"context"
	"net/netip"
	"slices"
	"strings"

	"drover/internal/fault"
	"drover/internal/finding"
	"drover/internal/look"
)

// sight is how one address of a controller was seen.
type sight struct {
	addr           netip.Addr
	kerberos, ldap look.Port
}

func (s sight) open() bool { return s.kerberos.State == look.Open && s.ldap.State == look.Open }

// lookAtController tries the ports of a controller at every address that DNS has of it,
// and asks one at which they are open. Programs take now this address and now that one.
func (x *examination) lookAtController(ctx context.Context, c *controller) {
	at := x.sights(ctx, c)
	use := slices.IndexFunc(at, sight.open)
	if use < 0 {
		use = max(0, slices.IndexFunc(at, func(s sight) bool { return s.kerberos.State == look.Open }))
	}
	c.kerberos, c.works = x.kerberosOf(ctx, c.name, at[use].addr)
	c.ldap = at[use].ldap
	if !c.works {
		return // that it answers nowhere is another thing to tell
	}
	for i, s := range at {
		if i != use {
			x.otherAddress(c, s)
		}
	}
}

// sights tries all addresses at once. Those of IPv6 are left out on a machine that has
// no IPv6 address itself, unless there are no others.
func (x *examination) sights(ctx context.Context, c *controller) []sight {
	addrs := c.addrs
	if !hasIPv6() && slices.ContainsFunc(addrs, netip.Addr.Is4) {
		addrs = slices.DeleteFunc(slices.Clone(addrs), netip.Addr.Is6)
	}
	out := make([]sight, len(addrs))
	eachIndex(len(addrs), func(i int) {
		out[i].addr = addrs[i]
		inParallel(func(ctx context.Context) { out[i].ldap = x.Machine.Port(ctx, addrs[i], portLDAP) },
			func(ctx context.Context) {
				if len(addrs) > 1 { // else whoever asks Kerberos sees it
					out[i].kerberos = x.Machine.Port(ctx, addrs[i], portKerberos)
				}
			})(ctx)
	})
	return out
}

// hasIPv6 says that this machine has an IPv6 address that others can reach.
func hasIPv6() bool {
	own, err := look.Own()
	return err == nil && slices.ContainsFunc(own, func(a netip.Addr) bool { return a.Is6() && a.IsGlobalUnicast() })
}

// otherAddress judges an address besides the one at which the controller answers.
func (x *examination) otherAddress(c *controller, s sight) {
	if s.kerberos.Answers() || s.ldap.Answers() {
		x.port(finding.Warning, nil, c.name, s.kerberos, "Kerberos", "systemctl status samba-ad-dc")
		x.port(finding.Warning, nil, c.name, s.ldap, ldapService, "systemctl status samba-ad-dc")
		return
	}
	const reason = "neither Kerberos nor LDAP answers there"
	label, below := strings.CutSuffix(strings.ToLower(c.name), "."+x.Domain)
	zone := x.Domain
	if !below {
		label, zone = c.name, "ZONE"
	}
	x.tell(finding.Warning, c.name, fault.New(fault.DNSAddressExtra, "", "addresses", s.addr.String(), "name", c.name, "reason", reason, "controller", x.nameServer(), "zone", zone, "label", label),
		"address records "+joinAddrs(c.addrs)+"; "+s.kerberos.Address.String()+" is "+string(s.kerberos.State)+": "+s.kerberos.Detail, here(x.Here), func(f *finding.Finding) {
			f.Values, f.Effect = []string{s.addr.String()}, "with the next question; a name server may remember the record for as long as it says"
			f.Why += " Sign-ins wait, or fail, whenever it is this one."
			if below {
				f.Fix, f.Undo = x.recordIn(zone, label, false, s.addr), x.recordIn(zone, label, true, s.addr)
			}
		})
}
