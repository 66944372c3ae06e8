package krb

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
)

// SASL security layers (RFC 4752 3.3).
const (
	saslNone     = 1
	saslSeal     = 4
	saslMaxFrame = 0xffff
)

// TicketSource gets a ticket for a service: Host.Self or Operator.Ticket.
type TicketSource func(ctx context.Context, service string) (*Ticket, error)

// SASL is the client's side of SASL GSSAPI (RFC 4752), what an LDAP bind needs: with
// a sealed layer, and Wrap and Unwrap for the connection after it, or over TLS
// without a layer. It has the methods of go-ldap's GSSAPIClient without knowing that
// package. One SASL serves one bind.
type SASL struct {
	ctx     context.Context // bounds the ticket request within the bind
	tickets TicketSource
	tls     *tls.ConnectionState // nil: sealed layer
	c       *Context
}

// NewSASL makes a client for one bind with a sealed layer, with tickets from src.
// ctx bounds the request for the ticket.
func NewSASL(ctx context.Context, src TicketSource) *SASL { return &SASL{ctx: ctx, tickets: src} }

// NewSASLOverTLS makes a client for one bind over the TLS session cs, without a
// layer of its own, since Active Directory refuses two. The bind is good for this
// session only, by the channel binding tls-server-end-point (RFC 5929 4).
func NewSASLOverTLS(ctx context.Context, src TicketSource, cs *tls.ConnectionState) *SASL {
	if cs == nil {
		cs = &tls.ConnectionState{} // refused as unfinished, and never taken for a sealed layer
	}
	return &SASL{ctx: ctx, tickets: src, tls: cs}
}

// InitSecContext starts the context (token nil) or takes the acceptor's reply.
// target is a service name, "ldap/dc1.lab.drover.test".
func (s *SASL) InitSecContext(target string, token []byte) (out []byte, more bool, err error) {
	if token != nil {
		if s.c == nil {
			return nil, false, errors.New("SASL: reply before a request")
		}
		return []byte{}, false, s.c.Complete(token)
	}
	var binding []byte
	if s.tls != nil {
		if binding, err = endPoint(s.tls); err != nil {
			return nil, false, err
		}
	}
	t, err := s.tickets(s.ctx, target)
	if err != nil {
		return nil, false, err
	}
	if s.tls == nil {
		s.c, out, err = Initiate(t, nil)
	} else {
		// Without the flags for confidentiality and integrity: a controller takes
		// them as a request for a layer, and refuses one over TLS.
		s.c, out, err = initiate(t, channelHash(binding), gssMutual|gssReplay|gssSequence)
	}
	return out, true, err
}

// InitSecContextWithOptions is InitSecContext: mutual authentication and protection
// are not optional.
func (s *SASL) InitSecContextWithOptions(target string, token []byte, _ []int) ([]byte, bool, error) {
	return s.InitSecContext(target, token)
}

// NegotiateSaslAuth answers the server's offer of layers with the sealed one, over
// TLS with none (RFC 4752 3.1), and refuses a server that does not offer it.
func (s *SASL) NegotiateSaslAuth(token []byte, authzid string) ([]byte, error) {
	if s.c == nil {
		return nil, errNotEstablished
	}
	offer, err := s.c.unwrap(token, false)
	if err != nil {
		return nil, fmt.Errorf("SASL offer: %w", err)
	}
	answer := []byte{saslSeal, 0, saslMaxFrame >> 8, saslMaxFrame & 0xff}
	if s.tls != nil {
		answer = []byte{saslNone, 0, 0, 0} // no layer, no frames
	}
	switch {
	case len(offer) == 4 && offer[0]&answer[0] != 0:
		return s.c.wrap(append(answer, authzid...), false)
	case s.tls != nil:
		return nil, errors.New("the LDAP server wants a layer of its own over TLS")
	}
	return nil, errors.New("the LDAP server offers no sealed connection")
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
