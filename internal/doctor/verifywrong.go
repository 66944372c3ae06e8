package doctor

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"drover/internal/delegation"
	"drover/internal/directory"
	"drover/internal/fault"
	"drover/internal/finding"
	"drover/internal/spn"
)

// wrongObjects looks for values that a source lacks on accounts that were mistaken
// for it: on a user's, or on another computer's of a similar name.
func (v *verification) wrongObjects(ctx context.Context) error {
	if v.plan.Intent.Model != delegation.Constrained || !slices.ContainsFunc(v.pairs, func(p *checkedPair) bool { return len(p.Missing) > 0 }) {
		return nil
	}
	accounts, err := v.dir.Accounts(ctx, directory.Query{Delegating: true})
	if err != nil {
		return err
	}
	for _, pair := range v.pairs {
		for _, a := range accounts {
			if v.dnIsHost(a.DN) {
				continue
			}
			var carried []string
			for _, value := range pair.Missing {
				if spn.Contains(a.DelegateTo, value) {
					carried = append(carried, value)
				}
			}
			if mistaken(a, pair.Source, carried) {
				pair.findings = append(pair.findings, v.wrongObject(a, pair.Direction, carried))
			}
		}
	}
	return nil
}

func (v *verification) dnIsHost(dn string) bool {
	return slices.ContainsFunc(v.plan.Hosts, func(h delegation.Host) bool { return h.DN == dn })
}

// mistaken says that an account carries what belongs to source. Other computers may
// have the right themselves, unless their names are alike; a user who may act at the
// service by which hosts are moved to is a mistake under any name.
func mistaken(a directory.Account, source string, carried []string) bool {
	if len(carried) == 0 {
		return false
	}
	if alike(a.ShortName(), source) {
		return true
	}
	return a.Class != directory.Computer &&
		slices.ContainsFunc(carried, func(v string) bool { return strings.EqualFold(spn.Class(spn.Plain(v)), spn.Migration) })
}

// alike says that one name contains the other, apart from case and punctuation.
func alike(a, b string) bool {
	a, b = letters(a), letters(b)
	return a != "" && b != "" && (strings.Contains(a, b) || strings.Contains(b, a))
}

func letters(s string) string {
	return strings.Map(func(r rune) rune {
		if strings.ContainsRune("-_. $", r) {
			return -1
		}
		return r
	}, strings.ToLower(s))
}

func (v *verification) wrongObject(a directory.Account, d delegation.Direction, carried []string) finding.Finding {
	f := finding.New(finding.Error, a.Name, fault.New(fault.DelegationWrongObject, "",
		"object", a.Name, "attribute", directory.AttributeDelegateTo, "values", strings.Join(carried, `", "`)))
	f.DN, f.Attribute, f.Values = a.DN, directory.AttributeDelegateTo, carried
	f.Source, f.Destination = d.Source, d.Destination
	f.Fix = v.takeAway(a, carried)
	return f
}

// takeAway are the commands that remove values from a list.
func (v *verification) takeAway(a directory.Account, values []string) []finding.Command {
	if v.dir.Kind() != directory.Samba {
		return []finding.Command{{Tool: finding.PowerShell, Line: fmt.Sprintf("Set-ADObject -Identity %s -Remove @{'%s'=%s}",
			powerShell(a.DN), directory.AttributeDelegateTo, powerShell(values...))}}
	}
	d := DelegationFacts{Server: v.plan.Server}
	var out []finding.Command
	for _, value := range values {
		out = append(out, finding.Command{Tool: finding.SambaTool, Line: d.sambaTool("del-service", a.Name, value)})
	}
	return out
}
