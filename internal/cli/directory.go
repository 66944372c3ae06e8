package cli

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/netip"
	"os"
	"strings"

	"github.com/spf13/pflag"

	"drover/internal/directory"
	"drover/internal/krb"
)

// directoryFlags are the flags of every verb that talks to the directory.
type directoryFlags struct {
	server, domain, simpleBind, caFile string
	ldaps, passwordStdin               bool
	ldapi                              string
}

func (f *directoryFlags) add(fs *pflag.FlagSet) {
	fs.StringVar(&f.server, "server", "", "`name` of the domain controller (default: found through DNS)")
	fs.StringVar(&f.domain, "domain", "", "DNS `name` of the domain (default: that of your ticket)")
	fs.BoolVar(&f.ldaps, "ldaps", false, "connect over TLS, on port 636 (default: port 389, sealed by Kerberos)")
	fs.StringVar(&f.caFile, "ca-file", "", "PEM `file` of the authority that signed the controllers' certificates (default: the system's)")
	fs.StringVar(&f.simpleBind, "simple-bind", "", "sign in as `user` with a password instead of the ticket; implies --ldaps")
	fs.Var((*socketFlag)(&f.ldapi), "ldapi", "as root on a Samba controller itself: by its privileged socket, without a ticket; --ldapi=PATH for another than "+directory.PrivilegedSocket)
	fs.Lookup("ldapi").NoOptDefVal = theSocket
	fs.BoolVar(&f.passwordStdin, "password-stdin", false, "read the password of --simple-bind from the first line of stdin")
}

// socketFlag is a flag that names a socket, and without a value Samba's own.
type socketFlag string

// theSocket is what --ldapi without a value is set to. With this word, and the type
// that goes with it, help does not show the whole path as part of the flag's name.
const theSocket = "true"

// String, Set and Type make it a flag.
func (f *socketFlag) String() string { return string(*f) }

// Set takes a path.
func (f *socketFlag) Set(s string) error {
	if s == theSocket {
		s = directory.PrivilegedSocket
	}
	*f = socketFlag(s)
	return nil
}

// Type is what help goes by.
func (f *socketFlag) Type() string { return "bool" }

// directory connects to the directory with the ticket of whoever runs the program,
// or as --simple-bind says. The caller closes it.
func (p *program) directory(ctx context.Context, f directoryFlags) (*directory.Conn, error) {
	o, err := p.directoryOptions(ctx, f)
	if err != nil {
		return nil, err
	}
	return directory.Dial(ctx, o)
}

// directoryOptions reads flags, ticket or password.
func (p *program) directoryOptions(ctx context.Context, f directoryFlags) (directory.Options, error) {
	o, err := f.options()
	if err != nil {
		return o, err
	}
	switch {
	case f.ldapi != "":
	case f.simpleBind == "":
		err = withTicket(&o)
	default:
		err = p.withPassword(ctx, f, &o)
	}
	return o, err
}

// presume takes what a plan says of where it belongs, unless the flags say more. A
// password goes to no server that only a file names: a ticket is for one server and
// of no use to another, a password is not.
func (f *directoryFlags) presume(server, domain string) {
	if f.ldapi != "" {
		return
	}
	if f.simpleBind != "" && (!strings.EqualFold(domain, f.ours()) || !f.below(server)) {
		return
	}
	if f.server == "" {
		f.server = server
	}
	if f.domain == "" {
		f.domain = domain
	}
}

// ours is the domain of whoever signs in with a password, "" when that is not said.
func (f *directoryFlags) ours() string {
	return cmp.Or(strings.TrimSuffix(strings.ToLower(f.domain), "."), domainOf(f.simpleBind))
}

// below says that a server's name is one of that domain.
func (f *directoryFlags) below(server string) bool {
	return f.ours() != "" && strings.HasSuffix(strings.TrimSuffix(strings.ToLower(server), "."), "."+f.ours())
}

// withDirectory runs do with a connection to the directory.
func (p *program) withDirectory(ctx context.Context, f directoryFlags, do func(*directory.Conn) error) error {
	c, err := p.directory(ctx, f)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	return do(c)
}

// options are what the flags alone say.
func (f directoryFlags) options() (directory.Options, error) {
	o := directory.Options{Domain: strings.ToLower(strings.TrimSuffix(f.domain, "."))}
	secure := f.ldaps || f.simpleBind != ""
	if f.ldapi != "" {
		if f.server != "" || f.domain != "" || secure || f.caFile != "" || f.passwordStdin {
			return o, misuse("--ldapi is the controller of this machine; it goes with no other flag that says where or who")
		}
		if _, err := os.Stat(f.ldapi); err != nil {
			return o, misuse("--ldapi is for root on a Samba controller itself: %s: %s", f.ldapi, openReason(err))
		}
		o.Socket = f.ldapi
		return o, nil
	}
	switch {
	case f.caFile != "" && !secure:
		return o, misuse("--ca-file is for --ldaps; without it there is no certificate")
	case f.passwordStdin && f.simpleBind == "":
		return o, misuse("--password-stdin is for --simple-bind; otherwise your Kerberos ticket is used")
	}
	if f.domain != "" {
		if err := checkHost("--domain", f.domain); err != nil {
			return o, err
		}
	}
	if f.server != "" {
		if err := f.checkServer(); err != nil {
			return o, err
		}
		o.Servers = []string{f.server}
	}
	if !secure {
		return o, nil
	}
	o.LDAPS = &tls.Config{MinVersion: tls.VersionTLS12}
	if f.caFile == "" {
		return o, nil
	}
	pem, err := os.ReadFile(f.caFile)
	if err != nil {
		return o, unreadable("--ca-file", f.caFile, err)
	}
	o.LDAPS.RootCAs = x509.NewCertPool()
	if !o.LDAPS.RootCAs.AppendCertsFromPEM(pem) {
		return o, misuse("--ca-file %s has no certificate in PEM", f.caFile)
	}
	return o, nil
}

// checkServer refuses what is no name. An address is enough for a password, and not
// for a ticket.
func (f directoryFlags) checkServer() error {
	name := f.server
	if h, _, err := net.SplitHostPort(name); err == nil {
		name = h
	}
	if _, err := netip.ParseAddr(strings.Trim(name, "[]")); err == nil && f.simpleBind != "" {
		return nil
	}
	return checkHost("--server", name)
}

// withTicket signs in with the ticket of whoever runs the program.
func withTicket(o *directory.Options) error {
	op, err := krb.OpenOperator("", "", nil)
	if err != nil {
		return err
	}
	o.Principal = op.Principal()
	if o.Domain == "" {
		o.Domain = domainOf(o.Principal)
	}
	o.Security = func(ctx context.Context, over *tls.ConnectionState) directory.Security {
		if over != nil {
			return krb.NewSASLOverTLS(ctx, op.Ticket, over)
		}
		return krb.NewSASL(ctx, op.Ticket)
	}
	return nil
}

// withPassword signs in by name and password.
func (p *program) withPassword(ctx context.Context, f directoryFlags, o *directory.Options) error {
	if o.Domain == "" {
		o.Domain = domainOf(f.simpleBind)
	}
	if o.Domain == "" && len(o.Servers) == 0 {
		return misuse("--simple-bind %s does not say which domain: write it as USER@DOMAIN, or give --domain or --server", f.simpleBind)
	}
	if p.bind == nil || p.bind.User != f.simpleBind { // read once: stdin has it once, and a verb may connect twice
		password, err := p.password(ctx, loginOptions{passwordStdin: f.passwordStdin}, f.simpleBind)
		if err != nil {
			return err
		}
		p.bind = &directory.Simple{User: f.simpleBind, Password: password}
	}
	o.Simple = p.bind
	return nil
}

// domainOf is what follows the last "@" of a principal, in lower case.
func domainOf(principal string) string {
	i := strings.LastIndexByte(principal, '@')
	if i < 0 {
		return ""
	}
	return strings.ToLower(principal[i+1:])
}
