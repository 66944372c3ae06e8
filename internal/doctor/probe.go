package doctor

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"drover/internal/directory"
	"drover/internal/fault"
	"drover/internal/krb"
)

// MaxProbe is how many services one probe may name.
const MaxProbe = 64

// Trial is what a source tries: to get a ticket for each service in the operator's
// name.
type Trial struct {
	Operator string // principal
	Method   string // ByTicket or ByTransition
	// Evidence is the operator's own ticket for the source, for ByTicket.
	Evidence krb.Evidence
	Services []string
	// Explain finds out why a ticket was refused.
	Explain func(ctx context.Context, refusal *krb.DelegationError) error
}

// Run asks the KDC, with h's key and not from h's cache, which would tell how the
// directory was hours ago. The tickets are dropped. An error means that nothing can
// be said: no KDC answers, or ctx has ended.
func (t Trial) Run(ctx context.Context, h *krb.Host) ([]Attempt, error) {
	h = h.Uncached()
	evidence := t.Evidence
	var failed error
	if t.Method == ByTransition {
		evidence, failed = h.Impersonate(ctx, t.Operator)
	}
	out := make([]Attempt, 0, len(t.Services))
	for _, service := range t.Services {
		err := failed
		if err == nil {
			_, err = h.Delegate(ctx, evidence, service)
		}
		if inconclusive(ctx, err) {
			return nil, err
		}
		var refusal *krb.DelegationError
		if errors.As(err, &refusal) && t.Explain != nil {
			err = t.Explain(ctx, refusal)
		}
		out = append(out, Attempt{Service: service, Method: t.Method, Operator: t.Operator, Error: fault.ToProblem(err)})
	}
	return out, nil
}

// inconclusive errors tell nothing about delegation.
func inconclusive(ctx context.Context, err error) bool {
	return err != nil && (ctx.Err() != nil || fault.Is(err, fault.KDCUnreachable) || fault.Is(err, fault.ClockSkew))
}

// Remembering reads each account once: the many refusals of one probe are about the
// same few. It is safe for concurrent use.
func Remembering(d Directory) Directory { return &remembering{Directory: d, seen: map[string]answer{}} }

type answer struct {
	account directory.Account
	err     error
}

type remembering struct {
	Directory
	mu   sync.Mutex
	seen map[string]answer
}

// Account reads from the directory what was not asked for yet.
func (r *remembering) Account(ctx context.Context, name string) (directory.Account, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if a, ok := r.seen[name]; ok {
		return a.account, a.err
	}
	a, err := r.Directory.Account(ctx, name)
	if err == nil || errors.Is(err, directory.ErrNotFound) {
		r.seen[name] = answer{a, err}
	}
	return a, err
}

// KeytabOptions say how NewKeytabProber comes to a source's key and to what it
// needs besides.
type KeytabOptions struct {
	Krb5Conf string // "" as for krb.Config
	Keytab   string // may have keys of many hosts
	Host     string // the source's short name, for messages
	Account  string // "HV01$"
	// Services are names of the source for which the operator can get a ticket, the
	// best first; for ByTicket.
	Services []string
	// Operator signs in, for ByTicket; nil when only ByTransition is wanted.
	Operator *krb.Operator
	// Directory explains refusals.
	Directory Directory
}

// NewKeytabProber makes a prober that stands in for a source whose key is in a
// keytab: no agent is needed. It fails when the keytab has no key of the account.
func NewKeytabProber(o KeytabOptions) (Prober, error) {
	h, err := krb.OpenHost(krb.Config{Krb5Conf: o.Krb5Conf, Keytab: o.Keytab, Account: o.Account, Host: o.Host})
	if err == nil {
		err = h.CheckKeytab()
	}
	if err != nil {
		if cause := errors.Unwrap(err); cause != nil {
			err = cause
		}
		return nil, fmt.Errorf("the keytab cannot be used: %w", err)
	}
	return &keytabProber{KeytabOptions: o, host: h}, nil
}

type keytabProber struct {
	KeytabOptions
	host *krb.Host
}

// Probe implements Prober.
func (p *keytabProber) Probe(ctx context.Context, operator, method string, services []string) ([]Attempt, error) {
	t := Trial{Operator: operator, Method: method, Services: services, Explain: p.explain}
	if method == ByTicket {
		var err error
		if t.Evidence, err = p.signIn(ctx, operator); err != nil {
			return nil, err
		}
	}
	return t.Run(ctx, p.host)
}

func (p *keytabProber) explain(ctx context.Context, refusal *krb.DelegationError) error {
	return DiagnoseDelegation(ctx, p.Directory, nil, refusal)
}

// signIn is what happens when the operator signs in to an agent, here with both
// ends in this process: the operator's ticket for the source becomes evidence.
func (p *keytabProber) signIn(ctx context.Context, operator string) (krb.Evidence, error) {
	if p.Operator == nil || p.Operator.Principal() != operator {
		return krb.Evidence{}, fault.New(fault.Usage, p.Host, "problem", "by "+ByTicket+" only the caller's own delegation can be tried")
	}
	err := error(fault.New(fault.ServiceUnknown, p.Host, "service", "HOST/"+p.Host))
	for _, service := range p.Services {
		var ticket *krb.Ticket
		if ticket, err = p.Operator.Ticket(ctx, service); fault.Is(err, fault.ServiceUnknown) {
			continue
		}
		if err != nil {
			return krb.Evidence{}, err
		}
		_, token, err := krb.Initiate(ticket, nil)
		if err != nil {
			return krb.Evidence{}, err
		}
		accepted, _, err := p.host.AcceptUnbound(token)
		if err != nil {
			return krb.Evidence{}, err
		}
		return accepted.Evidence()
	}
	return krb.Evidence{}, err
}
