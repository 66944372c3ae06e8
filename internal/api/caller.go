package api

import (
	"context"
	"iter"
	"slices"
	"time"

	"drover/internal/doctor"
	"drover/internal/eventlog"
	"drover/internal/record"
	"drover/internal/settings"
)

// Role is what a caller may do on one host. Each role includes those before it.
type Role string

// Viewer reads; operator moves, cancels and purges tickets and seeds; administrator
// resolves moves whose outcome is unknown.
const (
	Viewer        Role = "viewer"
	Operator      Role = "operator"
	Administrator Role = "administrator"
)

var ladder = []Role{Viewer, Operator, Administrator}

// Caller is who makes a request.
type Caller struct {
	// Principal is the Kerberos principal, "" for a local user that stands for none.
	Principal string
	// Roles on this host; the highest counts.
	Roles []Role
	// Local: came by the unix socket, as LocalUser.
	Local     bool
	LocalUser string
	// SignIn is "own-credentials" or "service-asserted", "" for local users.
	SignIn string
	// Expires is when the sign-in ends, such as the ticket's end; zero: never.
	Expires time.Time
	// Evidence belongs to whoever authenticated the caller: the api hands it
	// through to the Backend.
	Evidence any
}

// Has reports whether the caller has role or one that includes it.
func (c Caller) Has(role Role) bool {
	want := slices.Index(ladder, role)
	for _, r := range c.Roles {
		if slices.Index(ladder, r) >= want && want >= 0 {
			return true
		}
	}
	return false
}

// Name is how logs and errors name the caller.
func (c Caller) Name() string {
	switch {
	case c.Principal != "":
		return c.Principal
	case c.LocalUser != "":
		return "local user " + c.LocalUser
	}
	return "(nobody)"
}

// Info is what the API shows of the caller.
func (c Caller) Info() CallerInfo {
	roles := slices.Clone(c.Roles)
	if roles == nil {
		roles = []Role{}
	}
	return CallerInfo{Principal: c.Principal, Roles: roles, Local: c.Local, LocalUser: c.LocalUser, SignIn: c.SignIn}
}

// Backend does what the API offers. Its errors are faults or become "internal".
// Roles have been checked before a method is called.
type Backend interface {
	Host(ctx context.Context, c Caller) (HostInfo, error)
	VMs(ctx context.Context) ([]VM, error)
	// VM finds by name or UUID; vm-not-found.
	VM(ctx context.Context, name string) (VM, error)
	// StartMove returns when the move is queued.
	StartMove(ctx context.Context, c Caller, r record.Request) (record.Record, error)
	Moves(ctx context.Context, f MoveFilter) ([]record.Record, error)
	// Move finds by id; move-not-found.
	Move(ctx context.Context, id string) (record.Record, error)
	// Watch gives the events after seq `after` and then those to come, until the
	// one of kind "end", an error, or the end of ctx.
	Watch(ctx context.Context, id string, after int64) iter.Seq2[record.Event, error]
	CancelMove(ctx context.Context, c Caller, id string) (record.Record, error)
	ResolveMove(ctx context.Context, c Caller, id string, keep Keep) (record.Record, error)
	Tickets(ctx context.Context) ([]Ticket, error)
	// Seeds lists what is left of disks; PurgeSeeds removes those of a VM (name or
	// UUID), all of them for "", and returns how many went.
	Seeds(ctx context.Context) ([]Seed, error)
	PurgeSeeds(ctx context.Context, c Caller, vm string) (int, error)
	// PurgeTickets forgets the tickets for service, all of them for "", and
	// returns how many.
	PurgeTickets(ctx context.Context, c Caller, service string) (int, error)
	// ProbeDelegation tries whether this host may act for r.Operator, who is set and
	// whom the caller may name.
	ProbeDelegation(ctx context.Context, c Caller, r ProbeRequest) ([]doctor.Attempt, error)
	// ProbeNetwork tries how this host reaches the addresses at which the destination
	// takes moves, as the caller's move would.
	ProbeNetwork(ctx context.Context, c Caller, destination string) ([]doctor.Passage, error)
	// Settings and ChangeSettings: the host's live migration settings; a refused
	// change is "settings-invalid" or "settings-changed".
	Settings(ctx context.Context) (settings.Settings, error)
	ChangeSettings(ctx context.Context, c Caller, ch settings.Change) (settings.Settings, error)
	NetworkAdapters(ctx context.Context) ([]NetworkAdapter, error)
	// Compare finds all that is in the way of a move, and starts none.
	Compare(ctx context.Context, c Caller, r record.Request) (record.Comparison, error)
	// AdjustMove changes a move under way.
	AdjustMove(ctx context.Context, c Caller, id string, a Adjustment) (record.Record, error)
	// Events lists the event log, oldest first; WatchEvents gives what matches
	// after f.After and what comes, until an error or the end of ctx.
	Events(ctx context.Context, f EventFilter) ([]eventlog.Entry, error)
	WatchEvents(ctx context.Context, f EventFilter) iter.Seq2[eventlog.Entry, error]
	// Health lists what the agent needs.
	Health(ctx context.Context) []HealthCheck
}

// Acceptor is the server's half of a sign-in.
type Acceptor interface {
	// Accept verifies an SPNEGO token that is bound to binding (the TLS exporter
	// of RFC 9266), and returns the reply token and a proof, under the key that
	// the two ends now share, that this end sees the same TLS session.
	Accept(token, binding []byte) (reply, proof []byte, caller Caller, err error)
}

// Initiator is the client's half of a sign-in.
type Initiator interface {
	// Initiate makes a token for service ("HTTP/HV01") bound to binding. verify
	// checks the server's reply token and proof; a connection whose proof does
	// not verify is never used.
	Initiate(ctx context.Context, service string, binding []byte) (token []byte, verify func(reply, proof []byte) error, err error)
}

// LocalMapper says who the process at the other end of the unix socket is.
type LocalMapper func(uid, gid uint32, pid int32) (Caller, error)
