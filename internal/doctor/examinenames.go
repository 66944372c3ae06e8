package doctor

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"drover/internal/fault"
	"drover/internal/finding"
	"drover/internal/look"
)

// addresses are what is known of where a host is.
type addresses struct {
	dns    []netip.Addr // of all name servers
	listed []netip.Addr // of the hosts file
	system []netip.Addr // that programs of this machine get
	at     map[netip.Addr]*resident
	server string // that gave them
	life   time.Duration
}

// resident is who is at an address.
type resident struct {
	api   look.Port
	alive bool   // a port answers, one way or the other
	who   string // name of the host whose agent answers, "" when none does
	hangs bool   // takes connections and says nothing
	hello Hello
	at    time.Time // of this machine's clock, when it said so
}

// lookAtHosts looks at each host's names and ports and asks its agent.
func (x *examination) lookAtHosts(ctx context.Context) {
	each(x.hosts, func(h *seenHost) {
		x.resolve(ctx, h)
		x.whoIsThere(ctx, h)
		x.lookAtPorts(ctx, h)
		x.hostClock(h)
		x.askAgent(ctx, h)
		x.judgeNames(ctx, h) // the agent knows which addresses are its own
	})
	x.sharedAddresses()
	x.unresolvedShort()
}

// resolve asks every name server for a host, and reads the hosts file.
func (x *examination) resolve(ctx context.Context, h *seenHost) {
	const what = "name and addresses"
	s := &h.addrs
	s.at = map[netip.Addr]*resident{}
	for _, name := range []string{h.FQDN, h.Name} {
		listed, err := x.Machine.Listed(name)
		if err != nil {
			x.didNot(AreaNames, "hosts file", x.Machine.HostsPath(), err.Error())
		}
		for _, a := range listed {
			if !slices.Contains(s.listed, a) {
				s.listed = append(s.listed, a)
			}
		}
	}
	name := h.FQDN
	if name == "" {
		name = h.Name
	}
	s.system, _ = x.Machine.Resolve(ctx, name)
	if h.FQDN == "" {
		x.didNot(AreaNames, what, h.Name, "its full name is not known; give it, or --domain, or sign in")
		return
	}
	answers := make([]look.Answer, len(x.resolver.Servers))
	eachIndex(len(answers), func(i int) { answers[i] = x.Machine.Host(ctx, x.resolver.Servers[i], name) })
	definite, lacking := 0, []string{}
	for _, a := range answers {
		if a.Definite() {
			definite++
		}
		if a.State == look.Found {
			s.server, s.life = plainServer(a.Server), a.Life
		} else if a.Definite() {
			lacking = append(lacking, plainServer(a.Server))
		}
		for _, ip := range a.Addresses() {
			if !slices.Contains(s.dns, ip) {
				s.dns = append(s.dns, ip)
			}
		}
	}
	if definite == 0 {
		x.didNot(AreaNames, what, h.Name, "no name server answers")
		return
	}
	x.did(AreaNames, what, h.Name)
	if len(lacking) > 0 {
		x.nameMissing(h, name, lacking)
	}
	x.disagreement(h, name, answers)
}

// zone and label are where a host's record is.
func (x *examination) zone(h *seenHost) (zone, label string) {
	label, zone, _ = strings.Cut(h.FQDN, ".")
	return zone, label
}

// nameServer is the controller whose DNS is changed.
func (x *examination) nameServer() string {
	switch {
	case x.snap != nil:
		return x.snap.Root.Server
	case len(x.controllers) > 0:
		return x.controllers[0].name
	}
	return placeholder
}

// placeholder stands in hints for a controller that nobody knows. Commands are not given
// with it.
const placeholder = "CONTROLLER"

func (x *examination) nameMissing(h *seenHost, name string, servers []string) {
	zone, label := x.zone(h)
	x.tell(finding.Error, h.FQDN, fault.New(fault.DNSNameMissing, "", "server", strings.Join(servers, ", "), "name", name, "controller", x.nameServer(), "zone", zone, "label", label),
		"no address record", strings.Join(servers, ", "), aboutHost(h), func(f *finding.Finding) {
			f.Effect = "with the next question; a name server may remember for up to an hour that the name was not there"
			if len(h.addrs.listed) > 0 && !h.addrs.listed[0].IsLoopback() {
				f.Fix, f.Undo = x.record(h, true, h.addrs.listed[0]), x.record(h, false, h.addrs.listed[0])
			}
		})
}

// record adds an address record, or else takes it away.
func (x *examination) record(h *seenHost, add bool, a netip.Addr) []finding.Command {
	zone, label := x.zone(h)
	return x.recordIn(zone, label, add, a)
}

// recordIn are the same commands for any label of a zone.
func (x *examination) recordIn(zone, label string, add bool, a netip.Addr) []finding.Command {
	kind := "A"
	if a.Is6() {
		kind = "AAAA"
	}
	verb, line := "add", "Add-DnsServerResourceRecord -"+kind+" -ZoneName %s -Name %s -IPv4Address %s"
	if a.Is6() {
		line = strings.Replace(line, "IPv4", "IPv6", 1)
	}
	if !add {
		verb, line = "delete", "Remove-DnsServerResourceRecord -Force -RRType "+kind+" -ZoneName %s -Name %s -RecordData %s"
	}
	tool := shell("samba-tool dns "+verb+" %s %s %s "+kind+" %s -U Administrator", x.nameServer(), zone, label, a.String())
	tool.Tool = finding.SambaTool
	quote := func(s string) string { return finding.Quote(finding.PowerShell, s) }
	return x.withController(tool, finding.Command{Tool: finding.PowerShell, Line: fmt.Sprintf(line, quote(zone), quote(label), quote(a.String()))})
}

// disagreement: servers that know different addresses.
func (x *examination) disagreement(h *seenHost, name string, answers []look.Answer) {
	var texts []string
	sets := map[string]bool{}
	for _, a := range answers {
		if a.State != look.Found {
			continue
		}
		values := slices.Sorted(slices.Values(a.Values))
		sets[strings.Join(values, " ")] = true
		texts = append(texts, plainServer(a.Server)+" says "+strings.Join(values, ", "))
	}
	if len(sets) > 1 {
		x.tell(finding.Error, h.FQDN, fault.New(fault.DNSServersDiffer, "", "name", name, "answers", strings.Join(texts, "; "), "path", x.resolver.Path),
			strings.Join(texts, "; "), x.resolver.Path, aboutHost(h))
	}
}

// whoIsThere tries every address that anybody gives for a host.
func (x *examination) whoIsThere(ctx context.Context, h *seenHost) {
	var all []netip.Addr
	for _, list := range [][]netip.Addr{h.addrs.dns, h.addrs.listed, h.addrs.system} {
		for _, a := range list {
			if !slices.Contains(all, a) && !a.IsLoopback() {
				all = append(all, a)
				h.addrs.at[a] = &resident{}
			}
		}
	}
	each(all, func(a netip.Addr) { *h.addrs.at[a] = x.resident(ctx, a) })
}

// otherPorts tell whether a machine is there at all: migration, and what Windows and
// Linux hosts usually have.
var otherPorts = []uint16{6600, 5985, 445, 22}

func (x *examination) resident(ctx context.Context, a netip.Addr) resident {
	r := resident{api: x.Machine.Port(ctx, a, portAPI)}
	if r.api.State == look.Open && x.Hello != nil {
		x.greet(ctx, &r)
	}
	if r.alive = r.api.Answers(); r.alive {
		return r
	}
	answers := make([]bool, len(otherPorts))
	eachIndex(len(otherPorts), func(i int) { answers[i] = x.Machine.Port(ctx, a, otherPorts[i]).Answers() })
	r.alive = slices.Contains(answers, true)
	return r
}

// greet asks who is there. An agent that says nothing is asked once more: it may have
// had a busy moment.
func (x *examination) greet(ctx context.Context, r *resident) {
	for range 2 {
		attempt, cancel := context.WithTimeout(ctx, x.agentWait())
		hello, err := x.Hello(attempt, r.api.Address)
		cancel()
		if err == nil {
			r.hello, r.who, r.at, r.hangs = hello, shortName(hello.Host), x.Now(), false
			return
		}
		if r.hangs = silent(err) && ctx.Err() == nil; !r.hangs {
			return
		}
	}
}

// silent says that an attempt ended because nothing came, and for no other reason.
func silent(err error) bool {
	var timeout interface{ Timeout() bool }
	return fault.Is(err, fault.Deadline) || errors.As(err, &timeout) && timeout.Timeout()
}

// tried are those of a list that somebody was looked for at.
func (s *addresses) tried(list []netip.Addr) []netip.Addr {
	return slices.DeleteFunc(slices.Clone(list), func(a netip.Addr) bool { return s.at[a] == nil })
}

// verdict on one address of a host.
func (x *examination) wrongAt(h *seenHost, a netip.Addr, own []netip.Addr) (reason string, wrong bool) {
	r := h.addrs.at[a]
	switch {
	case a.IsLoopback() && !x.isHere(h):
		return "it is a loopback address, by which every machine means itself", true
	case r == nil:
		return "", false
	case x.isHere(h) && len(own) > 0 && !slices.Contains(own, a):
		return "this machine, which is " + h.Name + ", does not have the address", true
	case r.who != "" && !strings.EqualFold(r.who, h.Name):
		return "the agent there says that it is " + r.who, true
	case r.alive || h.claims(a):
		return "", false
	case a.Is6() && r.api.State == look.Unreachable: // from here, where there may be no IPv6
		return "", false
	}
	for other, at := range h.addrs.at {
		if other != a && strings.EqualFold(at.who, h.Name) {
			return "nothing answers there, and " + h.Name + " answers at " + other.String(), true
		}
	}
	return "", false
}

// judgeNames says which of a host's addresses are wrong, and what leads elsewhere.
func (x *examination) judgeNames(ctx context.Context, h *seenHost) {
	var own []netip.Addr
	if x.isHere(h) {
		own, _ = look.Own()
	}
	var wrong []string
	var bad []netip.Addr
	reason := ""
	for _, a := range h.addrs.dns {
		if why, is := x.wrongAt(h, a, own); is {
			wrong, bad, reason = append(wrong, a.String()), append(bad, a), why
		}
	}
	if len(wrong) > 0 {
		x.staleAddress(h, bad, wrong, reason)
	} else {
		x.overridden(h)
	}
	x.shortName(ctx, h)
	x.reverse(ctx, h)
}

func (x *examination) staleAddress(h *seenHost, bad []netip.Addr, wrong []string, reason string) {
	zone, label := x.zone(h)
	var f *fault.Error
	if len(bad) < len(h.addrs.dns) {
		f = fault.New(fault.DNSAddressExtra, "", "addresses", strings.Join(wrong, ", "), "name", h.FQDN, "reason", reason, "controller", x.nameServer(), "zone", zone, "label", label)
	} else {
		f = fault.New(fault.DNSAddressStale, "", "addresses", strings.Join(wrong, ", "), "name", h.FQDN, "destination", h.Name, "reason", reason, "controller", x.nameServer(), "zone", zone, "label", label)
	}
	severity, doubt := finding.Error, ""
	if len(bad) < len(h.addrs.dns) && h.agent == nil && !slices.ContainsFunc(bad, func(a netip.Addr) bool { return a.IsLoopback() || x.isHere(h) || h.addrs.at[a].who != "" }) {
		severity, doubt = finding.Warning, " It may be of a network that this machine does not reach: its agent, which knows, was not asked."
	}
	x.tell(severity, h.FQDN, f, "address records "+joinAddrs(h.addrs.dns)+"; "+reason, h.addrs.server, aboutHost(h), func(f *finding.Finding) {
		f.Values, f.Effect, f.Why = wrong, x.recordLife(h), f.Why+doubt
		for _, a := range bad {
			f.Fix, f.Undo = append(f.Fix, x.record(h, false, a)...), append(f.Undo, x.record(h, true, a)...)
		}
		if len(bad) == len(h.addrs.dns) {
			if right, known := h.rightAddress(); known {
				f.Fix, f.Undo = append(f.Fix, x.record(h, true, right)...), append(x.record(h, false, right), f.Undo...)
			}
		}
	})
}

// recordLife is how long the old record is remembered.
func (x *examination) recordLife(h *seenHost) string {
	if h.addrs.life == 0 {
		return "with the next question" + x.elsewhere()
	}
	return "when the old record is forgotten, which its life of " + h.addrs.life.String() + " says" + x.elsewhere()
}

// rightAddress is one at which the host itself answers.
func (h *seenHost) rightAddress() (netip.Addr, bool) {
	for _, list := range [][]netip.Addr{h.addrs.listed, h.addrs.system, h.addrs.dns} {
		if i := slices.IndexFunc(list, h.answersAt); i >= 0 {
			return list[i], true
		}
	}
	return netip.Addr{}, false
}

// answersAt tells whether the agent at an address says that it is this host's.
func (h *seenHost) answersAt(a netip.Addr) bool {
	r := h.addrs.at[a]
	return r != nil && strings.EqualFold(r.who, h.Name)
}

func joinAddrs(as []netip.Addr) string {
	var out []string
	for _, a := range as {
		out = append(out, a.String())
	}
	return strings.Join(out, ", ")
}

// overridden: the hosts file says otherwise than DNS. A machine's own name may stand
// for loopback there, as installers of Debian have it. Taking the line out is
// proposed where the host answers at what DNS says: else the file may be what is right.
func (x *examination) overridden(h *seenHost) {
	var other []netip.Addr
	for _, a := range h.addrs.listed {
		if !slices.Contains(h.addrs.dns, a) && !(a.IsLoopback() && x.isHere(h)) {
			other = append(other, a)
		}
	}
	if len(other) == 0 || len(h.addrs.dns) == 0 {
		return
	}
	path := x.Machine.HostsPath()
	fix, undo := edit(path, h.Name, `/^[[:space:]]*`+literal(other[0].String())+`[[:space:]]/d`)
	x.tell(finding.Error, h.FQDN, fault.New(fault.HostsFileOverrides, "", "path", path, "name", h.FQDN, "listed", joinAddrs(other), "addresses", joinAddrs(h.addrs.dns), "short", strings.ToLower(h.Name)),
		path+" has "+joinAddrs(other)+", "+h.addrs.server+" has "+joinAddrs(h.addrs.dns), path, aboutHost(h), func(f *finding.Finding) {
			if !slices.ContainsFunc(h.addrs.dns, h.answersAt) {
				f.Why = "The file comes first, on this machine only. Nothing has answered as " + h.FQDN + " at the address in DNS, so the file may be what is right."
				f.Hint = "see which of the two is right, with `ip -brief address` on the host, and correct the other"
				return
			}
			cure("at once", fix, undo)(f)
		})
}

func zoneOf(fqdn string) string {
	_, zone, _ := strings.Cut(fqdn, ".")
	return zone
}

func sameAddrs(a, b []netip.Addr) bool {
	return len(a) > 0 && !slices.ContainsFunc(a, func(x netip.Addr) bool { return !slices.Contains(b, x) })
}

// reverse looks the host's addresses up. That there is no reverse zone is usual, and
// no trouble.
func (x *examination) reverse(ctx context.Context, h *seenHost) {
	for _, a := range h.addrs.tried(h.addrs.dns) {
		for _, s := range x.resolver.Servers {
			r := x.Machine.Reverse(ctx, s, a)
			if !r.Definite() {
				continue
			}
			if r.State == look.Found && !slices.ContainsFunc(r.Values, func(n string) bool { return strings.EqualFold(n, h.FQDN) || strings.EqualFold(n, h.Name) }) {
				x.staleReverse(ctx, h, a, r)
			}
			break
		}
	}
}

func (x *examination) staleReverse(ctx context.Context, h *seenHost, a netip.Addr, r look.Answer) {
	other := strings.Join(r.Values, ", ")
	evidence := "the record " + r.Name + " has " + other
	if x.snap != nil && x.computer(shortName(r.Values[0])) == nil {
		evidence += "; the directory has no computer of that name"
	}
	record, zone, _ := strings.Cut(r.Name, ".")
	if of := x.Machine.Zone(ctx, r.Server, r.Name); of != "" {
		record, zone = strings.TrimSuffix(strings.ToLower(r.Name), "."+of), of
	}
	fix := func(verb, name string) finding.Command {
		c := shell("samba-tool dns "+verb+" %s %s %s PTR %s -U Administrator", x.nameServer(), zone, record, name)
		c.Tool = finding.SambaTool
		return c
	}
	x.tell(finding.Warning, h.FQDN, fault.New(fault.DNSReverseStale, "", "address", a.String(), "name", h.FQDN, "other", other, "controller", x.nameServer()),
		evidence, plainServer(r.Server), aboutHost(h),
		cure("when the old record is forgotten, which its life of "+r.Life.String()+" says",
			x.withController(fix("delete", r.Values[0]), fix("add", h.FQDN),
				finding.Command{Tool: finding.PowerShell, Line: "Remove-DnsServerResourceRecord -Force -RRType Ptr -ZoneName " + finding.Quote(finding.PowerShell, zone) + " -Name " + finding.Quote(finding.PowerShell, record)},
				finding.Command{Tool: finding.PowerShell, Line: "Add-DnsServerResourceRecordPtr -ZoneName " + finding.Quote(finding.PowerShell, zone) + " -Name " + finding.Quote(finding.PowerShell, record) + " -PtrDomainName " + finding.Quote(finding.PowerShell, h.FQDN)}),
			x.withController(fix("delete", h.FQDN), fix("add", r.Values[0]))))
}

// sharedAddresses: two hosts at one address, and nobody there says which of them it is.
func (x *examination) sharedAddresses() {
	first := map[netip.Addr]*seenHost{}
	for _, h := range x.hosts {
		for _, a := range h.addrs.tried(h.addrs.dns) {
			other := first[a]
			if other == nil {
				first[a] = h
				continue
			}
			if r := h.addrs.at[a]; r != nil && r.who != "" {
				continue // told as the stale record that it is
			}
			x.tell(finding.Error, h.FQDN, fault.New(fault.DNSAddressShared, "", "name", other.FQDN, "other", h.FQDN, "addresses", a.String()),
				other.FQDN+" and "+h.FQDN+" have "+a.String(), h.addrs.server, aboutHost(h))
		}
	}
}
