package krb

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/go-krb5/krb5/iana/errorcode"
	"github.com/go-krb5/krb5/iana/flags"
	"github.com/go-krb5/krb5/iana/nametype"
	"github.com/go-krb5/krb5/messages"
	"github.com/go-krb5/krb5/types"

	"drover/internal/fault"
)

// Config says where a host's Kerberos files are.
type Config struct {
	Krb5Conf string           // "" = $KRB5_CONFIG or /etc/krb5.conf
	Keytab   string           // "" = /etc/krb5.keytab
	Account  string           // "HV01$"; "" = the keytab's first computer account
	Host     string           // the host's name in faults; "" = the account's name
	Now      func() time.Time // nil = time.Now
	Log      *slog.Logger     // nil = silent
}

// Host is an agent's side of Kerberos: it accepts operators, and acts for them,
// with the key of its computer account. Its methods may be called from several
// goroutines. It owns no goroutine and needs no Close.
type Host struct {
	name, account, realm string
	client               realmClient
	cache                *ticketCache
	replays              *replayCache
	log                  *slog.Logger
	uncached             bool // its tickets are too young for a second try with fresh ones

	mu   sync.Mutex // guards keys
	keys keyRing
}

// OpenHost reads the keytab and krb5.conf. It does not talk to a KDC. A keytab
// without a usable key is no obstacle when the account and its realm are known
// without it (Account, and krb5.conf's default_realm): the key may come later, with
// the join of the domain, and until then everything that needs it fails with the
// fault agent-without-keytab. Otherwise OpenHost does.
func OpenHost(cfg Config) (*Host, error) {
	if cfg.Keytab == "" {
		cfg.Keytab = DefaultKeytab
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Host == "" {
		cfg.Host = strings.TrimSuffix(cfg.Account, "$")
	}
	h := &Host{name: cfg.Host, cache: newTicketCache(), replays: newReplayCache(maxReplays), log: cfg.Log, keys: keyRing{path: cfg.Keytab}}
	kdcs, err := loadConf(cfg.Krb5Conf)
	if err != nil {
		return nil, err
	}
	keyErr := h.keys.refresh()
	if keyErr == nil {
		h.account, h.realm, keyErr = h.keys.account(cfg.Account)
	}
	if keyErr != nil {
		h.account, h.realm = cfg.Account, kdcs.defaultRealm()
	}
	if h.name == "" {
		if h.name = strings.TrimSuffix(h.account, "$"); h.name == "" {
			h.name, _ = os.Hostname()
		}
	}
	if keyErr != nil {
		err := fault.Wrap(keyErr, fault.AgentNoKeytab, h.name, "keytab", cfg.Keytab)
		if h.account == "" || h.realm == "" {
			return nil, err
		}
		h.log.Warn("nobody can sign in before the keytab has a usable key", "err", err)
	}
	h.client = realmClient{kdcs: kdcs, realm: h.realm, now: cfg.Now}
	return h, nil
}

// Account is the host's principal, "HV01$@LAB.DROVER.TEST".
func (h *Host) Account() string { return h.account + "@" + h.realm }

// Realm is the realm of the host's account.
func (h *Host) Realm() string { return h.realm }

func (h *Host) cname() types.PrincipalName {
	return types.PrincipalName{NameType: nametype.KRB_NT_PRINCIPAL, NameString: []string{h.account}}
}

// CheckKeytab says whether the keytab has a usable key now: agent-without-keytab.
func (h *Host) CheckKeytab() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.readKeytab()
}

// readKeytab reads the keytab again if it changed. The caller holds mu.
func (h *Host) readKeytab() error {
	err := h.keys.refresh()
	if err == nil {
		_, _, err = h.keys.account(h.account)
	}
	if err != nil {
		return fault.Wrap(err, fault.AgentNoKeytab, h.name, "keytab", h.keys.path)
	}
	return nil
}

// secret gives the newest key of the keytab.
func (h *Host) secret(info types.ETypeInfo2Entry) (types.EncryptionKey, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if err := h.readKeytab(); err != nil {
		return types.EncryptionKey{}, err
	}
	key, _, err := h.keys.key(h.account, h.realm, 0, info.EType)
	return key, err
}

// tgt gives the host's own ticket-granting ticket; cached says it was not got by
// this call.
func (h *Host) tgt(ctx context.Context) (t *Ticket, cached bool, err error) {
	k := cacheKey{kind: KindTGT, client: h.Account()}
	if t := h.cache.get(k, h.client.now()); t != nil {
		return t, true, nil
	}
	t, err = h.client.asExchange(ctx, h.cname(), h.secret)
	h.trace("AS", h.Account(), "krbtgt/"+h.realm, err)
	switch kdcCode(err) {
	case errorcode.KDC_ERR_PREAUTH_FAILED, errorcode.KDC_ERR_C_PRINCIPAL_UNKNOWN:
		return nil, false, fault.Wrap(err, fault.KeytabStale, h.name, "account", h.Account(), "keytab", h.keys.path)
	}
	if kdcCode(err) == errorcode.KDC_ERR_CLIENT_REVOKED {
		return nil, false, fault.Wrap(err, fault.HostAccountDisabled, h.name, "name", h.name, "object", h.account)
	}
	if kdcCode(err) < 0 && err != nil {
		return nil, false, err // the caller names the service and attaches the code
	}
	if err != nil {
		return nil, false, h.coded(err, "krbtgt/"+h.realm)
	}
	h.cache.put(k, t, h.client.now())
	return t, false, nil
}

// coded attaches the code that every exchange shares, or kerberos-failed.
func (h *Host) coded(err error, service string) error {
	var f *fault.Error
	if errors.As(err, &f) {
		return err
	}
	if f := commonFault(err, h.name, service, h.client.now()); f != nil {
		return f
	}
	return otherFault(err, h.name, service)
}

func (h *Host) trace(step, client, service string, err error) {
	if err != nil {
		h.log.Debug("kerberos request failed", "step", step, "client", client, "service", service, "err", err)
		return
	}
	h.log.Debug("kerberos ticket", "step", step, "client", client, "service", service)
}

// staleTGT are the errors that a fresh ticket-granting ticket can cure: changed
// delegation, changed keys, a ticket that ended or was revoked.
func staleTGT(code int32) bool {
	switch code {
	case errorcode.KDC_ERR_BADOPTION, errorcode.KDC_ERR_POLICY, errorcode.KDC_ERR_TGT_REVOKED,
		errorcode.KRB_AP_ERR_BAD_INTEGRITY, errorcode.KRB_AP_ERR_TKT_EXPIRED, errorcode.KRB_AP_ERR_MODIFIED:
		return true
	}
	return false
}

// withTGT makes a request with the host's TGT, and once more with a fresh one if
// the refusal could come from the old.
func (h *Host) withTGT(ctx context.Context, w func(tgt *Ticket) (tgsWant, error)) (*Ticket, error) {
	for {
		tgt, cached, err := h.tgt(ctx)
		if err != nil {
			return nil, err
		}
		want, err := w(tgt)
		if err != nil {
			return nil, err
		}
		t, err := h.client.ticketFor(ctx, tgt, want)
		h.trace(want.step, fullName(want.cname, want.crealm), nameString(want.sname), err)
		if err == nil || !cached || h.uncached || !staleTGT(kdcCode(err)) {
			return t, err
		}
		h.cache.drop(func(x *Ticket) bool { return x == tgt })
	}
}

// Self gets a ticket for service in the host's own name, in whatever realm it is
// that the KDC refers to.
func (h *Host) Self(ctx context.Context, service string) (*Ticket, error) {
	sname, err := parseService(service)
	if err != nil {
		return nil, err
	}
	k := cacheKey{kind: KindSelf, client: h.Account(), service: strings.ToLower(service)}
	if t := h.cache.get(k, h.client.now()); t != nil {
		return t, nil
	}
	t, err := h.withTGT(ctx, func(tgt *Ticket) (tgsWant, error) {
		return tgsWant{step: "TGS", kind: KindSelf, sname: sname, options: []int{flags.Canonicalize}, cname: tgt.cname, crealm: tgt.crealm, follow: true}, nil
	})
	if err != nil {
		return nil, h.coded(err, service)
	}
	h.cache.put(k, t, h.client.now())
	return t, nil
}

// Impersonate gets evidence for principal by protocol transition (S4U2Self, MS-SFU
// 3.1.5.1.1): a ticket to ourselves in the operator's name. It works without any
// right; only a forwardable one is of use to Delegate, and that takes
// TRUSTED_TO_AUTH_FOR_DELEGATION.
func (h *Host) Impersonate(ctx context.Context, principal string) (Evidence, error) {
	t, err := h.impersonate(ctx, principal, false)
	if err != nil {
		return Evidence{}, err
	}
	return Evidence{ticket: wireTicket(t.ticket), cname: t.cname, crealm: t.crealm, forwardable: t.Forwardable(), transition: true, expires: t.end}, nil
}

func (h *Host) impersonate(ctx context.Context, principal string, fresh bool) (*Ticket, error) {
	user, realm, err := parsePrincipal(principal, h.realm)
	if err != nil {
		return nil, fault.Wrap(err, fault.OperatorUnknown, h.name, "operator", principal)
	}
	if !equalRealm(realm, h.realm) {
		return nil, fault.Wrap(fmt.Errorf("realm %s is not the host's", realm), fault.OperatorUnknown, h.name, "operator", principal)
	}
	k := cacheKey{kind: KindEvidence, client: strings.ToLower(principal), service: h.account}
	if t := h.cache.get(k, h.client.now()); t != nil && !fresh {
		return t, nil
	}
	t, err := h.withTGT(ctx, func(tgt *Ticket) (tgsWant, error) {
		pa, err := newPAForUser(user, h.realm, tgt.key)
		return tgsWant{step: "S4U2Self", kind: KindEvidence, sname: h.cname(), options: []int{flags.Canonicalize},
			pa: types.PADataSequence{pa}, cname: user, crealm: h.realm}, err
	})
	var coded *fault.Error
	if errors.As(err, &coded) { // the host's own sign-in failed, with codes that mean the host there
		return nil, err
	}
	switch kdcCode(err) {
	case errorcode.KDC_ERR_C_PRINCIPAL_UNKNOWN, errorcode.KDC_ERR_CLIENT_REVOKED, errorcode.KDC_ERR_POLICY:
		return nil, fault.Wrap(err, fault.OperatorUnknown, h.name, "operator", principal)
	}
	if err != nil {
		return nil, h.coded(err, h.account)
	}
	h.cache.put(k, t, h.client.now())
	return t, nil
}

// Delegate gets a ticket for service in the operator's name (S4U2Proxy, MS-SFU
// 3.1.5.2.1), from the cache while it lasts. A refusal is a *DelegationError.
func (h *Host) Delegate(ctx context.Context, op Evidence, service string) (*Ticket, error) {
	t, _, err := h.delegate(ctx, op, service)
	return t, err
}

func (h *Host) delegate(ctx context.Context, op Evidence, service string) (t *Ticket, cached bool, err error) {
	sname, err := parseService(service)
	if err != nil {
		return nil, false, err
	}
	if !op.valid() {
		return nil, false, errors.New("delegate: no evidence")
	}
	k := cacheKey{kind: KindDelegated, client: op.Operator(), service: strings.ToLower(service), evidence: op.hash()}
	if t := h.cache.get(k, h.client.now()); t != nil {
		return t, true, nil
	}
	if op, err = h.renew(ctx, op); err != nil {
		return nil, false, err
	}
	t, err = h.s4u2proxy(ctx, op, sname)
	if code := kdcCode(err); op.transition && !h.uncached && staleTGT(code) {
		// The evidence too may be older than a change of the account.
		if ev, e := h.impersonate(ctx, op.Operator(), true); e == nil {
			op.ticket, op.forwardable = wireTicket(ev.ticket), ev.Forwardable()
			t, err = h.s4u2proxy(ctx, op, sname)
		}
	}
	switch code := kdcCode(err); {
	case code == errorcode.KDC_ERR_BADOPTION || code == errorcode.KDC_ERR_POLICY:
		return nil, false, h.delegationError(err, op, service)
	case err != nil:
		return nil, false, h.coded(err, service)
	}
	h.cache.put(k, t, h.client.now())
	return t, false, nil
}

// renew replaces evidence that is over: by protocol transition if it came so. An
// operator's own ticket only the operator can renew.
func (h *Host) renew(ctx context.Context, op Evidence) (Evidence, error) {
	switch {
	case h.client.now().Before(op.expires):
		return op, nil
	case op.transition:
		return h.Impersonate(ctx, op.Operator())
	}
	return op, fault.New(fault.TicketExpired, h.name, "principal", op.Operator(), "expired", op.expires.UTC().Format(time.RFC3339))
}

func (h *Host) s4u2proxy(ctx context.Context, op Evidence, sname types.PrincipalName) (*Ticket, error) {
	pa, err := newPAPACOptions()
	if err != nil {
		return nil, err
	}
	return h.withTGT(ctx, func(*Ticket) (tgsWant, error) {
		return tgsWant{step: "S4U2Proxy", kind: KindDelegated, sname: sname, options: []int{flags.Canonicalize, optCNameInAddlTicket},
			pa: types.PADataSequence{pa}, additional: []messages.Ticket{wireTicket(op.ticket)}, cname: op.cname, crealm: op.crealm}, nil
	})
}

func (h *Host) delegationError(err error, op Evidence, service string) error {
	var ke *kdcError
	errors.As(err, &ke)
	return &DelegationError{Account: h.Account(), Operator: op.Operator(), Service: service, EvidenceForwardable: op.forwardable,
		ViaTransition: op.transition, NTStatus: ke.NTStatus, Host: h.name, cause: err}
}

// curable are the refusals of a peer that a fresh ticket may cure: the peer's key
// or the operator's groups have changed since the ticket was issued.
var curable = []fault.Code{fault.AuthRefused, fault.KeytabStale, fault.TicketExpired, fault.RoleMissing}

// Try runs use with a ticket for service in the operator's name. If use fails in a
// way that a fresh ticket could cure, and the ticket came from the cache, it is
// run once more with fresh ones. use must be safe to run twice.
func (h *Host) Try(ctx context.Context, op Evidence, service string, use func(context.Context, *Ticket) error) error {
	t, cached, err := h.delegate(ctx, op, service)
	if err != nil {
		return err
	}
	if err = use(ctx, t); err == nil || !cached || !isCurable(err) {
		return err
	}
	h.cache.drop(func(x *Ticket) bool { return x.kind != KindSelf })
	if op.transition {
		if op, err = h.Impersonate(ctx, op.Operator()); err != nil {
			return err
		}
	}
	if t, _, err = h.delegate(ctx, op, service); err != nil {
		return err
	}
	return use(ctx, t)
}

func isCurable(err error) bool {
	for _, c := range curable {
		if fault.Is(err, c) {
			return true
		}
	}
	return false
}

// Uncached is the same host with a cache of its own, empty to begin with: what it is
// asked for it asks the KDC for, and h does not see the tickets. It is for checks,
// which a ticket that was got hours ago would make worthless.
func (h *Host) Uncached() *Host {
	return &Host{name: h.name, account: h.account, realm: h.realm, client: h.client, cache: newTicketCache(),
		replays: h.replays, log: h.log, uncached: true, keys: keyRing{path: h.keys.path}}
}

// Tickets lists the cache.
func (h *Host) Tickets() []TicketInfo { return h.cache.list() }

// Purge empties the cache, or the part of it that filter names (nil: all), and
// says how many tickets that were.
func (h *Host) Purge(filter func(TicketInfo) bool) int {
	return h.cache.drop(func(t *Ticket) bool { return filter == nil || filter(t.info()) })
}
