// Package audit compares a directory with a policy: delegation, flags, service
// names, operators' accounts. Load reads what a policy is about into a Snapshot;
// Check is pure and gives findings; Watch does both again whenever something
// changed.
package audit

import (
	"context"
	"time"

	"drover/internal/delegation"
	"drover/internal/directory"
	"drover/internal/finding"
)

// Policy is what ought to be, as a YAML file (docs/directory.md). An unknown key is
// an error.
type Policy struct {
	Hosts         []string            `yaml:"hosts"`               // names; none means every account with the migration service name
	OU            string              `yaml:"ou"`                  // or every host below this distinguished name
	Model         delegation.Model    `yaml:"model"`               // default constrained
	Protocol      delegation.Protocol `yaml:"protocol"`            // default any
	Services      []string            `yaml:"services"`            // default migration and cifs
	Group         string              `yaml:"group"`               // of the group model
	OneWay        []string            `yaml:"one_way"`             // SOURCE:DESTINATION; none means every ordered pair
	Allow         map[string][]string `yaml:"allow"`               // account -> delegation values that it may have besides; "*" at the end stands for anything
	Unconstrained []string            `yaml:"allow_unconstrained"` // accounts that may be trusted for any service; domain controllers always are
	Operators     []string            `yaml:"operators"`           // users and groups whose members move VMs
	Severity      map[string]string   `yaml:"severity"`            // code -> info|warning|error|critical|off
}

// Directory is what Load and Watch read; *directory.Conn is one.
type Directory interface {
	Root(ctx context.Context) (directory.Root, error)
	Accounts(ctx context.Context, q directory.Query) ([]directory.Account, error)
	Groups(ctx context.Context, names ...string) ([]directory.Group, error)
	Mappings(ctx context.Context) ([]string, error)
	HighestUSN(ctx context.Context) (int64, error)
	Changes(ctx context.Context, since int64) ([]directory.Changed, error)
}

// Snapshot is the part of the directory that a policy is about.
type Snapshot struct {
	Root     directory.Root
	Time     time.Time
	USN      int64               // nothing later than this is in it for certain
	Accounts []directory.Account // those with service names, delegation, or a part in the policy
	Groups   []directory.Group
	Mappings []string
}

// Event is what a watcher tells.
type Event struct {
	Time    time.Time       `json:"time"`
	Kind    EventKind       `json:"kind"`
	Finding finding.Finding `json:"finding,omitzero"`
	Error   string          `json:"error,omitempty"`
	USN     int64           `json:"usn,omitempty"`
}

// EventKind says what happened.
type EventKind string

// Kinds of events.
const (
	Appeared EventKind = "appeared" // a finding is new
	Cleared  EventKind = "cleared"  // a finding is gone
	Round    EventKind = "round"    // one interval is over; for metrics
	Failing  EventKind = "failing"  // the directory does not answer; Error says why
)

// WatchOptions say how to watch.
type WatchOptions struct {
	Interval time.Duration // between two looks
	Full     time.Duration // between two complete readings, which see what USNs do not tell
	// Connect makes a connection; it is called again when one breaks, with growing
	// pauses.
	Connect func(context.Context) (Directory, func(), error)
	// Tick is a timer's channel after d; nil is time.After. For tests.
	Tick func(d time.Duration) <-chan time.Time
	Now  func() time.Time // nil is time.Now
	Sink func(Event)      // called by Watch itself, one event after the other
}
