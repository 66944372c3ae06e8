package delegation

import (
	"context"

	"drover/internal/directory"
	"drover/internal/fault"
)

// Directory is what Apply works on; *directory.Conn is one.
type Directory interface {
	Root(ctx context.Context) (directory.Root, error)
	Read(ctx context.Context, dn string, attributes ...string) (directory.Entry, error)
	Groups(ctx context.Context, names ...string) ([]directory.Group, error)
	Modify(ctx context.Context, dn string, mods ...directory.Mod) error
	AddGroup(ctx context.Context, g directory.NewGroup) error
	DeleteObject(ctx context.Context, dn string) error
	HighestUSN(ctx context.Context) (int64, error)
}

// ApplyOptions say how a plan is carried out.
type ApplyOptions struct {
	// Baseline is called once, before the first change, and must have stored the
	// baseline durably when it returns nil. It is not called when there is nothing to
	// change.
	Baseline func(*Baseline) error
	// Report is told about each object as it is done; may be nil.
	Report func(ObjectResult)
}

// ObjectResult is how one object fared.
type ObjectResult struct {
	DN      string         `json:"dn"`
	Account string         `json:"account"`
	Outcome Outcome        `json:"outcome"`
	Error   *fault.Problem `json:"error,omitempty"`
}

// Result is how a plan was carried out.
type Result struct {
	Server      string         `json:"server"`
	Controllers int            `json:"controllers" doc:"controllers of the domain; on the others it takes effect after replication"`
	Baseline    string         `json:"baseline,omitempty" doc:"file with the old values"`
	Objects     []ObjectResult `json:"objects"`
}
