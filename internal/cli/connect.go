package cli

import (
	"context"
	"iter"
	"net"
	"net/netip"
	"regexp"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"drover/internal/api"
	"drover/internal/doctor"
	"drover/internal/eventlog"
	"drover/internal/record"
	"drover/internal/settings"
)

// DefaultSocket is where droverd listens for local users.
const DefaultSocket = "/run/drover/droverd.sock"

// agent is what the verbs need of an agent; *api.Client is one.
type agent interface {
	Host(ctx context.Context) (api.HostInfo, error)
	VMs(ctx context.Context) ([]api.VM, error)
	VM(ctx context.Context, name string) (api.VM, error)
	StartMove(ctx context.Context, r record.Request) (record.Record, error)
	Moves(ctx context.Context, f api.MoveFilter) ([]record.Record, error)
	Move(ctx context.Context, id string) (record.Record, error)
	Watch(ctx context.Context, id string, after int64) iter.Seq2[record.Event, error]
	CancelMove(ctx context.Context, id string) (record.Record, error)
	ResolveMove(ctx context.Context, id string, keep api.Keep) (record.Record, error)
	Tickets(ctx context.Context) ([]api.Ticket, error)
	PurgeTickets(ctx context.Context, service string) (int, error)
	Seeds(ctx context.Context) ([]api.Seed, error)
	PurgeSeeds(ctx context.Context, vm string) (int, error)
	Settings(ctx context.Context) (settings.Settings, error)
	ChangeSettings(ctx context.Context, ch settings.Change) (settings.Settings, error)
	NetworkAdapters(ctx context.Context) ([]api.NetworkAdapter, error)
	Compare(ctx context.Context, r record.Request) (record.Comparison, error)
	AdjustMove(ctx context.Context, id string, a api.Adjustment) (record.Record, error)
	Events(ctx context.Context, f api.EventFilter) ([]eventlog.Entry, error)
	WatchEvents(ctx context.Context, f api.EventFilter) iter.Seq2[eventlog.Entry, error]
	ProbeDelegation(ctx context.Context, r api.ProbeRequest) (api.ProbeResult, error)
	ProbeNetwork(ctx context.Context, destination string) ([]doctor.Passage, error)
	Close() error
}

// target says which agent a verb talks to.
type target struct {
	host   string // HV01 or HV01:6601, "" for the local socket
	socket string
}

func (t *target) flags(fs *pflag.FlagSet) {
	fs.StringVar(&t.host, "host", "", "`name` of the host to talk to (default: this machine's agent)")
	fs.StringVar(&t.socket, "socket", DefaultSocket, "`path` of the local agent's socket, used without --host")
}

// String names the agent for people.
func (t target) String() string {
	if t.host != "" {
		return t.host
	}
	return "the local agent"
}

// again is the part of a printed command that leads to the same agent.
func (t target) again() string {
	switch {
	case t.host != "":
		return " --host " + t.host
	case t.socket != DefaultSocket:
		return " --socket " + t.socket
	}
	return ""
}

func (t target) check() error {
	switch {
	case t.host == "":
		return nil
	case t.socket != DefaultSocket:
		return misuse("--host and --socket exclude each other: one is over the network, the other on this machine")
	}
	name := t.host
	if h, _, err := net.SplitHostPort(name); err == nil {
		name = h
	}
	return checkHost("--host", name)
}

var hostName = regexp.MustCompile(`^[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9])?(\.[A-Za-z0-9_-]{1,63})*\.?$`)

// checkHost refuses what cannot be the host part of a service name.
func checkHost(flag, name string) error {
	if _, err := netip.ParseAddr(strings.Trim(name, "[]")); err == nil {
		return misuse("%s %s is an address; give the host's name, because Kerberos knows hosts by name only", flag, name)
	}
	if len(name) > 253 || !hostName.MatchString(name) {
		return misuse("%s %q is not a host name such as HV01 or hv01.example.org", flag, name)
	}
	return nil
}

// open connects to the agent that the flags name. The caller closes it.
func (p *program) open(ctx context.Context, t target) (agent, error) {
	return p.openWatching(ctx, t, nil)
}

// openWatching is open with a listener for lost connections.
func (p *program) openWatching(ctx context.Context, t target, retrying func(error, time.Duration)) (agent, error) {
	if err := t.check(); err != nil {
		return nil, err
	}
	p.local = t.host == ""
	return p.connect(ctx, t, retrying)
}

// with runs do with a connected agent.
func (p *program) with(ctx context.Context, t target, do func(a agent) error) error {
	a, err := p.open(ctx, t)
	if err != nil {
		return err
	}
	defer func() { _ = a.Close() }()
	return do(a)
}
