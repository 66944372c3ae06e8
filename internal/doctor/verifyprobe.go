package doctor

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"drover/internal/delegation"
	"drover/internal/directory"
	"drover/internal/fault"
	"drover/internal/finding"
	"drover/internal/spn"
)

// row is what was tried as one source. err is why not everything was.
type row struct {
	attempts []Attempt
	err      error
	// broken: err is about the source itself, which therefore can act for nobody.
	broken bool
}

// probe tries all sources, some at a time, and returns when all are done.
func (v *verification) probe(ctx context.Context) map[string]row {
	services := map[string][]string{}
	var sources []string
	for _, pair := range v.pairs {
		if _, seen := services[pair.Source]; !seen {
			sources = append(sources, pair.Source)
		}
		services[pair.Source] = append(services[pair.Source], pair.services...)
	}
	rows := map[string]row{}
	var mu sync.Mutex
	var wg sync.WaitGroup
	slots := make(chan struct{}, sourcesAtOnce)
	for _, source := range sources {
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			r := v.probeSource(ctx, v.hosts[source], services[source])
			mu.Lock()
			defer mu.Unlock()
			rows[source] = r
		})
	}
	wg.Wait()
	return rows
}

func (v *verification) probeSource(ctx context.Context, h delegation.Host, services []string) (r row) {
	if v.o.Source == nil || len(v.o.Methods) == 0 {
		return row{err: fmt.Errorf("tickets were not asked for")}
	}
	ctx, cancel := context.WithTimeoutCause(ctx, sourceTimeout, fmt.Errorf("not done within %s", sourceTimeout))
	defer cancel()
	p, err := v.o.Source(ctx, h)
	if err != nil {
		return row{err: err}
	}
	for _, method := range v.o.Methods {
		for some := range slices.Chunk(services, MaxProbe) {
			attempts, err := p.Probe(ctx, v.o.Operator, method, some)
			r.attempts = append(r.attempts, attempts...)
			if err != nil {
				r.err, r.broken = err, isBroken(err)
				return r
			}
		}
	}
	return r
}

// isBroken says that an error is a verdict on the source: with such an account or
// key it cannot act for anybody, whoever tries.
func isBroken(err error) bool {
	return slices.ContainsFunc([]fault.Code{fault.KeytabStale, fault.AgentNoKeytab, fault.HostAccountDisabled},
		func(c fault.Code) bool { return fault.Is(err, c) })
}

// judge puts together what is known of a direction.
func (v *verification) judge(pair *checkedPair, r row) PairResult {
	out := PairResult{Direction: pair.Direction, State: Passed, Attempts: []Attempt{}, Findings: pair.findings}
	wrong := v.operatorFails
	tried := map[string]bool{}
	for _, a := range r.attempts {
		if !slices.ContainsFunc(pair.services, func(s string) bool { return spn.Equal(s, a.Service) }) {
			continue
		}
		out.Attempts = append(out.Attempts, a)
		tried[a.Method+" "+spn.Key(a.Service)] = true
		wrong = wrong || a.Error != nil
	}
	out.Findings = append(out.Findings, v.unexplained(pair, out.Attempts)...)
	complete := len(tried) == len(v.o.Methods)*len(pair.services) && len(tried) > 0
	if !complete {
		out.Findings = append(out.Findings, v.notTried(pair, r))
	}
	finding.Sort(out.Findings)
	for _, f := range out.Findings {
		wrong = wrong || f.Severity.Compare(finding.Error) >= 0
	}
	switch {
	case wrong:
		out.State = FailedPair
	case !complete:
		out.State = Unchecked
	}
	return out
}

// notTried is the finding of a direction that was not tried, or not in every way.
func (v *verification) notTried(pair *checkedPair, r row) finding.Finding {
	account := v.hosts[pair.Source].Account
	var f finding.Finding
	switch {
	case r.broken:
		f = finding.New(finding.Error, account, fault.From(r.err))
	default:
		reason := "the source gave no answer to it"
		if r.err != nil {
			reason = inWords(r.err)
		}
		f = finding.New(finding.Warning, account, fault.New(fault.NotChecked, "",
			"source", pair.Source, "destination", v.destinations(pair.Source), "reason", reason))
	}
	f.DN, f.Source, f.Destination = v.hosts[pair.Source].DN, pair.Source, pair.Destination
	return f
}

// destinations lists those of one source, so that the finding of a whole row is one.
func (v *verification) destinations(source string) string {
	const most = 4
	var names []string
	for _, p := range v.pairs {
		if p.Source == source {
			names = append(names, p.Destination)
		}
	}
	if len(names) > most {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
	}
	return strings.Join(names, ", ")
}

// inWords is an error in one line.
func inWords(err error) string {
	if f := fault.From(err); f.Code != fault.Internal {
		return f.Message()
	}
	return err.Error()
}

// unexplained makes findings of failed attempts that nothing in the attributes
// explains, one for each code.
func (v *verification) unexplained(pair *checkedPair, attempts []Attempt) []finding.Finding {
	var out []finding.Finding
	at, services := map[fault.Code]int{}, map[fault.Code][]string{}
	for _, a := range attempts {
		if a.Error == nil || v.operatorExplains(a) || slices.ContainsFunc(pair.findings, func(f finding.Finding) bool { return explains(f, a) }) {
			continue
		}
		e := v.reworded(a)
		i, seen := at[e.Code]
		if !seen {
			i = len(out)
			at[e.Code] = i
			out = append(out, v.refusal(pair, a, e))
		}
		// Findings about one service differ by it; the others are the same for every
		// service and every destination.
		if e.Args["service"] == a.Service && !spn.Contains(out[i].Values, a.Service) {
			out[i].Values = append(out[i].Values, a.Service)
		}
		if !slices.Contains(services[e.Code], a.Service) {
			services[e.Code] = append(services[e.Code], a.Service)
		}
	}
	for i := range out {
		out[i].Evidence = "refused for: " + strings.Join(services[out[i].Code], ", ")
	}
	return out
}

// reworded: what explains refusals judges by the source's list, which in the other
// models is empty by intent.
func (v *verification) reworded(a Attempt) *fault.Error {
	e := a.Error.Err()
	if v.plan.Intent.Model == delegation.Constrained || (e.Code != fault.DelegationMissing && e.Code != fault.DelegationNoStorage) {
		return e
	}
	return fault.Wrap(e.Unwrap(), fault.DelegationRefused, e.Host, "account", e.Args["account"], "operator", e.Args["operator"], "service", a.Service,
		"reason", "the destination's account allows the source, and the controller refuses all the same; it may not support resource-based delegation, or know of the membership of the group only with its next ticket")
}

func (v *verification) refusal(pair *checkedPair, a Attempt, e *fault.Error) finding.Finding {
	source := v.hosts[pair.Source]
	object, dn := source.Account, source.DN
	switch e.Code {
	case fault.ServiceUnknown:
		d := v.hosts[pair.Destination]
		object, dn = d.Account, d.DN
	case fault.OperatorSensitive, fault.OperatorUnknown, fault.EvidenceNotForward, fault.TicketExpired:
		object, dn = a.Operator, ""
	}
	f := finding.New(finding.Error, object, e)
	f.DN, f.Source, f.Destination = dn, pair.Source, pair.Destination
	return f
}

// operatorExplains: the finding about the operator is shown once, for all.
func (v *verification) operatorExplains(a Attempt) bool {
	return v.operatorFails && slices.Contains([]fault.Code{fault.OperatorSensitive, fault.OperatorUnknown, fault.EvidenceNotForward,
		fault.DelegationRefused}, a.Error.Code)
}

// explains says that an attempt had to fail by what the finding is about. Another
// code than the one to be expected is news: a stale key shows although a value is
// missing besides.
func explains(f finding.Finding, a Attempt) bool {
	among := func(codes ...fault.Code) bool { return slices.Contains(codes, a.Error.Code) }
	switch f.Code {
	case fault.HostAccountDisabled:
		return among(fault.HostAccountDisabled, fault.ServiceUnknown, fault.KerberosFailed, fault.DelegationRefused, fault.DelegationMissing, fault.DelegationNoStorage)
	case fault.TransitionMissing:
		return a.Method == ByTransition && among(fault.DelegationNoProtocol, fault.DelegationRefused)
	case fault.DelegationWrongObject:
		return false // goes with one that says what lacks
	}
	if f.Attribute == directory.AttributeActOnBehalf || f.Attribute == directory.AttributeMember { // the models other than constrained
		return among(fault.DelegationMissing, fault.DelegationNoStorage, fault.DelegationRefused)
	}
	return slices.ContainsFunc(f.Values, func(v string) bool { return spn.Equal(v, a.Service) }) &&
		among(fault.DelegationMissing, fault.DelegationNoStorage, fault.DelegationRefused, fault.ServiceUnknown)
}
