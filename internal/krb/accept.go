package krb

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-krb5/krb5/iana/asn1apptag"
	"github.com/go-krb5/krb5/iana/chksumtype"
	"github.com/go-krb5/krb5/iana/flags"
	"github.com/go-krb5/krb5/iana/keyusage"
	"github.com/go-krb5/krb5/messages"
	"github.com/go-krb5/krb5/types"

	"drover/internal/fault"
	"drover/internal/spn"
)

const maxToken = 256 << 10

// Accept verifies an initiator's first token, raw Kerberos or SPNEGO, and makes
// the reply, in SPNEGO if the token was; the reply is nil when the initiator asked
// for none. A token that was not made for this TLS session is refused, and so is
// an empty binding: whoever has none must say so by AcceptUnbound.
//
// services are the classes of services ("HTTP") that the token may be meant for; none:
// any of the account. The name on a ticket is not protected, whoever holds it can write
// another over it; what keeps a token that was made for another service from being used
// here is the binding. Of a delegated ticket the KDC has signed what it is for, and that
// counts too.
//
// Faults: authentication-refused, tls-binding-mismatch, ticket-replayed,
// ticket-expired, clock-skew, keytab-stale, agent-without-keytab.
func (h *Host) Accept(token []byte, binding Binding, services ...string) (*Context, []byte, error) {
	if len(binding) != bindingSize {
		return nil, nil, fault.Wrap(fmt.Errorf("binding has %d bytes, want %d", len(binding), bindingSize), fault.BindingMismatch, h.name)
	}
	return h.accept(token, binding, services)
}

// AcceptUnbound is Accept for a connection without TLS. Nothing then says that the
// token was meant for this connection.
func (h *Host) AcceptUnbound(token []byte) (*Context, []byte, error) {
	return h.accept(token, nil, nil)
}

func (h *Host) accept(token []byte, binding Binding, services []string) (c *Context, reply []byte, err error) {
	defer func() {
		if r := recover(); r != nil {
			c, reply, err = nil, nil, h.refused(fmt.Errorf("parser panic: %w", errToken))
		}
	}()
	if len(token) == 0 || len(token) > maxToken {
		return nil, nil, h.refused(fmt.Errorf("token of %d bytes", len(token)))
	}
	mech, wrapped, err := spnegoInit(token)
	if err != nil {
		return nil, nil, h.refused(err)
	}
	id, body, err := gssUnframe(mech)
	if err == nil && id != tokAPReq {
		err = fmt.Errorf("token %04x instead of AP-REQ: %w", id, errToken)
	}
	if err != nil {
		return nil, nil, h.refused(err)
	}
	req, err := parseAPReq(body)
	if err != nil {
		return nil, nil, h.refused(err)
	}
	c, reply, err = h.acceptAPReq(&req, binding, services)
	if err != nil {
		return nil, nil, h.refused(err)
	}
	if wrapped {
		reply = negTokenResp(reply)
	}
	return c, reply, nil
}

// refused codes err as authentication-refused unless it has a code.
func (h *Host) refused(err error) error {
	var f *fault.Error
	if errors.As(err, &f) {
		return err
	}
	return fault.Wrap(err, fault.AuthRefused, h.name, "reason", "the ticket or its authenticator does not verify")
}

// acceptAPReq is RFC 4120 3.2.3, RFC 4121 4.1, and the checks that the library
// leaves out.
func (h *Host) acceptAPReq(req *messages.APReq, binding Binding, services []string) (*Context, []byte, error) {
	now := h.client.now()
	if err := h.meant(nameString(req.Ticket.SName), services); err != nil {
		return nil, nil, err
	}
	enc, key, err := h.openTicket(&req.Ticket)
	if err != nil {
		return nil, nil, err
	}
	auth, err := openAuthenticator(req, enc)
	if err != nil {
		return nil, nil, err
	}
	peer := fullName(enc.CName, enc.CRealm)
	if err := h.checkTimes(enc, auth, peer, now); err != nil {
		return nil, nil, err
	}
	if err := h.checkChecksum(auth.Cksum, binding); err != nil {
		return nil, nil, err
	}
	id, err := identify(enc, key)
	if err != nil {
		return nil, nil, err
	}
	if id.Delegated {
		if err := h.meant(id.ProxyTarget, services); err != nil {
			return nil, nil, err
		}
	}
	until := auth.CTime.Add(2 * h.skew())
	switch err := h.replays.add(req.EncryptedAuthenticator.Cipher, now, until); {
	case errors.Is(err, errReplay):
		return nil, nil, fault.Wrap(err, fault.Replay, h.name)
	case err != nil:
		return nil, nil, err
	}
	c := &Context{acceptor: true, peer: peer, identity: id, session: enc.Key, key: enc.Key, established: true,
		recvSeq: uint64(uint32(auth.SeqNumber)),
		evidence: &Evidence{ticket: wireTicket(req.Ticket), cname: enc.CName, crealm: enc.CRealm,
			forwardable: id.Forwardable, expires: enc.EndTime}}
	if len(auth.SubKey.KeyValue) > 0 {
		if _, err := cipherOf(auth.SubKey); err != nil {
			return nil, nil, err
		}
		c.key = auth.SubKey
	}
	if !ticketFlag(req.APOptions, flags.APOptionMutualRequired) {
		return c, nil, nil
	}
	reply, err := c.apRep(auth.CTime, auth.Cusec)
	return c, reply, err
}

// meant refuses a ticket for a service of another class. A ticket for the account
// itself is for none.
func (h *Host) meant(service string, classes []string) error {
	class := spn.Class(spn.Plain(service))
	if len(classes) == 0 || strings.EqualFold(class, h.account) || slices.ContainsFunc(classes, func(c string) bool { return strings.EqualFold(c, class) }) {
		return nil
	}
	return fault.New(fault.AuthRefused, h.name, "reason", fmt.Sprintf("the ticket is for %.200q, which is another service", service))
}

func (h *Host) skew() time.Duration { return h.client.kdcs.skew() }

// openTicket decrypts the ticket with the account's key, which is the same for every
// service name of the account.
func (h *Host) openTicket(t *messages.Ticket) (*messages.EncTicketPart, types.EncryptionKey, error) {
	key, err := h.acceptorKey(t)
	if err != nil {
		return nil, key, err
	}
	plain, err := decrypt(key, t.EncPart.Cipher, keyusage.KDC_REP_TICKET)
	if err != nil {
		return nil, key, fmt.Errorf("ticket: %w", err)
	}
	var enc messages.EncTicketPart
	if err := guard("ticket", func() error { return derUnmarshalApp(plain, &enc, asn1apptag.EncTicketPart) }); err != nil {
		return nil, key, err
	}
	if _, err := cipherOf(enc.Key); err != nil {
		return nil, key, fmt.Errorf("ticket: %w", err)
	}
	if len(enc.CName.NameString) == 0 || enc.CRealm == "" || ticketFlag(enc.Flags, flags.Invalid) {
		return nil, key, fmt.Errorf("ticket without a client, or invalid: %w", errToken)
	}
	return &enc, key, nil
}

func (h *Host) acceptorKey(t *messages.Ticket) (types.EncryptionKey, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if err := h.readKeytab(); err != nil {
		return types.EncryptionKey{}, err
	}
	if !equalRealm(t.Realm, h.realm) {
		return types.EncryptionKey{}, fmt.Errorf("ticket of realm %q, this host is in %s", t.Realm, h.realm)
	}
	key, known, err := h.keys.key(h.account, h.realm, t.EncPart.KVNO, t.EncPart.EType)
	if err != nil && known {
		return key, fault.Wrap(err, fault.KeytabStale, h.name, "account", h.Account(), "keytab", h.keys.path)
	}
	return key, err
}

func openAuthenticator(req *messages.APReq, enc *messages.EncTicketPart) (*types.Authenticator, error) {
	plain, err := decrypt(enc.Key, req.EncryptedAuthenticator.Cipher, keyusage.AP_REQ_AUTHENTICATOR)
	if err != nil {
		return nil, fmt.Errorf("authenticator: %w", err)
	}
	var a types.Authenticator
	if err := guard("authenticator", func() error { return derUnmarshalApp(plain, &a, asn1apptag.Authenticator) }); err != nil {
		return nil, err
	}
	if !a.CName.Equal(enc.CName) || a.CRealm != enc.CRealm {
		return nil, fmt.Errorf("authenticator of %s with a ticket of %s", fullName(a.CName, a.CRealm), fullName(enc.CName, enc.CRealm))
	}
	return &a, nil
}

func (h *Host) checkTimes(enc *messages.EncTicketPart, a *types.Authenticator, peer string, now time.Time) error {
	ct := a.CTime.Add(time.Duration(a.Cusec) * time.Microsecond)
	if d := now.Sub(ct); d > h.skew() || -d > h.skew() {
		return fault.New(fault.ClockSkew, h.name, "peer", peer, "skew", skewText(d))
	}
	start := enc.StartTime
	if start.IsZero() {
		start = enc.AuthTime
	}
	if start.Sub(now) > h.skew() {
		return fault.New(fault.ClockSkew, h.name, "peer", "the domain controller", "skew", skewText(start.Sub(now)))
	}
	if now.Sub(enc.EndTime) > h.skew() {
		return fault.New(fault.TicketExpired, h.name, "principal", peer, "expired", enc.EndTime.UTC().Format(time.RFC3339))
	}
	return nil
}

// checkChecksum reads the checksum 0x8003 (RFC 4121 4.1.1): 16, the hash of the
// channel bindings, flags. A delegated credential may follow and is not used.
func (h *Host) checkChecksum(ck types.Checksum, binding Binding) error {
	if ck.CksumType != chksumtype.GSSAPI || len(ck.Checksum) < 24 || binary.LittleEndian.Uint32(ck.Checksum) != 16 {
		return fmt.Errorf("authenticator's checksum: %w", errToken)
	}
	if binding != nil && !sameBinding(ck.Checksum[4:20], binding) {
		return fault.New(fault.BindingMismatch, h.name)
	}
	return nil
}

// identify builds the identity from the ticket and its PAC, which must be about
// the same client (MS-PAC 2.7: name and authtime).
func identify(enc *messages.EncTicketPart, key types.EncryptionKey) (Identity, error) {
	raw, err := findPAC(enc.AuthorizationData)
	if err != nil {
		return Identity{}, err
	}
	var p *pac
	if err := guard("PAC", func() (err error) { p, err = parsePAC(raw, key); return err }); err != nil {
		return Identity{}, err
	}
	name := nameString(enc.CName)
	if !strings.EqualFold(p.name, name) && !strings.EqualFold(p.name, fullName(enc.CName, enc.CRealm)) {
		return Identity{}, fmt.Errorf("PAC of %q in a ticket of %q", p.name, name)
	}
	if !p.authTime.Truncate(time.Second).Equal(enc.AuthTime.UTC().Truncate(time.Second)) {
		return Identity{}, errors.New("PAC of another sign-in than the ticket's")
	}
	return Identity{Principal: fullName(enc.CName, enc.CRealm), Realm: enc.CRealm, UserSID: p.userSID, Groups: p.groups,
		SignIn: signIn(p.groups), Delegated: p.delegated, DelegatedBy: p.delegatedBy, ProxyTarget: p.proxyTarget,
		Forwardable: ticketFlag(enc.Flags, flags.Forwardable), Expires: enc.EndTime}, nil
}
