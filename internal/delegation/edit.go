package delegation

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"drover/internal/directory"
	"drover/internal/directory/secdesc"
	"drover/internal/fault"
)

// setting is what an edit depends on besides the change and what is there.
type setting struct {
	samba bool        // the controller takes the deletion of a security descriptor by its value
	exact bool        // a rollback: values that differ in case only are different values
	group secdesc.SID // stands for GroupTrustee; "" while there is no such group
}

func (p *Plan) setting(kind directory.Controller) setting {
	return setting{samba: kind == directory.Samba, exact: p.Rollback != ""}
}

// edit is what has to be written to carry one Change out, worked out from what is
// there. It has no mods when it is so already.
type edit struct {
	mods []directory.Mod
	// pending says that mods are not known before the group is there.
	pending bool
	// done says what is not as it was meant, given the values that are there after
	// the change.
	done func(after [][]byte) error
}

// plan works an edit out. Values that are there already or gone already are left
// out, so that a plan can be applied again. Faults: plan-stale, directory-failed.
//
// What is left is stale when the attribute has changed since the plan was made.
// All that is known of the attribute as it was is its Digest; so what it was is
// put together from what is there, for the case that the plan, or any part of it,
// has been carried out since: added values taken away and deleted ones put back.
// As the plan adds nothing that was there and deletes nothing that was not, that
// gives back the old values exactly, whichever part was carried out, and anything
// else when somebody changed more than that.
func (c Change) plan(now [][]byte, s setting) (edit, error) {
	var e edit
	var before [][]byte
	var err error
	switch c.Attribute {
	case directory.AttributeFlags:
		e, before, err = c.editFlags(now)
	case directory.AttributeActOnBehalf:
		e, err = c.editDescriptor(now, s)
		before = now
	default:
		e, before = c.editList(now, s)
	}
	if len(e.mods) == 0 && !e.pending && err == nil {
		return e, nil
	}
	if d := c.Before; d != Digest(now) && d != Digest(before) {
		return edit{}, fault.Wrap(err, fault.PlanStale, "", "attribute", c.read(), "object", c.DN)
	}
	return e, err
}

func (c Change) editList(now [][]byte, s setting) (e edit, before [][]byte) {
	same := func(v []byte, value string) bool { return strings.EqualFold(string(v), value) }
	if s.exact {
		same = func(v []byte, value string) bool { return string(v) == value }
	}
	has := func(list [][]byte, value string) bool {
		return slices.ContainsFunc(list, func(v []byte) bool { return same(v, value) })
	}
	var add, del [][]byte
	for _, value := range c.Delete {
		if contains(now, []byte(value)) {
			del = append(del, []byte(value))
		}
	}
	rest := without(now, func(v []byte) bool { return contains(del, v) })
	for _, value := range c.Add {
		if !has(rest, value) {
			add = append(add, []byte(value))
		}
	}
	// Deleted first: a value may be deleted and added with other letters' case.
	if len(del) > 0 {
		e.mods = append(e.mods, directory.Mod{Op: directory.Delete, Attribute: c.Attribute, Values: del})
	}
	if len(add) > 0 {
		e.mods = append(e.mods, directory.Mod{Op: directory.Add, Attribute: c.Attribute, Values: add})
	}
	before = without(now, func(v []byte) bool {
		return slices.ContainsFunc(c.Add, func(value string) bool { return same(v, value) })
	})
	for _, value := range c.Delete {
		if !contains(before, []byte(value)) {
			before = append(before, []byte(value))
		}
	}
	want := append(rest, add...)
	e.done = func(after [][]byte) error {
		for _, v := range want {
			if !has(after, string(v)) {
				return fmt.Errorf("it does not have %q after the change", v)
			}
		}
		for _, v := range del {
			if contains(after, v) {
				return fmt.Errorf("it still has %q after the change", v)
			}
		}
		return nil
	}
	return e, before
}

func contains(list [][]byte, value []byte) bool {
	return slices.ContainsFunc(list, func(v []byte) bool { return bytes.Equal(v, value) })
}

func without(list [][]byte, drop func([]byte) bool) [][]byte {
	return slices.DeleteFunc(slices.Clone(list), drop)
}

// parseFlags reads a value of userAccountControl, a signed 32-bit number (MS-ADTS
// 2.2.16), which some tools write without sign.
func parseFlags(values [][]byte) (uint32, error) {
	if len(values) != 1 {
		return 0, fmt.Errorf("it has %d values", len(values))
	}
	n, err := strconv.ParseInt(string(values[0]), 10, 64)
	if err != nil || n < -1<<31 || n > 1<<32-1 {
		return 0, fmt.Errorf("%q is not a 32-bit number", values[0])
	}
	return uint32(n), nil
}

func formatFlags(flags uint32) []byte { return strconv.AppendInt(nil, int64(int32(flags)), 10) }

// editFlags deletes the old value and adds the new one, so that the controller
// refuses when another flag was changed in between.
func (c Change) editFlags(now [][]byte) (e edit, before [][]byte, err error) {
	add, errAdd := FlagBits(c.Add...)
	del, errDel := FlagBits(c.Delete...)
	flags, errNow := parseFlags(now)
	for _, err := range []error{errAdd, errDel, errNow} {
		if err != nil {
			return edit{}, now, failed(c.DN, c.Attribute, err)
		}
	}
	if want := flags&^del | add; want != flags {
		e.mods = []directory.Mod{{Op: directory.Delete, Attribute: c.Attribute, Values: now},
			{Op: directory.Add, Attribute: c.Attribute, Values: [][]byte{formatFlags(want)}}}
	}
	e.done = func(after [][]byte) error {
		got, err := parseFlags(after)
		if err != nil {
			return err
		}
		if got&(add|del) != add {
			return fmt.Errorf("it is %s after the change", after[0])
		}
		return nil
	}
	return e, [][]byte{formatFlags(flags&^add | del)}, nil
}

// failed is for what the directory holds and nobody can read.
func failed(dn, attribute string, err error) error {
	return fault.Wrap(err, fault.DirectoryFailed, "", "server", "the controller", "object", dn, "reason", attribute+": "+err.Error())
}

// editDescriptor asserts the old descriptor by deleting it by its value where the
// controller takes that (Samba), and otherwise replaces it.
func (c Change) editDescriptor(now [][]byte, s setting) (e edit, err error) {
	var old []byte
	if len(now) > 0 {
		old = now[0]
	}
	want := c.Raw
	if c.Raw == nil && !c.Remove {
		if slices.Contains(c.Add, GroupTrustee) && s.group == "" {
			return edit{pending: true}, nil
		}
		if want, err = secdesc.Merge(old, c.sids(c.Add, s), c.sids(c.Delete, s)); err != nil {
			return edit{}, failed(c.DN, c.Attribute, err)
		}
	}
	mod := func(op directory.Op, values ...[]byte) directory.Mod {
		return directory.Mod{Op: op, Attribute: c.Attribute, Values: values}
	}
	switch {
	case bytes.Equal(old, want):
	case len(old) == 0:
		e.mods = []directory.Mod{mod(directory.Add, want)}
	case len(want) == 0 && s.samba:
		e.mods = []directory.Mod{mod(directory.Delete, old)}
	case len(want) == 0:
		e.mods = []directory.Mod{mod(directory.Delete)}
	case s.samba:
		e.mods = []directory.Mod{mod(directory.Delete, old), mod(directory.Add, want)}
	default:
		e.mods = []directory.Mod{mod(directory.Replace, want)}
	}
	e.done = func(after [][]byte) error { return sameDescriptor(want, after) }
	return e, nil
}

// sameDescriptor compares what was written with what was read. A controller may
// store a descriptor in another layout; then whom it lets act decides.
func sameDescriptor(want []byte, after [][]byte) error {
	var got []byte
	if len(after) > 0 {
		got = after[0]
	}
	if bytes.Equal(want, got) {
		return nil
	}
	wanted, err := secdesc.Trustees(want)
	if err != nil {
		return err
	}
	has, err := secdesc.Trustees(got)
	if err != nil {
		return err
	}
	slices.Sort(wanted)
	slices.Sort(has)
	if !slices.Equal(wanted, has) {
		return fmt.Errorf("it lets %v act after the change, and not %v", has, wanted)
	}
	return nil
}

func (c Change) sids(trustees []string, s setting) []secdesc.SID {
	var out []secdesc.SID
	for _, t := range trustees {
		if t == GroupTrustee {
			out = append(out, s.group)
		} else {
			out = append(out, secdesc.SID(t))
		}
	}
	return out
}
