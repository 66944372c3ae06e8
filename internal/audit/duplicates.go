package audit

import (
	"slices"
	"strings"

	"drover/internal/directory"
	"drover/internal/spn"
)

// Duplicate is a service name on more than one account.
type Duplicate struct {
	Name     string              `json:"name"`
	Accounts []directory.Account `json:"-"`
	Objects  []string            `json:"objects"` // distinguished names
}

// Duplicates finds names that are on several accounts: without regard to case,
// disabled accounts and users included; Samba's escaped twins are not names. That
// is what "setspn -X" does. A name that one account has twice, in other letters or
// as a twin, is not on several accounts.
func Duplicates(accounts []directory.Account) []Duplicate {
	type owners struct {
		name    string
		indices []int
	}
	byKey := make(map[string]*owners, len(accounts)*4)
	for i := range accounts {
		for _, n := range accounts[i].ServiceNames {
			k := spn.Key(n)
			o := byKey[k]
			if o == nil {
				o = &owners{name: spn.Plain(n)}
				byKey[k] = o
			}
			if len(o.indices) == 0 || !sameObject(&accounts[o.indices[len(o.indices)-1]], &accounts[i]) {
				o.indices = append(o.indices, i)
			}
		}
	}
	var out []Duplicate
	for _, o := range byKey {
		if d := duplicate(o.name, accounts, o.indices); len(d.Accounts) > 1 {
			out = append(out, d)
		}
	}
	slices.SortFunc(out, func(a, b Duplicate) int { return strings.Compare(spn.Key(a.Name), spn.Key(b.Name)) })
	return out
}

// duplicate lists each account once, also when it was given several times.
func duplicate(name string, accounts []directory.Account, indices []int) Duplicate {
	d := Duplicate{Name: name}
	if len(indices) < 2 {
		return d
	}
	seen := make(map[string]bool, len(indices))
	for _, i := range indices {
		if k := strings.ToLower(accounts[i].DN); !seen[k] {
			seen[k] = true
			d.Accounts = append(d.Accounts, accounts[i])
		}
	}
	slices.SortFunc(d.Accounts, func(a, b directory.Account) int { return strings.Compare(strings.ToLower(a.DN), strings.ToLower(b.DN)) })
	for _, a := range d.Accounts {
		d.Objects = append(d.Objects, a.DN)
	}
	return d
}

func sameObject(a, b *directory.Account) bool { return strings.EqualFold(a.DN, b.DN) }
