package delegation

import (
	"slices"
	"strconv"
	"strings"

	"drover/internal/directory"
	"drover/internal/directory/ldif"
	"drover/internal/fault"
)

// globalSecurityGroup is GROUP_TYPE_SECURITY_ENABLED and GROUP_TYPE_ACCOUNT_GROUP
// (MS-ADTS 2.2.12), as a signed number.
const globalSecurityGroup = -0x7ffffffe

// ldif writes what Apply would do to the objects as they are now.
func (p *Plan) ldif(now map[string]directory.Entry) (string, error) {
	var records []ldif.Record
	if p.NewGroup != nil {
		records = append(records, groupRecord(*p.NewGroup))
	}
	for _, changes := range p.byObject() {
		c := changes[0]
		if slices.ContainsFunc(changes, func(c Change) bool { return slices.Contains(c.Add, GroupTrustee) }) {
			return "", notPrintable(LDIFScript, "%s is to name the group %s, whose security identifier is not known before the group is there", c.DN, p.NewGroup.Name)
		}
		entry, found := lookup(now, c.DN)
		if !found {
			return "", fault.New(fault.DirectoryObjectGone, "", "object", c.DN)
		}
		r := ldif.Record{Comments: []string{c.Account}, DN: c.DN, Change: ldif.Modify}
		if c.Attribute == "" {
			r.Change = ldif.Delete
			records = append(records, r)
			continue
		}
		for _, c := range changes {
			e, err := c.plan(entry.Attributes[c.Attribute], p.setting(directory.Controller(p.Kind)))
			if err != nil {
				return "", err
			}
			r.Mods = append(r.Mods, e.mods...)
		}
		if len(r.Mods) > 0 {
			records = append(records, r)
		}
	}
	how := "ldapmodify -Y GSSAPI -H ldap://" + p.Server + " -f FILE"
	if p.local() {
		how = "as root on " + p.Server + ": ldbmodify -H /var/lib/samba/private/sam.ldb FILE"
	}
	header := append(p.header(), "run: "+how, "")
	var b strings.Builder
	if len(records) == 0 {
		err := ldif.Write(&b, nil, header...)
		return b.String(), err
	}
	records[0].Comments = append(header, records[0].Comments...)
	err := ldif.Write(&b, records)
	return b.String(), err
}

func groupRecord(g directory.NewGroup) ldif.Record {
	r := ldif.Record{Comments: []string{g.Name}, DN: g.DN, Change: ldif.Add}
	add := func(attribute string, values ...string) {
		m := directory.Mod{Op: directory.Add, Attribute: attribute}
		for _, v := range values {
			m.Values = append(m.Values, []byte(v))
		}
		if len(values) > 0 {
			r.Mods = append(r.Mods, m)
		}
	}
	add("objectClass", "group")
	add(attributeName, g.Name)
	add("groupType", strconv.Itoa(globalSecurityGroup))
	if g.Description != "" {
		add("description", g.Description)
	}
	add(directory.AttributeMember, g.Members...)
	return r
}
