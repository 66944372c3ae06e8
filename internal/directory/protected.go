package directory

import (
	"fmt"
	"strings"

	"drover/internal/directory/secdesc"

	"github.com/go-ldap/ldap/v3"
)

const (
	protectedUsersRID = 525
	maxNested         = 10_000 // groups that are read for one question
)

// isProtected asks the controller whether the account is in Protected Users, also
// through other groups (LDAP_MATCHING_RULE_IN_CHAIN, MS-ADTS 3.1.1.3.4.4.3).
func (c *Conn) isProtected(a Account) (bool, error) {
	if a.primaryGroup == protectedUsersRID {
		return true, nil
	}
	group, err := c.protectedUsers(secdesc.SID(a.SID).Domain())
	if err != nil || group == "" {
		return false, err
	}
	q := object(a.DN, "1.1")
	q.Filter = "(memberOf:1.2.840.113556.1.4.1941:=" + ldap.EscapeFilter(group) + ")"
	r, err := c.ldap.Search(q)
	if err != nil {
		return false, fmt.Errorf("membership of Protected Users: %w", err)
	}
	return len(r.Entries) == 1, nil
}

// protectedUsers finds a domain's group by its SID, because its name is translated.
func (c *Conn) protectedUsers(domain secdesc.SID) (string, error) {
	c.mu.Lock()
	dn, known := c.protected[string(domain)]
	c.mu.Unlock()
	if known {
		return dn, nil
	}
	found, err := c.search(c.subtree(equals("objectSid", fmt.Sprintf("%s-%d", domain, protectedUsersRID)), "1.1"))
	if err != nil {
		return "", fmt.Errorf("find Protected Users: %w", err)
	}
	if len(found) == 1 {
		dn = found[0].DN
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.protected == nil {
		c.protected = map[string]string{}
	}
	c.protected[string(domain)] = dn
	return dn, nil
}

// markProtected fills Protected in. It goes down from the group, so that the cost
// does not depend on how many accounts there are: one search when nobody is in it.
func (c *Conn) markProtected(accounts []Account) error {
	members := map[secdesc.SID]map[string]bool{}
	for i := range accounts {
		a := &accounts[i]
		domain := secdesc.SID(a.SID).Domain()
		in, known := members[domain]
		if !known {
			var err error
			if in, err = c.protectedMembers(domain); err != nil {
				return err
			}
			members[domain] = in
		}
		a.Protected = a.primaryGroup == protectedUsersRID || in[strings.ToLower(a.DN)]
	}
	return nil
}

// protectedMembers are the members of a domain's Protected Users at any depth, by
// distinguished names in lower case.
func (c *Conn) protectedMembers(domain secdesc.SID) (map[string]bool, error) {
	group, err := c.protectedUsers(domain)
	if err != nil || group == "" {
		return nil, err
	}
	e, err := c.one(object(group, AttributeMember))
	if err != nil {
		return nil, fmt.Errorf("members of Protected Users: %w", err)
	}
	seen := map[string]bool{strings.ToLower(group): true}
	fresh := unseen(seen, e.GetAttributeValues(AttributeMember))
	for groups := 0; len(fresh) > 0; {
		// Only groups have members: users and computers end here.
		nested, err := c.groupsOf(fresh)
		if err != nil {
			return nil, fmt.Errorf("groups in Protected Users: %w", err)
		}
		if groups += len(nested); groups > maxNested {
			return nil, fmt.Errorf("more than %d groups in Protected Users", maxNested)
		}
		fresh = nil
		for _, g := range nested {
			fresh = append(fresh, unseen(seen, g.GetAttributeValues(AttributeMember))...)
		}
	}
	return seen, nil
}

// groupsOf reads those of the objects that are groups.
func (c *Conn) groupsOf(dns []string) ([]*ldap.Entry, error) {
	return c.searchEach(dns, func(dn string) string { return equals("distinguishedName", dn) },
		func(names string) *ldap.SearchRequest {
			return c.subtree("(&(objectCategory=group)"+names+")", AttributeMember)
		})
}

func unseen(seen map[string]bool, dns []string) (fresh []string) {
	for _, dn := range dns {
		if k := strings.ToLower(dn); !seen[k] {
			seen[k] = true
			fresh = append(fresh, dn)
		}
	}
	return fresh
}
