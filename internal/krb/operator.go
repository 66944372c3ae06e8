package krb

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/go-krb5/krb5/iana/errorcode"
	"github.com/go-krb5/krb5/iana/flags"

	"drover/internal/fault"
)

// thisMachine stands for the workstation's name in faults.
const thisMachine = "this machine"

// Operator is the workstation's side: the ticket of whoever runs the program. Its
// methods may be called from several goroutines.
type Operator struct {
	client realmClient
	tgt    *Ticket
	cache  *ticketCache
	shown  string // the name of the credential cache
}

// OpenOperator reads the ticket-granting ticket from a credential cache ("" =
// $KRB5CCNAME, krb5.conf's default_ccache_name, or FILE:/tmp/krb5cc_UID). krb5conf "" is as for Config; now nil is
// time.Now. Faults: no-ticket, ticket-expired.
func OpenOperator(ccache, krb5conf string, now func() time.Time) (*Operator, error) {
	if now == nil {
		now = time.Now
	}
	path, shown, err := cachePath(ccache, krb5conf)
	if err != nil {
		return nil, fault.Wrap(err, fault.NoTicket, "", "cache", shown)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fault.Wrap(err, fault.NoTicket, "", "cache", shown)
	}
	def, creds, err := parseCCache(b)
	if err != nil {
		return nil, fault.Wrap(err, fault.NoTicket, "", "cache", shown)
	}
	tgt, err := pickTGT(def, creds, shown, now)
	if err != nil {
		return nil, err
	}
	kdcs, err := loadConf(krb5conf)
	if err != nil {
		return nil, err
	}
	return &Operator{client: realmClient{kdcs: kdcs, realm: tgt.crealm, now: now}, tgt: tgt, cache: newTicketCache(), shown: shown}, nil
}

// pickTGT takes the ticket-granting ticket that lives longest.
func pickTGT(def ccPrincipal, creds []ccCredential, shown string, now func() time.Time) (*Ticket, error) {
	var best *ccCredential
	for i, c := range creds {
		if nameString(c.server.name) == "krbtgt/"+def.realm && sameName(c.client.name, def.name) &&
			(best == nil || c.end.After(best.end)) {
			best = &creds[i]
		}
	}
	if best == nil {
		return nil, fault.New(fault.NoTicket, "", "cache", shown)
	}
	if !now().Before(best.end) {
		return nil, expired(fullName(def.name, def.realm), best.end, nil)
	}
	t, err := best.toTicket(now)
	if err != nil {
		return nil, fault.Wrap(err, fault.NoTicket, "", "cache", shown)
	}
	return t, nil
}

func expired(principal string, end time.Time, cause error) error {
	return fault.Wrap(cause, fault.TicketExpired, "", "principal", principal, "expired", end.UTC().Format(time.RFC3339))
}

// Principal is who the operator is, "operator@LAB.DROVER.TEST".
func (o *Operator) Principal() string { return o.tgt.Client() }

// Expires is the end of the ticket-granting ticket.
func (o *Operator) Expires() time.Time { return o.tgt.end }

// Forwardable says whether the operator's tickets can be used for delegation.
func (o *Operator) Forwardable() bool { return o.tgt.Forwardable() }

// Ticket gets a ticket for service, in whatever realm it is that the KDC refers to,
// from memory while it lasts. Faults: service-name-unknown, kdc-unreachable,
// clock-skew, ticket-expired, kerberos-failed.
func (o *Operator) Ticket(ctx context.Context, service string) (*Ticket, error) {
	sname, err := parseService(service)
	if err != nil {
		return nil, err
	}
	k := cacheKey{kind: KindSelf, client: o.Principal(), service: strings.ToLower(service)}
	if t := o.cache.get(k, o.client.now()); t != nil {
		return t, nil
	}
	if !o.client.now().Before(o.tgt.end) {
		return nil, expired(o.Principal(), o.tgt.end, nil)
	}
	t, err := o.client.ticketFor(ctx, o.tgt, tgsWant{step: "TGS", kind: KindSelf, sname: sname,
		options: []int{flags.Canonicalize}, cname: o.tgt.cname, crealm: o.tgt.crealm, follow: true})
	if err != nil {
		return nil, o.coded(err, service)
	}
	o.cache.put(k, t, o.client.now())
	return t, nil
}

func (o *Operator) coded(err error, service string) error {
	if f := commonFault(err, thisMachine, service, o.client.now()); f != nil {
		return f
	}
	if kdcCode(err) == errorcode.KRB_AP_ERR_TKT_EXPIRED {
		return expired(o.Principal(), o.tgt.end, err)
	}
	return otherFault(err, thisMachine, service)
}

// Forget drops the cached tickets, for a retry with fresh ones.
func (o *Operator) Forget() { o.cache.drop(func(*Ticket) bool { return true }) }

// Login does what kinit does: an AS exchange for a forwardable ticket with a
// password, written to a FILE credential cache ("" as for OpenOperator). A
// principal without realm is in krb5.conf's default_realm; the whole principal is
// returned. Faults: login-failed, clock-skew, kdc-unreachable.
func Login(ctx context.Context, principal, password, ccache, krb5conf string, now func() time.Time) (string, error) {
	if now == nil {
		now = time.Now
	}
	kdcs, err := loadConf(krb5conf)
	if err != nil {
		return "", err
	}
	name, realm, err := parsePrincipal(principal, kdcs.defaultRealm())
	if err != nil {
		return "", fault.Wrap(err, fault.LoginFailed, "", "principal", principal, "reason", "a principal is USER@REALM")
	}
	path, _, err := cachePath(ccache, krb5conf)
	if err != nil {
		return "", err
	}
	whole := fullName(name, realm)
	c := realmClient{kdcs: kdcs, realm: realm, now: now}
	t, err := c.asExchange(ctx, name, fromPassword(password))
	if err != nil {
		return "", loginFault(err, whole, now())
	}
	return whole, writeCCache(path, t)
}

func loginFault(err error, principal string, now time.Time) error {
	if f := commonFault(err, thisMachine, "krbtgt", now); f != nil {
		return f
	}
	var ke *kdcError
	if !errors.As(err, &ke) {
		return fmt.Errorf("sign-in of %s: %w", principal, err)
	}
	reason := map[int32]string{
		errorcode.KDC_ERR_PREAUTH_FAILED:      "wrong password",
		errorcode.KDC_ERR_C_PRINCIPAL_UNKNOWN: "no such account",
		errorcode.KDC_ERR_CLIENT_REVOKED:      "the account is disabled or locked",
		errorcode.KDC_ERR_KEY_EXPIRED:         "the password has expired and must be changed first",
		errorcode.KDC_ERR_NAME_EXP:            "the account has expired",
		errorcode.KDC_ERR_ETYPE_NOSUPP:        "the account has no AES key; change its password once",
	}[ke.Code]
	if reason == "" {
		reason = errorcode.Lookup(ke.Code)
	}
	return fault.Wrap(err, fault.LoginFailed, "", "principal", principal, "reason", reason)
}
