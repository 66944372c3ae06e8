package doctor

import (
	"cmp"
	"slices"
	"strings"

	"drover/internal/delegation"
	"drover/internal/fault"
	"drover/internal/finding"
)

// place says where a consequence has to be for a cause to explain it.
type place int

const (
	everywhere place = iota // what is broken serves all
	sameHost                // about the cause's host, or a direction from or to it
	fromHost                // about directions of the cause, those from its host when it names none, or the host itself
	toHost                  // the same with directions to it
	ofDomain                // everywhere, when the cause is about no host: a controller, mostly
)

// relation declares that a finding of cause explains those of effects, where they
// meet. A cause in turn may be the effect of another one; what stands further up
// comes first.
type relation struct {
	cause   fault.Code
	place   place
	effects []fault.Code
}

// refusals are what delegation ends with when something beneath it is wrong.
var refusals = []fault.Code{fault.DelegationMissing, fault.DelegationNoStorage, fault.DelegationRefused, fault.DelegationNoProtocol,
	fault.EvidenceNotForward, fault.KerberosFailed, fault.NotChecked}

// withRefusals adds codes to refusals.
func withRefusals(more ...fault.Code) []fault.Code { return slices.Concat(more, refusals) }

// unanswered is what an agent looks like that cannot be talked to.
var unanswered = []fault.Code{fault.HostSilent, fault.PortClosed, fault.PortFiltered, fault.AgentHangs, fault.AgentUnreachable, fault.HostUnknown, fault.MigrationPort, fault.NotChecked}

// elsewhere is what comes of an address that is another machine's.
var elsewhere = slices.Concat(unanswered, refusals, []fault.Code{fault.AuthRefused, fault.KeytabStale, fault.BindingMismatch, fault.ClockSkew, fault.VersionsDiffer,
	fault.DNSReverseStale, fault.DNSAddressShared})

// noSignIn is what comes of an operator who gets no ticket.
var noSignIn = withRefusals(fault.OperatorUnknown, fault.RoleMissing, fault.LoginFailed, fault.TicketBeforeChange)

// relations are in the order in which things rest on each other: without names
// nothing is found, without a network nothing answers, without clocks there is no
// ticket, and without an account no delegation.
var relations = []relation{
	// A host that the directory does not know is mostly no host: the name is another.
	{fault.HostNotInDirectory, sameHost, withRefusals(slices.Concat(unanswered, []fault.Code{fault.DNSNameMissing, fault.ShortNameUnresolved,
		fault.ServiceNameMissing, fault.ServiceUnknown, fault.DelegationIncomplete, fault.AgentNoKeytab})...)},
	{fault.DNSServerSilent, everywhere, []fault.Code{fault.DNSServiceMissing, fault.DNSNameMissing, fault.ShortNameUnresolved, fault.KDCUnreachable, fault.DirectoryUnreachable}},
	{fault.DNSServiceMissing, everywhere, []fault.Code{fault.KDCUnreachable, fault.DirectoryUnreachable, fault.LoginFailed}},
	{fault.DNSServersDiffer, sameHost, slices.Concat(elsewhere, []fault.Code{fault.DNSNameMissing, fault.DNSAddressStale, fault.DNSAddressExtra})},
	{fault.DNSNameMissing, sameHost, slices.Concat(unanswered, []fault.Code{fault.ShortNameUnresolved, fault.DNSReverseStale})},
	{fault.HostsFileOverrides, sameHost, elsewhere},
	{fault.ShortNameElsewhere, sameHost, elsewhere},
	{fault.DNSAddressStale, sameHost, elsewhere},
	{fault.DNSAddressExtra, sameHost, elsewhere},
	{fault.DNSAddressShared, sameHost, slices.Concat(unanswered, []fault.Code{fault.AuthRefused, fault.DNSReverseStale})},
	{fault.KDCUnreachable, everywhere, withRefusals(fault.DirectoryUnreachable, fault.LoginFailed)},
	{fault.ClockSkew, sameHost, withRefusals(fault.AuthRefused, fault.AgentUnreachable)},
	{fault.ClockSkew, ofDomain, []fault.Code{fault.KerberosFailed, fault.LoginFailed, fault.DirectorySignIn, fault.DirectoryUnreachable}},
	{fault.KDCWithoutTCP, ofDomain, []fault.Code{fault.KDCUnreachable, fault.LoginFailed, fault.DirectorySignIn, fault.DirectoryUnreachable}},
	{fault.PortClosed, ofDomain, []fault.Code{fault.DirectoryUnreachable}},
	{fault.PortFiltered, ofDomain, []fault.Code{fault.DirectoryUnreachable}},
	{fault.RealmMapping, everywhere, withRefusals(fault.ServiceUnknown, fault.AuthRefused)},
	{fault.NoTicket, everywhere, []fault.Code{fault.DirectorySignIn, fault.AuthRequired, fault.NotChecked}},
	{fault.DirectoryUnreachable, everywhere, []fault.Code{fault.NotChecked}},
	{fault.HostAccountDisabled, sameHost, withRefusals(fault.ServiceUnknown, fault.KeytabStale)},
	{fault.ServiceNameDuplicate, toHost, withRefusals(fault.ServiceUnknown, fault.AuthRefused)},
	{fault.ServiceNameMisplaced, toHost, withRefusals(fault.ServiceNameMissing, fault.ServiceUnknown, fault.AuthRefused, fault.KeytabStale)},
	{fault.ServiceNameMissing, toHost, withRefusals(fault.ServiceUnknown)},
	{fault.HostWithoutAES, sameHost, withRefusals(fault.KeytabStale, fault.AuthRefused)},
	{fault.KeytabStale, sameHost, withRefusals(fault.AuthRefused)},
	{fault.AgentNoKeytab, sameHost, withRefusals(fault.AuthRefused)},
	{fault.OperatorDisabled, everywhere, noSignIn},
	{fault.OperatorExpired, everywhere, noSignIn},
	{fault.OperatorLocked, everywhere, noSignIn},
	{fault.OperatorPassword, everywhere, noSignIn},
	{fault.OperatorWithoutAES, everywhere, noSignIn},
	{fault.OperatorSensitive, everywhere, []fault.Code{fault.EvidenceNotForward, fault.DelegationRefused, fault.DelegationNoProtocol, fault.TicketBeforeChange}},
	{fault.OperatorUnknown, everywhere, refusals},
	{fault.DelegationWrongObject, fromHost, withRefusals(fault.DelegationIncomplete, fault.DelegationShortOnly, fault.DelegationFullOnly)},
	{fault.DelegationIncomplete, fromHost, refusals},
	{fault.DelegationShortOnly, fromHost, refusals},
	{fault.DelegationFullOnly, fromHost, refusals},
	{fault.ResourceDelegationAbsent, toHost, refusals},
	{fault.TransitionMissing, fromHost, []fault.Code{fault.DelegationNoProtocol, fault.DelegationRefused, fault.EvidenceNotForward}},
	{fault.HostSilent, sameHost, []fault.Code{fault.PortClosed, fault.PortFiltered, fault.AgentUnreachable, fault.MigrationPort, fault.NotChecked}},
	{fault.MigrationDisabled, sameHost, []fault.Code{fault.MigrationPort, fault.MigrationPortUnbound, fault.PortClosed}},
	{fault.MigrationPortUnbound, sameHost, []fault.Code{fault.MigrationPort, fault.PortClosed, fault.NoCommonNetwork}},
	{fault.PortClosed, sameHost, []fault.Code{fault.AgentUnreachable, fault.MigrationPort, fault.NotChecked}},
	{fault.PortFiltered, sameHost, []fault.Code{fault.AgentUnreachable, fault.MigrationPort, fault.NotChecked}},
	{fault.AgentHangs, sameHost, []fault.Code{fault.AgentUnreachable, fault.MigrationPort, fault.NotChecked, fault.PeerSilent, fault.Deadline}},
	{fault.AgentUnreachable, sameHost, []fault.Code{fault.MigrationPort, fault.NotChecked}},
	{fault.HypervisorDown, sameHost, withRefusals(fault.MigrationPort)},
	{fault.SettingsDrifted, sameHost, []fault.Code{fault.PerformanceDiffers, fault.AnyNetworkDiffers}},
	{fault.RouteAsymmetric, sameHost, []fault.Code{fault.MigrationPort, fault.PathMTU}},
}

// Fold puts findings under those that explain them, and those that are the same but
// for the direction together. The worst cause comes first; among causes of one
// severity the one on which the others rest.
func Fold(fs []finding.Finding) []Cause {
	above := make([]int, len(fs)) // the one that explains each, itself when none does
	for i := range fs {
		above[i] = explainedBy(fs, i)
	}
	var out []Cause
	at := map[string]int{}
	cause := func(f finding.Finding) *Cause {
		key := withoutDirection(f)
		if _, seen := at[key]; !seen {
			at[key] = len(out)
			out = append(out, Cause{Finding: f})
		}
		return &out[at[key]]
	}
	for i, f := range fs {
		if root := rootOf(above, i); root == i {
			cause(f).addDirection(f)
		} else {
			c := cause(fs[root])
			c.Consequences = append(c.Consequences, f)
		}
	}
	for i := range out {
		out[i].Consequences = eachOnce(out[i].Consequences)
		out[i].addCures()
	}
	slices.SortStableFunc(out, func(a, b Cause) int {
		return cmp.Or(-a.worst().Compare(b.worst()), cmp.Compare(depth(a.Code), depth(b.Code)),
			-cmp.Compare(len(a.Consequences), len(b.Consequences)), cmp.Compare(a.Object, b.Object), cmp.Compare(a.Code, b.Code))
	})
	return out
}

// worst is the severity of a cause with all that it brings about.
func (c Cause) worst() finding.Severity {
	return finding.Worst(append([]finding.Finding{c.Finding}, c.Consequences...))
}

// addDirection notes one more direction of a cause; one that has several has no
// single source and destination.
func (c *Cause) addDirection(f finding.Finding) {
	d := direction(f)
	if d == (delegation.Direction{}) || slices.Contains(c.Directions, d) {
		return
	}
	if c.Directions = append(c.Directions, d); len(c.Directions) > 1 {
		c.Source, c.Destination = "", ""
	}
}

// addCures: values that are taken from a wrong object lack on the right one still.
func (c *Cause) addCures() {
	if c.Code != fault.DelegationWrongObject {
		return
	}
	for _, f := range c.Consequences {
		if slices.Contains([]fault.Code{fault.DelegationIncomplete, fault.DelegationShortOnly, fault.DelegationFullOnly}, f.Code) {
			c.Fix, c.Undo = slices.Concat(f.Fix, c.Fix), slices.Concat(c.Undo, f.Undo)
		}
	}
}

// direction is that of a finding, zero when it concerns no single one.
func direction(f finding.Finding) (d delegation.Direction) {
	if f.Source != "" && f.Destination != "" {
		d = delegation.Direction{Source: f.Source, Destination: f.Destination}
	}
	return d
}

// withoutDirection is the same for findings that differ in nothing else.
func withoutDirection(f finding.Finding) string {
	if direction(f) != (delegation.Direction{}) {
		f.Source, f.Destination = "", ""
	}
	return f.Key() + f.Message
}

// eachOnce sorts findings and gives those that differ in the direction only once.
func eachOnce(fs []finding.Finding) (out []finding.Finding) {
	finding.Sort(fs)
	for _, f := range fs {
		if !slices.ContainsFunc(out, func(o finding.Finding) bool { return withoutDirection(o) == withoutDirection(f) }) {
			out = append(out, f)
		}
	}
	return out
}

// depth is how far down a code stands in relations; what explains nothing is last.
func depth(c fault.Code) int {
	if i := slices.IndexFunc(relations, func(r relation) bool { return r.cause == c }); i >= 0 {
		return i
	}
	return len(relations)
}

// explainedBy is the first finding that explains number i, or i. What is only worth a
// warning explains no error.
func explainedBy(fs []finding.Finding, i int) int {
	for _, r := range relations {
		if !slices.Contains(r.effects, fs[i].Code) {
			continue
		}
		for j, f := range fs {
			if j != i && f.Code == r.cause && f.Severity.Compare(fs[i].Severity) >= 0 && r.place.meets(f, fs[i]) {
				return j
			}
		}
	}
	return i
}

// rootOf follows above to its end. It is bounded, because relations could be written
// that go in a circle.
func rootOf(above []int, i int) int {
	for range above {
		if above[i] == i {
			return i
		}
		i = above[i]
	}
	return i
}

// meets says that the effect is where the cause tells.
func (p place) meets(cause, effect finding.Finding) bool {
	host, d := about(cause), direction(effect)
	switch {
	case p == everywhere:
		return true
	case p == ofDomain:
		return cause.Host == ""
	case d == (delegation.Direction{}):
		return host != "" && about(effect) == host
	case p == sameHost:
		return is(d.Source, host) || is(d.Destination, host)
	case direction(cause) != (delegation.Direction{}):
		return d == direction(cause)
	case p == fromHost:
		return is(d.Source, host)
	}
	return is(d.Destination, host)
}

func is(name, host string) bool { return strings.EqualFold(name, host) }

// about is the short name of the host that a finding is about, in capitals.
func about(f finding.Finding) string {
	name := f.Host
	if name == "" && direction(f) == (delegation.Direction{}) { // one end alone is named by who means that host
		name = cmp.Or(f.Destination, f.Source)
	}
	return strings.ToUpper(cmp.Or(name, strings.TrimSuffix(f.Object, "$")))
}
