package krb

import (
	"crypto/sha256"
	"time"

	"github.com/go-krb5/krb5/messages"
	"github.com/go-krb5/krb5/types"
)

// Kinds of tickets (TicketInfo.Kind).
const (
	KindTGT       = "tgt"       // the account's own ticket-granting ticket
	KindSelf      = "self"      // a service ticket in the account's own name
	KindEvidence  = "evidence"  // S4U2Self: a ticket in an operator's name to ourselves
	KindDelegated = "delegated" // S4U2Proxy: a ticket in an operator's name to another service
)

// Ticket is a ticket together with its session key. It cannot be printed or
// encoded by accident: it has no exported fields.
type Ticket struct {
	kind     string
	ticket   messages.Ticket
	key      types.EncryptionKey
	cname    types.PrincipalName
	crealm   string
	service  string
	flags    asn1BitString
	end      time.Time
	obtained time.Time
	now      func() time.Time
	referral string // the realm that a KDC referred to by it, in place of what was asked for
}

// Service is the service name the ticket is for.
func (t *Ticket) Service() string { return t.service }

// Client is the principal in whose name the ticket is.
func (t *Ticket) Client() string { return fullName(t.cname, t.crealm) }

// Expires is the end of the ticket's life.
func (t *Ticket) Expires() time.Time { return t.end }

// Forwardable reports the ticket's flag.
func (t *Ticket) Forwardable() bool { return ticketFlag(t.flags, flagForwardable) }

// String names the ticket without its keys.
func (t *Ticket) String() string { return t.kind + " ticket of " + t.Client() + " for " + t.service }

// usable says that the ticket is not near its end.
func (t *Ticket) usable(now time.Time) bool { return now.Add(renewBefore).Before(t.end) }

// Evidence is a ticket to the host itself in an operator's name: what
// Host.Delegate shows to the KDC. It holds the wire form only.
type Evidence struct {
	ticket      messages.Ticket
	cname       types.PrincipalName
	crealm      string
	forwardable bool
	transition  bool // by S4U2Self
	expires     time.Time
}

// Operator is the principal the evidence is for.
func (e Evidence) Operator() string { return fullName(e.cname, e.crealm) }

// Forwardable says whether the evidence can be used for delegation.
func (e Evidence) Forwardable() bool { return e.forwardable }

// ViaTransition says that the host asked for it itself (protocol transition).
func (e Evidence) ViaTransition() bool { return e.transition }

// Expires is the end of its life.
func (e Evidence) Expires() time.Time { return e.expires }

func (e Evidence) valid() bool { return len(e.ticket.EncPart.Cipher) > 0 }

func (e Evidence) hash() [32]byte { return sha256.Sum256(e.ticket.EncPart.Cipher) }

// TicketInfo describes a cached ticket.
type TicketInfo struct {
	Kind        string    `json:"kind"`
	Client      string    `json:"client"`
	Service     string    `json:"service"`
	Obtained    time.Time `json:"obtained"`
	Expires     time.Time `json:"expires"`
	Forwardable bool      `json:"forwardable"`
	EType       int32     `json:"etype"`
}

func (t *Ticket) info() TicketInfo {
	return TicketInfo{Kind: t.kind, Client: t.Client(), Service: t.service, Obtained: t.obtained,
		Expires: t.end, Forwardable: t.Forwardable(), EType: t.ticket.EncPart.EType}
}
