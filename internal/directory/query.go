package directory

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/go-ldap/ldap/v3"
)

// Query says which accounts are wanted; conditions that are set must all hold. No
// condition means every account of a computer or a person.
type Query struct {
	Base         string   // search below this distinguished name; "" = the domain
	Class        string   // service class of which it must have a name, "Microsoft Virtual System Migration Service"
	Pattern      string   // a service name that it must have; "*" stands for anything
	ServiceNames bool     // it must have any service name
	Nameless     bool     // it must have no service name: what is left when those with one were read already
	Delegating   bool     // it has a delegation list, a resource-based list, or one of the delegation flags
	Computers    bool     // computer accounts only
	Names        []string // sAMAccountName, dNSHostName, distinguished name or SID: any of them
}

// NewGroup is a security group to be created.
type NewGroup struct {
	DN          string
	Name        string // sAMAccountName
	Description string
	Members     []string // distinguished names
}

// Accounts reads accounts, in pages, with every value of large attributes (range
// retrieval, MS-ADTS 3.1.1.3.1.3.3), sorted by name. Protected is filled in, not
// over a global catalogue, which does not know the members of that group. A Base in
// another domain of the forest is searched there; see Find for names.
func (c *Conn) Accounts(ctx context.Context, q Query) (accounts []Account, err error) {
	if c, err = c.at(ctx, q.Base); err != nil {
		return nil, err
	}
	err = c.ask(ctx, cmp.Or(q.Base, c.base), func() error {
		found, err := c.searchAccounts(q)
		if err != nil {
			return err
		}
		for _, e := range found {
			a, err := parseAccount(e)
			if err != nil {
				return err
			}
			accounts = append(accounts, a)
		}
		return c.markProtected(accounts)
	})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(accounts, func(a, b Account) int {
		return cmp.Or(strings.Compare(strings.ToLower(a.Name), strings.ToLower(b.Name)), strings.Compare(a.DN, b.DN))
	})
	return accounts, nil
}

func (c *Conn) searchAccounts(q Query) ([]*ldap.Entry, error) {
	ask := func(filter string) *ldap.SearchRequest {
		s := c.subtree(filter, accountAttributes...)
		s.BaseDN = cmp.Or(q.Base, c.base)
		return s
	}
	if len(q.Names) == 0 {
		return c.search(ask(q.filter()))
	}
	return c.searchEach(q.Names, nameFilter, func(names string) *ldap.SearchRequest {
		return ask("(&" + q.filter() + names + ")")
	})
}

// Groups reads groups by sAMAccountName, distinguished name or SID; one that does
// not exist is not in the answer.
func (c *Conn) Groups(ctx context.Context, names ...string) (groups []Group, err error) {
	err = c.ask(ctx, strings.Join(names, ", "), func() error {
		found, err := c.searchEach(names, nameFilter, func(names string) *ldap.SearchRequest {
			return c.subtree("(&(objectCategory=group)"+names+")", "sAMAccountName", "objectSid", AttributeMember, "groupType", "uSNChanged")
		})
		if err != nil {
			return err
		}
		for _, e := range found {
			sid, err := sidString(e.GetRawAttributeValue("objectSid"))
			if err != nil {
				return fmt.Errorf("%s: %w", e.DN, err)
			}
			kind, err := number(e.GetAttributeValue("groupType"))
			if err != nil {
				return fmt.Errorf("groupType of %s is malformed: %w", e.DN, err)
			}
			groups = append(groups, Group{DN: e.DN, Name: e.GetAttributeValue("sAMAccountName"), SID: sid,
				Members: e.GetAttributeValues(AttributeMember), Type: kind, USN: usnOf(e)})
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(groups, func(a, b Group) int { return strings.Compare(strings.ToLower(a.Name), strings.ToLower(b.Name)) })
	return groups, nil
}
