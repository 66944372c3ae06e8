package agent

import (
	"context"

	"drover/internal/api"
	"drover/internal/doctor"
	"drover/internal/eventlog"
	"drover/internal/fault"
	"drover/internal/krb"
)

// ProbeDelegation tries to get tickets in r.Operator's name, as a move would, and
// drops them.
func (b *backend) ProbeDelegation(ctx context.Context, c api.Caller, r api.ProbeRequest) ([]doctor.Attempt, error) {
	attempts, err := b.probe(ctx, c, r)
	refused := 0
	for _, a := range attempts {
		if a.Error != nil {
			refused++
		}
	}
	b.audit(ctx, c, "delegation.probe", r.Operator, err, map[string]any{"method": r.Method, "services": r.DestinationServices, "refused": refused})
	b.events.record(eventlog.DelegationTried, eventlog.About{Actor: c.Name(), Code: codeOf(err)},
		eventlog.Data{"operator": r.Operator, "method": r.Method, "services": r.DestinationServices, "refused": refused})
	return attempts, err
}

func (b *backend) probe(ctx context.Context, c api.Caller, r api.ProbeRequest) ([]doctor.Attempt, error) {
	explain, done := b.reasons.several()
	defer done()
	t := doctor.Trial{Operator: r.Operator, Method: r.Method, Services: r.DestinationServices, Explain: explain}
	if r.Method == doctor.ByTicket {
		ev, ok := c.Evidence.(krb.Evidence)
		if !ok {
			return nil, fault.New(fault.Usage, b.cfg.Host, "problem", "on the local socket nobody has a ticket; try the method "+doctor.ByTransition)
		}
		t.Evidence = ev
	}
	return t.Run(ctx, b.kerberos)
}
