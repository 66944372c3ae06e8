// Package record is what is known and shown of a move: its request, plan, progress,
// summary and events, as the journal keeps them and the API gives them. It is data
// only, so that a client need not link what moves VMs.
package record

import (
	"time"

	"drover/internal/fault"
	"drover/internal/settings"
	"drover/internal/wire"
)

// Phase of a move. See package move for the order.
type Phase string

// The phases, in order, and the four ends.
const (
	Queued    Phase = "queued"
	Negotiate Phase = "negotiate"
	Authorise Phase = "authorise"
	Prepare   Phase = "prepare"
	Connect   Phase = "connect"
	Transfer  Phase = "transfer"
	Handover  Phase = "handover"
	Finish    Phase = "finish"
	Confirm   Phase = "confirm"
	Done      Phase = "done"
	Failed    Phase = "failed"
	Cancelled Phase = "cancelled"
	Unknown   Phase = "unknown"
)

// Over reports whether nothing more happens in this phase.
func (p Phase) Over() bool { return p == Done || p == Failed || p == Cancelled }

// Role of this host in a move.
type Role string

// The two sides of a move.
const (
	Source      Role = "source"
	Destination Role = "destination"
)

// Request is what an operator asks for.
type Request struct {
	VM                      string `json:"vm" doc:"name or UUID of the VM" minLength:"1" maxLength:"255"`
	Destination             string `json:"destination" doc:"name of the destination host, e.g. HV02" minLength:"1" maxLength:"253"`
	IncludeStorage          bool   `json:"include_storage,omitempty" doc:"copy disks that the destination cannot see"`
	DestinationStoragePath  string `json:"destination_storage_path,omitempty" doc:"directory on the destination for the copied disks"`
	RetainVHDCopiesOnSource bool   `json:"retain_vhd_copies_on_source,omitempty" doc:"keep the source's disk files after the move"`
	Connections             int    `json:"connections,omitempty" doc:"memory connections: 1 is QEMU's plain stream, more are multifd channels; 0: chosen from networks, link and processors" minimum:"0" maximum:"16"`
	MaxBlackoutMS           int    `json:"max_blackout_ms,omitempty" doc:"longest blackout that QEMU may plan for, in milliseconds; 0: QEMU's default (300)" minimum:"0" maximum:"60000"`
	DryRun                  bool   `json:"dry_run,omitempty" doc:"stop after the plan; nothing is changed on either host"`
	// Priority orders queued moves of a host, higher first; equal ones in the order of
	// their start. NoWait refuses instead of waiting.
	Priority int  `json:"priority,omitempty" doc:"of queued moves the higher goes first" minimum:"-100" maximum:"100"`
	NoWait   bool `json:"no_wait,omitempty" doc:"fail at once where a limit is reached"`
	// Performance and Bandwidth override the source's settings; a bandwidth never
	// exceeds what the hosts allow.
	Performance settings.Performance `json:"performance_option,omitempty" enum:"TCPIP,Compression,SMB"`
	Bandwidth   settings.Rate        `json:"bandwidth_limit,omitempty" doc:"bits per second"`
	// MapNetwork is the destination's bridge or network for one of the source's;
	// MapStorage its directory for one of the source's; DiskPaths its file or
	// directory for one disk (target, or path on the source).
	MapNetwork map[string]string `json:"map_network,omitempty"`
	MapStorage map[string]string `json:"map_storage,omitempty"`
	DiskPaths  map[string]string `json:"vhds,omitempty" doc:"destination path by disk target or source path"`
	// CPU replaces the CPU model of a VM that is shut off; EjectMedia empties drives.
	CPU        string `json:"cpu,omitempty" doc:"CPU model for a VM that is shut off"`
	EjectMedia bool   `json:"eject_media,omitempty" doc:"leave media in drives behind"`
	// AutoConverge lets QEMU slow the guest down when it dirties memory too fast.
	AutoConverge bool      `json:"auto_converge,omitempty"`
	TimeoutMS    int64     `json:"timeout_ms,omitempty" doc:"time budget of the transfer, in milliseconds; 0: none" minimum:"0"`
	OnTimeout    OnTimeout `json:"on_timeout,omitempty" enum:"abort,pause" doc:"default abort"`
}

// Item is one thing that is transferred: the memory, or one disk. Bytes.
type Item struct {
	Name      string `json:"name" doc:"memory, or the disk's target such as vda"`
	Total     uint64 `json:"total_bytes"`
	Done      uint64 `json:"done_bytes"`
	Remaining uint64 `json:"remaining_bytes"`
	Rate      uint64 `json:"rate_bytes_per_second"`
}

// Progress is the live view of a transfer.
type Progress struct {
	Time       time.Time `json:"time"`
	Phase      Phase     `json:"phase"`
	Memory     Item      `json:"memory"`
	Disks      []Item    `json:"disks,omitempty"`
	DirtyRate  uint64    `json:"dirty_rate_bytes_per_second"`
	Iteration  uint64    `json:"iteration"`
	WireBytes  uint64    `json:"wire_bytes"`
	ElapsedMS  int64     `json:"elapsed_ms"`
	BlackoutMS int64     `json:"expected_blackout_ms,omitempty"`
	Coding     *Coding   `json:"coding,omitempty" doc:"what Compression made of it so far"`
}

// StreamProof is what the kernel says of one connection of the move.
type StreamProof struct {
	Kind         string `json:"kind" doc:"control, memory or disk"`
	Index        int    `json:"index"`
	Local        string `json:"local" doc:"address and port from the socket"`
	Remote       string `json:"remote"`
	PayloadBytes uint64 `json:"payload_bytes" doc:"both directions, what QEMU sent and received"`
	WireBytes    uint64 `json:"wire_bytes" doc:"both directions, counted below TLS"`
	KernelAcked  uint64 `json:"kernel_bytes_acked" doc:"tcpi_bytes_acked"`
	Encrypted    bool   `json:"encrypted"`
	Cipher       string `json:"cipher,omitempty"`
	// Coding is of what this host sent, if it coded.
	Coding *Coding `json:"coding,omitempty" doc:"what Compression made of what this host sent"`
}

// Summary is what a finished move reports. Bytes and milliseconds.
type Summary struct {
	TotalMS          int64         `json:"total_ms"`
	BlackoutMS       int64         `json:"blackout_ms" doc:"from the source VM's stop to the destination's word that it runs, on the source's clock"`
	MemoryBytes      uint64        `json:"memory_bytes"`
	DiskBytes        uint64        `json:"disk_bytes"`
	WireBytes        uint64        `json:"wire_bytes"`
	SeedBytes        uint64        `json:"seed_bytes,omitempty" doc:"of disks: what the destination had from before, so that it was not sent"`
	Network          string        `json:"network" doc:"subnets that carried the streams, from the sockets' addresses"`
	Score            *Score        `json:"score,omitempty" doc:"how good the prediction was"`
	Operator         string        `json:"operator"`
	DelegatedService string        `json:"delegated_service"`
	StorageService   string        `json:"storage_service,omitempty"`
	DelegatedBy      string        `json:"delegated_by" doc:"host account that acted for the operator, as the destination saw it"`
	SignIn           string        `json:"sign_in" doc:"own-credentials or service-asserted"`
	Encrypted        bool          `json:"encrypted"`
	Streams          []StreamProof `json:"streams"`
	Coding           *Coding       `json:"coding,omitempty" doc:"what Compression made of all that this host sent"`
	Removed          []string      `json:"removed_from_source" doc:"files and definitions removed after the move"`
	Retained         []string      `json:"retained_on_source,omitempty"`
}

// Record is a move as this host knows it: journal entry and API resource.
type Record struct {
	ID       string        `json:"id"`
	Role     Role          `json:"role"`
	Phase    Phase         `json:"phase"`
	VM       string        `json:"vm"`
	UUID     string        `json:"uuid,omitempty"`
	Kind     wire.MoveKind `json:"kind,omitempty"`
	Peer     string        `json:"peer" doc:"the other host"`
	Operator string        `json:"operator"`
	// DelegatedBy and SignIn are what the tickets prove at the destination.
	DelegatedBy string       `json:"delegated_by,omitempty" doc:"at the destination: host account that acts for the operator"`
	SignIn      string       `json:"sign_in,omitempty" doc:"at the destination: own-credentials or service-asserted"`
	Request     Request      `json:"request"`
	Waiting     *Waiting     `json:"waiting,omitempty" doc:"while the move is queued behind a limit"`
	Plan        *Plan        `json:"plan,omitempty"`
	Progress    *Progress    `json:"progress,omitempty"`
	Summary     *Summary     `json:"summary,omitempty"`
	Error       *fault.Error `json:"error,omitempty"`
	Created     time.Time    `json:"created"`
	Updated     time.Time    `json:"updated"`
	Ended       *time.Time   `json:"ended,omitempty"`
}

// Event is one thing that happened to a move, in order. Seq counts from 1 per
// move; a client that lost the connection goes on after the last it saw.
type Event struct {
	Seq      int64        `json:"seq"`
	Move     string       `json:"move"`
	Time     time.Time    `json:"time"`
	Kind     EventKind    `json:"kind"`
	Phase    Phase        `json:"phase"`
	Text     string       `json:"text,omitempty"`
	Waiting  *Waiting     `json:"waiting,omitempty"`
	Plan     *Plan        `json:"plan,omitempty"`
	Progress *Progress    `json:"progress,omitempty"`
	Summary  *Summary     `json:"summary,omitempty"`
	Error    *fault.Error `json:"error,omitempty"`
}

// EventKind says which member of an Event is set.
type EventKind string

// Phase changes, plan and end are durable; progress is only for who watches.
const (
	EventPhase    EventKind = "phase"
	EventPlan     EventKind = "plan"
	EventProgress EventKind = "progress"
	EventNotice   EventKind = "notice"
	EventEnd      EventKind = "end"
)
