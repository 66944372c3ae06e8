package directory

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/go-ldap/ldap/v3"
)

// Find reads the accounts that names stand for (as in Query.Names): those of the
// domain, and for names that nobody in it has those of the other domains of the
// forest, which a global catalogue is asked for. A name that several of these have
// is in the answer as often. The domain's own come first.
func (c *Conn) Find(ctx context.Context, names []string) ([]Account, error) {
	if len(names) == 0 {
		return nil, nil // to Accounts that would be everybody
	}
	found, err := c.Accounts(ctx, Query{Names: names})
	if err != nil {
		return nil, err
	}
	left := c.foreign(names, found)
	if len(left) == 0 {
		return found, nil
	}
	domains, err := c.domains(ctx)
	if err != nil {
		return nil, err
	}
	if len(domains) < 2 {
		return found, nil
	}
	dns, err := c.whereInForest(ctx, left, domains)
	if err != nil {
		return nil, fmt.Errorf("look for %s in the forest: %w", someOf(left), err)
	}
	others, err := c.readElsewhere(ctx, dns, domains)
	return append(found, others...), err
}

// foreign are the names that no account of the domain has and that another domain's
// account could have.
func (c *Conn) foreign(names []string, found []Account) (left []string) {
	known := map[string]bool{"": true}
	for _, a := range found {
		for _, n := range []string{a.Name, a.ShortName(), a.DNSHostName, a.DN, a.SID} {
			known[strings.ToLower(n)] = true
		}
	}
	for _, n := range unseen(known, withoutDots(names)) {
		_, notAddress := netip.ParseAddr(strings.Trim(n, "[]"))
		ours := strings.Contains(n, "=") && domainOfDN(n) == c.says.Domain
		if notAddress != nil && !ours && strings.TrimSpace(n) != "" {
			left = append(left, n)
		}
	}
	return left
}

// withoutDots are names without the "." at the end of a full one.
func withoutDots(names []string) []string {
	out := make([]string, len(names))
	for i, n := range names {
		if out[i] = n; !strings.Contains(n, "=") {
			out[i] = strings.TrimSuffix(n, ".")
		}
	}
	return out
}

// whereInForest gives the distinguished names of the accounts of other domains that
// have the names. One that is a distinguished name itself says where it is; the rest
// only the global catalogue knows, which does not have every attribute.
func (c *Conn) whereInForest(ctx context.Context, names []string, domains []domainOfForest) (dns []string, err error) {
	var ask []string
	for _, n := range names {
		if !strings.Contains(n, "=") {
			ask = append(ask, n)
		} else if parsed, err := ldap.ParseDN(n); err == nil && holder(parsed, domains) != nil {
			dns = append(dns, n)
		}
	}
	if len(ask) == 0 {
		return dns, nil
	}
	g, err := c.Global(ctx)
	if err != nil {
		return nil, err
	}
	defer g.Close()
	err = g.ask(ctx, someOf(ask), func() error {
		found, err := g.searchEach(ask, nameFilter, func(names string) *ldap.SearchRequest {
			return g.subtree("(&"+anyAccount+names+")", "1.1")
		})
		for _, e := range found {
			dns = append(dns, e.DN)
		}
		return err
	})
	return dns, err
}

// someOf names a few, for messages.
func someOf(names []string) string {
	const few = 3
	if len(names) <= few {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:few], ", "), len(names)-few)
}

// readElsewhere reads the accounts of other domains by their distinguished names. One
// that is not there any more, or not yet on that controller, is not in the answer.
func (c *Conn) readElsewhere(ctx context.Context, dns []string, domains []domainOfForest) (accounts []Account, err error) {
	byDomain := map[string][]string{}
	var order []string
	for _, dn := range dns {
		parsed, err := ldap.ParseDN(dn)
		if err != nil {
			return nil, fmt.Errorf("the global catalogue gives a malformed name: %w", err)
		}
		d := holder(parsed, domains)
		if d == nil || d.name == c.says.Domain { // the domain itself has said that there is none
			continue
		}
		if !slices.Contains(order, d.name) {
			order = append(order, d.name)
		}
		byDomain[d.name] = append(byDomain[d.name], dn)
	}
	slices.Sort(order)
	for _, domain := range order {
		n, err := c.other(ctx, domain)
		if err != nil {
			return nil, err
		}
		found, err := n.Accounts(ctx, Query{Names: byDomain[domain]})
		if err != nil {
			return nil, err
		}
		accounts = append(accounts, found...)
	}
	return accounts, nil
}
