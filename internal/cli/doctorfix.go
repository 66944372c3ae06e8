package cli

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"drover/internal/delegation"
	"drover/internal/directory"
	"drover/internal/doctor"
	"drover/internal/enroll"
	"drover/internal/fault"
	"drover/internal/finding"
	"drover/internal/spn"
)

// repair is one change that --fix made, or failed to.
type repair struct {
	What  string         `json:"what"`
	Code  fault.Code     `json:"code" doc:"finding that it is for"`
	Error *fault.Problem `json:"error,omitempty"`
}

// step is a change that --fix can make. c is nil for those that need no directory.
type step struct {
	repair
	do func(ctx context.Context, c *directory.Conn) error
}

// treatment is all that --fix does about a report.
type treatment struct {
	directions []delegation.Direction // whose delegation is planned and applied together
	plan       *delegation.Plan       // for these; nil when there is nothing to change
	transition bool                   // the flag of protocol transition is among what lacks
	steps      []step
	rest       []doctor.Cause // for a person
}

// ofDelegation are findings that a plan of delegation cures, ofNames those that service
// names do.
var (
	ofDelegation = []fault.Code{fault.DelegationIncomplete, fault.DelegationShortOnly, fault.DelegationFullOnly, fault.DelegationMissing,
		fault.DelegationNoStorage, fault.TransitionMissing, fault.DelegationNoProtocol}
	ofNames = []fault.Code{fault.ServiceNameMissing, fault.ServiceNameMisplaced}
)

// treat sorts findings by what can be done about them from here. Consequences count,
// too: some need a change of their own.
func treat(p *program, r *doctor.Report) *treatment {
	t := &treatment{}
	for _, c := range r.Causes {
		treated := t.add(p, r, c)
		for _, f := range c.Consequences {
			treated = t.add(p, r, doctor.Cause{Finding: f}) || treated
		}
		if !treated {
			t.rest = append(t.rest, c)
		}
	}
	return t
}

// add says whether anything is done about a finding, be it for another one already.
func (t *treatment) add(p *program, r *doctor.Report, c doctor.Cause) (treated bool) {
	switch {
	case c.Code == fault.TransitionMissing && c.Severity.Compare(finding.Error) < 0:
		// Kerberos only, which may be meant so: to let hosts do more a person decides.
	case slices.Contains(ofDelegation, c.Code):
		t.transition = t.transition || c.Code == fault.TransitionMissing
		for _, d := range directionsOf(r, c) {
			if unknownEnd(r, d) {
				continue
			}
			treated = true
			if !slices.Contains(t.directions, d) {
				t.directions = append(t.directions, d)
			}
		}
	case slices.Contains(ofNames, c.Code):
		treated = t.addNames(c.Finding)
	default:
		for _, words := range settingLines(c.Fix) {
			treated = true
			what := repair{What: "drover " + strings.Join(words, " "), Code: c.Code}
			t.addStep(step{what, func(ctx context.Context, _ *directory.Conn) error { return p.quietly(ctx, words) }})
		}
	}
	return treated
}

// unknownEnd says that the directory does not have a host of a direction, for which
// nothing can be planned.
func unknownEnd(r *doctor.Report, d delegation.Direction) bool {
	return slices.ContainsFunc(r.Findings(), func(f finding.Finding) bool {
		return f.Code == fault.HostNotInDirectory && (sameHost(f.Object, d.Source) || sameHost(f.Object, d.Destination))
	})
}

// sameHost compares names of which one may be full.
func sameHost(a, b string) bool {
	a, _, _ = strings.Cut(strings.TrimSuffix(a, "$"), ".")
	b, _, _ = strings.Cut(strings.TrimSuffix(b, "$"), ".")
	return strings.EqualFold(a, b)
}

func (t *treatment) addStep(s step) {
	if !slices.ContainsFunc(t.steps, func(o step) bool { return o.What == s.What }) {
		t.steps = append(t.steps, s)
	}
}

// addNames adds the names to the account of the host, after taking them from the one
// where they do not belong.
func (t *treatment) addNames(f finding.Finding) (treated bool) {
	names, owner := spn.PlainList(f.Values), f.Object
	if len(names) == 0 {
		return false
	}
	change := func(account string, plan func(context.Context, *directory.Conn, directory.Account) (*enroll.Change, error)) func(context.Context, *directory.Conn) error {
		return func(ctx context.Context, c *directory.Conn) error {
			a, err := enroll.Account(ctx, c, account)
			if err != nil {
				return err
			}
			ch, err := plan(ctx, c, a)
			if err != nil {
				return err
			}
			return enroll.Apply(ctx, c, ch)
		}
	}
	if f.Code == fault.ServiceNameMisplaced {
		owner = f.Destination
		t.addStep(step{repair{What: fmt.Sprintf("%s: delete service names %s", f.Object, strings.Join(names, ", ")), Code: f.Code},
			change(f.Object, func(ctx context.Context, c *directory.Conn, a directory.Account) (*enroll.Change, error) {
				return enroll.PlanDelete(ctx, c, a, names)
			})})
	}
	t.addStep(step{repair{What: fmt.Sprintf("%s: add service names %s", owner, strings.Join(names, ", ")), Code: f.Code},
		change(owner, func(ctx context.Context, c *directory.Conn, a directory.Account) (*enroll.Change, error) {
			return planAdd(ctx, c, a, names)
		})})
	return true
}

// settingLines are the commands of a fix that set something on a host, as words.
func settingLines(fix []finding.Command) (out [][]string) {
	for _, c := range fix {
		words := strings.Fields(c.Line)
		if c.Tool == finding.Drover && len(words) > 3 && slices.Equal(words[:3], []string{"drover", "host", "set"}) && !strings.ContainsAny(c.Line, `'"\`) {
			out = append(out, words[1:])
		}
	}
	return out
}

// quietly carries out another command line and drops what it prints.
func (p *program) quietly(ctx context.Context, words []string) error {
	q := *p
	q.stdout, q.out, q.started = io.Discard, jsonForm, false
	return q.execute(ctx, words)
}

// cure shows the report, makes what changes it can, and looks again.
func (p *program) cure(ctx context.Context, o doctorOptions, q doctor.Question, r doctor.Report) error {
	t := treat(p, &r)
	if p.out == table {
		if err := printReport(p.stdout, &r, p.textWidth()); err != nil {
			return err
		}
	}
	var fixes []repair
	work := func(c *directory.Conn) (err error) {
		fixes, err = p.treatWith(ctx, c, o, t)
		return err
	}
	var err error
	if t.needsDirectory() {
		err = p.withDirectory(ctx, o.directory, work)
	} else {
		err = work(nil)
	}
	if err != nil {
		return err
	}
	if len(fixes) == 0 {
		if p.out == table && o.report == "" {
			return severityStatus(r.Worst())
		}
		return p.showReport(r, nil, o.page)
	}
	p.screen.line("looking again")
	after, err := p.examine(ctx, o.directory, q)
	if err != nil {
		return err
	}
	if p.out == table {
		_, _ = fmt.Fprintln(p.stdout, "\nAfter the changes:")
	}
	return p.showReport(after, fixes, o.page)
}

func (t *treatment) needsDirectory() bool {
	return len(t.directions) > 0 || slices.ContainsFunc(t.steps, func(s step) bool { return slices.Contains(ofNames, s.Code) })
}

// treatWith plans what needs a plan, shows all changes, asks, and makes them. One that
// fails does not stop the others.
func (p *program) treatWith(ctx context.Context, c *directory.Conn, o doctorOptions, t *treatment) ([]repair, error) {
	failed, err := t.planWith(ctx, func() (*delegation.Plan, error) { return p.planFor(ctx, c, t.intent()) })
	if err != nil {
		return nil, err
	}
	for _, f := range failed {
		p.tellRepair(f)
	}
	if p.out == table {
		if err := t.show(p.stdout); err != nil {
			return nil, err
		}
	}
	n := len(t.steps)
	if t.plan != nil {
		n += changedObjects(t.plan)
	}
	if n == 0 {
		return failed, nil
	}
	if err := p.asker.confirm(ctx, o.yes, fmt.Sprintf("Make %s?", count(n, "change"))); err != nil {
		return nil, err
	}
	made, err := p.apply(ctx, c, o, t)
	return append(failed, made...), err
}

// planWith plans the directions. That this fails is a repair that failed, and no reason
// to leave out the others.
func (t *treatment) planWith(ctx context.Context, plan func() (*delegation.Plan, error)) (failed []repair, err error) {
	if len(t.directions) == 0 {
		return nil, nil
	}
	t.plan, err = plan()
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if err != nil {
		t.plan = nil
		return []repair{{What: "plan delegation", Code: fault.DelegationIncomplete, Error: fault.ToProblem(err)}}, nil
	}
	if t.plan.Empty() {
		t.plan = nil
	}
	return nil, nil
}

// intent is what is planned: the directions, and the flag of protocol transition only
// where its lack was found.
func (t *treatment) intent() delegation.Intent {
	in := delegation.Intent{OneWay: t.directions, Protocol: delegation.KerberosOnly}
	if t.transition {
		in.Protocol = delegation.AnyProtocol
	}
	return in
}

// planFor plans the delegation of directions as the printed command does.
func (p *program) planFor(ctx context.Context, c *directory.Conn, in delegation.Intent) (*delegation.Plan, error) {
	in, err := in.WithDefaults()
	if err != nil {
		return nil, err
	}
	var names []string
	for _, d := range in.OneWay {
		names = append(names, d.Source, d.Destination)
	}
	slices.Sort(names)
	s, err := delegation.Load(ctx, c, delegation.Selection{Names: slices.Compact(names)}, in, p.now())
	if err != nil {
		return nil, err
	}
	return delegation.NewPlan(in, s)
}

// show tells what would be changed, and what is left to a person.
func (t *treatment) show(w io.Writer) error {
	var b strings.Builder
	if t.plan != nil {
		if err := printChanges(&b, t.plan); err != nil {
			return err
		}
		if err := printTwinNote(&b, t.plan); err != nil {
			return err
		}
	}
	if len(t.steps) > 0 {
		b.WriteString("\nFurther changes:\n")
		for _, s := range t.steps {
			fmt.Fprintf(&b, "  %s\n", clean(s.What))
		}
	}
	if len(t.rest) > 0 {
		b.WriteString("\nLeft to a person:\n")
		for _, c := range t.rest {
			fmt.Fprintf(&b, "  %s (%s)\n", clean(c.Message), c.Code)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// apply makes the changes.
func (p *program) apply(ctx context.Context, c *directory.Conn, o doctorOptions, t *treatment) (out []repair, err error) {
	for _, s := range t.steps {
		err := s.do(ctx, c)
		if ctx.Err() != nil {
			return out, context.Cause(ctx)
		}
		s.Error = fault.ToProblem(err)
		p.tellRepair(s.repair)
		out = append(out, s.repair)
	}
	if t.plan == nil {
		return out, nil
	}
	result, err := p.applyPlan(ctx, c, t.plan, o.saveTo)
	if result == nil {
		return out, err
	}
	for _, r := range result.Objects {
		out = append(out, repair{What: r.Account + ": delegation " + string(r.Outcome), Code: fault.DelegationIncomplete, Error: r.Error})
	}
	if result.Baseline != "" {
		p.screen.line("go back with: drover delegation rollback %s", result.Baseline)
	}
	if len(result.Objects) == 0 {
		return out, err
	}
	return out, nil
}

func (p *program) tellRepair(f repair) {
	if f.Error != nil {
		p.screen.line("failed     %s: %s", f.What, f.Error.Detail)
		return
	}
	p.screen.line("done       %s", f.What)
}
