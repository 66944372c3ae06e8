package doctor

import (
	"context"
	"errors"

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

// Verify checks each direction of a plan by itself: first the attributes, as the
// plan compared them, and then by real tickets. What fails has a finding with its
// fix. A direction whose source nobody can try is Unchecked, never Passed.
func Verify(ctx context.Context, d VerifyDirectory, p *delegation.Plan, s delegation.State, o VerifyOptions) (*Matrix, error) {
	return nil, errors.New("not built yet")
}
