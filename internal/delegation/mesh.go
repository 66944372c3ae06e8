package delegation

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"drover/internal/directory"
	"drover/internal/fault"
	"drover/internal/finding"
)

// NewPlan compares what is wanted with what is. Hosts, and the pairs of each
// source, come in the order of s.Hosts; changes are sorted by account and
// attribute.
//
// The plan's Findings are those about a host; PairFindings gives those about a
// direction. A plan never touches TRUSTED_FOR_DELEGATION, neither way.
//
// Faults: usage, host-name-ambiguous, delegation-too-large,
// delegation-cross-domain.
func NewPlan(in Intent, s State) (*Plan, error) {
	in, err := in.WithDefaults()
	if err != nil {
		return nil, err
	}
	b := &planner{in: in, s: s, samba: s.Root.Kind == directory.Samba, byName: map[string]int{}}
	if err := b.addHosts(); err != nil {
		return nil, err
	}
	if err := b.addDirections(); err != nil {
		return nil, err
	}
	b.plan = &Plan{Format: PlanFormat, Time: s.Time, Server: s.Root.Server, Kind: string(s.Root.Kind), Domain: s.Root.Domain,
		BaseDN: s.Root.BaseDN, SID: s.Root.DomainSID, Intent: b.in, Hosts: b.describe(), Changes: []Change{}}
	b.plan.Pairs = make([]Pair, 0, b.mostPairs())
	switch in.Model {
	case Constrained:
		err = b.constrained()
	case ResourceBased:
		err = b.resourceBased()
	case GroupBased:
		err = b.groupBased()
	}
	if err != nil {
		return nil, err
	}
	b.flags()
	b.hostFindings()
	slices.SortStableFunc(b.plan.Changes, func(x, y Change) int {
		return cmp.Or(cmp.Compare(x.Account, y.Account), cmp.Compare(x.DN, y.DN), cmp.Compare(x.Attribute, y.Attribute))
	})
	finding.Sort(b.plan.Findings)
	return b.plan, nil
}

// planner is a plan in the making.
type planner struct {
	in     Intent
	s      State
	samba  bool
	hosts  []host
	byName map[string]int // lower-case short, full and account names -> index of hosts
	// oneWay are the directions wanted, as indexes of hosts; nil is every ordered pair.
	oneWay map[[2]int]bool
	// source and destination say for each host whether it is one of a wanted direction.
	source, destination []bool
	plan                *Plan
}

type host struct {
	directory.Account
	short string // upper case
	full  string // lower case, "" without dNSHostName
}

func (b *planner) addHosts() error {
	seen := map[string]bool{}
	for _, a := range b.s.Hosts {
		if dn := strings.ToLower(a.DN); seen[dn] {
			continue
		} else {
			seen[dn] = true
		}
		h := host{Account: a, short: strings.ToUpper(a.ShortName()), full: strings.ToLower(strings.TrimSuffix(a.DNSHostName, "."))}
		i := len(b.hosts)
		for _, name := range []string{h.short, h.full, a.Name} {
			name = strings.ToLower(name)
			if other, taken := b.byName[name]; taken && other != i {
				return fault.New(fault.HostNameAmbiguous, "", "name", name, "objects", b.hosts[other].DN+", "+a.DN)
			}
			if name != "" {
				b.byName[name] = i
			}
		}
		b.hosts = append(b.hosts, h)
	}
	if len(b.hosts) < 2 {
		return usage("delegation takes two hosts or more, and there is %d", len(b.hosts))
	}
	return nil
}

func (b *planner) addDirections() error {
	n := len(b.hosts)
	b.source, b.destination = make([]bool, n), make([]bool, n)
	if len(b.in.OneWay) == 0 {
		for i := range n {
			b.source[i], b.destination[i] = true, true
		}
		return nil
	}
	b.oneWay = map[[2]int]bool{}
	var directions []Direction
	for _, d := range b.in.OneWay {
		from, ok := b.byName[strings.ToLower(d.Source)]
		to, ok2 := b.byName[strings.ToLower(d.Destination)]
		switch {
		case !ok:
			return usage("%q in %s is none of the hosts", d.Source, d)
		case !ok2:
			return usage("%q in %s is none of the hosts", d.Destination, d)
		case from == to:
			return usage("%s leads from a host to itself", d)
		case b.oneWay[[2]int{from, to}]:
			continue
		}
		b.oneWay[[2]int{from, to}] = true
		b.source[from], b.destination[to] = true, true
		directions = append(directions, b.direction(from, to))
	}
	b.in.OneWay = directions
	return nil
}

func (b *planner) wants(from, to int) bool {
	if b.oneWay == nil {
		return from != to
	}
	return b.oneWay[[2]int{from, to}]
}

func (b *planner) mostPairs() int {
	if b.oneWay == nil {
		return len(b.hosts) * (len(b.hosts) - 1)
	}
	return len(b.oneWay)
}

func (b *planner) direction(from, to int) Direction {
	return Direction{Source: b.hosts[from].short, Destination: b.hosts[to].short}
}

func (b *planner) describe() []Host {
	out := make([]Host, len(b.hosts))
	for i, h := range b.hosts {
		out[i] = Host{Name: h.short, FQDN: h.full, Account: h.Name, DN: h.DN, SID: h.SID, AnyProtocol: h.AnyProtocol()}
	}
	return out
}

// change adds a change, unless it changes nothing.
func (b *planner) change(c Change) {
	if len(c.Add)+len(c.Delete) > 0 {
		b.plan.Changes = append(b.plan.Changes, c)
	}
}

// flags plans TRUSTED_TO_AUTH_FOR_DELEGATION, the only flag that a plan changes.
func (b *planner) flags() {
	for i, h := range b.hosts {
		c := Change{DN: h.DN, Account: h.Name, Attribute: directory.AttributeFlags, Before: Digest([][]byte{storedFlags(h.Flags)})}
		switch {
		case needsTransition(b.in, b.samba) && b.source[i] && !h.AnyProtocol():
			c.Add = []string{TrustedToAuth}
		case b.in.Protocol == KerberosOnly && b.in.Prune && h.AnyProtocol():
			c.Delete = []string{TrustedToAuth}
		}
		b.change(c)
	}
}

// needsTransition says whether sources need TRUSTED_TO_AUTH_FOR_DELEGATION. Without
// it, the ticket of S4U2Self is not forwardable (MS-SFU 3.2.5.1.2), which
// constrained delegation asks for (3.2.5.2.1). For resource-based delegation a
// Windows controller takes a ticket that is not forwardable, if the operator is
// not sensitive (3.2.5.2.2); Samba takes none.
func needsTransition(in Intent, samba bool) bool {
	return in.Protocol == AnyProtocol && (in.Model == Constrained || samba)
}

// storedFlags is userAccountControl as the directory stores it, a signed number of
// 32 bits.
func storedFlags(flags uint32) []byte { return strconv.AppendInt(nil, int64(int32(flags)), 10) }

func asBytes(values []string) [][]byte {
	out := make([][]byte, len(values))
	for i, v := range values {
		out[i] = []byte(v)
	}
	return out
}

// domainDN is the DC= parts at the end of a distinguished name, lower case, which
// name the domain that the object is in.
func domainDN(dn string) string {
	parts := strings.Split(strings.ToLower(dn), ",")
	i := len(parts)
	for i > 0 && strings.HasPrefix(strings.TrimSpace(parts[i-1]), "dc=") && (i == 1 || !endsEscaped(parts[i-2])) {
		i--
		parts[i] = strings.TrimSpace(parts[i])
	}
	return strings.Join(parts[i:], ",")
}

// endsEscaped says that the comma that follows belongs to a value (RFC 4514, section
// 2.4).
func endsEscaped(part string) bool {
	return (len(part)-len(strings.TrimRight(part, `\`)))%2 == 1
}
