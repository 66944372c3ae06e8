package doctor

import (
	"context"
	"errors"

	"drover/internal/directory"
	"drover/internal/fault"
	"drover/internal/krb"
)

// Directory is what DiagnoseDelegation reads; *directory.Conn is one.
type Directory interface {
	Account(ctx context.Context, name string) (directory.Account, error)
	Kind() directory.Controller
	Server() string
}

// DiagnoseDelegation looks up what a refusal is about and explains it. dir is nil
// when no controller could be asked; dirErr then says why. It always gives a
// fault: without the directory it says what the refusal itself shows.
func DiagnoseDelegation(ctx context.Context, dir Directory, dirErr error, refusal *krb.DelegationError) *fault.Error {
	d := DelegationFacts{Host: refusal.Host, Account: refusal.Account, Operator: refusal.Operator, Service: refusal.Service,
		EvidenceForwardable: refusal.EvidenceForwardable, ViaTransition: refusal.ViaTransition, NTStatus: refusal.NTStatus,
		ReadError: dirErr, Cause: refusal}
	if dir == nil {
		return ExplainDelegation(d)
	}
	d.Controller, d.Server = dir.Kind(), dir.Server()
	var errs []error
	for _, r := range []struct {
		name string
		to   **directory.Account
	}{{d.Account, &d.Source}, {d.Operator, &d.OperatorAccount}, {d.Service, &d.Destination}} {
		a, err := dir.Account(ctx, r.name)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		*r.to = &a
	}
	d.ReadError = errors.Join(append([]error{dirErr}, errs...)...)
	return ExplainDelegation(d)
}
