package doctor

import (
	"context"
	"time"

	"drover/internal/delegation"
	"drover/internal/directory"
	"drover/internal/fault"
	"drover/internal/finding"
)

// Methods by which a source comes to act for an operator.
const (
	ByTicket     = "ticket"              // the operator's own ticket is forwarded
	ByTransition = "protocol-transition" // the source asserts the operator (S4U2Self)
)

// Attempt is one real try of a source to get a ticket in an operator's name. A
// ticket that is got is not used and not shown.
type Attempt struct {
	Service  string         `json:"service"`
	Method   string         `json:"method" doc:"ticket or protocol-transition"`
	Operator string         `json:"operator"`
	Error    *fault.Problem `json:"error,omitempty" doc:"why there was no ticket"`
}

// VerifyState is what is known about a direction.
type VerifyState string

// States of a direction.
const (
	Passed     VerifyState = "ok"
	FailedPair VerifyState = "failed"
	Unchecked  VerifyState = "not-checked" // attributes are right, and nobody could try
)

// PairResult is one direction.
type PairResult struct {
	delegation.Direction
	State    VerifyState       `json:"state"`
	Attempts []Attempt         `json:"attempts"`
	Findings []finding.Finding `json:"findings,omitempty"`
}

// Matrix is the result of Verify.
type Matrix struct {
	Server   string            `json:"server"`
	Operator string            `json:"operator"`
	Hosts    []string          `json:"hosts"`
	Pairs    []PairResult      `json:"pairs"`
	Findings []finding.Finding `json:"findings,omitempty" doc:"those that concern no single direction"`
}

// Prober asks for tickets as one source host would.
type Prober interface {
	// Probe tries every service, for operator, by method. An error means that
	// nothing could be tried.
	Probe(ctx context.Context, operator, method string, services []string) ([]Attempt, error)
}

// VerifyOptions say what to try.
type VerifyOptions struct {
	Operator string   // principal
	Methods  []string // ByTicket, ByTransition
	// Source gives the prober of a source, or why there is none.
	Source func(ctx context.Context, h delegation.Host) (Prober, error)
}

// VerifyDirectory is what Verify reads besides the plan.
type VerifyDirectory interface {
	Directory
	Accounts(ctx context.Context, q directory.Query) ([]directory.Account, error)
}

// sourceTimeout bounds what is tried as one source, and sourcesAtOnce how many are
// tried at a time: a mesh of a hundred hosts is forty thousand tickets, which one
// controller has to issue.
const (
	sourceTimeout = 2 * time.Minute
	sourcesAtOnce = 4
)

// Verify checks each direction of a plan by itself: first the attributes, as the
// plan compared them, and then by real tickets. What fails has a finding with its
// fix. A direction whose source nobody can try is Unchecked, never Passed. Two
// findings of the same thing, such as a flag of one source, differ in nothing but
// their direction.
func Verify(ctx context.Context, d VerifyDirectory, p *delegation.Plan, o VerifyOptions) (*Matrix, error) {
	v := newVerification(d, p, o)
	m := &Matrix{Server: p.Server, Operator: o.Operator, Hosts: []string{}, Pairs: []PairResult{}}
	for _, h := range p.Hosts {
		m.Hosts = append(m.Hosts, h.Name)
	}
	var err error
	if m.Findings, v.operatorFails, err = v.operator(ctx); err != nil {
		return nil, err
	}
	if err := v.compare(ctx); err != nil {
		return nil, err
	}
	rows := v.probe(ctx)
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	for _, pair := range v.pairs {
		m.Pairs = append(m.Pairs, v.judge(pair, rows[pair.Source]))
	}
	return m, nil
}
