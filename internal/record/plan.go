package record

import (
	"net/netip"

	"drover/internal/settings"
	"drover/internal/wire"
)

// Plan is what a move will do. It is printed, recorded and then carried out.
type Plan struct {
	VM          string        `json:"vm"`
	UUID        string        `json:"uuid"`
	Kind        wire.MoveKind `json:"kind" doc:"live, paused or offline"`
	Source      string        `json:"source"`
	Destination string        `json:"destination"`
	// Networks carry the streams together; the first one carries the control stream.
	Networks    []Route    `json:"networks"`
	Passed      []Passed   `json:"networks_passed_over,omitempty"`
	MemoryBytes uint64     `json:"memory_bytes"`
	Disks       []DiskPlan `json:"disks"`
	Codec       string     `json:"codec" doc:"how memory is coded on the wire; TCPIP: as it is"`
	Encryption  string     `json:"encryption" doc:"cipher suite of the migration streams"`
	Connections int        `json:"connections" doc:"memory connections: 1 is QEMU's plain stream, more are multifd channels"`
	// ConnectionsReason says why there are so many.
	ConnectionsReason string               `json:"connections_reason,omitempty" doc:"why there are so many, in words"`
	Delegation        Delegation           `json:"delegation"`
	LeftOut           []string             `json:"left_out,omitempty" doc:"parts of the definition that the destination does not take over"`
	Performance       settings.Performance `json:"performance_option" doc:"as agreed between the hosts"`
	Notes             []string             `json:"notes,omitempty" doc:"what was decided otherwise than asked for, and why"`
	Prediction        *Prediction          `json:"prediction,omitempty"`
	Keeps             bool                 `json:"retain_vhd_copies_on_source,omitempty"`
}

// Route is the migration network of the plan and the two addresses on it.
type Route struct {
	Subnet      netip.Prefix `json:"subnet"`
	Source      netip.Addr   `json:"source_address"`
	Destination netip.Addr   `json:"destination_address"`
	Priority    int          `json:"priority"`
}

// DiskPlan says what happens to one disk. Sizes in bytes.
type DiskPlan struct {
	Target          string          `json:"target"`
	Action          wire.DiskAction `json:"action"`
	Format          string          `json:"format"`
	SourcePath      string          `json:"source_path,omitempty"`
	DestinationPath string          `json:"destination_path,omitempty"`
	VirtualBytes    uint64          `json:"virtual_bytes"`
	AllocatedBytes  uint64          `json:"allocated_bytes"`
}

// Delegation says on whose behalf the source acts, and as what.
type Delegation struct {
	Operator       string `json:"operator"`
	Account        string `json:"account" doc:"the source's computer account"`
	Service        string `json:"service" doc:"service name of the delegated ticket"`
	StorageService string `json:"storage_service,omitempty"`
	Method         string `json:"method" doc:"ticket: the operator's own ticket was forwarded; protocol-transition: the source asserted the operator"`
}

// SourceFiles are the files that the source removes after the move, and those
// that it keeps because it was told to.
func (p Plan) SourceFiles() (remove, retain []string) {
	for _, d := range p.Disks {
		switch {
		case d.Action != wire.Copy:
		case p.Keeps:
			retain = append(retain, d.SourcePath)
		default:
			remove = append(remove, d.SourcePath)
		}
	}
	return remove, retain
}
