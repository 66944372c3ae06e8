package delegation

import (
	"context"
	"slices"
	"time"

	"drover/internal/directory"
	"drover/internal/fault"
	"drover/internal/spn"
)

// Selection says which hosts an intent is about: those named, of whatever domain of
// the forest, those below an organisational unit, or, with neither, every computer
// account of the domain that carries the migration service's name.
type Selection struct {
	Names []string
	OU    string
}

// Source is what Load reads; *directory.Conn is one.
type Source interface {
	Root(ctx context.Context) (directory.Root, error)
	Accounts(ctx context.Context, q directory.Query) ([]directory.Account, error)
	Find(ctx context.Context, names []string) ([]directory.Account, error)
	Groups(ctx context.Context, names ...string) ([]directory.Group, error)
	Mappings(ctx context.Context) ([]string, error)
}

// Load reads what NewPlan compares with an intent. Faults: those of Resolve and of
// the directory; usage for a selection that finds nothing.
func Load(ctx context.Context, d Source, sel Selection, in Intent, now time.Time) (State, error) {
	in, err := in.WithDefaults()
	if err != nil {
		return State{}, err
	}
	s := State{Time: now}
	if s.Root, err = d.Root(ctx); err != nil {
		return s, err
	}
	if s.Mappings, err = d.Mappings(ctx); err != nil {
		return s, err
	}
	// Everybody with the migration service's name: the default selection, and what
	// tells a name that is gone from one of a host that was not selected.
	carriers, err := d.Accounts(ctx, directory.Query{Class: spn.Migration, Computers: true})
	if err != nil {
		return s, err
	}
	if s.Hosts, err = selected(ctx, d, sel, carriers); err != nil {
		return s, err
	}
	chosen := map[string]bool{}
	for _, h := range s.Hosts {
		chosen[h.DN] = true
	}
	for _, c := range carriers {
		if !chosen[c.DN] {
			s.Others = append(s.Others, c)
		}
	}
	if err := readNames(ctx, d, in, &s); err != nil {
		return s, err
	}
	if in.Model != GroupBased {
		return s, nil
	}
	groups, err := d.Groups(ctx, in.Group)
	if err != nil {
		return s, err
	}
	if len(groups) > 0 {
		s.Group = &groups[0]
	}
	return s, nil
}

// manyNames is from where on reading every service name costs less than searching for
// some.
const manyNames = 10

// readNames looks for the hosts in the lists that no account read so far carries,
// so that a name which is gone can be told from one of another kind of server. Lists
// of hosts of other domains name what is there, about which nothing is said.
func readNames(ctx context.Context, d Source, in Intent, s *State) error {
	if slices.ContainsFunc(s.Hosts, func(h directory.Account) bool { return domainDN(h.DN) != domainDN(s.Root.BaseDN) }) {
		return nil
	}
	if left := UncarriedHosts(in, *s); len(left) > 0 {
		found, err := d.Accounts(ctx, directory.Query{Names: left})
		if err != nil {
			return err
		}
		s.Others = append(s.Others, found...)
	}
	// What is left may be another name of a server, which only its service names tell.
	// Controllers have no index for the ends of names: each question is as much work as
	// reading all of them.
	left := UncarriedHosts(in, *s)
	if len(left) > manyNames {
		found, err := d.Accounts(ctx, directory.Query{ServiceNames: true})
		if err != nil {
			return err
		}
		s.Others, left = append(s.Others, found...), nil
	}
	for _, host := range left {
		found, err := d.Accounts(ctx, directory.Query{Pattern: "*/" + host})
		if err != nil {
			return err
		}
		s.Others = append(s.Others, found...)
	}
	s.NamesRead = true
	return nil
}

func selected(ctx context.Context, d Source, sel Selection, carriers []directory.Account) ([]directory.Account, error) {
	switch {
	case len(sel.Names) > 0:
		found, err := d.Find(ctx, sel.Names)
		if err != nil {
			return nil, err
		}
		return Resolve(sel.Names, found)
	case sel.OU != "":
		found, err := d.Accounts(ctx, directory.Query{Base: sel.OU, Computers: true})
		if err != nil {
			return nil, err
		}
		return enabled(found, "there is no computer account below "+sel.OU)
	}
	return enabled(carriers, "no computer account carries the name of the service "+spn.Migration+"; name the hosts, or enroll them")
}

// enabled leaves accounts out that cannot take part: disabled ones and those of
// clusters. Whoever names one is told; whoever takes what is there is not stopped.
func enabled(found []directory.Account, none string) ([]directory.Account, error) {
	var out []directory.Account
	for _, a := range found {
		if !a.Disabled() && !isCluster(a) {
			out = append(out, a)
		}
	}
	if len(out) == 0 {
		return nil, fault.New(fault.Usage, "", "problem", none)
	}
	return out, nil
}
