package doctor

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"drover/internal/audit"
	"drover/internal/delegation"
	"drover/internal/directory"
	"drover/internal/fault"
	"drover/internal/finding"
	"drover/internal/krb"
	"drover/internal/look"
	"drover/internal/settings"
)

// Doctor looks at names, network, Kerberos, the directory and hosts, from one machine
// and as one person. What it has nothing to look with is not checked, and said so.
type Doctor struct {
	Machine look.Machine
	Here    string // short name of this machine, in capitals
	Domain  string // DNS name of the domain; "" = that of the caller's ticket
	// Krb5Conf and Keytab are files of this machine, "" their usual places.
	Krb5Conf, Keytab string
	// Caller is whoever asks, nil without a ticket; CallerError then says why.
	Caller      *krb.Operator
	CallerError error
	// Directory connects to one controller, "" to the first that answers.
	Directory func(ctx context.Context, server string) (ExaminedDirectory, error)
	// Hello asks an address which host's agent answers there; nothing in the answer is
	// proved.
	Hello func(ctx context.Context, at netip.AddrPort) (Hello, error)
	// Agent asks the agent of a host, by a name that has a ticket.
	Agent func(ctx context.Context, host string) (Agent, error)
	// Source gives the prober of a host, with which delegation is rehearsed.
	Source func(ctx context.Context, h delegation.Host) (Prober, error)
	// Between has the agent of a source try its ways to a destination; the names are such
	// as have a ticket.
	Between func(ctx context.Context, source, destination string) ([]Passage, error)
	// Machines asks about VMs.
	Machines Machines
	// AgentWait is how long an agent's answer is waited for; 0 is 5 s.
	AgentWait time.Duration
	Now       func() time.Time // nil is time.Now
}

func (d *Doctor) agentWait() time.Duration { return cmp.Or(d.AgentWait, 5*time.Second) }

// ExaminedDirectory is what the doctor reads; *directory.Conn is one.
type ExaminedDirectory interface {
	audit.Directory
	VerifyDirectory
	Read(ctx context.Context, dn string, attributes ...string) (directory.Entry, error)
	Close() error
}

// Hello is what an agent says to anybody.
type Hello struct {
	Host    string
	Version string
	Clock   time.Time
}

// Agent is what a host's agent tells the caller.
type Agent struct {
	Host, Version string
	Settings      settings.Settings
	// Addresses are where port 6600 listens.
	Addresses []netip.AddrPort
	// Moves and StorageMoves run at present.
	Moves, StorageMoves int
	Roles               []string // of the caller
	Local               bool     // asked by the local socket, where roles are others
	// UUID is the host's in libvirt, MachineID what tells machines apart; "" when an
	// agent does not tell, as the versions are.
	UUID, MachineID             string
	LibvirtVersion, QEMUVersion string
	KVM                         bool // libvirt can use it
	TimeZone                    TimeZone
	Roots                       []Root
	// Adapters are its network interfaces, none when it does not tell.
	Adapters []Adapter
}

// Bounds of what is done at a time, and of how long a person is kept waiting.
const (
	hostsAtOnce = 64 // mostly waiting: a host that is silent takes some seconds
	// rehearsed is up to how many hosts the real exchanges are made: of more, each
	// direction by itself is a verb of its own.
	rehearsed = 8
)

// examination is one run.
type examination struct {
	*Doctor
	q        Question
	started  time.Time
	resolver look.Resolver
	// controllers are those that DNS names, with their addresses.
	controllers    []controller
	snap           *audit.Snapshot
	plan           *delegation.Plan
	dir            ExaminedDirectory
	directoryError error // why it was not read
	hosts          []*seenHost
	pairs          []delegation.Direction
	// vm is what is told of the VM, and where what is known of its whereabouts.
	vm    *VM
	where whereabouts

	mu         sync.Mutex
	unresolved []*seenHost // by their short names
	found      []finding.Finding
	checked    []Check
	notChecked []Check
}

// Examine looks at everything that the question is about. The error is about the
// question, or the end of ctx; what is wrong with the world is in the report.
func (d *Doctor) Examine(ctx context.Context, q Question) (Report, error) {
	x := &examination{Doctor: d, q: q}
	if x.Now == nil {
		c := *d
		c.Now = time.Now
		x.Doctor = &c
	}
	x.started = x.Now()
	if x.Domain == "" && x.Caller != nil {
		c := *x.Doctor
		_, realm, _ := strings.Cut(x.Caller.Principal(), "@")
		c.Domain = strings.ToLower(realm)
		x.Doctor = &c
	}
	x.readResolver()
	x.step("domain controllers")
	inParallel(x.findControllers, x.readDirectory)(ctx)
	defer func() {
		if x.dir != nil {
			_ = x.dir.Close()
		}
	}()
	x.chooseHosts()
	x.step("names, network, clocks and agents")
	inParallel(x.lookAtControllers, x.lookAtHosts, x.checkOperator, x.checkKeytab, x.checkKrb5Conf)(ctx)
	x.findVM(ctx)
	x.judgeDirectory()
	x.compareHosts(ctx)
	x.step("delegation, with real tickets, and the networks between the hosts")
	inParallel(x.rehearse, x.between)(ctx)
	x.compareVM(ctx)
	if ctx.Err() != nil {
		return Report{}, context.Cause(ctx)
	}
	return x.report(), nil
}

// inParallel is one function that runs several and waits for them.
func inParallel(fs ...func(context.Context)) func(context.Context) {
	return func(ctx context.Context) {
		var wg sync.WaitGroup
		for _, f := range fs {
			wg.Go(func() { f(ctx) })
		}
		wg.Wait()
	}
}

// each runs f for every item, some at a time.
func each[T any](items []T, f func(T)) {
	eachIndex(len(items), func(i int) { f(items[i]) })
}

// eachIndex runs f for the numbers below n, some at a time.
func eachIndex(n int, f func(int)) {
	var wg sync.WaitGroup
	slots := make(chan struct{}, hostsAtOnce)
	for i := range n {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			f(i)
		})
	}
	wg.Wait()
}

func (x *examination) step(what string) {
	if x.q.Progress != nil {
		x.q.Progress(what)
	}
}

// add adds a finding.
func (x *examination) add(f finding.Finding) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.found = append(x.found, f)
}

// tell adds a finding that has the texts of a fault, with what was read.
func (x *examination) tell(s finding.Severity, object string, f *fault.Error, evidence, from string, more ...func(*finding.Finding)) {
	n := finding.New(s, object, f)
	n.Evidence, n.ReadFrom, n.ReadAt = evidence, from, x.Now().UTC()
	for _, change := range more {
		change(&n)
	}
	x.add(n)
}

// aboutHost says which host a finding is about.
func aboutHost(h *seenHost) func(*finding.Finding) {
	return func(f *finding.Finding) { f.Host = h.Name }
}

// cure gives a finding what to type, and what takes it back.
func cure(effect string, fix, undo []finding.Command) func(*finding.Finding) {
	return func(f *finding.Finding) { f.Fix, f.Undo, f.Effect = fix, undo, effect }
}

// shell is a command at a shell.
func shell(format string, words ...string) finding.Command {
	quoted := make([]any, len(words))
	for i, w := range words {
		quoted[i] = finding.Quote(finding.Shell, w)
	}
	return finding.Command{Tool: finding.Shell, Line: fmt.Sprintf(format, quoted...)}
}

// did says that something was looked at.
func (x *examination) did(area Area, what, object string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.checked = append(x.checked, Check{Area: area, What: what, Object: object})
}

// didNot says that something could not be looked at, and why.
func (x *examination) didNot(area Area, what, object, reason string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.notChecked = append(x.notChecked, Check{Area: area, What: what, Object: object, Reason: reason})
}

// has says that a finding of one of the codes is there already.
func (x *examination) has(codes ...fault.Code) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return slices.ContainsFunc(x.found, func(f finding.Finding) bool { return slices.Contains(codes, f.Code) })
}

// told says that the same is there already, of the same object and, where it is of one
// direction, of that.
func told(before []finding.Finding, f finding.Finding) bool {
	return slices.ContainsFunc(before, func(g finding.Finding) bool {
		d := direction(g)
		return g.Code == f.Code && (strings.EqualFold(g.Object, f.Object) || sameHostName(g.Object, f.Object)) &&
			(d == (delegation.Direction{}) || sameHostName(d.Source, f.Source) && sameHostName(d.Destination, f.Destination))
	})
}

// operator is the principal that moves, "" when nobody is known.
func (x *examination) operator() string {
	if x.q.Operator == "" && x.Caller != nil {
		return x.Caller.Principal()
	}
	if x.q.Operator != "" && !strings.Contains(x.q.Operator, "@") && x.Domain != "" {
		return x.q.Operator + "@" + strings.ToUpper(x.Domain)
	}
	return x.q.Operator
}

// sayOnce leaves out what an agent says of itself, where the same of that host was seen
// by looking.
func sayOnce(fs []finding.Finding) (out []finding.Finding) {
	for i, f := range fs {
		again := len(f.Fix) == 0 && f.Host != "" && slices.Contains(telling, f.Code) && slices.ContainsFunc(fs, func(g finding.Finding) bool {
			return g.Code == f.Code && sameHostName(g.Host, f.Host) && len(g.Fix) > 0
		})
		if !again {
			out = append(out, fs[i])
		}
	}
	return out
}

// report puts everything together.
func (x *examination) report() Report {
	r := Report{Time: x.started.UTC(), Seconds: x.Now().Sub(x.started).Seconds(), Machine: x.Here, Domain: x.Domain,
		Operator: x.operator(), Hosts: []string{}, Pairs: x.pairs, Checked: x.checked, NotChecked: x.notChecked,
		Origin: x.q.Origin, VM: x.vm}
	if x.snap != nil {
		r.Server, r.Domain = x.snap.Root.Server, x.snap.Root.Domain
	}
	for _, h := range x.hosts {
		r.Hosts = append(r.Hosts, h.Name)
	}
	if r.Pairs == nil {
		r.Pairs = []delegation.Direction{}
	}
	r.Causes = Fold(sayOnce(x.found))
	if r.Causes == nil {
		r.Causes = []Cause{}
	}
	order := func(a, b Check) int {
		return cmp.Or(slices.Index(Areas, a.Area)-slices.Index(Areas, b.Area), cmp.Compare(a.What, b.What), cmp.Compare(a.Object, b.Object))
	}
	slices.SortStableFunc(r.Checked, order)
	slices.SortStableFunc(r.NotChecked, order)
	return r
}
