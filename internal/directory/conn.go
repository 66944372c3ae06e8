package directory

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	"drover/internal/spn"

	"github.com/go-ldap/ldap/v3"
)

// Controller is the kind of domain controller.
type Controller string

// Kinds of controllers.
const (
	Samba   Controller = "samba"
	Windows Controller = "windows"
)

const (
	dialTimeout = 5 * time.Second
	askTimeout  = 15 * time.Second // of one request, when the context allows more
)

// Options say how to reach the directory.
type Options struct {
	// Domain is the DNS name, "lab.drover.test". Its controllers are found by DNS
	// unless Servers names them.
	Domain string
	// Servers are names of controllers, with ":port" if it is not 389. They must be
	// names and not addresses: the Kerberos ticket is for ldap/NAME.
	Servers []string
	// Security makes the client of one bind; ctx bounds its requests to the KDC.
	Security func(ctx context.Context) Security
	// Dial opens connections; nil is a net.Dialer.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// Conn is a sealed connection to one controller. Its methods may be called from
// several goroutines.
type Conn struct {
	ldap   *ldap.Conn
	server string
	kind   Controller
	base   string // defaultNamingContext
	dnsDC  string

	mu        sync.Mutex
	protected *string // DN of Protected Users, "" when there is none
}

// Dial connects to the first controller that answers, and signs in.
func Dial(ctx context.Context, o Options) (*Conn, error) {
	servers := o.Servers
	if len(servers) == 0 {
		var err error
		if servers, err = lookupSRV(ctx, o.Domain); err != nil {
			return nil, fmt.Errorf("find a domain controller of %s: %w", o.Domain, err)
		}
	}
	if len(servers) == 0 {
		return nil, fmt.Errorf("no domain controller of %s in DNS", o.Domain)
	}
	var errs []error
	for _, s := range servers {
		c, err := dialOne(ctx, o, s)
		if err == nil {
			return c, nil
		}
		errs = append(errs, fmt.Errorf("%s: %w", s, err))
		if ctx.Err() != nil {
			break
		}
	}
	return nil, fmt.Errorf("connect to the directory: %w", errors.Join(errs...))
}

func lookupSRV(ctx context.Context, domain string) ([]string, error) {
	_, recs, err := net.DefaultResolver.LookupSRV(ctx, "ldap", "tcp", "dc._msdcs."+domain)
	var out []string
	for _, r := range recs {
		out = append(out, net.JoinHostPort(strings.TrimSuffix(r.Target, "."), strconv.Itoa(int(r.Port))))
	}
	return out, err
}

func dialOne(ctx context.Context, o Options, server string) (*Conn, error) {
	host, port, err := net.SplitHostPort(server)
	if err != nil {
		host, port = server, "389"
	}
	dial := o.Dial
	if dial == nil {
		dial = (&net.Dialer{Timeout: dialTimeout}).DialContext
	}
	dctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	nc, err := dial(dctx, "tcp", net.JoinHostPort(host, port))
	if err != nil {
		return nil, err
	}
	sc := &sealedConn{Conn: nc, security: o.Security(ctx)}
	c := &Conn{ldap: ldap.NewConn(sc, false), server: host}
	c.ldap.Start()
	if err := c.signIn(ctx, sc); err != nil {
		c.ldap.Close()
		return nil, err
	}
	return c, nil
}

// signIn binds, seals, and reads the rootDSE.
func (c *Conn) signIn(ctx context.Context, sc *sealedConn) error {
	return c.within(ctx, func() error {
		if err := c.ldap.GSSAPIBind(sc.security, "ldap/"+c.server, ""); err != nil {
			return fmt.Errorf("sign in: %w", err)
		}
		sc.sealed.Store(true)
		r, err := c.ldap.Search(ldap.NewSearchRequest("", ldap.ScopeBaseObject, ldap.NeverDerefAliases, 1, 0, false,
			"(objectClass=*)", []string{"defaultNamingContext", "dnsHostName", "vendorName", "supportedCapabilities"}, nil))
		if err != nil {
			return fmt.Errorf("read the rootDSE: %w", err)
		}
		if len(r.Entries) != 1 || r.Entries[0].GetAttributeValue("defaultNamingContext") == "" {
			return errors.New("read the rootDSE: no naming context, not a domain controller")
		}
		e := r.Entries[0]
		c.base, c.dnsDC = e.GetAttributeValue("defaultNamingContext"), e.GetAttributeValue("dnsHostName")
		c.kind = kindOf(e.GetAttributeValue("vendorName"))
		return nil
	})
}

// kindOf tells by vendorName, which Samba has and Windows has not.
func kindOf(vendor string) Controller {
	if strings.Contains(strings.ToLower(vendor), "samba") {
		return Samba
	}
	return Windows
}

// within runs f, which talks over the connection. The library knows no contexts:
// when ctx ends first, the connection is closed under it.
func (c *Conn) within(ctx context.Context, f func() error) error {
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	timeout := askTimeout
	if d, ok := ctx.Deadline(); ok {
		timeout = min(timeout, time.Until(d))
	}
	c.ldap.SetTimeout(max(timeout, time.Millisecond))
	stop := context.AfterFunc(ctx, func() { c.ldap.Close() })
	defer stop()
	err := f()
	if err != nil && ctx.Err() != nil {
		return errors.Join(context.Cause(ctx), err)
	}
	return err
}

// Kind is the kind of controller.
func (c *Conn) Kind() Controller { return c.kind }

// Server is the controller's name.
func (c *Conn) Server() string {
	if c.dnsDC != "" {
		return c.dnsDC
	}
	return c.server
}

// BaseDN is the domain's distinguished name.
func (c *Conn) BaseDN() string { return c.base }

// Close ends the connection. It is safe to call it twice.
func (c *Conn) Close() error {
	if c.ldap.IsClosing() {
		return nil
	}
	return c.ldap.Close()
}

// Account reads an account by sAMAccountName ("HV01$", "operator"), by principal
// ("operator@REALM"), or by service name ("cifs/HV01"). It fails with ErrNotFound
// when no account has the name, and when a service name is on several accounts.
func (c *Conn) Account(ctx context.Context, name string) (a Account, err error) {
	err = c.within(ctx, func() error {
		e, err := c.find(name)
		if err != nil {
			return err
		}
		if a, err = parseAccount(e); err != nil {
			return err
		}
		a.Protected, err = c.isProtected(a)
		return err
	})
	if err != nil {
		return Account{}, fmt.Errorf("read account %q: %w", name, err)
	}
	return a, nil
}

// accountFilter looks for a name in the attribute it can be in.
func accountFilter(name string) string {
	if plain := spn.Plain(name); strings.Contains(plain, "/") {
		return fmt.Sprintf("(%s=%s)", AttributeServiceNames, ldap.EscapeFilter(plain))
	}
	plain, _, _ := strings.Cut(name, "@")
	return fmt.Sprintf("(sAMAccountName=%s)", ldap.EscapeFilter(plain))
}

func (c *Conn) find(name string) (*ldap.Entry, error) {
	r, err := c.ldap.Search(ldap.NewSearchRequest(c.base, ldap.ScopeWholeSubtree, ldap.NeverDerefAliases, 0, 0, false,
		accountFilter(name), accountAttributes, nil))
	if err != nil {
		return nil, err
	}
	switch len(r.Entries) {
	case 0:
		return nil, ErrNotFound
	case 1:
		return r.Entries[0], nil
	}
	var dns []string
	for _, e := range r.Entries {
		dns = append(dns, e.DN)
	}
	return nil, fmt.Errorf("the name is on several accounts: %s", strings.Join(dns, "; "))
}

// isProtected asks the controller whether the account is in Protected Users, also
// through other groups (LDAP_MATCHING_RULE_IN_CHAIN, MS-ADTS 3.1.1.3.4.4.3).
func (c *Conn) isProtected(a Account) (bool, error) {
	group, err := c.protectedUsers(a.SID)
	if err != nil || group == "" {
		return false, err
	}
	r, err := c.ldap.Search(ldap.NewSearchRequest(a.DN, ldap.ScopeBaseObject, ldap.NeverDerefAliases, 1, 0, false,
		"(memberOf:1.2.840.113556.1.4.1941:="+ldap.EscapeFilter(group)+")", []string{"1.1"}, nil))
	if err != nil {
		return false, fmt.Errorf("membership of Protected Users: %w", err)
	}
	return len(r.Entries) == 1, nil
}

// protectedUsers finds the group by its SID, because its name is translated.
func (c *Conn) protectedUsers(memberSID string) (string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.protected != nil {
		return *c.protected, nil
	}
	r, err := c.ldap.Search(ldap.NewSearchRequest(c.base, ldap.ScopeWholeSubtree, ldap.NeverDerefAliases, 0, 0, false,
		"(objectSid="+withRID(memberSID, protectedUsersRID)+")", []string{"1.1"}, nil))
	if err != nil {
		return "", fmt.Errorf("find Protected Users: %w", err)
	}
	dn := ""
	if len(r.Entries) == 1 {
		dn = r.Entries[0].DN
	}
	c.protected = &dn
	return dn, nil
}
