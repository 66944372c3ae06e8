package faults

import (
	"context"
	"fmt"
	"syscall"
	"time"

	"drover/internal/record"
	"drover/lab"
)

// Target is what a fault is applied to.
type Target struct {
	Lab                 *lab.Lab
	Source, Destination string
	VM                  string
	Move                string // the move's id, for what an operator does to it
	At                  Point  // where the move stands; who is stalled, and whose clock jumps

	note []string // what the fault has found out
}

// Host is the host of a side.
func (t *Target) Host(r record.Role) string {
	if r == record.Source {
		return t.Source
	}
	return t.Destination
}

// Said is what the faults have told of their effect, such as which program the kernel
// chose to end.
func (t *Target) Said() []string { return t.note }

func (t *Target) say(format string, args ...any) {
	t.note = append(t.note, fmt.Sprintf(format, args...))
}

// Fault is one thing that goes wrong.
type Fault struct {
	Name  string
	Title string // for people
	// Apply brings it about; it is in effect when Apply returns.
	Apply func(context.Context, *Target) error
	// Undo repairs it: what was killed is started again. Safe when Apply was not called
	// or has failed.
	Undo func(context.Context, *Target) error
	// Lasts is how long it has to last to be what it is called, 0 for as long as the
	// harness likes.
	Lasts time.Duration
	// Fatal: the lab is of no use afterwards, a member is gone.
	Fatal bool
}

// Names of the faults.
const (
	AgentSource        = "agent-source"
	AgentDestination   = "agent-destination"
	AgentsBoth         = "agents-both"
	LibvirtSource      = "libvirt-source"
	LibvirtDestination = "libvirt-destination"
	QEMUSource         = "qemu-source"
	QEMUDestination    = "qemu-destination"
	CutMigration       = "cut-migration"
	CutManagement      = "cut-management"
	CutBoth            = "cut-both"
	DeafDestination    = "deaf-destination"
	DeafSource         = "deaf-source"
	DiskFull           = "disk-full"
	MemoryExhausted    = "memory-exhausted"
	SourceGone         = "source-gone"
	DestinationGone    = "destination-gone"
	Stall              = "stall"
	ClockJump          = "clock-jump"
	Cancel             = "cancel"
)

// StallTime is how long a stalled agent stands still.
const StallTime = time.Minute

// Faults lists all of them.
func Faults() []Fault {
	return []Fault{
		{Name: AgentSource, Title: "source agent killed", Apply: killAgents(record.Source), Undo: startAgents(record.Source)},
		{Name: AgentDestination, Title: "destination agent killed", Apply: killAgents(record.Destination), Undo: startAgents(record.Destination)},
		{Name: AgentsBoth, Title: "both agents killed", Apply: killAgents(record.Source, record.Destination), Undo: startAgents(record.Source, record.Destination)},
		{Name: LibvirtSource, Title: "source libvirtd killed", Apply: killLibvirt(record.Source), Undo: startLibvirt(record.Source)},
		{Name: LibvirtDestination, Title: "destination libvirtd killed", Apply: killLibvirt(record.Destination), Undo: startLibvirt(record.Destination)},
		{Name: QEMUSource, Title: "source QEMU killed", Apply: killQEMU(record.Source), Undo: nothing},
		{Name: QEMUDestination, Title: "destination QEMU killed", Apply: killQEMU(record.Destination), Undo: nothing},
		{Name: CutMigration, Title: "migration network cut", Apply: cut(lab.Migration), Undo: mend(lab.Migration)},
		{Name: CutManagement, Title: "management network cut", Apply: cut(lab.Management), Undo: mend(lab.Management)},
		{Name: CutBoth, Title: "both networks cut", Apply: cut(lab.Migration, lab.Management), Undo: mend(lab.Migration, lab.Management)},
		{Name: DeafDestination, Title: "packets reach the source only", Apply: deafen(record.Destination), Undo: undeafen(record.Destination)},
		{Name: DeafSource, Title: "packets reach the destination only", Apply: deafen(record.Source), Undo: undeafen(record.Source)},
		{Name: DiskFull, Title: "destination disk full", Apply: fillDisks, Undo: emptyDisks},
		{Name: MemoryExhausted, Title: "destination memory exhausted", Apply: exhaustMemory, Undo: restoreMemory},
		{Name: SourceGone, Title: "source machine gone for good", Apply: killMachine(record.Source), Undo: nothing, Fatal: true},
		{Name: DestinationGone, Title: "destination machine gone for good", Apply: killMachine(record.Destination), Undo: nothing, Fatal: true},
		{Name: Stall, Title: "agent stalled for 60 s", Apply: signalAgent(syscall.SIGSTOP), Undo: signalAgent(syscall.SIGCONT), Lasts: StallTime},
		{Name: ClockJump, Title: "clock jumps by 3 h", Apply: jump(3 * time.Hour), Undo: jump(0)},
		{Name: Cancel, Title: "cancelled by operator", Apply: cancel, Undo: nothing},
	}
}

// ByName finds a fault.
func ByName(name string) (Fault, bool) {
	for _, f := range Faults() {
		if f.Name == name {
			return f, true
		}
	}
	return Fault{}, false
}
