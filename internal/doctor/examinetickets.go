package doctor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"drover/internal/delegation"
	"drover/internal/fault"
	"drover/internal/finding"
)

var errNoProber = errors.New("there is no way to act as a host from here")

// rehearse makes the real exchanges for tickets, for every direction.
func (x *examination) rehearse(ctx context.Context) {
	const what = "tickets in the operator's name"
	switch {
	case x.snap == nil:
		x.didNot(AreaDirectory, what, "", "the directory was not read")
		return
	case len(x.pairs) == 0:
		x.didNot(AreaDirectory, what, "", "one host has no direction by itself; name another one besides")
		return
	case x.plan == nil:
		x.didNot(AreaDirectory, what, "", "the directory lacks one end of each direction")
		return
	case len(x.plan.Hosts) > rehearsed:
		x.didNot(AreaDirectory, what, "", fmt.Sprintf("there are more than %d hosts; `drover delegation verify` tries each direction", rehearsed))
		return
	case x.Source == nil || x.operator() == "":
		x.didNot(AreaDirectory, what, "", errNoProber.Error())
		return
	}
	methods := x.methods()
	if len(methods) == 0 {
		x.didNot(AreaDirectory, what, "", "the hosts act for whoever has signed in to them by Kerberos, and "+x.operator()+" has not")
		return
	}
	m, err := Verify(ctx, x.dir, x.plan, VerifyOptions{Operator: x.operator(), Methods: methods, Source: x.proberOf})
	if err != nil {
		x.didNot(AreaDirectory, what, "", inWords(err))
		return
	}
	before := slices.Clone(x.found) // what the rehearsal finds in one direction says nothing of others
	for _, p := range m.Pairs {
		if x.vm != nil && !slices.ContainsFunc(x.pairs, func(d delegation.Direction) bool {
			return sameHostName(d.Source, p.Source) && sameHostName(d.Destination, p.Destination)
		}) {
			continue // not from where the VM is
		}
		x.rehearsedPair(what, p, before)
	}
}

// proberOf is Source, but for hosts of which it is known already that nobody answers.
func (x *examination) proberOf(ctx context.Context, h delegation.Host) (Prober, error) {
	for _, seen := range x.hosts {
		if seen.Name == h.Name {
			if err := seen.deaf(); err != nil {
				return nil, err
			}
		}
	}
	return x.Source(ctx, h)
}

// rehearsedPair takes over what real tickets show. What lacks in the attributes the
// audit has told.
func (x *examination) rehearsedPair(what string, p PairResult, before []finding.Finding) {
	tried := true
	for _, f := range p.Findings {
		if f.Code == fault.NotChecked {
			tried = false
			x.didNot(AreaDirectory, what, p.Direction.String(), strings.TrimSpace(f.Message[strings.LastIndex(f.Message, ": ")+1:]))
			continue
		}
		if !told(before, f) {
			f.ReadFrom, f.ReadAt = "the domain controller, by real requests", x.Now().UTC()
			if f.Host == "" && sameHostName(f.Object, f.Source) {
				f.Host = shortName(f.Source) // stays when directions are put together
			}
			x.add(f)
		}
	}
	if tried {
		x.did(AreaDirectory, what, p.Direction.String())
	}
}
