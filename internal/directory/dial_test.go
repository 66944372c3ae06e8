package directory

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/go-ldap/ldap/v3"

	"drover/internal/fault"
)

func wantFault(t *testing.T, err error, code fault.Code, reason string) {
	t.Helper()
	f := fault.From(err)
	if f == nil || f.Code != code || !strings.Contains(f.Error(), reason) {
		t.Errorf("%v, want %s with %q", err, code, reason)
	}
}

func TestControllersAreTriedInTurn(t *testing.T) {
	n := &network{at: map[string]*controllerStub{"dc3.example.test:389": stub(t, "example.test").serve(t)}}
	o := mirrored(n)
	o.LookupSRV = zone{"_ldap._tcp.dc._msdcs.example.test": {
		{Target: "dc2.example.test.", Port: 1389}, {Target: ".", Port: 0}, {Target: "dc3.example.test.", Port: 389}, {Target: "dc4.example.test.", Port: 389},
	}}.lookup
	c := mustDial(t, o)
	if got := n.calls(); got != "dc2.example.test:1389 dc3.example.test:389" {
		t.Errorf("called %s", got)
	}
	if c.Server() != "dc1.example.test" || c.BaseDN() != "DC=example,DC=test" || c.Kind() != Windows {
		t.Errorf("%s %s %s", c.Server(), c.BaseDN(), c.Kind())
	}
	delete(n.at, "dc3.example.test:389")
	_, err := Dial(t.Context(), o)
	wantFault(t, err, fault.DirectoryUnreachable, "tried dc2.example.test:1389, dc3.example.test:389, dc4.example.test:389")
	o.LookupSRV = zone{}.lookup
	_, err = Dial(t.Context(), o)
	wantFault(t, err, fault.DirectoryUnreachable, "_ldap._tcp.dc._msdcs.example.test")
}

func TestNothingIsSentThatMustNotBe(t *testing.T) {
	n := &network{}
	password := &Simple{"alice@example.test", "secret"}
	for name, c := range map[string]struct {
		change func(*Options)
		code   fault.Code
	}{
		"password without TLS":     {func(o *Options) { o.Simple = password }, fault.DirectorySignIn},
		"empty password":           {func(o *Options) { o.Simple, o.LDAPS = &Simple{User: "alice"}, &tls.Config{} }, fault.DirectorySignIn},
		"empty name":               {func(o *Options) { o.Simple, o.LDAPS = &Simple{Password: "x"}, &tls.Config{} }, fault.DirectorySignIn},
		"address":                  {func(o *Options) { o.Servers = []string{"192.0.2.1"} }, fault.HostNameIsAddress},
		"address with port":        {func(o *Options) { o.Servers = []string{"192.0.2.1:389"} }, fault.HostNameIsAddress},
		"IPv6 address":             {func(o *Options) { o.Servers = []string{"[2001:db8::1]"} }, fault.HostNameIsAddress},
		"IPv6 address with port":   {func(o *Options) { o.Servers = []string{"dc1", "[2001:db8::1]:389"} }, fault.HostNameIsAddress},
		"neither domain nor names": {func(o *Options) { o.Servers, o.Domain = nil, "" }, fault.DirectoryUnreachable},
		"nobody":                   {func(o *Options) { o.Security = nil }, fault.Internal},
	} {
		o := mirrored(n, "dc1")
		c.change(&o)
		_, err := Dial(t.Context(), o)
		if f := fault.From(err); f == nil || f.Code != c.code {
			t.Errorf("%s: %v", name, err)
		}
		if got := n.calls(); got != "" {
			t.Errorf("%s: %s was called", name, got)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: the password is in %v", name, err)
		}
	}
}

func TestPasswordOverTLS(t *testing.T) {
	cert, pool := authority(t, "dc1.example.test")
	s := stub(t, "example.test")
	s.tls = &tls.Config{Certificates: []tls.Certificate{cert}}
	s.serve(t)
	n := &network{at: map[string]*controllerStub{"dc1.example.test:636": s, "dc9.example.test:636": s, "192.0.2.1:636": s}}
	o := mirrored(n, "dc1.example.test")
	o.Simple, o.LDAPS = &Simple{"alice@example.test", "secret"}, &tls.Config{RootCAs: pool}
	mustDial(t, o)
	if got := s.seen(); len(got) != 1 || got[0] != "alice@example.test" {
		t.Errorf("%q", got)
	}
	for name, change := range map[string]func(*Options){
		"other name":        func(o *Options) { o.Servers = []string{"dc9.example.test"} },
		"address":           func(o *Options) { o.Servers = []string{"192.0.2.1"} },
		"unknown authority": func(o *Options) { o.LDAPS = &tls.Config{} },
	} {
		o := o
		change(&o)
		_, err := Dial(t.Context(), o)
		wantFault(t, err, fault.DirectoryUnreachable, "certificate")
		if len(s.seen()) != 1 {
			t.Errorf("%s: the password was sent", name)
		}
	}
}

func TestTicketOverTLSGetsTheSession(t *testing.T) {
	cert, pool := authority(t, "dc1.example.test")
	s := stub(t, "example.test")
	s.tls = &tls.Config{Certificates: []tls.Certificate{cert}}
	n := &network{at: map[string]*controllerStub{"dc1.example.test:636": s.serve(t)}}
	o := mirrored(n)
	o.LookupSRV = zone{"_ldap._tcp.dc._msdcs.example.test": {{Target: "dc1.example.test.", Port: 389}}}.lookup
	o.LDAPS = &tls.Config{RootCAs: pool}
	var over *tls.ConnectionState
	o.Security = func(_ context.Context, cs *tls.ConnectionState) Security { over = cs; return mirror{} }
	mustDial(t, o) // mirror's layer would turn every bit
	if over == nil || len(over.PeerCertificates) != 1 || string(over.PeerCertificates[0].Raw) != string(cert.Certificate[0]) {
		t.Errorf("%+v", over)
	}
}

// A wrong password that every controller is asked about locks the account.
func TestRefusalEndsTheTrying(t *testing.T) {
	for reason, answer := range map[string]struct {
		code uint16
		text string
	}{
		"the account is locked":       {ldap.LDAPResultInvalidCredentials, "80090308: LdapErr: DSID-0C09041C, comment: AcceptSecurityContext error, data 775, v4563\x00"},
		"it does not accept":          {ldap.LDAPResultInvalidCredentials, ""},
		"demands more protection":     {ldap.LDAPResultStrongAuthRequired, "BindSimple: Transport encryption required."},
		"Auth Method Not Supported":   {ldap.LDAPResultAuthMethodNotSupported, ""},
		"opens TLS":                   {ldap.LDAPResultInvalidCredentials, "80090346: LdapErr: DSID-0C090711, comment: AcceptSecurityContext error, data 35b, v1db1"},
		"Insufficient Access Rights":  {ldap.LDAPResultInsufficientAccessRights, ""},
		"refused the sign-in of alic": {65, ""},
	} {
		bad := stub(t, "example.test")
		bad.bind, bad.text = answer.code, answer.text
		n := &network{at: map[string]*controllerStub{"dc1:389": bad.serve(t), "dc2:389": bad}}
		_, err := Dial(t.Context(), mirrored(n, "dc1", "dc2"))
		wantFault(t, err, fault.DirectorySignIn, reason)
		if got := n.calls(); got != "dc1:389" {
			t.Errorf("%s: called %s", reason, got)
		}
	}
}

func TestBusyControllerIsPassedOver(t *testing.T) {
	busy := stub(t, "example.test")
	busy.bind = ldap.LDAPResultBusy
	n := &network{at: map[string]*controllerStub{"dc1:389": busy.serve(t), "dc2:389": stub(t, "example.test").serve(t)}}
	mustDial(t, mirrored(n, "dc1", "dc2"))
}

// ticketless is a sign-in for which the KDC gives nothing.
type ticketless struct {
	mirror
	err error
}

func (s ticketless) InitSecContextWithOptions(string, []byte, []int) ([]byte, bool, error) {
	return nil, false, s.err
}

func TestFaultsOfKerberosStayOutermost(t *testing.T) {
	n := &network{at: map[string]*controllerStub{"dc1:389": stub(t, "example.test").serve(t)}}
	o := mirrored(n, "dc1", "dc2")
	o.Security = func(context.Context, *tls.ConnectionState) Security {
		return ticketless{err: fault.New(fault.TicketExpired, "", "principal", "alice", "expired", "now")}
	}
	_, err := Dial(t.Context(), o)
	wantFault(t, err, fault.TicketExpired, "")
	o.Security = func(context.Context, *tls.ConnectionState) Security { return ticketless{err: errors.New("no layer")} }
	_, err = Dial(t.Context(), o)
	wantFault(t, err, fault.DirectorySignIn, "no layer")
	if got := n.calls(); got != "dc1:389 dc1:389" {
		t.Errorf("called %s", got)
	}
}

func TestLostConnectionStaysLost(t *testing.T) {
	s := stub(t, "example.test").serve(t)
	c := mustDial(t, mirrored(&network{at: map[string]*controllerStub{"dc1:389": s}}, "dc1"))
	s.hangUp()
	for range 3 {
		_, err := c.Root(t.Context())
		wantFault(t, err, fault.DirectoryUnreachable, "example.test")
	}
}

func TestControllerThatGoesAwayInACall(t *testing.T) {
	s := stub(t, "example.test")
	s.cutAt = "CN=Partitions,CN=Configuration,DC=example,DC=test"
	c := mustDial(t, mirrored(&network{at: map[string]*controllerStub{"dc1:389": s.serve(t)}}, "dc1"))
	for range 2 {
		_, err := c.For(t.Context(), "CN=x,DC=example,DC=test")
		wantFault(t, err, fault.DirectoryUnreachable, "dc1.example.test is lost")
	}
}

func TestClosedConnectionIsUnreachable(t *testing.T) {
	n := &network{at: map[string]*controllerStub{"dc1:389": stub(t, "example.test").serve(t)}}
	c := mustDial(t, mirrored(n, "dc1"))
	c.Close()
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	_, err := c.Root(t.Context())
	wantFault(t, err, fault.DirectoryUnreachable, "")
}

// An interruption must not look like a lost connection, although it causes one.
func TestCancelledCallIsCancelled(t *testing.T) {
	n := &network{at: map[string]*controllerStub{"dc1:389": stub(t, "example.test").serve(t)}}
	c := mustDial(t, mirrored(n, "dc1"))
	ctx, cancel := context.WithCancel(t.Context())
	err := c.within(ctx, func() error {
		cancel()
		for c.wire.failure() == nil { // until the connection is closed under the call
			if _, err := c.ldap.Search(object("")); err != nil {
				return err
			}
		}
		return net.ErrClosed
	})
	wantFault(t, err, fault.Cancelled, "")
	if _, err := c.Root(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

func TestMalformedAnswersDoNotPanic(t *testing.T) {
	n := &network{at: map[string]*controllerStub{"dc1:389": stub(t, "example.test").serve(t)}}
	c := mustDial(t, mirrored(n, "dc1"))
	if err := c.within(t.Context(), func() error { var e *ldap.Entry; return errors.New(e.DN) }); err == nil || !strings.Contains(err.Error(), "malformed") {
		t.Errorf("%v", err)
	}
}

func TestStrangerThatSendsWithoutEndIsCutOff(t *testing.T) {
	endless := func(context.Context, string, string) (net.Conn, error) {
		a, b := net.Pipe()
		go func() {
			defer b.Close()
			// A message of a gigabyte, of which the content never stops.
			b.Write([]byte{4, 0x84, 0x40, 0, 0, 0})
			for junk := make([]byte, readChunk); ; {
				if _, err := b.Write(junk); err != nil {
					return
				}
			}
		}()
		return a, nil
	}
	o := mirrored(&network{}, "dc1")
	o.Dial = endless
	_, err := Dial(t.Context(), o)
	wantFault(t, err, fault.DirectoryUnreachable, "")
}

// The library reads in a goroutine of its own; callers come from many.
func TestManyCallersShareOneConnection(t *testing.T) {
	n := &network{at: map[string]*controllerStub{"dc1:389": stub(t, "example.test").serve(t)}}
	c := mustDial(t, mirrored(n, "dc1"))
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for range 10 {
				if r, err := c.Root(t.Context()); err != nil || r.Domain != "example.test" {
					t.Errorf("%+v, %v", r, err)
				}
				if err := c.within(t.Context(), c.readable); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

// readable asks for the rootDSE.
func (c *Conn) readable() error {
	_, err := c.one(object("", "dnsHostName"))
	return err
}
