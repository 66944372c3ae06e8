package delegation

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"drover/internal/directory"
	"drover/internal/fault"
)

// surveyGroup looks whether the group that the plan makes is there already, from an
// earlier run that did not end. Then it must be at its place with no other members
// than planned, and only those that lack are added.
func (a *applier) surveyGroup(ctx context.Context, t *target) error {
	g := t.create
	found, err := a.d.Groups(ctx, g.Name, g.DN)
	if err != nil {
		return err
	}
	if len(found) == 0 {
		t.work = true
		return nil
	}
	have := found[0]
	stale := func(attribute, reason string) error {
		return fault.Wrap(errors.New(reason), fault.PlanStale, "", "attribute", attribute, "object", have.DN)
	}
	if len(found) > 1 || !strings.EqualFold(have.DN, g.DN) || !strings.EqualFold(have.Name, g.Name) {
		return stale(attributeName, fmt.Sprintf("there is a group %s by now", have.Name))
	}
	for _, m := range have.Members {
		if !containsFold(g.Members, m) {
			return stale(directory.AttributeMember, "the group is there by now, and has the member "+m)
		}
	}
	if a.setting.group, err = sid(have); err != nil {
		return failed(have.DN, "objectSid", err)
	}
	lacking := slices.DeleteFunc(slices.Clone(g.Members), func(m string) bool { return containsFold(have.Members, m) })
	if len(lacking) == 0 {
		return nil
	}
	t.create = nil
	t.changes = []Change{{DN: have.DN, Account: g.Name, Attribute: directory.AttributeMember, Add: lacking}}
	if t.entry, err = a.read(ctx, t); err != nil {
		return err
	}
	t.changes[0].Before = Digest(t.entry.Attributes[directory.AttributeMember])
	t.work = true
	return nil
}

func containsFold(list []string, s string) bool {
	return slices.ContainsFunc(list, func(v string) bool { return strings.EqualFold(v, s) })
}

// createGroup makes the group and learns its SID.
func (a *applier) createGroup(ctx context.Context, t *target) error {
	g := *t.create
	if err := a.d.AddGroup(ctx, g); err != nil {
		return err
	}
	found, err := a.d.Groups(ctx, g.DN)
	if err != nil {
		return err
	}
	changed := func(reason string) error {
		return fault.New(fault.DirectoryChanged, "", "attribute", directory.AttributeMember, "object", g.DN, "reason", reason)
	}
	if len(found) != 1 {
		return changed("the group is not there after it was made")
	}
	for _, m := range g.Members {
		if !containsFold(found[0].Members, m) {
			return changed("the new group does not have the member " + m)
		}
	}
	if len(found[0].Members) != len(g.Members) {
		return changed("the new group has members that it was not given")
	}
	a.setting.group, err = sid(found[0])
	return err
}

// firstOwnRID is the least relative identifier of objects that an administrator
// made; those below are the domain's own (MS-DTYP 2.4.2.4).
const firstOwnRID = 1000

// ofDomain says that a group came with the domain, such as Domain Admins. Whoever is
// in one has rights that have nothing to do with delegation.
func ofDomain(g directory.Group) bool {
	rid, err := strconv.Atoi(g.SID[strings.LastIndexByte(g.SID, '-')+1:])
	return err != nil || rid < firstOwnRID
}

// surveyMembers refuses to change the members of what is no group of hosts. The
// plan's intent names the group, and is in the same file that somebody may have
// edited.
func (a *applier) surveyMembers(ctx context.Context, t *target) error {
	if !slices.ContainsFunc(t.changes, func(c Change) bool { return c.Attribute == directory.AttributeMember }) {
		return nil
	}
	found, err := a.d.Groups(ctx, t.result.DN)
	if err != nil {
		return err
	}
	if len(found) != 1 || ofDomain(found[0]) {
		return fault.Wrap(errors.New("it is no group that somebody made for hosts"), fault.PlanStale, "", "attribute", "objectSid", "object", t.result.DN)
	}
	return nil
}

// surveyRemoval makes sure that what a rollback removes is a group that somebody
// made, with the members that the plan saw.
func (a *applier) surveyRemoval(ctx context.Context, t *target) error {
	c := t.changes[0]
	e, err := a.read(ctx, t)
	if fault.Is(err, fault.DirectoryObjectGone) {
		return nil
	}
	if err != nil {
		return err
	}
	stale := func(attribute, reason string) error {
		return fault.Wrap(errors.New(reason), fault.PlanStale, "", "attribute", attribute, "object", c.DN)
	}
	found, err := a.d.Groups(ctx, c.DN)
	if err != nil {
		return err
	}
	if len(found) != 1 {
		return stale("objectClass", "it is no group")
	}
	if ofDomain(found[0]) {
		return stale("objectSid", "it is a group of the domain's own")
	}
	if Digest(e.Attributes[directory.AttributeMember]) != c.Before {
		return stale(directory.AttributeMember, "it has other members")
	}
	t.entry, t.work = e, true
	return nil
}
