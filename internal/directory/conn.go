package directory

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/go-ldap/ldap/v3"

	"drover/internal/fault"
)

// Controller is the kind of domain controller.
type Controller string

// Kinds of controllers.
const (
	Samba   Controller = "samba"
	Windows Controller = "windows"
)

const (
	dialTimeout = 5 * time.Second  // of connecting, and of each answer of the sign-in
	askTimeout  = 15 * time.Second // of one request, when the context allows more
)

// Conn is a connection to one controller, sealed, over TLS, or by its local socket. Its methods may be
// called from several goroutines. A call whose context ends closes it. When it is
// lost, this and every later call fails with directory-unreachable.
type Conn struct {
	ldap    *ldap.Conn
	wire    *sealedConn
	options Options
	host    string // the name that was called, for which the ticket is
	kind    Controller
	base    string // where searches begin: the domain; "" for a global catalogue
	says    Root   // as far as the rootDSE says

	mu        sync.Mutex
	protected map[string]string // by a domain's SID, DN of its Protected Users, "" when there is none
	root      *Root             // once it was read
	forest    []domainOfForest
	others    map[string]*Conn // connections to other domains, by their names
	closed    bool
	quiet     quiet // for Changes
}

// Dial connects to the first controller that answers, and signs in. Faults:
// directory-unreachable, directory-sign-in-refused, host-name-is-address, and those
// of the Kerberos side. A controller that refuses the sign-in ends it: the next would
// count the same wrong password once more.
func Dial(ctx context.Context, o Options) (*Conn, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	targets, err := o.controllers(ctx)
	if err != nil {
		return nil, ended(ctx, err)
	}
	return dialFirst(ctx, o, targets)
}

func dialFirst(ctx context.Context, o Options, targets []target) (*Conn, error) {
	var errs []error
	var names []string
	for _, t := range targets {
		c, err := dialOne(ctx, o, t)
		if err == nil {
			return c, nil
		}
		if ctx.Err() != nil {
			return nil, ended(ctx, fmt.Errorf("%s: %w", t, err))
		}
		var known *fault.Error
		if errors.As(err, &known) {
			return nil, err
		}
		errs = append(errs, fmt.Errorf("%s: %w", t, err))
		names = append(names, t.String())
	}
	return nil, unreachable(errors.Join(errs...), o.where(), "tried "+strings.Join(names, ", "))
}

// ended puts the end of ctx in front of what failed by it, which then has no say.
func ended(ctx context.Context, err error) error {
	if err == nil || ctx.Err() == nil {
		return err
	}
	return fmt.Errorf("directory: %w (%v)", context.Cause(ctx), err)
}

func dialOne(ctx context.Context, o Options, t target) (*Conn, error) {
	dial := o.Dial
	if dial == nil {
		dial = (&net.Dialer{}).DialContext
	}
	dctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	network, address := t.address()
	raw, err := dial(dctx, network, address)
	if err != nil {
		return nil, err
	}
	wire := &sealedConn{Conn: raw, raw: raw}
	var over *tls.ConnectionState
	if o.LDAPS != nil && o.Socket == "" {
		tc, err := secure(dctx, raw, o.LDAPS, t.host)
		if err != nil {
			_ = raw.Close()
			return nil, err
		}
		cs := tc.ConnectionState()
		wire.Conn, over = tc, &cs
	}
	c := &Conn{ldap: ldap.NewConn(wire, o.LDAPS != nil), wire: wire, options: o, host: t.host}
	c.ldap.SetTimeout(dialTimeout)
	c.ldap.Start()
	err = c.within(ctx, func() error {
		if err := c.signIn(ctx, over); err != nil {
			return err
		}
		return c.readRootDSE()
	})
	if err != nil {
		c.end()
		return nil, err
	}
	c.ldap.SetTimeout(askTimeout)
	return c, nil
}

// within runs f, which talks over the connection. The library knows no contexts:
// when ctx ends first, the connection is closed under it. A connection that was lost
// is told as such, and an answer that the library stumbles over is an error.
func (c *Conn) within(ctx context.Context, f func() error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	stop := context.AfterFunc(ctx, c.end)
	defer stop()
	err := guarded(f)
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return ended(ctx, err)
	case c.wire.known.Load() && c.isLoss(err):
		return unreachable(err, c.domain(), "the connection to "+c.Server()+" is lost")
	}
	return err
}

// isLoss tells errors of the connection from answers.
func (c *Conn) isLoss(err error) bool {
	var known *fault.Error
	if errors.As(err, &known) || errors.Is(err, ErrNotFound) {
		return false
	}
	var answer *ldap.Error
	if errors.As(err, &answer) {
		return answer.ResultCode == ldap.ErrorNetwork
	}
	return c.wire.failure() != nil
}

// guarded makes a panic over a malformed answer an error.
func guarded(f func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("malformed answer of the directory: %v", r)
		}
	}()
	return f()
}

// Kind is the kind of controller.
func (c *Conn) Kind() Controller { return c.kind }

// Server is the controller's name.
func (c *Conn) Server() string {
	if c.says.Server != "" {
		return c.says.Server
	}
	return c.host
}

// BaseDN is the domain's distinguished name; of a global catalogue it is "", the
// whole forest.
func (c *Conn) BaseDN() string { return c.base }

// domain names the domain for messages.
func (c *Conn) domain() string {
	if c.says.Domain != "" {
		return c.says.Domain
	}
	return c.options.where()
}

// Close ends the connection and those that For made. It is safe to call it twice.
func (c *Conn) Close() error {
	c.mu.Lock()
	others := c.others
	c.others, c.closed = nil, true
	c.mu.Unlock()
	for _, o := range others {
		_ = o.Close()
	}
	c.end()
	return nil
}

// end closes the socket first: the library would wait for a write that hangs.
func (c *Conn) end() {
	c.wire.cut()
	_ = c.ldap.Close()
}
