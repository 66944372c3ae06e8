package doctor

import (
	"time"

	"drover/internal/delegation"
	"drover/internal/finding"
	"drover/internal/settings"
)

// Question is what the doctor is asked.
type Question struct {
	// Hosts are looked at, each by itself and in both directions with each other.
	Hosts []string
	// Pairs are the directions to look at; without any, all between Hosts.
	Pairs []delegation.Direction
	// Operator is who moves, a principal or an account name; "" is whoever asks.
	Operator string
	// VM is compared between the hosts, in the directions that begin where it is; "" for
	// none. Without Hosts and Pairs, those are all directions from there.
	VM string
	// Template is what the hosts' settings are held against; nil for nothing.
	Template *Template
	// Origin is the event that the question was made from; nil for none.
	Origin *Origin
	// Progress is told what is looked at next, from any goroutine; it may be nil.
	Progress func(step string)
}

// Template is settings that hosts ought to have, from a file that `drover host export`
// has written.
type Template struct {
	File     string
	Settings settings.Change
}

// Area is the part of the world that a check looks at.
type Area string

// Areas, in the order in which one thing rests on the other.
const (
	AreaNames     Area = "names"
	AreaNetwork   Area = "network"
	AreaKerberos  Area = "kerberos"
	AreaDirectory Area = "directory"
	AreaHost      Area = "host"
	AreaVM        Area = "vm"
)

// Areas lists all of them in that order.
var Areas = []Area{AreaNames, AreaNetwork, AreaKerberos, AreaDirectory, AreaHost, AreaVM}

// Check is one thing that was looked at, or could not be.
type Check struct {
	Area Area   `json:"area"`
	What string `json:"what" doc:"what was looked at, in words"`
	// Object is the host, controller, account or direction that it was looked at of.
	Object string `json:"object,omitempty"`
	// Reason is why it was not checked.
	Reason string `json:"reason,omitempty" doc:"why it was not checked"`
}

// Report is what the doctor found. What is neither among Checked nor among
// NotChecked was not looked at.
type Report struct {
	Time     time.Time              `json:"time"`
	Seconds  float64                `json:"seconds" doc:"how long it took"`
	Machine  string                 `json:"machine" doc:"where it was looked from"`
	Server   string                 `json:"server,omitempty" doc:"controller that was asked"`
	Domain   string                 `json:"domain,omitempty"`
	Operator string                 `json:"operator,omitempty"`
	Hosts    []string               `json:"hosts"`
	Pairs    []delegation.Direction `json:"pairs"`
	Origin   *Origin                `json:"event,omitempty" doc:"what it began with"`
	VM       *VM                    `json:"vm,omitempty"`

	Causes     []Cause `json:"causes" doc:"findings, the one to begin with first"`
	Checked    []Check `json:"checked"`
	NotChecked []Check `json:"not_checked" doc:"what could not be looked at; it has not passed"`
}

// Cause is a finding with those that it explains: they go away with it.
type Cause struct {
	finding.Finding
	// Directions are all that it is the same in.
	Directions   []delegation.Direction `json:"directions,omitempty" doc:"those in which it was found"`
	Consequences []finding.Finding      `json:"consequences,omitempty"`
}

// Findings are all findings, causes and consequences.
func (r *Report) Findings() []finding.Finding {
	var out []finding.Finding
	for _, c := range r.Causes {
		out = append(append(out, c.Finding), c.Consequences...)
	}
	return out
}

// Worst is the highest severity, "" when nothing was found.
func (r *Report) Worst() finding.Severity { return finding.Worst(r.Findings()) }
