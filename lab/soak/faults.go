package soak

import (
	"slices"

	"drover/internal/record"
)

// Fault is what happens to a move, by its name in package faults of the lab.
type Fault string

// The faults that leave the lab usable and no guest the right to be gone. A program
// that was killed is started again after Plan.Outage; what is cut, deaf, stalled, full
// or wrong comes back to order after as long.
const (
	None                   Fault = "none"
	KillSourceAgent        Fault = "agent-source"
	KillDestinationAgent   Fault = "agent-destination"
	KillBothAgents         Fault = "agents-both"
	KillSourceLibvirt      Fault = "libvirt-source"
	KillDestinationLibvirt Fault = "libvirt-destination"
	KillDestinationQEMU    Fault = "qemu-destination"
	CutMigration           Fault = "cut-migration"
	CutManagement          Fault = "cut-management"
	CutBoth                Fault = "cut-both"
	DeafSource             Fault = "deaf-source"
	DeafDestination        Fault = "deaf-destination"
	DiskFull               Fault = "disk-full"
	Stall                  Fault = "stall"
	ClockJump              Fault = "clock-jump"
	Cancel                 Fault = "cancel"
)

// kind is what the schedule knows of a fault.
type kind struct {
	fault  Fault
	title  string
	weight int
	points []Point
	// endsAgent: no figure of that agent can be compared with one from before.
	endsAgent bool
	// instant: there is nothing to put right again.
	instant bool
}

// Point is where in a move something happens: once the agent in this role has
// journalled the phase, before it does what the phase is about. Midway is in the
// transfer, after memory has begun to arrive.
type Point struct {
	Role   record.Role  `json:"role,omitempty"`
	Phase  record.Phase `json:"phase,omitempty"`
	Midway bool         `json:"midway,omitempty"`
}

func (p Point) String() string {
	switch {
	case p == Point{}:
		return "-"
	case p.Midway:
		return string(p.Role) + " in the middle of " + string(p.Phase)
	}
	return string(p.Role) + " in " + string(p.Phase)
}

func points(role record.Role, phases ...record.Phase) (all []Point) {
	for _, p := range phases {
		all = append(all, Point{Role: role, Phase: p})
	}
	return all
}

var midway = []Point{{record.Source, record.Transfer, true}, {record.Destination, record.Transfer, true}}

// anywhere are all points of both sides, those in the middle twice. The source's agent
// is asked for the move while it is in queued, so nothing is held there. The
// destination journals negotiate together with authorise, and connect with transfer.
var anywhere = slices.Concat(
	points(record.Source, record.Negotiate, record.Authorise, record.Prepare, record.Connect, record.Transfer, record.Handover, record.Finish, record.Confirm),
	points(record.Destination, record.Authorise, record.Prepare, record.Transfer, record.Handover, record.Finish, record.Confirm),
	midway, midway,
)

// beforeHandover is where the destination's QEMU waits and nothing runs in it.
var beforeHandover = slices.Concat(points(record.Source, record.Connect, record.Transfer), points(record.Destination, record.Transfer), midway)

// early is where no guest is at the destination yet, to which a full disk would be a
// failure of its own.
var early = slices.Concat(
	points(record.Source, record.Negotiate, record.Authorise, record.Prepare, record.Connect, record.Transfer),
	points(record.Destination, record.Authorise, record.Prepare, record.Transfer), midway)

// kinds is in a fixed order: the schedule draws from it.
var kinds = []kind{
	{fault: None, title: "none", weight: 4, instant: true},
	{fault: KillSourceAgent, title: "source agent killed", weight: 3, points: anywhere, endsAgent: true},
	{fault: KillDestinationAgent, title: "destination agent killed", weight: 3, points: anywhere, endsAgent: true},
	{fault: KillBothAgents, title: "both agents killed", weight: 2, points: anywhere, endsAgent: true},
	{fault: KillSourceLibvirt, title: "source libvirtd killed", weight: 2, points: anywhere},
	{fault: KillDestinationLibvirt, title: "destination libvirtd killed", weight: 2, points: anywhere},
	{fault: KillDestinationQEMU, title: "destination QEMU killed", weight: 2, points: beforeHandover, instant: true},
	{fault: CutMigration, title: "migration network cut", weight: 3, points: anywhere},
	{fault: CutManagement, title: "management network cut", weight: 3, points: anywhere},
	{fault: CutBoth, title: "both networks cut", weight: 2, points: anywhere},
	{fault: DeafSource, title: "packets reach the destination only", weight: 2, points: anywhere},
	{fault: DeafDestination, title: "packets reach the source only", weight: 2, points: anywhere},
	{fault: DiskFull, title: "destination disk full", weight: 2, points: early},
	{fault: Stall, title: "agent stalled", weight: 3, points: anywhere},
	{fault: ClockJump, title: "clock jumps by 3 h and back", weight: 1, points: anywhere},
	{fault: Cancel, title: "cancelled by operator", weight: 3, points: anywhere, instant: true},
}

// Faults lists all faults, None first.
func Faults() (all []Fault) {
	for _, k := range kinds {
		all = append(all, k.fault)
	}
	return all
}

func (f Fault) kind() kind {
	for _, k := range kinds {
		if k.fault == f {
			return k
		}
	}
	return kind{fault: f, title: string(f)}
}

// Title is the fault in words.
func (f Fault) Title() string { return f.kind().title }

// EndsAgent reports whether a fault ends an agent.
func (f Fault) EndsAgent() bool { return f.kind().endsAgent }
