package directory

import (
	"slices"
	"strings"

	"drover/internal/directory/secdesc"
	"drover/internal/spn"

	"github.com/go-ldap/ldap/v3"
)

const namesPerSearch = 200

// Filters for kinds of accounts. sAMAccountType is indexed by every controller and
// leaves out contacts, which are persons without being accounts: normal users,
// machines and managed service accounts, trusts (MS-ADTS 2.2.18).
const (
	anyAccount   = "(|(sAMAccountType=805306368)(sAMAccountType=805306369)(sAMAccountType=805306370))"
	anyComputer  = "(objectCategory=computer)"
	anyDelegated = "(|(" + AttributeDelegateTo + "=*)(" + AttributeActOnBehalf + "=*)" +
		"(userAccountControl:1.2.840.113556.1.4.803:=524288)(userAccountControl:1.2.840.113556.1.4.803:=16777216))"
)

// filter is q without its names.
func (q Query) filter() string {
	all := []string{anyAccount}
	if q.Computers {
		all[0] = anyComputer
	}
	if q.Class != "" {
		all = append(all, "("+AttributeServiceNames+"="+ldap.EscapeFilter(spn.Plain(q.Class))+"/*)")
	}
	if q.Pattern != "" {
		all = append(all, "("+AttributeServiceNames+"="+wildcards(spn.Plain(q.Pattern))+")")
	}
	if q.ServiceNames {
		all = append(all, "("+AttributeServiceNames+"=*)")
	}
	if q.Nameless {
		all = append(all, "(!("+AttributeServiceNames+"=*))")
	}
	if q.Delegating {
		all = append(all, anyDelegated)
	}
	if len(all) == 1 {
		return all[0]
	}
	return "(&" + strings.Join(all, "") + ")"
}

// wildcards escapes what lies between "*". "**" is no filter and becomes "*".
func wildcards(pattern string) string {
	parts := strings.Split(pattern, "*")
	for i, p := range parts {
		parts[i] = ldap.EscapeFilter(p)
	}
	filter := strings.Join(parts, "*")
	for strings.Contains(filter, "**") {
		filter = strings.ReplaceAll(filter, "**", "*")
	}
	return filter
}

// nameFilter looks for a name in every attribute that it can be in.
func nameFilter(name string) string {
	if _, err := secdesc.SID(name).Bytes(); err == nil {
		return equals("objectSid", name)
	}
	if strings.Contains(name, "=") {
		return equals("distinguishedName", name)
	}
	name = strings.TrimSuffix(name, ".") // of a full name
	return equals("sAMAccountName", name) + equals("sAMAccountName", name+"$") + equals("dNSHostName", name)
}

// searchEach searches for many names, some at a time. Each object is in the answer
// once.
func (c *Conn) searchEach(names []string, filter func(string) string, ask func(anyName string) *ldap.SearchRequest) ([]*ldap.Entry, error) {
	var all []*ldap.Entry
	asked, seen := map[string]bool{"": true}, map[string]bool{}
	for some := range slices.Chunk(unseen(asked, names), namesPerSearch) {
		var filters []string
		for _, n := range some {
			filters = append(filters, filter(n))
		}
		found, err := c.search(ask(anyOf(filters...)))
		if err != nil {
			return nil, err
		}
		for _, e := range found {
			if !seen[e.DN] {
				seen[e.DN] = true
				all = append(all, e)
			}
		}
	}
	return all, nil
}
