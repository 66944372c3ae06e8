package audit

import (
	"context"
	"fmt"
	"strings"
	"time"

	"drover/internal/delegation"
	"drover/internal/directory"
)

// Bounds of what groups of operators may hold, and of names in one question.
const (
	maxOperators = 20_000
	maxDepth     = 32 // groups in groups
	namesAtOnce  = 500
)

// Load reads a snapshot, each account once. Of all that is in the directory these
// are the accounts with service names, those that may delegate, and those that the
// policy names.
func Load(ctx context.Context, d Directory, p *Policy) (*Snapshot, error) {
	return load(ctx, d, p, time.Now())
}

func load(ctx context.Context, d Directory, p *Policy, now time.Time) (*Snapshot, error) {
	l := newLoader(d, p, &Snapshot{Time: now})
	var err error
	if l.snap.Root, err = d.Root(ctx); err != nil {
		return nil, err
	}
	// Before anything is read: what changes while it is read is seen again.
	if l.snap.USN, err = d.HighestUSN(ctx); err != nil {
		return nil, err
	}
	if l.snap.Mappings, err = d.Mappings(ctx); err != nil {
		return nil, err
	}
	queries := []directory.Query{{ServiceNames: true}, {Delegating: true, Nameless: true}}
	if p.OU != "" {
		queries = append(queries, directory.Query{Base: p.OU, Computers: true, Nameless: true})
	}
	for _, q := range queries {
		if err := l.read(ctx, q); err != nil {
			return nil, err
		}
	}
	if err := l.names(ctx, p.Hosts); err != nil {
		return nil, err
	}
	if err := l.uncarried(ctx); err != nil {
		return nil, err
	}
	return l.snap, l.operators(ctx)
}

// uncarried reads accounts that have no service name and stand in lists, so that a
// value whose account is gone can be told from one whose account is bare.
func (l *loader) uncarried(ctx context.Context) error {
	return l.names(ctx, delegation.UncarriedHosts(l.p.Intent(), delegation.State{Hosts: l.snap.Accounts}))
}

// loader fills a snapshot.
type loader struct {
	d    Directory
	p    *Policy
	snap *Snapshot
	at   map[string]int  // account's identity -> index in the snapshot
	have map[string]bool // every name of the accounts
}

// newLoader goes on from what a snapshot has.
func newLoader(d Directory, p *Policy, s *Snapshot) *loader {
	l := &loader{d: d, p: p, snap: s, at: make(map[string]int, len(s.Accounts)), have: make(map[string]bool, 6*len(s.Accounts))}
	for i := range s.Accounts {
		l.at[identity(&s.Accounts[i])] = i
		for _, k := range accountKeys(&s.Accounts[i]) {
			l.have[k] = true
		}
	}
	return l
}

// identity is an account's SID, which stays when it is renamed or moved.
func identity(a *directory.Account) string {
	if a.SID != "" {
		return a.SID
	}
	return strings.ToLower(a.DN)
}

// put adds an account, or replaces what was read of it before.
func (l *loader) put(a directory.Account) {
	id := identity(&a)
	if i, known := l.at[id]; known {
		l.snap.Accounts[i] = a
	} else {
		l.at[id] = len(l.snap.Accounts)
		l.snap.Accounts = append(l.snap.Accounts, a)
	}
	for _, k := range accountKeys(&a) {
		l.have[k] = true
	}
}

func (l *loader) read(ctx context.Context, q directory.Query) error {
	found, err := l.d.Accounts(ctx, q)
	if err != nil {
		return err
	}
	for _, a := range found {
		l.put(a)
	}
	return nil
}

// names reads those accounts of a list that were not read yet.
func (l *loader) names(ctx context.Context, names []string) error {
	var missing []string
	for _, n := range names {
		if k := strings.ToLower(strings.TrimSpace(n)); !l.have[k] {
			missing = append(missing, strings.TrimSpace(n))
		}
	}
	return inPortions(missing, func(some []string) error { return l.read(ctx, directory.Query{Names: some}) })
}

func inPortions(names []string, read func([]string) error) error {
	for len(names) > 0 {
		n := min(len(names), namesAtOnce)
		if err := read(names[:n]); err != nil {
			return err
		}
		names = names[n:]
	}
	return nil
}

// operators reads the policy's group and its operators: users, and groups with
// their members, and the members of groups among those.
func (l *loader) operators(ctx context.Context) error {
	var names []string
	for _, n := range l.p.Operators {
		names = append(names, operatorName(n))
	}
	if err := l.names(ctx, names); err != nil {
		return err
	}
	wanted := names
	if l.p.Model == delegation.GroupBased {
		wanted = append([]string{l.p.Group}, names...)
	}
	if len(wanted) == 0 {
		return nil
	}
	seen := map[string]bool{}
	fresh, err := l.groups(ctx, wanted, seen)
	if err != nil {
		return err
	}
	total := 0
	for depth := 0; len(fresh) > 0; depth++ {
		var members []string
		for _, g := range fresh {
			if l.isOnlyTheModels(g) {
				continue
			}
			members = append(members, g.Members...)
		}
		if total += len(members); total > maxOperators || depth > maxDepth {
			return fmt.Errorf("the groups of operators have more than %d members, or are nested more than %d deep", maxOperators, maxDepth)
		}
		if err := l.names(ctx, members); err != nil {
			return err
		}
		var rest []string // what is no account may be a group
		for _, dn := range members {
			if k := strings.ToLower(dn); !l.have[k] && !seen[k] {
				rest = append(rest, dn)
			}
		}
		if fresh, err = l.groups(ctx, rest, seen); err != nil {
			return err
		}
	}
	return nil
}

// isOnlyTheModels says that a group holds hosts, and is none of operators.
func (l *loader) isOnlyTheModels(g directory.Group) bool {
	if l.p.Model != delegation.GroupBased || !strings.EqualFold(g.Name, l.p.Group) {
		return false
	}
	for _, o := range l.p.Operators {
		if n := operatorName(o); strings.EqualFold(n, g.Name) || strings.EqualFold(n, g.DN) || strings.EqualFold(n, g.SID) {
			return false
		}
	}
	return true
}

// groups reads groups that were not read yet.
func (l *loader) groups(ctx context.Context, names []string, seen map[string]bool) ([]directory.Group, error) {
	var fresh []directory.Group
	err := inPortions(names, func(some []string) error {
		found, err := l.d.Groups(ctx, some...)
		for _, g := range found {
			if k := strings.ToLower(g.DN); !seen[k] {
				seen[k] = true
				fresh = append(fresh, g)
			}
		}
		return err
	})
	l.snap.Groups = append(l.snap.Groups, fresh...)
	return fresh, err
}
