package delegation

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"drover/internal/directory"
	"drover/internal/directory/secdesc"
	"drover/internal/fault"
)

const maxPlan = 256 << 20 // bytes of a plan's JSON form

// ReadPlan reads a plan's JSON form. A plan is a file that people pass on and may
// edit, so everything that it would write is checked: only the attributes of
// delegation, of the flags only TRUSTED_TO_AUTH_FOR_DELEGATION and NOT_DELEGATED,
// whole values only in a rollback. Faults: plan-malformed.
func ReadPlan(r io.Reader) (*Plan, error) {
	p, err := readPlan(r)
	if err != nil {
		return nil, fault.Wrap(err, fault.PlanMalformed, "", "name", nameOf(r), "reason", err.Error())
	}
	return p, nil
}

func readPlan(r io.Reader) (*Plan, error) {
	limited := &io.LimitedReader{R: r, N: maxPlan + 1}
	d := json.NewDecoder(limited)
	d.DisallowUnknownFields()
	var p *Plan
	if err := d.Decode(&p); err != nil {
		if limited.N <= 0 {
			return nil, fmt.Errorf("it has more than %d MiB", maxPlan>>20)
		}
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something follows after it")
	}
	if p == nil {
		return nil, errors.New("it is null")
	}
	return p, p.check()
}

// checked is check with its code, for plans that did not come from a file.
func (p *Plan) checked() error {
	if err := p.check(); err != nil {
		return fault.Wrap(err, fault.PlanMalformed, "", "name", "the plan", "reason", err.Error())
	}
	return nil
}

func (p *Plan) check() error {
	if p.Format != PlanFormat {
		return fmt.Errorf("its format (drover_plan) is %d, this program knows %d", p.Format, PlanFormat)
	}
	if _, err := secdesc.SID(p.SID).Bytes(); err != nil {
		return fmt.Errorf("domain_sid: %w", err)
	}
	if err := checkText(p.Server, p.Domain, p.BaseDN); err != nil {
		return err
	}
	if err := p.checkGroup(); err != nil {
		return err
	}
	seen := map[[2]string]bool{}
	for i, c := range p.Changes {
		key := [2]string{strings.ToLower(c.DN), c.Attribute}
		if seen[key] {
			return fmt.Errorf("change %d: %s of %s is changed twice", i+1, c.Attribute, c.DN)
		}
		seen[key] = true
		if err := p.checkChange(c); err != nil {
			return fmt.Errorf("change %d, %s of %s: %w", i+1, c.Attribute, c.DN, err)
		}
	}
	for _, c := range p.Changes {
		if seen[[2]string{strings.ToLower(c.DN), ""}] && c.Attribute != "" {
			return fmt.Errorf("%s is both removed and changed", c.DN)
		}
	}
	return nil
}

// checkText refuses what is empty and what could leave its place in a script.
func checkText(values ...string) error {
	for _, v := range values {
		if v == "" || !utf8.ValidString(v) || strings.ContainsFunc(v, unicode.IsControl) {
			return fmt.Errorf("%q is no name or value", v)
		}
	}
	return nil
}

func (p *Plan) checkGroup() error {
	g := p.NewGroup
	if g == nil {
		return nil
	}
	if p.Rollback != "" || p.Intent.Model != GroupBased || !strings.EqualFold(g.Name, p.Intent.group()) {
		return errors.New("it creates a group that its intent does not ask for")
	}
	if g.Description != "" {
		if err := checkText(g.Description); err != nil {
			return err
		}
	}
	return checkText(append([]string{g.DN, g.Name}, g.Members...)...)
}

// group is the name of the group that the intent is about.
func (in Intent) group() string {
	if in.Group == "" {
		return DefaultGroup
	}
	return in.Group
}

func (p *Plan) checkChange(c Change) error {
	if err := checkText(c.DN, c.Account); err != nil {
		return err
	}
	if err := checkText(slices.Concat(c.Add, c.Delete, c.Note)...); err != nil {
		return err
	}
	if err := checkValues(c); err != nil {
		return err
	}
	if sum, found := strings.CutPrefix(c.Before, "sha256:"); !found || len(sum) != 64 {
		return errors.New("\"before\" is missing")
	} else if _, err := hex.DecodeString(sum); err != nil {
		return fmt.Errorf("before: %w", err)
	}
	whole := c.Raw != nil || c.Remove
	switch {
	case whole && p.Rollback == "":
		return errors.New("only a rollback puts back whole values")
	case whole && (len(c.Add)+len(c.Delete) > 0 || c.Raw != nil && c.Remove):
		return errors.New("a whole value and single ones, or its removal")
	case whole && c.Attribute != directory.AttributeActOnBehalf && !(c.Attribute == "" && c.Remove):
		return errors.New("this attribute is changed value by value only")
	case !whole && len(c.Add)+len(c.Delete) == 0:
		return errors.New("it changes nothing")
	}
	return p.checkAttribute(c)
}

// checkValues refuses values that are there twice, or both added and deleted.
func checkValues(c Change) error {
	seen := map[string]bool{}
	for _, v := range slices.Concat(c.Add, c.Delete) {
		if seen[v] {
			return fmt.Errorf("%q is in it twice", v)
		}
		seen[v] = true
	}
	return nil
}

func (p *Plan) checkAttribute(c Change) error {
	switch c.Attribute {
	case "", directory.AttributeDelegateTo:
		return nil
	case directory.AttributeFlags:
		return checkFlags(c)
	case directory.AttributeActOnBehalf:
		return p.checkTrustees(c)
	case directory.AttributeMember:
		// That the group is none of the domain's own is for applying it to see.
		if p.Intent.Model != GroupBased || !strings.EqualFold(c.Account, p.Intent.group()) {
			return fmt.Errorf("%s is not the group of the plan's intent", c.Account)
		}
		return nil
	}
	return errors.New("plans do not change this attribute")
}

// delegationFlags may be set and cleared; TRUSTED_FOR_DELEGATION, which lets an
// account act for everybody towards everything, may be cleared only.
const delegationFlags = directory.FlagTrustedToAuth | directory.FlagNotDelegated

func checkFlags(c Change) error {
	add, err := FlagBits(c.Add...)
	if err != nil {
		return err
	}
	del, err := FlagBits(c.Delete...)
	if err != nil {
		return err
	}
	if bad := add &^ delegationFlags; bad != 0 {
		return fmt.Errorf("a plan does not set %v", FlagNames(bad))
	}
	if bad := del &^ (delegationFlags | directory.FlagTrustedForAny); bad != 0 {
		return fmt.Errorf("a plan does not clear %v", FlagNames(bad))
	}
	return nil
}

func (p *Plan) checkTrustees(c Change) error {
	if c.Raw != nil {
		_, err := secdesc.Parse(c.Raw)
		return err
	}
	for i, t := range slices.Concat(c.Add, c.Delete) {
		if t == GroupTrustee && i < len(c.Add) && p.NewGroup != nil {
			continue
		}
		if _, err := secdesc.SID(t).Bytes(); err != nil {
			return err
		}
	}
	return nil
}
