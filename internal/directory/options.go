package directory

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"drover/internal/fault"
)

// Ports of controllers.
const (
	portLDAP     = "389"
	portLDAPS    = "636"
	portGlobal   = "3268"
	portGlobalTL = "3269" // the global catalogue over TLS
)

// Options say how to reach the directory.
type Options struct {
	// Domain is the DNS name, "lab.drover.test". Its controllers are found by DNS
	// unless Servers names them.
	Domain string
	// Servers are names of controllers, with ":port" if it is not the usual one. They
	// must be names and not addresses, because the Kerberos ticket is for ldap/NAME;
	// only with Simple may they be addresses.
	Servers []string
	// Principal is who signs in by Security, for messages.
	Principal string
	// Security makes the client of one bind; ctx bounds its requests to the KDC. over
	// is nil on port 389, where the client must seal the connection, and else the TLS
	// session that the bind is to be bound to, without a layer of its own.
	Security func(ctx context.Context, over *tls.ConnectionState) Security
	// LDAPS, when set, is TLS on port 636. ServerName is filled in where it is empty;
	// RootCAs nil are the system's.
	LDAPS *tls.Config
	// Simple, when set, signs in by name and password in place of Security. It takes
	// LDAPS.
	Simple *Simple
	// Socket, when set, is the privileged LDAP socket of a Samba controller
	// (PrivilegedSocket) on the controller itself. Whoever may open it, root, is the
	// system to the directory: there is no sign-in, and Servers, LDAPS, Simple and
	// Security are not used. It can change what Samba lets nobody change over the
	// network, which resource-based delegation is.
	Socket string
	// Dial opens connections; nil is a net.Dialer.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// LookupSRV asks DNS, in the order in which the answers are to be tried; nil is
	// the LookupSRV of net.DefaultResolver.
	LookupSRV func(ctx context.Context, service, proto, name string) (string, []*net.SRV, error)
}

// PrivilegedSocket is where Samba has its socket for the system, below its private
// directory.
const PrivilegedSocket = "/var/lib/samba/private/ldap_priv/ldapi"

// Simple is a sign-in by name and password.
type Simple struct {
	User     string // "alice@example.org", `EXAMPLE\alice`, or a distinguished name
	Password string
}

// target is one controller to try.
type target struct{ host, port string }

// address is the network and what to dial; a socket has no port.
func (t target) address() (network, address string) {
	if t.port == "" {
		return "unix", t.host
	}
	return "tcp", net.JoinHostPort(t.host, t.port)
}

func (t target) String() string {
	_, address := t.address()
	return address
}

// check refuses, before anything is sent, what must not or cannot work.
func (o Options) check() error {
	switch {
	case o.Socket != "":
		return nil
	case o.Simple == nil && o.Security == nil:
		return errors.New("connect to the directory: nobody to sign in as")
	case o.Simple == nil:
	case o.LDAPS == nil:
		return o.refused("a password is sent over TLS only: add --ldaps")
	case o.Simple.User == "":
		return o.refused("the user's name is empty, which would be an anonymous sign-in")
	case o.Simple.Password == "":
		return o.refused("the password is empty, which would be an anonymous sign-in") // RFC 4513 5.1.2
	}
	if o.Simple != nil {
		return nil
	}
	for _, s := range o.Servers {
		host := o.target(s).host
		if _, err := netip.ParseAddr(host); err == nil {
			return fault.New(fault.HostNameIsAddress, "", "name", host)
		}
	}
	return nil
}

func (o Options) refused(reason string) error {
	return fault.New(fault.DirectorySignIn, "", "server", o.where(), "principal", o.who(), "reason", reason)
}

// who signs in, for messages.
func (o Options) who() string {
	switch {
	case o.Socket != "":
		return "root on the controller"
	case o.Simple != nil && o.Simple.User != "":
		return o.Simple.User
	case o.Simple == nil && o.Principal != "":
		return o.Principal
	}
	return "(nobody)"
}

// where names the domain for messages, or the servers when it is not known.
func (o Options) where() string {
	if o.Socket != "" {
		return "this machine"
	}
	if o.Domain != "" || len(o.Servers) == 0 {
		return o.Domain
	}
	return strings.Join(o.Servers, ", ")
}

// usualPort is the port of a controller that was named without one.
func (o Options) usualPort() string {
	if o.LDAPS != nil {
		return portLDAPS
	}
	return portLDAP
}

// target splits what Servers have.
func (o Options) target(server string) target {
	host, port, err := net.SplitHostPort(server)
	if err != nil {
		host, port = strings.Trim(server, "[]"), o.usualPort()
	}
	return target{strings.TrimSuffix(host, "."), port}
}

// controllers lists what to try, in order.
func (o Options) controllers(ctx context.Context) ([]target, error) {
	if o.Socket != "" {
		return []target{{o.Socket, ""}}, nil
	}
	var out []target
	for _, s := range o.Servers {
		out = append(out, o.target(s))
	}
	if len(out) > 0 {
		return out, nil
	}
	// MS-ADTS 6.3.2.3: every controller of the domain registers this name.
	return o.lookup(ctx, "ldap", "dc._msdcs."+o.Domain, o.Domain)
}

// lookup finds controllers in DNS. The records are about LDAP without TLS; with
// TLS their ports mean nothing.
func (o Options) lookup(ctx context.Context, service, name, domain string) ([]target, error) {
	if domain == "" {
		return nil, unreachable(nil, "(no domain)", "neither a domain nor a controller was named")
	}
	ask := o.LookupSRV
	if ask == nil {
		ask = net.DefaultResolver.LookupSRV
	}
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	_, records, err := ask(ctx, service, "tcp", name)
	var out []target
	for _, r := range records { // by priority, within one by weight
		t := target{strings.TrimSuffix(r.Target, "."), strconv.Itoa(int(r.Port))}
		switch {
		case o.LDAPS != nil && service == "gc":
			t.port = portGlobalTL
		case o.LDAPS != nil:
			t.port = portLDAPS
		}
		if t.host != "" { // "." says that there is no such service (RFC 2782)
			out = append(out, t)
		}
	}
	if len(out) > 0 {
		return out, nil
	}
	reason := fmt.Sprintf("DNS has no record _%s._tcp.%s", service, name)
	return nil, unreachable(err, domain, reason)
}

func unreachable(cause error, domain, reason string) error {
	return fault.Wrap(cause, fault.DirectoryUnreachable, "", "domain", domain, "reason", reason)
}
