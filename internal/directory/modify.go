package directory

import (
	"context"
	"fmt"

	"github.com/go-ldap/ldap/v3"
)

// globalSecurityGroup is groupType ACCOUNT_GROUP and SECURITY_ENABLED, as a signed
// number (MS-ADTS 2.2.12).
const globalSecurityGroup = "-2147483646"

// Modify changes one object of the forest, all or nothing. Faults: directory-access-denied,
// directory-changed, directory-object-gone, directory-limit, directory-unreachable;
// delegation-model-unavailable from Samba for AttributeActOnBehalf.
func (c *Conn) Modify(ctx context.Context, dn string, mods ...Mod) error {
	if len(mods) == 0 {
		return nil
	}
	q, err := modifyRequest(dn, mods)
	if err != nil {
		return err
	}
	if c, err = c.at(ctx, dn); err != nil {
		return err
	}
	return c.change(ctx, dn, mods, func() error { return c.ldap.Modify(q) })
}

func modifyRequest(dn string, mods []Mod) (*ldap.ModifyRequest, error) {
	q := ldap.NewModifyRequest(dn, nil)
	for _, m := range mods {
		var values []string
		for _, v := range m.Values {
			values = append(values, string(v))
		}
		switch m.Op {
		case Add:
			q.Add(m.Attribute, values)
		case Delete:
			q.Delete(m.Attribute, values)
		case Replace:
			q.Replace(m.Attribute, values)
		default:
			return nil, fmt.Errorf("no such operation on %s: %q", m.Attribute, m.Op)
		}
	}
	return q, nil
}

// AddGroup creates a global security group.
func (c *Conn) AddGroup(ctx context.Context, g NewGroup) error {
	q := ldap.NewAddRequest(g.DN, nil)
	q.Attribute("objectClass", []string{"group"})
	q.Attribute("groupType", []string{globalSecurityGroup})
	q.Attribute("sAMAccountName", []string{g.Name})
	if g.Description != "" {
		q.Attribute("description", []string{g.Description})
	}
	if len(g.Members) > 0 {
		q.Attribute(AttributeMember, g.Members)
	}
	c, err := c.at(ctx, g.DN)
	if err != nil {
		return err
	}
	return c.change(ctx, g.DN, nil, func() error { return c.ldap.Add(q) })
}

// DeleteObject deletes an object that has nothing below it.
func (c *Conn) DeleteObject(ctx context.Context, dn string) error {
	c, err := c.at(ctx, dn)
	if err != nil {
		return err
	}
	return c.change(ctx, dn, nil, func() error { return c.ldap.Del(ldap.NewDelRequest(dn, nil)) })
}

// change runs a request that changes an object, and explains a refusal.
func (c *Conn) change(ctx context.Context, dn string, mods []Mod, f func() error) error {
	err := c.within(ctx, f)
	if err == nil || ctx.Err() != nil {
		return err
	}
	r := refusal{object: dn, addsOnly: true, writers: func(attribute string) []string {
		who, _ := c.writers(ctx, dn, attribute) // its failure is not what went wrong
		return who
	}}
	for _, m := range mods {
		if !r.wrote(m.Attribute) {
			r.attributes = append(r.attributes, m.Attribute)
		}
		r.addsOnly = r.addsOnly && m.Op == Add
	}
	return c.explain(err, r)
}
