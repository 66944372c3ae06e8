// Package finding is what a check saw: what is wrong with which attribute of
// which object, how that was seen, and the commands that cure it and take the
// cure back. It is data only; the texts come from the registry of package fault.
package finding

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"drover/internal/fault"
)

// Severity says how bad a finding is.
type Severity string

// Severities, least first.
const (
	Info     Severity = "info"     // worth knowing
	Warning  Severity = "warning"  // works, and should not stay so
	Error    Severity = "error"    // something that ought to work does not
	Critical Severity = "critical" // security is open
)

// Severities lists all of them, least first.
var Severities = []Severity{Info, Warning, Error, Critical}

// rank orders severities; an unknown one is the worst, so that it is seen.
func (s Severity) rank() int {
	if i := slices.Index(Severities, s); i >= 0 {
		return i
	}
	return len(Severities)
}

// Compare is negative when s is less than t, and 0 when they are alike.
func (s Severity) Compare(t Severity) int { return cmp.Compare(s.rank(), t.rank()) }

// ExitStatus is how a program ends whose worst finding is this one
// (docs/scripting.md): 0 for info, 10 warning, 11 error, 12 critical.
func (s Severity) ExitStatus() int {
	if s == Info || s == "" {
		return 0
	}
	return 9 + s.rank()
}

// Tool is what a command is for.
type Tool string

// Tools.
const (
	Drover     Tool = "drover"
	PowerShell Tool = "powershell"
	SambaTool  Tool = "samba-tool"
	LDIF       Tool = "ldif"  // for ldapmodify, ldbmodify or ldifde; of several lines
	Shell      Tool = "shell" // anything else, at a shell of the host
)

// Command is one line that a person can type; of LDIF, one file.
type Command struct {
	Tool Tool   `json:"tool"`
	Line string `json:"line"`
}

// Finding is one thing that is not as it should be.
type Finding struct {
	Code      fault.Code `json:"code" doc:"see docs/errors.md"`
	Severity  Severity   `json:"severity"`
	Object    string     `json:"object" doc:"account name such as HV01$, or a distinguished name"`
	Host      string     `json:"host,omitempty" doc:"short name of the host that it is about, where it is about one"`
	DN        string     `json:"dn,omitempty"`
	Attribute string     `json:"attribute,omitempty"`
	Values    []string   `json:"values,omitempty" doc:"the values that lack or are too much"`
	Message   string     `json:"message"`
	Hint      string     `json:"hint,omitempty"`
	Why       string     `json:"why,omitempty" doc:"why it matters"`
	Evidence  string     `json:"evidence,omitempty" doc:"what was read"`
	ReadFrom  string     `json:"read_from,omitempty" doc:"where the evidence was read: a controller, a name server, a file"`
	ReadAt    time.Time  `json:"read_at,omitzero" doc:"when the evidence was read"`
	Fix       []Command  `json:"fix,omitempty"`
	Undo      []Command  `json:"undo,omitempty"`
	Effect    string     `json:"effect,omitempty" doc:"how long the fix takes to show: replication, the life of tickets"`
	Page      string     `json:"page,omitempty" doc:"where the code is explained"`
	// Source and Destination are the direction that it concerns, by short name, ""
	// when it concerns no single one.
	Source      string `json:"source,omitempty"`
	Destination string `json:"destination,omitempty"`
}

// New makes a finding whose texts are those of f.
func New(s Severity, object string, f *fault.Error) Finding {
	return Finding{Code: f.Code, Severity: s, Object: object, Message: f.Message(), Hint: f.Hint(), Why: f.Why(), Page: Page(f.Code)}
}

// Page is where the documentation explains a code.
func Page(c fault.Code) string { return "docs/errors.md#" + string(c) }

// Key is the same for a finding that is seen again.
func (f Finding) Key() string {
	b, err := json.Marshal([]any{f.Code, f.Object, f.DN, f.Attribute, f.Values, f.Source, f.Destination})
	if err != nil { // strings always encode
		return fmt.Sprint(f)
	}
	return string(b)
}

// Sort puts the worst first, then by object, code and direction.
func Sort(fs []Finding) {
	slices.SortStableFunc(fs, func(a, b Finding) int {
		return cmp.Or(-a.Severity.Compare(b.Severity), cmp.Compare(a.Object, b.Object), cmp.Compare(a.Code, b.Code),
			cmp.Compare(a.Source, b.Source), cmp.Compare(a.Destination, b.Destination), slices.Compare(a.Values, b.Values))
	})
}

// Worst is the highest severity, "" without findings.
func Worst(fs []Finding) Severity {
	var worst Severity
	for i, f := range fs {
		if i == 0 || f.Severity.Compare(worst) > 0 {
			worst = f.Severity
		}
	}
	return worst
}
