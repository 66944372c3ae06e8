package delegation

import (
	"slices"
	"strconv"
	"strings"

	"drover/internal/directory"
	"drover/internal/fault"
	"drover/internal/spn"
)

// lists is what the delegation lists of all sources are compared with.
type lists struct {
	wanted  [][]string      // by destination, as stored
	slots   map[string]slot // by lower-case stored value
	first   []int           // by destination, its first slot
	total   int
	managed map[string]bool // lower-case service classes of the intent
	carried map[string]bool // lower-case names that some account has; nil until it is asked for
}

// slot is the place of one wanted value among those of all destinations.
type slot struct{ destination, number int }

// sorted is one source's list, sorted by what its values are there for.
type sorted struct {
	present [][]string // by destination
	missing [][]string
	extra   [][]string
	other   []string
	stale   []string // those of other that nobody carries
}

// constrained plans msDS-AllowedToDelegateTo of every host.
func (b *planner) constrained() error {
	if err := b.oneDomain(); err != nil {
		return err
	}
	l := b.newLists()
	most, all := 0, 0
	for i, h := range b.hosts {
		s := b.sort(l, i)
		c := Change{DN: h.DN, Account: h.Name, Attribute: directory.AttributeDelegateTo, Before: Digest(asBytes(h.DelegateTo))}
		for to := range b.hosts {
			c.Add = append(c.Add, s.missing[to]...)
			c.Delete = append(c.Delete, s.extra[to]...)
			b.pair(i, to, s.present[to], s.missing[to], s.extra[to])
		}
		c.Delete = append(c.Delete, s.other...)
		if !b.in.Prune {
			c.Delete = nil
		}
		b.plan.Hosts[i].Other = s.other
		b.staleNames(h, s.stale)
		b.change(c)
		after := len(h.DelegateTo) + len(c.Add) - len(c.Delete)
		if after > MaxValues && len(c.Add) > 0 {
			return fault.New(fault.DelegationTooLarge, "", "attribute", directory.AttributeDelegateTo, "object", h.Name,
				"values", strconv.Itoa(after), "limit", strconv.Itoa(MaxValues), "hosts", strconv.Itoa(len(b.hosts)))
		}
		most, all = max(most, after), all+after
	}
	b.plan.Cost = constrainedCost(b.in.Services, b.samba, len(b.hosts), most, all)
	return nil
}

// oneDomain refuses directions between domains.
func (b *planner) oneDomain() error {
	domains := make([]string, len(b.hosts))
	for i, h := range b.hosts {
		domains[i] = domainDN(h.DN)
	}
	for from := range b.hosts {
		for to := range b.hosts {
			if domains[from] != domains[to] && b.wants(from, to) {
				return fault.New(fault.DelegationCrossDomain, "", "source", b.hosts[from].short, "destination", b.hosts[to].short)
			}
		}
	}
	return nil
}

func (b *planner) newLists() *lists {
	l := &lists{slots: map[string]slot{}, managed: map[string]bool{}}
	for _, c := range b.in.Services {
		l.managed[strings.ToLower(c)] = true
	}
	for i, h := range b.hosts {
		values := spn.Stored(b.samba, namesOf(b.in.Services, h.short, h.full)...)
		l.wanted = append(l.wanted, values)
		l.first = append(l.first, l.total)
		for n, v := range values {
			l.slots[strings.ToLower(v)] = slot{i, n}
		}
		l.total += len(values)
	}
	return l
}

// namesOf are the plain names of a host for services, short and full.
func namesOf(services []string, short, full string) []string {
	var out []string
	for _, class := range services {
		out = append(out, spn.For(class, short))
		if n := spn.For(class, full); full != "" && !spn.Contains(out, n) {
			out = append(out, n)
		}
	}
	return out
}

// sort sorts the list of one source.
func (b *planner) sort(l *lists, from int) sorted {
	n := len(b.hosts)
	s := sorted{present: make([][]string, n), missing: make([][]string, n), extra: make([][]string, n)}
	have := make([]string, l.total) // by slot
	again := map[int][]string{}     // case variants of what is there, and twins of it, by destination
	for _, v := range b.hosts[from].DelegateTo {
		at, known := l.slots[strings.ToLower(v)]
		switch twinOf, twin := l.slots[spn.Key(v)]; {
		case !known && twin && spn.IsTwin(v) && b.wants(from, twinOf.destination):
			// Windows does not need it, and another controller of the domain may be Samba's.
			again[twinOf.destination] = append(again[twinOf.destination], v)
		case !known:
			b.sortUnknown(l, &s, v)
		case !b.wants(from, at.destination):
			s.extra[at.destination] = append(s.extra[at.destination], v)
		case have[l.first[at.destination]+at.number] == "":
			have[l.first[at.destination]+at.number] = v
		default:
			again[at.destination] = append(again[at.destination], v)
		}
	}
	for to := range b.hosts {
		if b.wants(from, to) {
			s.present[to], s.missing[to] = compare(l.wanted[to], have[l.first[to]:])
			s.present[to] = append(s.present[to], again[to]...)
		}
	}
	return s
}

// compare tells what is there of the wanted values from what is not; have is
// parallel to wanted.
func compare(wanted, have []string) (present, missing []string) {
	have = have[:len(wanted)]
	there := 0
	for _, v := range have {
		if v != "" {
			there++
		}
	}
	switch there {
	case 0:
		return nil, slices.Clip(wanted)
	case len(wanted):
		return slices.Clip(have), nil
	}
	for n, v := range have {
		if v != "" {
			present = append(present, v)
		} else {
			missing = append(missing, wanted[n])
		}
	}
	return present, missing
}

// sortUnknown sorts a value that is none of the names of the plan's hosts as they
// are wanted: it can be another form of one, with a port for example.
func (b *planner) sortUnknown(l *lists, s *sorted, v string) {
	name, err := spn.Parse(v)
	if err != nil || !l.managed[strings.ToLower(name.Class)] {
		s.other = append(s.other, v)
		return
	}
	if to, ours := b.byName[strings.ToLower(name.HostName())]; ours {
		s.extra[to] = append(s.extra[to], v)
		return
	}
	s.other = append(s.other, v)
	if b.isStale(l, name) {
		s.stale = append(s.stale, v)
	}
}

// isStale says that no account carries a name. Of names of another domain nothing
// is known.
func (b *planner) isStale(l *lists, n spn.Name) bool {
	if !b.s.NamesRead {
		return false
	}
	_, domain, full := strings.Cut(n.HostName(), ".")
	if full && !strings.EqualFold(domain, b.s.Root.Domain) {
		return false
	}
	if l.carried == nil {
		l.carried = carriedNames(b.s.Hosts, b.s.Others)
	}
	return !l.carried[strings.ToLower(n.HostName())]
}

// UncarriedHosts are the host names, lower case and sorted, in the delegation lists
// of s.Hosts that no account of s carries, under the services of the intent. They
// are to be looked for, and what is found put into s.Others, before NamesRead is
// set.
func UncarriedHosts(in Intent, s State) []string {
	if len(in.Services) == 0 {
		in.Services = []string{spn.Migration, spn.Storage}
	}
	carried := carriedNames(s.Hosts, s.Others)
	var out []string
	for _, h := range s.Hosts {
		for _, v := range h.DelegateTo {
			n, err := spn.Parse(v)
			if host := strings.ToLower(n.HostName()); err == nil && spn.Contains(in.Services, n.Class) && !carried[host] {
				carried[host] = true
				out = append(out, host)
			}
		}
	}
	slices.Sort(out)
	return out
}

func carriedNames(accounts ...[]directory.Account) map[string]bool {
	out := map[string]bool{}
	for _, as := range accounts {
		for _, a := range as {
			if a.Class != directory.User {
				short, full := strings.ToLower(a.ShortName()), strings.ToLower(a.DNSHostName)
				out[short], out[full] = true, true
			}
			for _, s := range a.ServiceNames {
				if n, err := spn.Parse(s); err == nil {
					out[strings.ToLower(n.HostName())] = true
				}
			}
		}
	}
	return out
}

// pair adds a direction, unless it is not wanted and nothing of it is there.
func (b *planner) pair(from, to int, present, missing, extra []string) {
	p := Pair{Direction: b.direction(from, to), Present: present, Missing: missing, Extra: extra}
	switch {
	case !b.wants(from, to):
		if len(extra) == 0 {
			return
		}
		p.State = Unwanted
	case len(missing) == 0:
		p.State = Complete
	case len(present) == 0:
		p.State = Absent
	default:
		p.State = Incomplete
	}
	b.plan.Pairs = append(b.plan.Pairs, p)
}
