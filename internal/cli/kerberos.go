package cli

import (
	"context"
	"time"

	"drover/internal/api"
	"drover/internal/krb"
)

// dial makes the client for an agent. Over TLS it signs in with the ticket of
// whoever runs the program; the ticket is read before the host is looked up, so
// that its absence is told without waiting for a network.
func (p *program) dial(_ context.Context, t target, retrying func(error, time.Duration)) (agent, error) {
	o := api.ClientOptions{Address: "unix:" + t.socket, Retrying: retrying}
	if t.host != "" {
		op, err := krb.OpenOperator("", "", nil)
		if err != nil {
			return nil, err
		}
		o.Address, o.Initiator = t.host, meeting{initiator{op}, t.host}
	}
	c, err := api.NewClient(o)
	if err != nil {
		return nil, err
	}
	return c, nil
}

// initiator signs in to an agent by SPNEGO, bound to the TLS session.
type initiator struct{ operator *krb.Operator }

// Initiate implements api.Initiator.
func (i initiator) Initiate(ctx context.Context, service string, binding []byte) ([]byte, func(reply, proof []byte) error, error) {
	t, err := i.operator.Ticket(ctx, service)
	if err != nil {
		return nil, nil, err
	}
	c, token, err := krb.Initiate(t, binding)
	if err != nil {
		return nil, nil, err
	}
	verify := func(reply, proof []byte) error {
		if err := c.Complete(reply); err != nil {
			return err
		}
		return c.CheckBinding(binding, proof)
	}
	return krb.NegTokenInit(token), verify, nil
}
