package labtest

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"os"
	"strings"
	"testing"

	"drover/internal/directory"
	"drover/internal/fault"
	"drover/internal/krb"
	"drover/lab"
)

const controller = "dc1." + lab.Domain

// TestConnecting connects to a real controller in every way that is offered.
func TestConnecting(t *testing.T) {
	for name, o := range map[string]struct {
		lab.Options
		overTLS bool // GSSAPI over TLS works: Samba 4.17 refuses it whatever the binding
	}{
		"samba 4.17": {lab.Options{Name: "dial417"}, false},
		"samba 4.22": {lab.Options{Name: "dial422", Directory: "trixie"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			o.NoAgents, o.Hosts = true, []string{lab.HV01}
			d := domainOf(t, lab.Start(t, o.Options))
			t.Run("sealed", d.testSealed)
			t.Run("password over TLS", d.testSimple)
			if o.overTLS {
				t.Run("ticket over TLS", d.testTicketOverTLS)
			} else {
				t.Run("ticket over TLS is refused", d.testTicketOverTLSRefused)
			}
			t.Run("global catalogue", d.testGlobal)
			t.Run("by DNS", d.testByDNS)
			t.Run("lost", d.testLost)
		})
	}
}

// sealed are options for a ticket of the operator on port 389.
func (d *domain) sealed(t *testing.T) directory.Options {
	op := d.signIn(t, lab.UserOperator)
	return directory.Options{Domain: lab.Domain, Servers: []string{controller}, Principal: op.Principal(), Dial: d.Member(lab.MGMT).Dial,
		Security: func(ctx context.Context, over *tls.ConnectionState) directory.Security {
			if over != nil {
				return krb.NewSASLOverTLS(ctx, op.Ticket, over)
			}
			return krb.NewSASL(ctx, op.Ticket)
		}}
}

func (d *domain) trust(t *testing.T) *tls.Config {
	t.Helper()
	pem, err := os.ReadFile(d.Member(lab.MGMT).Path(lab.CAPath))
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		t.Fatal("no certificate")
	}
	return &tls.Config{RootCAs: pool}
}

// simple are options for the Administrator's password over TLS.
func (d *domain) simple(t *testing.T) directory.Options {
	return directory.Options{Domain: lab.Domain, Servers: []string{controller}, LDAPS: d.trust(t), Dial: d.Member(lab.MGMT).Dial,
		Simple: &directory.Simple{User: "Administrator@" + lab.Realm, Password: lab.AdministratorPassword}}
}

func dial(t *testing.T, o directory.Options) *directory.Conn {
	t.Helper()
	c, err := directory.Dial(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// assertReads reads HV01's account.
func assertReads(t *testing.T, c *directory.Conn) {
	t.Helper()
	if a, err := c.Account(t.Context(), "HV01$"); err != nil || a.DN != lab.HostDN(lab.HV01) {
		t.Fatalf("%+v, %v", a, err)
	}
}

func (d *domain) testSealed(t *testing.T) {
	c := dial(t, d.sealed(t))
	assertReads(t, c)
	r, err := c.Root(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if r.Server != controller || r.Kind != directory.Samba || r.BaseDN != lab.BaseDN || r.ForestDN != lab.BaseDN || r.Domain != lab.Domain ||
		r.NetBIOS != lab.NetBIOS || r.ConfigDN != "CN=Configuration,"+lab.BaseDN || !strings.HasPrefix(r.DomainSID, "S-1-5-21-") ||
		len(r.InvocationID) != 36 || !r.GlobalCat || r.Controllers != 1 {
		t.Errorf("%+v", r)
	}
	values, err := d.Directory().Values(t.Context(), r.Controller, "invocationId")
	if err != nil || len(values) != 1 || values[0] != r.InvocationID {
		t.Errorf("invocation %s, Samba's tool says %q, %v", r.InvocationID, values, err)
	}
	for _, dn := range []string{lab.HostDN(lab.HV01), strings.ToLower(lab.HostDN(lab.HV01)), r.Controller, "DC=DomainDnsZones," + lab.BaseDN} {
		if same, err := c.For(t.Context(), dn); err != nil || same != c {
			t.Errorf("%s: %v", dn, err)
		}
	}
	if _, err := c.For(t.Context(), "CN=X,DC=elsewhere,DC=test"); !fault.Is(err, fault.DirectoryObjectGone) {
		t.Errorf("another forest: %v", err)
	}
}

func (d *domain) testSimple(t *testing.T) {
	for _, user := range []string{"Administrator@" + lab.Realm, lab.NetBIOS + `\Administrator`, "CN=Administrator,CN=Users," + lab.BaseDN} {
		o := d.simple(t)
		o.Simple.User = user
		assertReads(t, dial(t, o))
	}
	for reason, who := range map[string]directory.Simple{
		"wrong name or password":  {User: "Administrator@" + lab.Realm, Password: "x"},
		"the account is disabled": {User: lab.UserDisabled + "@" + lab.Realm, Password: lab.UserPassword},
		"the account is restricted; members of Protected Users sign in with a Kerberos ticket only": {User: lab.UserProtected + "@" + lab.Realm, Password: lab.UserPassword},
	} {
		o := d.simple(t)
		o.Simple = &who
		_, err := directory.Dial(t.Context(), o)
		if f := wantCode(t, err, fault.DirectorySignIn); f.Args["reason"] != reason || f.Args["principal"] != who.User {
			t.Errorf("%v", err)
		}
	}
	strange := d.simple(t)
	strange.LDAPS = &tls.Config{RootCAs: x509.NewCertPool()}
	if _, err := directory.Dial(t.Context(), strange); !fault.Is(err, fault.DirectoryUnreachable) || !strings.Contains(err.Error(), "--ca-file") {
		t.Errorf("unknown authority: %v", err)
	}
}

func (d *domain) testTicketOverTLSRefused(t *testing.T) {
	o := d.sealed(t)
	o.LDAPS = d.trust(t)
	_, err := directory.Dial(t.Context(), o)
	if f := wantCode(t, err, fault.DirectorySignIn); !strings.Contains(f.Args["reason"], "389") || f.Args["principal"] != lab.UserOperator+"@"+lab.Realm {
		t.Errorf("%v", err)
	}
}

func (d *domain) testTicketOverTLS(t *testing.T) {
	o := d.sealed(t)
	o.LDAPS = d.trust(t)
	assertReads(t, dial(t, o))
	// What somebody in the middle would show us.
	security := o.Security
	o.Security = func(ctx context.Context, over *tls.ConnectionState) directory.Security {
		other := *over
		cert := *over.PeerCertificates[0]
		cert.Raw = append([]byte{0}, cert.Raw...)
		other.PeerCertificates = []*x509.Certificate{&cert}
		return security(ctx, &other)
	}
	_, err := directory.Dial(t.Context(), o)
	if f := wantCode(t, err, fault.DirectorySignIn); !strings.Contains(f.Args["reason"], "TLS") {
		t.Errorf("%v", err)
	}
}

func (d *domain) testGlobal(t *testing.T) {
	for name, o := range map[string]directory.Options{"sealed": d.sealed(t), "over TLS": d.simple(t)} {
		c := dial(t, o)
		g, err := c.Global(t.Context())
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		t.Cleanup(func() { g.Close() })
		if g.BaseDN() != "" || g.Server() != controller {
			t.Errorf("%s: %q %s", name, g.BaseDN(), g.Server())
		}
		assertReads(t, g)
	}
}

// testByDNS finds the controller as a member of the domain does.
func (d *domain) testByDNS(t *testing.T) {
	member := d.Member(lab.MGMT)
	o := d.sealed(t)
	o.Servers = nil
	o.LookupSRV = (&net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return member.Dial(ctx, "tcp", "dc1:53")
	}}).LookupSRV
	c := dial(t, o)
	assertReads(t, c)
	if c.Server() != controller {
		t.Errorf("%s", c.Server())
	}
	o.Domain = "nowhere." + lab.Domain
	_, err := directory.Dial(t.Context(), o)
	wantCode(t, err, fault.DirectoryUnreachable)
}

// testLost takes the controller away under a connection. It is the last: the lab has
// no directory afterwards.
func (d *domain) testLost(t *testing.T) {
	o := d.sealed(t)
	c := dial(t, o)
	assertReads(t, c)
	if err := d.StopDirectory(t.Context()); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		_, err := c.Account(t.Context(), "HV01$")
		wantCode(t, err, fault.DirectoryUnreachable)
	}
	_, err := directory.Dial(t.Context(), o) // the ticket is there already
	wantCode(t, err, fault.DirectoryUnreachable)
}
