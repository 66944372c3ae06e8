package delegation

import (
	"context"
	"errors"
	"io"
	"time"

	"drover/internal/directory"
	"drover/internal/fault"
)

var errNotBuilt = errors.New("not built yet")

// NewRollback plans the way back to a baseline from what is now. Faults:
// baseline-other-domain, host-not-in-directory. hosts limits it to some accounts;
// nil means all.
func NewRollback(b *Baseline, now map[string]directory.Entry, root directory.Root, hosts []string, at time.Time) (*Plan, error) {
	return nil, errNotBuilt
}

// ReadPlan reads a plan's JSON form. Faults: plan-malformed.
func ReadPlan(r io.Reader) (*Plan, error) { return nil, errNotBuilt }

// Baseline is the old values of everything that a plan changes.
type Baseline struct {
	Time    time.Time
	Server  string
	BaseDN  string
	SID     string // the domain's
	USN     int64  // highestCommittedUSN when it was written
	Objects []Object
	// Created are objects that did not exist.
	Created []string
}

// Object is the old state of one object: all values of the attributes that a plan
// changes, empty for an attribute without value.
type Object struct {
	DN         string
	Account    string
	GUID       string
	USN        int64
	Attributes map[string][][]byte
}

// WriteLDIF writes the baseline as LDIF change records (RFC 2849) that put it back,
// for ldapmodify as well as for ReadBaseline, with what it was taken from in
// comments above.
func (b *Baseline) WriteLDIF(w io.Writer) error { return errNotBuilt }

// ReadBaseline reads what WriteLDIF wrote. Faults: baseline-malformed.
func ReadBaseline(r io.Reader) (*Baseline, error) { return nil, errNotBuilt }

// Script is the language of Print.
type Script string

// Scripts.
const (
	PowerShellScript Script = "powershell"
	LDIFScript       Script = "ldif"
	SambaToolScript  Script = "samba-tool"
)

// Print writes a script that does exactly the plan, for somebody who has the
// rights. now holds the attributes to be changed, which LDIF needs for security
// descriptors and flags. Faults: plan-not-printable (LDIF cannot name the SID of a
// group that does not exist yet).
func Print(w io.Writer, s Script, p *Plan, now map[string]directory.Entry) error { return errNotBuilt }

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
	// baseline durably when it returns nil.
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

// Apply carries a plan out: it reads every object again, writes the baseline, and
// then changes object by object, each in one request that adds and deletes
// values. An object that changed since the plan (plan-stale) or that cannot be
// changed is left as it is, and the others go on; when the controller goes away,
// the rest is NotTried. After each change the object is read back and compared. A
// change that is there already is Unchanged, so that Apply may be repeated.
//
// The Result tells about every object, also with an error: plan-partly-applied,
// plan-other-domain, baseline-not-written.
func Apply(ctx context.Context, d Directory, p *Plan, o ApplyOptions) (*Result, error) {
	return nil, errNotBuilt
}
