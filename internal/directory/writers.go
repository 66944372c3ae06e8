package directory

import (
	"cmp"
	"context"
	"fmt"

	"drover/internal/directory/secdesc"

	"github.com/go-ldap/ldap/v3"
)

// Writers names who may write an attribute of an object, by its security
// descriptor: account names where they can be resolved, else SIDs.
func (c *Conn) Writers(ctx context.Context, dn, attribute string) ([]string, error) {
	c, err := c.at(ctx, dn)
	if err != nil {
		return nil, err
	}
	return c.writers(ctx, dn, attribute)
}

func (c *Conn) writers(ctx context.Context, dn, attribute string) (names []string, err error) {
	err = c.ask(ctx, dn, func() error {
		e, err := c.one(readRequest(dn, []string{attributeDescriptor}))
		if err != nil {
			return err
		}
		d, err := secdesc.Parse(e.GetRawAttributeValue(attributeDescriptor))
		if err != nil {
			return fmt.Errorf("%s of %s: %w", attributeDescriptor, dn, err)
		}
		id, set, err := c.schemaOf(attribute)
		if err != nil {
			return err
		}
		names, err = c.namesOf(d.Writers(id, set))
		return err
	})
	return names, err
}

// schemaOf reads by which GUIDs entries of a security descriptor name an
// attribute: its own, and its property set's if it is in one (MS-ADTS 5.1.3.2).
func (c *Conn) schemaOf(attribute string) (id secdesc.GUID, set *secdesc.GUID, err error) {
	q := c.subtree("(&(objectCategory=attributeSchema)"+equals("lDAPDisplayName", attribute)+")", "schemaIDGUID", "attributeSecurityGUID")
	q.BaseDN = "CN=Schema," + c.says.ConfigDN
	e, err := c.one(q)
	if err != nil {
		return id, nil, fmt.Errorf("schema of %s: %w", attribute, err)
	}
	if copy(id[:], e.GetRawAttributeValue("schemaIDGUID")) != len(id) {
		return id, nil, fmt.Errorf("schema of %s: malformed schemaIDGUID", attribute)
	}
	if raw := e.GetRawAttributeValue("attributeSecurityGUID"); len(raw) == len(id) {
		set = (*secdesc.GUID)(raw)
	}
	return id, set, nil
}

const sidSystem secdesc.SID = "S-1-5-18"

// wellKnown are principals that no account of the domain stands for (MS-DTYP
// 2.4.2.4).
var wellKnown = map[secdesc.SID]string{
	secdesc.Everyone:           "Everyone",
	secdesc.AuthenticatedUsers: "Authenticated Users",
	"S-1-3-0":                  "CREATOR OWNER",
	"S-1-5-9":                  "ENTERPRISE DOMAIN CONTROLLERS",
	"S-1-5-10":                 "SELF",
	sidSystem:                  "SYSTEM",
	"S-1-5-32-544":             "Administrators",
	"S-1-5-32-548":             "Account Operators",
}

// namesOf resolves SIDs, in their order.
func (c *Conn) namesOf(sids []secdesc.SID) ([]string, error) {
	var names, ask []string
	for _, s := range sids {
		if wellKnown[s] == "" {
			ask = append(ask, string(s))
		}
	}
	found, err := c.searchEach(ask, func(sid string) string { return equals("objectSid", sid) },
		func(any string) *ldap.SearchRequest { return c.subtree(any, "objectSid", "sAMAccountName") })
	if err != nil {
		return nil, err
	}
	resolved := map[secdesc.SID]string{}
	for _, e := range found {
		if s, _, err := secdesc.ParseSID(e.GetRawAttributeValue("objectSid")); err == nil {
			resolved[s] = e.GetAttributeValue("sAMAccountName")
		}
	}
	for _, s := range sids {
		names = append(names, cmp.Or(wellKnown[s], resolved[s], string(s)))
	}
	return names, nil
}
