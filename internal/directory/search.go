package directory

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"drover/internal/spn"

	"github.com/go-ldap/ldap/v3"
)

const (
	pageSize   = 1000
	maxEntries = 1_000_000 // of one search; more is no answer that anybody can use
	maxPages   = 20_000    // a page may be empty, so that pages are bounded by themselves
)

// Account reads an account by sAMAccountName ("HV01$", "operator"), by principal
// ("operator@REALM", of whatever domain of the forest the realm is), or by service
// name ("cifs/HV01"). It fails with ErrNotFound when no account has the name, and
// when a service name is on several accounts.
func (c *Conn) Account(ctx context.Context, name string) (a Account, err error) {
	if c, err = c.ofRealm(ctx, name); err != nil {
		return Account{}, fmt.Errorf("read account %q: %w", name, err)
	}
	err = c.ask(ctx, name, func() error {
		e, err := c.find(name)
		if err != nil {
			return err
		}
		if a, err = parseAccount(e); err != nil {
			return err
		}
		if a.Hidden {
			return fmt.Errorf("userAccountControl of %s may not be read", a.DN)
		}
		a.Protected, err = c.isProtected(a)
		return err
	})
	if err != nil {
		return Account{}, fmt.Errorf("read account %q: %w", name, err)
	}
	return a, nil
}

// ofRealm gives the connection to the domain that a principal is of, because its name
// alone can be another account's here. A realm that is no domain of the forest may be
// a suffix for names of any domain.
func (c *Conn) ofRealm(ctx context.Context, principal string) (*Conn, error) {
	at := strings.LastIndexByte(principal, '@')
	realm := strings.ToLower(principal[at+1:])
	if at < 0 || realm == c.says.Domain || strings.Contains(principal, "/") {
		return c, nil
	}
	domains, err := c.domains(ctx)
	if err != nil {
		return nil, err
	}
	if !slices.ContainsFunc(domains, func(d domainOfForest) bool { return d.name == realm }) {
		return c, nil
	}
	return c.other(ctx, realm)
}

// accountFilter looks for a name in the attribute it can be in.
func accountFilter(name string) string {
	if plain := spn.Plain(name); strings.Contains(plain, "/") {
		return equals(AttributeServiceNames, plain)
	}
	plain, _, _ := strings.Cut(name, "@")
	return equals("sAMAccountName", plain)
}

func (c *Conn) find(name string) (*ldap.Entry, error) {
	found, err := c.search(c.subtree(accountFilter(name), accountAttributes...))
	if err != nil {
		return nil, err
	}
	switch len(found) {
	case 0:
		return nil, ErrNotFound
	case 1:
		return found[0], nil
	}
	var dns []string
	for _, e := range found {
		dns = append(dns, e.DN)
	}
	return nil, fmt.Errorf("the name is on several accounts: %s", strings.Join(dns, "; "))
}

// subtree is a search of the whole domain.
func (c *Conn) subtree(filter string, attributes ...string) *ldap.SearchRequest {
	return ldap.NewSearchRequest(c.base, ldap.ScopeWholeSubtree, ldap.NeverDerefAliases, 0, 0, false, filter, attributes, nil)
}

// object is a search for one object by its distinguished name.
func object(dn string, attributes ...string) *ldap.SearchRequest {
	return ldap.NewSearchRequest(dn, ldap.ScopeBaseObject, ldap.NeverDerefAliases, 0, 0, false, "(objectClass=*)", attributes, nil)
}

// search reads every page and every value. References to other naming contexts,
// which controllers add to searches of a domain, are left aside. It belongs inside
// of ask.
func (c *Conn) search(q *ldap.SearchRequest) ([]*ldap.Entry, error) {
	var all []*ldap.Entry
	if q.Scope != ldap.ScopeBaseObject {
		page := ldap.NewControlPaging(pageSize)
		q.Controls = append(q.Controls, page)
		for n := 0; ; n++ {
			r, err := c.ldap.Search(q)
			if err != nil {
				return nil, err
			}
			if all = append(all, r.Entries...); len(all) > maxEntries || n > maxPages {
				return nil, fmt.Errorf("the answer has more than %d objects", maxEntries)
			}
			next, _ := ldap.FindControl(r.Controls, ldap.ControlTypePaging).(*ldap.ControlPaging)
			if next == nil || len(next.Cookie) == 0 {
				break
			}
			page.SetCookie(next.Cookie)
		}
	} else {
		r, err := c.ldap.Search(q)
		if err != nil {
			return nil, err
		}
		all = r.Entries
	}
	for _, e := range all {
		if err := c.complete(e); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// one is search for exactly one object.
func (c *Conn) one(q *ldap.SearchRequest) (*ldap.Entry, error) {
	found, err := c.search(q)
	if err != nil {
		return nil, err
	}
	if len(found) != 1 {
		return nil, fmt.Errorf("%d objects where one was asked for: %w", len(found), errNoObject)
	}
	return found[0], nil
}

var errNoObject = errors.New("no such object")

// equals is a filter for one value, whatever is in it.
func equals(attribute, value string) string {
	return "(" + attribute + "=" + ldap.EscapeFilter(value) + ")"
}

// anyOf is a filter that one of several has to match.
func anyOf(filters ...string) string { return "(|" + strings.Join(filters, "") + ")" }
