package krb

import (
	"context"
	"errors"
	"fmt"
)

// SASL security layers (RFC 4752 3.3).
const (
	saslSeal     = 4
	saslMaxFrame = 0xffff
)

// TicketSource gets a ticket for a service: Host.Self or Operator.Ticket.
type TicketSource func(ctx context.Context, service string) (*Ticket, error)

// SASL is the client's side of SASL GSSAPI with a sealed layer (RFC 4752): what
// an LDAP bind needs, and Wrap and Unwrap for the connection after it. It has the
// methods of go-ldap's GSSAPIClient without knowing that package. One SASL serves
// one bind.
type SASL struct {
	ctx     context.Context // bounds the ticket request within the bind
	tickets TicketSource
	c       *Context
}

// NewSASL makes a client for one bind, with tickets from src. ctx bounds the
// request for the ticket.
func NewSASL(ctx context.Context, src TicketSource) *SASL { return &SASL{ctx: ctx, tickets: src} }

// InitSecContext starts the context (token nil) or takes the acceptor's reply.
// target is a service name, "ldap/dc1.lab.drover.test".
func (s *SASL) InitSecContext(target string, token []byte) (out []byte, more bool, err error) {
	if token != nil {
		if s.c == nil {
			return nil, false, errors.New("SASL: reply before a request")
		}
		return []byte{}, false, s.c.Complete(token)
	}
	t, err := s.tickets(s.ctx, target)
	if err != nil {
		return nil, false, err
	}
	s.c, out, err = Initiate(t, nil)
	return out, true, err
}

// InitSecContextWithOptions is InitSecContext: mutual authentication and sealing
// are not optional.
func (s *SASL) InitSecContextWithOptions(target string, token []byte, _ []int) ([]byte, bool, error) {
	return s.InitSecContext(target, token)
}

// NegotiateSaslAuth answers the server's offer of layers with the sealed one
// (RFC 4752 3.1), and refuses a server that does not offer it.
func (s *SASL) NegotiateSaslAuth(token []byte, authzid string) ([]byte, error) {
	if s.c == nil {
		return nil, errNotEstablished
	}
	offer, err := s.c.unwrap(token, false)
	if err != nil {
		return nil, fmt.Errorf("SASL offer: %w", err)
	}
	if len(offer) != 4 || offer[0]&saslSeal == 0 {
		return nil, errors.New("the LDAP server offers no sealed connection")
	}
	return s.c.wrap(append([]byte{saslSeal, 0, saslMaxFrame >> 8, saslMaxFrame & 0xff}, authzid...), false)
}

// DeleteSecContext keeps the context: the connection goes on using it.
func (s *SASL) DeleteSecContext() error { return nil }

// Wrap seals p for the connection.
func (s *SASL) Wrap(p []byte) ([]byte, error) {
	if s.c == nil {
		return nil, errNotEstablished
	}
	return s.c.Wrap(p)
}

// Unwrap opens a frame of the connection.
func (s *SASL) Unwrap(token []byte) ([]byte, error) {
	if s.c == nil {
		return nil, errNotEstablished
	}
	return s.c.Unwrap(token)
}
