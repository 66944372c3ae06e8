package audit

import (
	"strings"

	"drover/internal/directory"
	"drover/internal/spn"
)

// index finds accounts and groups by everything that they are called.
type index struct {
	accounts map[string][]*directory.Account // by account name with and without "$", DNS name, its first label, DN, SID
	owners   map[string][]*directory.Account // by spn.Key of the service names
	groups   map[string]*directory.Group     // by account name, DN, SID
}

func newIndex(s *Snapshot) *index {
	x := &index{map[string][]*directory.Account{}, map[string][]*directory.Account{}, map[string]*directory.Group{}}
	for i := range s.Accounts {
		a := &s.Accounts[i]
		for _, k := range accountKeys(a) {
			x.accounts[k] = append(x.accounts[k], a)
		}
		for _, k := range nameKeys(a) {
			x.owners[k] = append(x.owners[k], a)
		}
	}
	for i := range s.Groups {
		g := &s.Groups[i]
		for _, k := range []string{g.Name, g.DN, g.SID} {
			if k != "" {
				x.groups[strings.ToLower(k)] = g
			}
		}
	}
	return x
}

// accountKeys are the different names of an account, in lower case.
func accountKeys(a *directory.Account) []string {
	label, _, _ := strings.Cut(a.DNSHostName, ".")
	return distinct(a.Name, a.ShortName(), a.DNSHostName, label, a.DN, a.SID)
}

// nameKeys are the keys of an account's service names. A twin has the key of its
// plain form.
func nameKeys(a *directory.Account) []string {
	keys := make([]string, 0, len(a.ServiceNames))
	seen := make(map[string]bool, len(a.ServiceNames))
	for _, n := range a.ServiceNames {
		if k := spn.Key(n); !seen[k] {
			seen[k] = true
			keys = append(keys, k)
		}
	}
	return keys
}

func distinct(names ...string) []string {
	out := names[:0]
next:
	for _, n := range names {
		n = strings.ToLower(n)
		for _, o := range out {
			if o == n {
				continue next
			}
		}
		if n != "" {
			out = append(out, n)
		}
	}
	return out
}

// named are the accounts that a name of the policy may stand for.
func (x *index) named(name string) []directory.Account {
	var out []directory.Account
	for _, a := range x.accounts[strings.ToLower(strings.TrimSpace(name))] {
		out = append(out, *a)
	}
	return out
}

// operator is the account of an operator's name, nil when there is none. A
// computer account is not found by its name without "$".
func (x *index) operator(name string) *directory.Account {
	for _, a := range x.accounts[strings.ToLower(name)] {
		if strings.EqualFold(a.Name, name) || strings.EqualFold(a.DN, name) || strings.EqualFold(a.SID, name) {
			return a
		}
	}
	return nil
}

// operatorName takes realm or domain off: "alice@EXAMPLE.ORG", `EXAMPLE\alice`.
func operatorName(s string) string {
	s = strings.TrimSpace(s)
	if strings.Contains(s, "=") { // a distinguished name
		return s
	}
	if _, name, found := strings.Cut(s, `\`); found {
		s = name
	}
	name, _, _ := strings.Cut(s, "@")
	return name
}
