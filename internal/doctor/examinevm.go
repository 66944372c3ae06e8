package doctor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"drover/internal/delegation"
	"drover/internal/fault"
	"drover/internal/finding"
	"drover/internal/record"
)

// compareWait bounds one comparison with all its rounds, in which the hosts measure
// the network between them.
const compareWait = 2 * time.Minute

// whereabouts are what is known of where the VM is.
type whereabouts struct {
	on     []*seenHost       // they have it
	absent []string          // they do not
	silent map[string]string // they were not asked, and why
}

const whatCompared = "what is in the way of the VM"

// findVM asks the agents for the VM. Who names nothing but the VM wants to know about
// the directions from its host.
func (x *examination) findVM(ctx context.Context) {
	if x.q.VM == "" {
		return
	}
	x.step("VM " + x.q.VM)
	x.vm = &VM{Name: x.q.VM, Hosts: []string{}, Moves: []Move{}}
	x.where.silent = map[string]string{}
	each(x.hosts, func(h *seenHost) { x.askForVM(ctx, h) })
	for _, h := range x.hosts {
		if slices.Contains(x.where.on, h) {
			x.vm.Hosts = append(x.vm.Hosts, h.Name)
		}
	}
	if len(x.q.Hosts) > 0 || len(x.q.Pairs) > 0 || len(x.where.on) == 0 {
		return
	}
	x.pairs = slices.DeleteFunc(x.pairs, func(d delegation.Direction) bool { return !x.hasVM(d.Source) })
	x.found = slices.DeleteFunc(x.found, x.elsewhereThanVM)
}

func (x *examination) hasVM(host string) bool {
	return slices.ContainsFunc(x.vm.Hosts, func(name string) bool { return sameHostName(name, host) })
}

// elsewhereThanVM is a finding of a direction that does not begin at the VM's host, or
// of what only the other end of a direction needs.
func (x *examination) elsewhereThanVM(f finding.Finding) bool {
	if d := direction(f); d != (delegation.Direction{}) {
		return !x.hasVM(d.Source)
	}
	sets := func(flag string) bool {
		return slices.ContainsFunc(f.Fix, func(c finding.Command) bool { return strings.Contains(c.Line, " --"+flag+" ") })
	}
	switch f.Code {
	case fault.TransitionMissing:
		return !x.hasVM(f.Host)
	case fault.MigrationDisabled:
		return sets("outgoing") && !x.hasVM(f.Host) || sets("incoming") && len(x.vm.Hosts) == 1 && x.hasVM(f.Host)
	}
	return false
}

func (x *examination) askForVM(ctx context.Context, h *seenHost) {
	reason, has := "", false
	switch {
	case x.Machines == nil:
		reason = "agents are not asked"
	case h.windows:
		reason = "a Windows host has no agent; Compare-VM there tells"
	case h.agent == nil:
		reason = "its agent could not be asked"
	default:
		ctx, cancel := context.WithTimeout(ctx, x.agentWait())
		defer cancel()
		var err error
		if has, err = x.Machines.Has(ctx, reachable(h), x.q.VM); err != nil {
			reason = inWords(err)
		}
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	switch {
	case reason != "":
		x.where.silent[h.Name] = reason
	case has:
		x.where.on = append(x.where.on, h)
	default:
		x.where.absent = append(x.where.absent, h.Name)
	}
}

// reachable is the name under which a host's agent is asked.
func reachable(h *seenHost) string {
	if h.FQDN != "" {
		return h.FQDN
	}
	return h.Name
}

// compareVM compares the VM in each direction of the question that begins where it is.
func (x *examination) compareVM(ctx context.Context) {
	if x.vm == nil {
		return
	}
	directions := x.directionsOfVM()
	if len(directions) > rehearsed {
		x.didNot(AreaVM, whatCompared, x.q.VM, fmt.Sprintf("there are more than %d destinations; name one", rehearsed))
		return
	}
	before := slices.Clone(x.found)
	for _, d := range directions { // one after the other: they measure the same links
		x.compareTo(ctx, d, before)
	}
}

// directionsOfVM are those that can be compared. What cannot is told.
func (x *examination) directionsOfVM() (out []delegation.Direction) {
	if len(x.q.Pairs) == 0 && len(x.where.on) == 0 {
		x.nowhere()
		return nil
	}
	named := 0
	for _, d := range x.pairs {
		source := shortName(d.Source)
		reason, silent := x.where.silent[source]
		switch {
		case slices.ContainsFunc(x.where.on, func(h *seenHost) bool { return h.Name == source }):
			out = append(out, d)
		case len(x.q.Pairs) == 0:
			continue // the VM is elsewhere, and the direction not one of its own
		case silent:
			x.didNot(AreaVM, whatCompared+" "+x.q.VM, d.String(), reason)
		default:
			x.absent(source)
		}
		named++
	}
	if named == 0 {
		x.didNot(AreaVM, whatCompared, x.q.VM, "no other host is there to compare with; name the destination as well")
	}
	return out
}

// nowhere: no host of those that were asked has the VM.
func (x *examination) nowhere() {
	if len(x.where.silent) > 0 || len(x.where.absent) == 0 {
		for _, h := range x.hosts {
			if reason, silent := x.where.silent[h.Name]; silent {
				x.didNot(AreaVM, "whether the host has VM "+x.q.VM, h.Name, reason)
			}
		}
		if len(x.hosts) == 0 {
			x.didNot(AreaVM, "which host has the VM", x.q.VM, "no host is known; name some")
		}
		return
	}
	x.absent(x.where.absent...)
}

// absent tells that hosts do not have the VM. After an event, which may be old, that
// is nothing wrong.
func (x *examination) absent(hosts ...string) {
	slices.Sort(hosts)
	list := strings.Join(hosts, ", ")
	if x.q.Origin != nil {
		reason := list + " does not have it now"
		if len(x.vm.Hosts) > 0 {
			reason += "; it is on " + strings.Join(x.vm.Hosts, ", ")
		}
		x.didNot(AreaVM, whatCompared, x.q.VM, reason)
		return
	}
	x.did(AreaVM, "which host has the VM", x.q.VM)
	f := fault.New(fault.VMNotFound, hosts[0], "vm", x.q.VM)
	x.tell(finding.Error, "VM "+x.q.VM, f, list+": no VM of this name or UUID", "their agents", func(n *finding.Finding) {
		if len(hosts) > 1 {
			n.Message = "none of " + list + " has VM " + x.q.VM
		} else {
			n.Host = hosts[0]
		}
	})
}

// compareTo makes findings of what the hosts say about one move.
func (x *examination) compareTo(ctx context.Context, d delegation.Direction, before []finding.Finding) {
	what := whatCompared + " " + x.q.VM
	ctx, cancel := context.WithTimeout(ctx, compareWait)
	defer cancel()
	m, err := x.Machines.Compare(ctx, x.q.VM, x.fullName(d.Source), d.Destination)
	if err != nil {
		x.didNot(AreaVM, what, d.String(), inWords(err))
		x.comparisonFailed(ctx, d, err, before)
		return
	}
	m.Source, m.Destination = shortName(d.Source), shortName(d.Destination)
	x.vm.Moves = append(x.vm.Moves, m)
	x.did(AreaVM, what, d.String())
	if m.Error != nil {
		x.didNot(AreaVM, what+", with the options that cure", d.String(), inWords(m.Error))
	}
	told := map[string]bool{}
	for round, c := range m.Comparisons {
		for _, i := range c.Incompatibilities {
			if told[string(i.Code)+i.Message] {
				continue
			}
			told[string(i.Code)+i.Message] = true
			if f := x.inTheWay(&m, i, round > 0); !said(before, f) {
				x.add(f)
			}
		}
	}
}

// inTheWay is the finding of one thing that a comparison names.
func (x *examination) inTheWay(m *Move, i record.Incompatibility, later bool) finding.Finding {
	e := i.Error
	if e == nil {
		e = fault.New(i.Code, i.Host)
	}
	object := "VM " + x.q.VM
	if i.Object != "" && !strings.HasPrefix(i.Object, "VM ") {
		object += ", " + i.Object
	}
	f := finding.New(finding.Error, object, e)
	f.Message, f.Host, f.Source, f.Destination = i.Message, i.Host, m.Source, m.Destination
	f.Evidence = fmt.Sprintf("%s says so when it is asked about a move of %s from %s to %s", i.Host, x.q.VM, m.Source, m.Destination)
	if later {
		f.Evidence += ", with the options that cure the rest"
	}
	f.ReadFrom, f.ReadAt = "the agent of "+i.Host, x.Now().UTC()
	if i.Option != "" {
		f.Fix = []finding.Command{{Tool: finding.Drover, Line: m.Command}}
		f.Effect = "for this move; the option is " + i.Option
	}
	return f
}

// silences are ends of a comparison that say nothing of the hosts or the VM.
var silences = []fault.Code{fault.Internal, fault.Deadline, fault.PeerGone, fault.ProtocolError, fault.ShuttingDown, fault.Cancelled, fault.AuthRequired, fault.Usage}

// comparisonFailed: the source's agent says why there can be no comparison, such as
// that the destination does not take the operator for one. Of somebody else than the
// operator in question it says nothing.
func (x *examination) comparisonFailed(ctx context.Context, d delegation.Direction, err error, before []finding.Finding) {
	var e *fault.Error
	if !errors.As(err, &e) || ctx.Err() != nil || slices.Contains(silences, e.Code) {
		return
	}
	if x.Caller != nil && !x.callerMoves() {
		return
	}
	f := finding.New(finding.Error, "VM "+x.q.VM, e)
	f.Host, f.Source, f.Destination = e.Host, shortName(d.Source), shortName(d.Destination)
	f.Evidence = fmt.Sprintf("%s says so when it is asked about a move of %s to %s", f.Source, x.q.VM, f.Destination)
	f.ReadFrom, f.ReadAt = "the agent of "+f.Source, x.Now().UTC()
	if !said(before, f) {
		x.add(f)
	}
}

// said: it is among the findings already, in the same words or of the same direction.
func said(fs []finding.Finding, f finding.Finding) bool {
	return slices.ContainsFunc(fs, func(g finding.Finding) bool {
		return g.Code == f.Code && (g.Message == f.Message || direction(g) == direction(f))
	})
}

// fullName is the name under which the agent of a host of the question is asked.
func (x *examination) fullName(name string) string {
	for _, h := range x.hosts {
		if h.Name == shortName(name) {
			return reachable(h)
		}
	}
	return name
}
