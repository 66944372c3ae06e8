package audit

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"drover/internal/directory"
)

// manyChanges is from where reading everything that the policy is about costs less
// than reading what changed, one name after the other.
const manyChanges = 500

// concernsDeleted says that something of the snapshot was deleted. A deleted object
// keeps its own name and is moved away ("CN=HV01\0ADEL:<GUID>,CN=Deleted
// Objects,...", MS-ADTS 3.1.1.5.5.1.1), so that it is known by the former alone; one
// that is mistaken for another costs a complete reading.
func (w *watcher) concernsDeleted(changed []directory.Changed) bool {
	gone := map[string]bool{}
	for _, c := range changed {
		if c.Deleted {
			gone[ownName(c.DN)] = true
		}
	}
	if len(gone) == 0 {
		return false
	}
	return slices.ContainsFunc(w.snap.Accounts, func(a directory.Account) bool { return gone[ownName(a.DN)] }) ||
		slices.ContainsFunc(w.snap.Groups, func(g directory.Group) bool { return gone[ownName(g.DN)] })
}

// ownName is the first part of a distinguished name, in lower case, without what
// deletion adds.
func ownName(dn string) string {
	end := len(dn)
	for i := 0; i < len(dn); i++ {
		if dn[i] == '\\' {
			i++
		} else if dn[i] == ',' {
			end = i
			break
		}
	}
	name := strings.ToLower(dn[:end])
	for _, mark := range []string{`\0adel:`, "\ndel:"} {
		name, _, _ = strings.Cut(name, mark)
	}
	return name
}

// readChanged reads what changed again, into a copy of the snapshot. Most of it is
// nothing to the policy (somebody has signed in), which only reading shows.
func (w *watcher) readChanged(ctx context.Context, changed []directory.Changed) error {
	s := *w.snap
	s.Accounts, s.Groups = slices.Clone(s.Accounts), slices.Clone(s.Groups)
	s.Time = w.o.Now()
	var dns []string
	for _, c := range changed {
		s.USN = max(s.USN, c.USN)
		if !c.Deleted {
			dns = append(dns, c.DN)
		}
	}
	l := newLoader(w.d, w.p, &s)
	renamed, groups, err := l.reread(ctx, dns)
	if err != nil {
		return err
	}
	if err := l.uncarried(ctx); err != nil {
		return err
	}
	// Membership is seen on the group alone: whoever is in it did not change. The same
	// holds for Protected Users, which says of others what they are.
	if renamed || groups {
		if err := l.rereadOperators(ctx); err != nil {
			return err
		}
	}
	w.take(&s)
	return nil
}

// reread reads objects by distinguished name. renamed: an account of the snapshot
// has another name now; groups: a group is among them.
func (l *loader) reread(ctx context.Context, dns []string) (renamed, groups bool, err error) {
	accounts := map[string]bool{}
	err = inPortions(dns, func(some []string) error {
		found, err := l.d.Accounts(ctx, directory.Query{Names: some})
		for i := range found {
			a := found[i]
			accounts[strings.ToLower(a.DN)] = true
			at, known := l.at[identity(&a)]
			if known && !strings.EqualFold(l.snap.Accounts[at].DN, a.DN) {
				renamed = true
			}
			if known || l.matters(&a) {
				l.put(a)
			}
		}
		return err
	})
	if err != nil {
		return false, false, err
	}
	rest := slices.DeleteFunc(slices.Clone(dns), func(dn string) bool { return accounts[strings.ToLower(dn)] })
	err = inPortions(rest, func(some []string) error {
		found, err := l.d.Groups(ctx, some...)
		groups = groups || len(found) > 0
		return err
	})
	return renamed, groups, err
}

// matters says that an account that is new to the snapshot belongs into it.
func (l *loader) matters(a *directory.Account) bool {
	const delegating = directory.FlagTrustedForAny | directory.FlagTrustedToAuth
	if len(a.ServiceNames) > 0 || len(a.DelegateTo) > 0 || a.ResourceBased() || a.Flags&delegating != 0 {
		return true
	}
	if l.p.OU != "" && a.Class == directory.Computer && below(a.DN, l.p.OU) {
		return true
	}
	keys := accountKeys(a)
	named := func(list []string) bool {
		return slices.ContainsFunc(list, func(n string) bool { return slices.Contains(keys, strings.ToLower(operatorName(n))) })
	}
	return named(l.p.Hosts) || named(l.p.Operators)
}

// rereadOperators reads groups and operators anew, also those who are known.
func (l *loader) rereadOperators(ctx context.Context) error {
	before, _ := newIndex(l.snap).operators(l.p.Operators)
	for _, a := range before {
		for _, k := range accountKeys(a) {
			delete(l.have, k)
		}
	}
	l.snap.Groups = nil
	return l.operators(ctx)
}

// accountContent is what findings about an account depend on.
func accountContent(a *directory.Account) string {
	list := func(values []string) []string { return slices.Sorted(slices.Values(values)) }
	return fmt.Sprintf("%q %q %q %q %q %d %d %q %q %x %t %t", a.DN, a.Class, a.Name, a.DNSHostName, a.SID, a.Flags, a.EncryptionTypes,
		list(a.ServiceNames), list(a.DelegateTo), a.ActOnBehalf, a.Protected, a.Hidden)
}
