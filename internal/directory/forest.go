package directory

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/go-ldap/ldap/v3"

	"drover/internal/fault"
)

// domainOfForest is one domain as CN=Partitions lists it.
type domainOfForest struct {
	dn      string // nCName
	name    string // DNS name, lower case
	netBIOS string
}

// Global connects to a global catalogue of the forest: read-only, all domains, of
// each object only some attributes. By the local socket it is the domain alone. The
// caller closes it.
func (c *Conn) Global(ctx context.Context) (*Conn, error) {
	if c.options.Socket != "" { // which has no port for the catalogue
		return dialFirst(ctx, c.options, []target{{c.options.Socket, ""}})
	}
	targets := []target{{c.host, portGlobal}}
	if c.options.LDAPS != nil {
		targets[0].port = portGlobalTL
	}
	if !c.says.GlobalCat {
		forest := domainOfDN(c.says.ForestDN)
		var err error
		if targets, err = c.options.lookup(ctx, "gc", forest, forest); err != nil {
			return nil, fmt.Errorf("find a global catalogue: %w", ended(ctx, err))
		}
	}
	g, err := dialFirst(ctx, c.options, targets)
	if err != nil {
		return nil, fmt.Errorf("connect to a global catalogue: %w", err)
	}
	g.base = ""
	return g, nil
}

// For gives the connection to the domain that holds dn: c itself, or one to a
// controller of that domain, which is made once and closed with c. Only domains of
// the forest are connected to, whatever dn says. Faults: directory-object-gone when
// dn is in none of them, and those of Dial.
func (c *Conn) For(ctx context.Context, dn string) (*Conn, error) {
	parsed, err := ldap.ParseDN(dn)
	if err != nil || len(parsed.RDNs) == 0 {
		return nil, fault.Wrap(err, fault.DirectoryObjectGone, "", "object", dn)
	}
	domains, err := c.domains(ctx)
	if err != nil {
		return nil, err
	}
	d := holder(parsed, domains)
	switch {
	case under(parsed, c.says.ConfigDN): // every controller has it
		return c, nil
	case d == nil:
		return nil, fault.Wrap(errors.New("it is in no domain of this forest"), fault.DirectoryObjectGone, "", "object", dn)
	case d.name == c.says.Domain && c.base != "":
		return c, nil
	}
	return c.other(ctx, d.name)
}

// at is For without a search for what is in the domain itself, as nearly everything
// is. What names no domain, and what is asked of a global catalogue, stays here.
func (c *Conn) at(ctx context.Context, dn string) (*Conn, error) {
	if d := domainOfDN(dn); d == "" || d == c.says.Domain || c.base == "" {
		return c, nil
	}
	return c.For(ctx, dn)
}

// other gives the connection to another domain.
func (c *Conn) other(ctx context.Context, domain string) (*Conn, error) {
	c.mu.Lock()
	known := c.others[domain]
	c.mu.Unlock()
	if known != nil && known.wire.failure() == nil {
		return known, nil
	}
	o := c.options
	o.Domain, o.Servers = domain, nil
	n, err := Dial(ctx, o)
	if err != nil {
		return nil, fmt.Errorf("connect to the domain %s: %w", domain, err)
	}
	if n.says.Domain != domain { // DNS led elsewhere
		_ = n.Close()
		return nil, unreachable(nil, domain, n.host+" is a controller of "+n.says.Domain)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch now := c.others[domain]; {
	case c.closed:
		_ = n.Close()
		return nil, unreachable(nil, domain, "the connection is closed")
	case now != nil && now != known: // somebody else was quicker
		_ = n.Close()
		return now, nil
	}
	if c.others == nil {
		c.others = map[string]*Conn{}
	}
	c.others[domain] = n
	return n, nil
}

// domains lists the domains of the forest (MS-ADTS 6.1.1.2.1.1.5), read once.
func (c *Conn) domains(ctx context.Context) ([]domainOfForest, error) {
	c.mu.Lock()
	known := c.forest
	c.mu.Unlock()
	if known != nil {
		return known, nil
	}
	// FLAG_CR_NTDS_DOMAIN of systemFlags, by LDAP_MATCHING_RULE_BIT_AND.
	const filter = "(&(objectClass=crossRef)(systemFlags:1.2.840.113556.1.4.803:=2))"
	partitions := "CN=Partitions," + c.says.ConfigDN
	var out []domainOfForest
	err := c.ask(ctx, partitions, func() error {
		found, err := c.search(ldap.NewSearchRequest(partitions, ldap.ScopeSingleLevel, ldap.NeverDerefAliases, 0, 0, false,
			filter, []string{"nCName", "nETBIOSName"}, nil))
		for _, e := range found {
			dn := e.GetAttributeValue("nCName")
			if name := domainOfDN(dn); name != "" {
				out = append(out, domainOfForest{dn, name, e.GetAttributeValue("nETBIOSName")})
			}
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list the domains of the forest: %w", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.forest = out
	return out, nil
}

// domainsIfReadable is domains for what can do without.
func (c *Conn) domainsIfReadable(ctx context.Context) []domainOfForest {
	d, err := c.domains(ctx)
	if err != nil {
		return nil
	}
	return d
}

// holder is the domain that holds dn: of nested ones the innermost; nil if none does.
func holder(dn *ldap.DN, domains []domainOfForest) *domainOfForest {
	var best *domainOfForest
	for i, d := range domains {
		if under(dn, d.dn) && (best == nil || len(d.dn) > len(best.dn)) {
			best = &domains[i]
		}
	}
	return best
}

// under says whether dn is base or below it.
func under(dn *ldap.DN, base string) bool {
	b, err := ldap.ParseDN(base)
	return err == nil && len(b.RDNs) > 0 && (b.EqualFold(dn) || b.AncestorOfFold(dn))
}

// domainOfDN is the DNS name, in lower case, that the last parts of a distinguished
// name spell, "DC=lab,DC=drover,DC=test"; "" if it does not end in such.
func domainOfDN(dn string) string {
	parsed, err := ldap.ParseDN(dn)
	if err != nil {
		return ""
	}
	var labels []string
	for i := len(parsed.RDNs) - 1; i >= 0; i-- {
		rdn := parsed.RDNs[i].Attributes
		if len(rdn) != 1 || !strings.EqualFold(rdn[0].Type, "DC") {
			break
		}
		labels = append([]string{strings.ToLower(rdn[0].Value)}, labels...)
	}
	return strings.Join(labels, ".")
}
