package cli

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"strings"
	"time"

	"drover/internal/api"
	"drover/internal/delegation"
	"drover/internal/directory"
	"drover/internal/doctor"
	"drover/internal/krb"
)

// newDoctor is a doctor who looks from this machine, as whoever runs the program, or
// as the machine itself where only that has a key.
func (p *program) newDoctor(f directoryFlags) *doctor.Doctor {
	d := &doctor.Doctor{Here: hereName(), Domain: strings.ToLower(strings.TrimSuffix(f.domain, ".")), Hello: hello, Now: p.now}
	d.Caller, d.CallerError = krb.OpenOperator("", "", nil)
	if d.Caller == nil && f.simpleBind == "" && f.ldapi == "" {
		d.Directory = p.directoryAsMachine(d, f)
	} else {
		d.Directory = func(ctx context.Context, server string) (doctor.ExaminedDirectory, error) {
			f, err := f.at(server)
			if err != nil {
				return nil, err
			}
			return p.directory(ctx, f)
		}
	}
	if f.simpleBind != "" && d.Domain == "" {
		d.Domain = domainOf(f.simpleBind)
	}
	if d.Domain == "" && d.Caller == nil { // else it is that of the ticket
		if conf, err := krb.ReadConf(""); err == nil {
			d.Domain = strings.ToLower(conf.DefaultRealm())
		}
	}
	d.Agent = func(ctx context.Context, host string) (doctor.Agent, error) { return p.agentFor(ctx, d, host) }
	d.Machines = machines{p, d.Caller == nil}
	if d.Caller != nil {
		d.Source = func(_ context.Context, h delegation.Host) (doctor.Prober, error) {
			return agentProber{p, target{host: reachableName(h), socket: DefaultSocket}}, nil
		}
		d.Between = p.between
	}
	return d
}

// at is the same sign-in at one controller that DNS names, "" for the first that answers.
// A password goes to no server outside of the user's domain, and to no other than
// --server; --ldapi has this machine's alone.
func (f directoryFlags) at(server string) (directoryFlags, error) {
	switch {
	case server == "":
		return f, nil
	case f.ldapi != "":
		return f, errors.New("--ldapi reads the controller of this machine only")
	case f.simpleBind != "" && f.server != "":
		return f, errors.New("the password goes to " + f.server + " only, which --server names")
	case f.simpleBind != "" && !f.below(server):
		return f, errors.New("the password goes to no server outside of the user's domain, whatever DNS names")
	}
	f.server = server
	return f, nil
}

// reachableName is the name under which a host's agent is called.
func reachableName(h delegation.Host) string {
	if h.FQDN != "" {
		return h.FQDN
	}
	return h.Name
}

// hereName is this machine's short name, as hosts are called.
func hereName() string {
	name, _ := os.Hostname()
	short, _, _ := strings.Cut(name, ".")
	return strings.ToUpper(short)
}

// directoryAsMachine signs in with the machine's own key, which may read what a doctor
// wants to know; nil when there is none.
func (p *program) directoryAsMachine(d *doctor.Doctor, f directoryFlags) func(context.Context, string) (doctor.ExaminedDirectory, error) {
	host, err := krb.OpenHost(krb.Config{})
	if err != nil || host.CheckKeytab() != nil {
		return nil
	}
	d.CallerError = nil
	if d.Domain == "" {
		d.Domain = strings.ToLower(host.Realm())
	}
	return func(ctx context.Context, server string) (doctor.ExaminedDirectory, error) {
		if server == "" {
			server = f.server
		}
		return dialAs(ctx, host, d.Domain, server)
	}
}

// agentFor asks a host's agent, that of this machine by its socket when nobody has
// signed in.
func (p *program) agentFor(ctx context.Context, d *doctor.Doctor, host string) (doctor.Agent, error) {
	t := target{host: host, socket: DefaultSocket}
	local := d.Caller == nil
	if local {
		t.host = ""
	}
	c, err := p.connect(ctx, t, nil)
	if err != nil {
		return doctor.Agent{}, err
	}
	defer func() { _ = c.Close() }()
	h, err := c.Host(ctx)
	if err != nil {
		return doctor.Agent{}, err
	}
	a := doctor.Agent{Host: h.Host, Version: h.Version, Settings: h.Migration.Settings, Addresses: h.Migration.Addresses,
		Moves: h.Migration.Running.Migrations, StorageMoves: h.Migration.Running.StorageMigrations, Local: local,
		UUID: h.UUID, MachineID: h.Machine, LibvirtVersion: h.LibvirtVersion, QEMUVersion: h.QEMUVersion, KVM: h.KVM, TimeZone: doctor.TimeZone(h.TimeZone)}
	for _, r := range h.Storage {
		a.Roots = append(a.Roots, doctor.Root{Path: r.Path, Total: r.TotalBytes, Free: r.FreeBytes, Problem: r.Problem})
	}
	for _, r := range h.Caller.Roles {
		a.Roles = append(a.Roles, string(r))
	}
	adapters, err := c.NetworkAdapters(ctx)
	if err != nil {
		return a, nil // it has told what the rest needs
	}
	for _, n := range adapters {
		a.Adapters = append(a.Adapters, doctor.Adapter{Name: n.Name, Addresses: n.Addresses, MTU: n.MTU, SpeedMbps: n.SpeedMbps})
	}
	return a, nil
}

// between has a source's agent try its ways to a destination.
func (p *program) between(ctx context.Context, source, destination string) ([]doctor.Passage, error) {
	c, err := p.connect(ctx, target{host: source, socket: DefaultSocket}, nil)
	if err != nil {
		return nil, err
	}
	defer func() { _ = c.Close() }()
	return c.ProbeNetwork(ctx, destination)
}

// helloTimeout bounds the question who an agent is.
const helloTimeout = 3 * time.Second

// hello asks without signing in: a ticket is for a name, and which name the machine at
// the address has is the question.
func hello(ctx context.Context, at netip.AddrPort) (doctor.Hello, error) {
	c, err := api.NewClient(api.ClientOptions{Address: at.String(), DialTimeout: helloTimeout, RequestTimeout: helloTimeout})
	if err != nil {
		return doctor.Hello{}, err
	}
	defer func() { _ = c.Close() }()
	h, err := c.Hello(ctx)
	if err != nil {
		return doctor.Hello{}, err
	}
	return doctor.Hello{Host: h.Host, Version: h.Version, Clock: h.Time}, nil
}

var _ doctor.ExaminedDirectory = (*directory.Conn)(nil)
