package lab

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Options say what lab to raise. The zero value is the whole lab "demo" on the machine's own
// packages.
type Options struct {
	// Name tells labs apart; "" means "demo".
	Name string
	// Rootfs is what the hosts' file systems are based on: "" or "machine", or "trixie".
	Rootfs string
	// Directory is what the domain controller's file system is based on, and so which Samba it is:
	// "" or "machine" for the machine's own, or "trixie" for Debian 13's (4.22).
	Directory string
	// Libvirt is "monolithic" (libvirtd) or "modular" (virtqemud); "" takes modular on trixie and
	// otherwise what is installed, monolithic first.
	Libvirt string
	// Rates limit networks from the start, in bits per second.
	Rates map[Network]uint64
	// Assets is the directory that members see, read-only, as /opt/drover, with the programs in
	// bin/. "" takes the build directory of the source tree around the working directory.
	Assets string
	// Hosts lists the hosts to raise; nil means DefaultHosts. The directory knows all of HostNames
	// anyway.
	Hosts []string
	// Unjoined raises NEW1 too: a machine with the domain's DNS and Kerberos settings, but with
	// no account in the directory and no keytab. See Lab.Join.
	Unjoined bool
	// Agent is the program in bin of the assets that StartAgent runs; "" means DefaultAgent. Tests
	// that make an agent fail on purpose use one that is built for it.
	Agent string
	// LibvirtTCP lets libvirtd (Libvirt: Monolithic) listen for TCP, without authentication, and
	// gives the hosts' QEMUs certificates: what migration by libvirt alone needs, with which
	// moves are compared. The product has neither.
	LibvirtTCP bool
	// QEMUUser is the user, and group, as whom libvirt runs QEMU; "" means root, because in most
	// tests it is nobody's business.
	QEMUUser string
	// Unit is the path of a systemd unit: agents run with the rights that it leaves them, see
	// confine.py. "" leaves them all. For hosts on the machine's own packages.
	Unit string
	// NoAgents leaves droverd to StartAgent. Otherwise it is started where it is built.
	NoAgents bool
	// Tied makes the lab end with this process, however that ends.
	Tied bool
	// Progress, when set, is told what happens, in short lines.
	Progress func(format string, args ...any)

	qemuCertificates map[string][]file // by host, with LibvirtTCP
}

// DefaultName is the lab of the command line and of the demo.
const DefaultName = "demo"

// Lab is a running lab. Its methods may be used from several goroutines.
type Lab struct {
	state    *state
	children map[string]*child // only in the process that raised it
}

// Up raises a lab. A stale lab of the same name is taken down first. A lab that runs already is
// returned as it is when it is of the same kind, and is an error otherwise. On error nothing is
// left of what was started, except the logs in the error.
func Up(ctx context.Context, o Options) (*Lab, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	unlock, err := lock(ctx, o.Name)
	if err != nil {
		return nil, err
	}
	defer unlock()
	switch old, err := readState(o.Name); {
	case errors.Is(err, fs.ErrNotExist):
	case err == nil && old.condition() == Running:
		if o.Tied || old.Rootfs != o.Rootfs || old.Libvirt != o.Libvirt || old.LibvirtTCP != o.LibvirtTCP || old.Directory != o.Directory {
			return nil, fmt.Errorf("lab %s runs already with other options (rootfs %s, libvirt %s, directory %s): take it down first",
				o.Name, old.Rootfs, old.Libvirt, old.Directory)
		}
		l := &Lab{state: old}
		for _, s := range o.cast() {
			if l.Member(s.name) == nil {
				return nil, fmt.Errorf("lab %s runs already without %s: take it down first", o.Name, s.name)
			}
		}
		return l, l.setRates(ctx, o.Rates)
	default:
		o.Progress("cleaning what an earlier lab %s has left behind", o.Name)
	}
	if err := clean(ctx, o.Name); err != nil {
		return nil, err
	}
	if o.needsTrixie() {
		if err := ensureTrixie(ctx, o.Progress); err != nil {
			return nil, err
		}
	}
	l, err := raise(ctx, o)
	if err != nil {
		err = fmt.Errorf("raise lab %s: %w", o.Name, err)
		// The caller's context may be what ended: cleaning up has a deadline of its own.
		cleanup, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
		defer cancel()
		return nil, errors.Join(err, clean(cleanup, o.Name))
	}
	return l, nil
}

func (o Options) withDefaults() (Options, error) {
	if o.Name == "" {
		o.Name = DefaultName
	}
	if o.Rootfs == "" {
		o.Rootfs = rootfsMachine
	}
	if o.Directory == "" {
		o.Directory = rootfsMachine
	}
	if o.Hosts == nil {
		o.Hosts = DefaultHosts()
	}
	for _, host := range o.Hosts {
		if !contains(HostNames(), host) {
			return o, fmt.Errorf("no host %q in the lab: there are %s", host, strings.Join(HostNames(), ", "))
		}
	}
	if o.Agent == "" {
		o.Agent = DefaultAgent
	}
	if o.QEMUUser == "" {
		o.QEMUUser = "root"
	}
	if o.Progress == nil {
		o.Progress = func(string, ...any) {}
	}
	if o.Unit != "" && o.Rootfs != rootfsMachine {
		return o, fmt.Errorf("rootfs %s has no Python, which Unit needs", o.Rootfs)
	}
	if o.Rootfs != rootfsMachine && o.Rootfs != rootfsTrixie {
		return o, fmt.Errorf("rootfs %q: there are %q and %q", o.Rootfs, rootfsMachine, rootfsTrixie)
	}
	if o.Directory != rootfsMachine && o.Directory != rootfsTrixie {
		return o, fmt.Errorf("directory %q: there are %q and %q", o.Directory, rootfsMachine, rootfsTrixie)
	}
	var err error
	if o.Libvirt, err = chooseLibvirt(o.Libvirt, o.Rootfs); err != nil {
		return o, err
	}
	if o.LibvirtTCP {
		if o.Libvirt != Monolithic {
			return o, fmt.Errorf("libvirt %s does not listen for TCP: only %s does", o.Libvirt, Monolithic)
		}
		var hosts []spec
		for _, s := range o.cast() {
			if s.role == roleHost {
				hosts = append(hosts, s)
			}
		}
		if o.qemuCertificates, err = qemuCertificates(hosts); err != nil {
			return o, err
		}
	}
	if o.Assets == "" {
		o.Assets = findAssets()
	}
	return o, checkName(o.Name)
}

// raise does the work of Up in an empty state directory.
func raise(ctx context.Context, o Options) (*Lab, error) {
	boot, err := bootID()
	if err != nil {
		return nil, err
	}
	l := &Lab{
		state: &state{
			Name: o.Name, BootID: boot, Created: time.Now().UTC(), Rootfs: o.Rootfs, Directory: o.Directory,
			Libvirt: o.Libvirt, LibvirtTCP: o.LibvirtTCP, Assets: o.Assets, Agent: o.Agent, Unit: o.Unit, Members: map[string]process{}, GroupSIDs: map[string]string{},
		},
		children: map[string]*child{},
	}
	if o.Tied {
		if l.state.Owner, err = identify(os.Getpid()); err != nil {
			return nil, err
		}
	}
	if err := l.makeDirectories(o); err != nil {
		return nil, err
	}
	for _, step := range []func(context.Context, Options) error{l.raiseMembers, l.raiseServices, l.raiseAgents} {
		if err := step(ctx, o); err != nil {
			return nil, err
		}
	}
	l.state.Complete = true
	if err := l.state.write(); err != nil {
		return nil, err
	}
	if o.Tied {
		return l, nil
	}
	for _, c := range l.children {
		if err := c.release(); err != nil {
			return nil, err
		}
	}
	return l, nil
}

// cast lists the members that these options ask for.
func (o Options) cast() []spec {
	var cast []spec
	for _, s := range members {
		switch s.role {
		case roleHost:
			if !contains(o.Hosts, s.name) {
				continue
			}
		case roleUnjoined:
			if !o.Unjoined {
				continue
			}
		}
		cast = append(cast, s)
	}
	return cast
}

func (l *Lab) makeDirectories(o Options) error {
	dir := l.Dir()
	directories := []string{"ctl", "shared", "logs/" + fabricName}
	for _, s := range o.cast() {
		directories = append(directories, "logs/"+s.name, "root/"+s.name)
		if s.role == roleHost {
			directories = append(directories, "disks/"+s.name+"/vms", "disks/"+s.name+"/agent", "logs/"+s.name+"/libvirt/qemu")
		}
	}
	for _, d := range directories {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			return err
		}
	}
	return l.state.write()
}

// raiseMembers starts the fabric and every member and plugs the cables.
func (l *Lab) raiseMembers(ctx context.Context, o Options) error {
	o.Progress("networks and machines")
	fabric, err := spawn(ctx, o.Name, fabricName, syscall.CLONE_NEWNET|syscall.CLONE_NEWNS|syscall.CLONE_NEWUTS|syscall.CLONE_NEWPID, initConfig{
		Hostname: fabricName, Socket: controlSocket(l.Dir(), fabricName),
	})
	if err != nil {
		return err
	}
	l.children[fabricName], l.state.Members[fabricName] = fabric, fabric.process
	if err := buildFabric(fabric.process); err != nil {
		return err
	}
	var mu sync.Mutex
	err = inParallel(o.cast(), func(s spec) error {
		config, err := l.memberConfig(o, s)
		if err != nil {
			return err
		}
		const namespaces = syscall.CLONE_NEWNET | syscall.CLONE_NEWUTS | syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWIPC
		c, err := spawn(ctx, o.Name, s.name, namespaces, config)
		if err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		l.children[s.name], l.state.Members[s.name] = c, c.process
		return plugIn(fabric.process, c.process, s)
	})
	if err != nil {
		return err
	}
	if err := l.setRates(ctx, o.Rates); err != nil {
		return err
	}
	return l.state.write()
}

func (l *Lab) setRates(ctx context.Context, rates map[Network]uint64) error {
	for n, rate := range rates {
		if err := l.SetRate(ctx, n, rate); err != nil {
			return err
		}
	}
	return nil
}

// raiseServices starts the domain controller and, beside it, libvirt on every host; then the
// hosts get their keytabs.
func (l *Lab) raiseServices(ctx context.Context, o Options) error {
	o.Progress("domain controller for %s, libvirt (%s) on %d hosts", Realm, o.Libvirt, len(o.Hosts))
	return inParallel(o.cast(), func(s spec) error {
		switch s.role {
		case roleDC:
			return l.startDC(ctx)
		case roleHost:
			return l.StartLibvirt(ctx, s.name)
		default:
			return nil
		}
	})
}

// Open gives access to a lab that another process has raised.
func Open(name string) (*Lab, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	s, err := readState(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("there is no lab %s", name)
	}
	if err != nil {
		return nil, err
	}
	if c := s.condition(); c != Running {
		return nil, fmt.Errorf("lab %s is not usable (%s): take it down and raise it again", name, c)
	}
	return &Lab{state: s}, nil
}

// Name is the lab's name.
func (l *Lab) Name() string { return l.state.Name }

// Rootfs is what the hosts stand on: "machine" or "trixie".
func (l *Lab) Rootfs() string { return l.state.Rootfs }

// Dir is the lab's state directory on the machine.
func (l *Lab) Dir() string { return stateDir(l.state.Name) }

// GroupSIDs gives the security identifiers of the role groups by group name.
func (l *Lab) GroupSIDs() map[string]string { return maps.Clone(l.state.GroupSIDs) }

// Member gives one machine of the lab, nil when this lab has none of that name.
func (l *Lab) Member(name string) *Member {
	p, found := l.state.Members[name]
	if !found {
		return nil
	}
	m := &Member{Name: name, process: p, dir: l.Dir()}
	for _, s := range members {
		if s.name == name {
			m.spec, m.FQDN = s, s.fqdn()
		}
	}
	return m
}

// Hosts lists the lab's hosts in order of their names.
func (l *Lab) Hosts() []*Member {
	var hosts []*Member
	for _, name := range HostNames() {
		if m := l.Member(name); m != nil {
			hosts = append(hosts, m)
		}
	}
	return hosts
}

// Down takes this lab down. Safe to call twice.
func (l *Lab) Down(ctx context.Context) error {
	if err := Down(ctx, l.state.Name); err != nil {
		return err
	}
	for _, c := range l.children {
		<-c.ended
	}
	return nil
}

// inParallel runs f for every item and joins the errors.
func inParallel[T any](items []T, f func(T) error) error {
	errs := make([]error, len(items))
	var wg sync.WaitGroup
	for i, item := range items {
		wg.Go(func() { errs[i] = f(item) })
	}
	wg.Wait()
	return errors.Join(errs...)
}
