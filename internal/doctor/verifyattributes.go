package doctor

import (
	"context"
	"errors"
	"slices"
	"strings"

	"drover/internal/delegation"
	"drover/internal/directory"
	"drover/internal/fault"
	"drover/internal/finding"
	"drover/internal/spn"
)

// verification is one run of Verify.
type verification struct {
	dir           VerifyDirectory
	plan          *delegation.Plan
	o             VerifyOptions
	hosts         map[string]delegation.Host
	operatorFails bool           // whatever the hosts' attributes are
	pairs         []*checkedPair // those that are wanted
}

// checkedPair is a direction with what its attributes show.
type checkedPair struct {
	delegation.Pair
	services []string // names under which the source may have to act at the destination
	findings []finding.Finding
}

func newVerification(d VerifyDirectory, p *delegation.Plan, o VerifyOptions) *verification {
	v := &verification{dir: d, plan: p, o: o, hosts: map[string]delegation.Host{}}
	for _, h := range p.Hosts {
		v.hosts[h.Name] = h
	}
	for _, pair := range p.Pairs {
		if pair.State != delegation.Unwanted {
			v.pairs = append(v.pairs, &checkedPair{Pair: pair, services: serviceNames(p.Intent.Services, v.hosts[pair.Destination])})
		}
	}
	return v
}

// serviceNames are the names of a destination's services, short and full.
func serviceNames(classes []string, h delegation.Host) []string {
	var out []string
	for _, class := range classes {
		out = append(out, spn.For(class, h.Name))
		if h.FQDN != "" {
			out = append(out, spn.For(class, h.FQDN))
		}
	}
	return out
}

func (v *verification) transition() bool { return slices.Contains(v.o.Methods, ByTransition) }

// operator looks at the operator's account and at what else concerns no single
// direction. fails says that no host can act for the operator.
func (v *verification) operator(ctx context.Context) (out []finding.Finding, fails bool, err error) {
	for _, f := range v.plan.Findings {
		if f.Severity == finding.Critical && f.Source == "" && f.Destination == "" {
			out = append(out, f)
		}
	}
	if v.o.Operator == "" {
		return out, false, nil
	}
	a, err := v.dir.Account(ctx, v.o.Operator)
	if errors.Is(err, directory.ErrNotFound) {
		if _, realm, found := strings.Cut(v.o.Operator, "@"); found && !strings.EqualFold(realm, v.plan.Domain) {
			return out, false, nil // of a trusted domain: the tickets will tell
		}
		return append(out, finding.New(finding.Error, v.o.Operator, fault.New(fault.OperatorUnknown, "", "operator", v.o.Operator))), true, nil
	}
	if err != nil {
		return nil, false, err
	}
	f := v.unusable(a)
	if f == nil {
		return out, false, nil
	}
	one := finding.New(finding.Error, a.Name, f)
	one.DN = a.DN
	if f.Code == fault.OperatorSensitive && !a.Protected {
		one.Attribute, one.Values = directory.AttributeFlags, []string{"NOT_DELEGATED"}
	}
	return append(out, one), true, nil
}

// unusable says why nobody can be delegated as this account, nil when that is not so.
func (v *verification) unusable(a directory.Account) *fault.Error {
	sensitive := func(reason string) *fault.Error {
		return fault.New(fault.OperatorSensitive, "", "operator", v.o.Operator, "reason", reason)
	}
	switch {
	case a.Disabled():
		return fault.New(fault.OperatorDisabled, "", "object", a.DN)
	case a.Sensitive():
		return sensitive(reasonSensitive)
	case a.Protected:
		return sensitive(reasonProtected)
	}
	return nil
}

// compare finds what the attributes of each direction lack.
func (v *verification) compare(ctx context.Context) error {
	for _, pair := range v.pairs {
		pair.findings = append(pair.findings, v.attributes(pair)...)
	}
	return v.wrongObjects(ctx)
}

func (v *verification) attributes(pair *checkedPair) []finding.Finding {
	source, destination := v.hosts[pair.Source], v.hosts[pair.Destination]
	out := delegation.PairFindings(v.plan, pair.Pair)
	for _, f := range v.plan.Findings {
		disabled := f.Code == fault.HostAccountDisabled && (f.DN == source.DN || f.DN == destination.DN)
		ofDestination := f.Source == "" && f.Destination == pair.Destination
		if (disabled || ofDestination) && f.Severity.Compare(finding.Error) >= 0 {
			out = append(out, f)
		}
	}
	if v.transition() {
		// Whatever the intent says of it: who asks for transition wants to know.
		p := *v.plan
		p.Intent.Protocol = delegation.AnyProtocol
		if f, found := delegation.TransitionFinding(&p, source); found {
			out = append(out, f)
		}
	}
	for i := range out {
		out[i].Source, out[i].Destination = pair.Source, pair.Destination
	}
	return out
}
