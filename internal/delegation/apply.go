package delegation

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"drover/internal/directory"
	"drover/internal/directory/secdesc"
	"drover/internal/fault"
)

// Apply carries a plan out: it reads every object again, writes the baseline, and
// then changes object by object, each in one request that adds and deletes
// values. An object that changed since the plan (plan-stale) or that cannot be
// changed is left as it is, and the others go on; when the controller goes away,
// the rest is NotTried, and so is what needs a group that could not be made. After
// each change the object is read back and compared. A change that is there already
// is Unchanged, so that Apply may be repeated.
//
// The Result tells about every object, also with an error: plan-partly-applied,
// plan-other-domain, plan-malformed, baseline-not-written. It is nil when the
// controller could not even be asked who it is.
func Apply(ctx context.Context, d Directory, p *Plan, o ApplyOptions) (*Result, error) {
	if err := p.checked(); err != nil {
		return nil, err
	}
	root, err := d.Root(ctx)
	if err != nil {
		return nil, err
	}
	a := &applier{d: d, p: p, o: o, root: root, setting: p.setting(root.Kind)}
	a.list()
	if root.DomainSID != p.SID {
		return a.result(), fault.New(fault.PlanOtherDomain, "", "domain", p.Domain, "want", p.SID, "server", root.Server,
			"have", fmt.Sprintf("%s (%s)", root.Domain, root.DomainSID))
	}
	a.survey(ctx)
	if err := a.writable(ctx); err != nil {
		return a.result(), err
	}
	if a.gone == nil && slices.ContainsFunc(a.targets, func(t *target) bool { return t.work }) {
		if err := a.baseline(); err != nil {
			return a.result(), err
		}
		for _, t := range a.targets {
			a.write(ctx, t)
		}
	}
	return a.result(), a.verdict()
}

// target is one object of the plan.
type target struct {
	changes []Change
	create  *directory.NewGroup // in place of changes
	entry   directory.Entry     // as it was read before anything was written
	work    bool                // something has to be written
	result  ObjectResult        // without Outcome while it is not decided
}

// needsGroup says that a change waits for the group that the plan makes.
func (t *target) needsGroup() bool {
	return slices.ContainsFunc(t.changes, func(c Change) bool { return slices.Contains(c.Add, GroupTrustee) })
}

// attributeWritable lists what the caller may write of an object (MS-ADTS
// 3.1.1.4.5.22).
const attributeWritable = "allowedAttributesEffective"

// writable refuses, before anything is written, what Samba's controllers do not take
// over the network: without descriptors a new group would be of no use.
func (a *applier) writable(ctx context.Context) error {
	if a.gone != nil || a.root.Kind != directory.Samba || a.root.Local {
		return nil
	}
	for _, t := range a.targets {
		if !t.work || !slices.ContainsFunc(t.changes, func(c Change) bool { return c.Attribute == directory.AttributeActOnBehalf }) {
			continue
		}
		e, err := a.d.Read(ctx, t.result.DN, attributeWritable)
		if err != nil || containsFold(e.Strings(attributeWritable), directory.AttributeActOnBehalf) {
			return err
		}
		return fault.New(fault.DelegationModel, a.root.Server, "server", a.root.Server, "model", cmp.Or(string(a.p.Intent.Model), string(ResourceBased)),
			"reason", "Samba lets nobody change "+directory.AttributeActOnBehalf+" over the network")
	}
	return nil
}

func (t *target) removal() bool { return t.create == nil && t.changes[0].Attribute == "" }

type applier struct {
	d       Directory
	p       *Plan
	o       ApplyOptions
	root    directory.Root
	usn     int64
	setting setting
	targets []*target
	// gone is why nothing more is tried: the controller does not answer, or the
	// caller gave up.
	gone error
	// noGroup is why there is no group.
	noGroup *fault.Problem
	first   error // the first failure, the cause of plan-partly-applied
}

func (a *applier) list() {
	if g := a.p.NewGroup; g != nil {
		a.targets = append(a.targets, &target{create: g, result: ObjectResult{DN: g.DN, Account: g.Name}})
	}
	for _, changes := range a.p.byObject() {
		a.targets = append(a.targets, &target{changes: changes, result: ObjectResult{DN: changes[0].DN, Account: changes[0].Account}})
	}
}

// decide notes how an object fared and reports it.
func (a *applier) decide(ctx context.Context, t *target, outcome Outcome, err error) {
	t.result.Outcome, t.work = outcome, false
	if err != nil {
		t.result.Outcome, t.result.Error = Failed, fault.ToProblem(err)
		if a.first == nil {
			a.first = err
		}
		if fault.Is(err, fault.DirectoryUnreachable) || ctx.Err() != nil {
			a.gone = err
		}
		if t.create != nil {
			a.noGroup = t.result.Error
		}
	}
	if a.o.Report != nil {
		a.o.Report(t.result)
	}
}

// survey reads every object and finds out what is to be done to it.
func (a *applier) survey(ctx context.Context) {
	if a.usn, a.gone = a.d.HighestUSN(ctx); a.gone != nil {
		a.first = a.gone
		return
	}
	for _, t := range a.targets {
		if a.gone != nil {
			return
		}
		var err error
		switch {
		case t.create != nil:
			err = a.surveyGroup(ctx, t)
		case t.needsGroup() && a.noGroup != nil:
			continue
		case t.removal():
			err = a.surveyRemoval(ctx, t)
		default:
			err = a.surveyObject(ctx, t)
		}
		if err != nil {
			a.decide(ctx, t, Failed, err)
		} else if !t.work {
			a.decide(ctx, t, Unchanged, nil)
		}
	}
}

func (a *applier) surveyObject(ctx context.Context, t *target) (err error) {
	if t.entry, err = a.read(ctx, t); err != nil {
		return err
	}
	if err := a.surveyMembers(ctx, t); err != nil {
		return err
	}
	mods, pending, _, err := a.edits(t, t.entry)
	t.work = len(mods) > 0 || pending
	return err
}

// read reads what an object's changes are about, and makes sure that it is the
// account that the plan means: names can be given to other objects.
func (a *applier) read(ctx context.Context, t *target) (directory.Entry, error) {
	attributes := []string{attributeName}
	for _, c := range t.changes {
		attributes = append(attributes, c.read())
	}
	e, err := a.d.Read(ctx, t.result.DN, attributes...)
	if err != nil {
		return e, err
	}
	if got := strings.Join(e.Strings(attributeName), ", "); !strings.EqualFold(got, t.result.Account) {
		return e, fault.Wrap(fmt.Errorf("it is %q now", got), fault.PlanStale, "", "attribute", attributeName, "object", t.result.DN)
	}
	return e, nil
}

// edits works out all changes to an object as it is in e, for one request.
func (a *applier) edits(t *target, e directory.Entry) (mods []directory.Mod, pending bool, done func(directory.Entry) error, err error) {
	var checks []func(directory.Entry) error
	for _, c := range t.changes {
		edit, err := c.plan(e.Attributes[c.Attribute], a.setting)
		if err != nil {
			return nil, false, nil, err
		}
		mods, pending = append(mods, edit.mods...), pending || edit.pending
		if len(edit.mods) > 0 {
			checks = append(checks, func(after directory.Entry) error {
				if err := edit.done(after.Attributes[c.Attribute]); err != nil {
					return fault.Wrap(err, fault.DirectoryChanged, "", "attribute", c.Attribute, "object", c.DN, "reason", err.Error())
				}
				return nil
			})
		}
	}
	done = func(after directory.Entry) error {
		for _, check := range checks {
			if err := check(after); err != nil {
				return err
			}
		}
		return nil
	}
	return mods, pending, done, nil
}

var errNoBaseline = errors.New("nobody stores it")

// baseline hands out the old values of what is about to be changed.
func (a *applier) baseline() error {
	b := &Baseline{Time: time.Now().UTC(), Server: a.root.Server, BaseDN: a.root.BaseDN, SID: a.root.DomainSID, USN: a.usn}
	for _, t := range a.targets {
		switch {
		case !t.work || t.removal():
		case t.create != nil:
			b.Created = append(b.Created, t.create.DN)
		default:
			o := Object{DN: t.entry.DN, Account: t.result.Account, GUID: t.entry.GUID, USN: t.entry.USN, Attributes: map[string][][]byte{}}
			for _, c := range t.changes {
				o.Attributes[c.Attribute] = t.entry.Attributes[c.Attribute]
			}
			b.Objects = append(b.Objects, o)
		}
	}
	err := errNoBaseline
	if a.o.Baseline != nil {
		err = a.o.Baseline(b)
	}
	if err == nil || fault.Is(err, fault.BaselineNotWritten) {
		return err
	}
	return fault.Wrap(err, fault.BaselineNotWritten, "", "path", "the baseline's file")
}

// write carries out what the survey left to be done to one object.
func (a *applier) write(ctx context.Context, t *target) {
	if a.gone != nil || t.result.Outcome != "" {
		return
	}
	if err := ctx.Err(); err != nil {
		a.gone = err
		return
	}
	if t.needsGroup() && a.noGroup != nil {
		t.result.Error = a.noGroup
		return
	}
	outcome, err := Applied, error(nil)
	switch {
	case t.create != nil:
		err = a.createGroup(ctx, t)
	case t.removal():
		err = a.d.DeleteObject(ctx, t.result.DN)
	default:
		outcome, err = a.change(ctx, t)
	}
	a.decide(ctx, t, outcome, err)
}

// change writes one object and reads it back.
func (a *applier) change(ctx context.Context, t *target) (Outcome, error) {
	if err := a.still(ctx, t); err != nil {
		return Failed, err
	}
	mods, _, done, err := a.edits(t, t.entry)
	if err != nil {
		return Failed, err
	}
	if len(mods) == 0 {
		return Unchanged, nil
	}
	if err := a.d.Modify(ctx, t.result.DN, mods...); err != nil {
		return Failed, err
	}
	after, err := a.read(ctx, t)
	if err != nil {
		return Failed, err
	}
	return Applied, done(after)
}

// still reads an object once more where the change cannot assert what was there:
// Windows compares no security descriptors. It makes the time in which a change by
// somebody else would be lost as short as it can be made.
func (a *applier) still(ctx context.Context, t *target) error {
	const attribute = directory.AttributeActOnBehalf
	if a.setting.samba || !slices.ContainsFunc(t.changes, func(c Change) bool { return c.Attribute == attribute }) {
		return nil
	}
	e, err := a.read(ctx, t)
	if err != nil {
		return err
	}
	if Digest(e.Attributes[attribute]) != Digest(t.entry.Attributes[attribute]) {
		return fault.New(fault.DirectoryChanged, "", "attribute", attribute, "object", t.result.DN, "reason", "somebody changed it since the baseline was written")
	}
	return nil
}

// result tells about every object; what was not decided was not tried.
func (a *applier) result() *Result {
	r := &Result{Server: a.root.Server, Controllers: a.root.Controllers, Objects: []ObjectResult{}}
	for _, t := range a.targets {
		if t.result.Outcome == "" {
			t.result.Outcome = NotTried
			if t.needsGroup() && a.noGroup != nil {
				t.result.Error = a.noGroup
			}
			if a.o.Report != nil {
				a.o.Report(t.result)
			}
		}
		r.Objects = append(r.Objects, t.result)
	}
	return r
}

// verdict is nil when every object is as planned.
func (a *applier) verdict() error {
	count := map[Outcome]int{}
	for _, t := range a.targets {
		count[t.result.Outcome]++
	}
	if count[Failed]+count[NotTried] == 0 {
		return nil
	}
	cause := a.first
	if cause == nil {
		cause = a.gone
	}
	return fault.Wrap(cause, fault.PlanPartlyApplied, "",
		"done", fmt.Sprint(count[Applied]+count[Unchanged]), "total", fmt.Sprint(len(a.targets)),
		"failed", fmt.Sprint(count[Failed]), "left", fmt.Sprint(count[NotTried]), "baseline", "BASELINE")
}

// sid is a group's SID in the spelling of package secdesc.
func sid(g directory.Group) (secdesc.SID, error) {
	s := secdesc.SID(g.SID)
	_, err := s.Bytes()
	return s, err
}
