// Package wire is what two agents say to each other on a control stream: the
// messages, their order, and version negotiation. It does no I/O.
//
// The source asks, the destination answers; one request at a time:
//
//	Hello     -> HelloReply        versions, clock (before authentication)
//	Auth      -> AuthReply         AP-REQ as the operator, AP-REP and proof of the TLS session
//	Open      -> Opened            the move, its session for data streams, what the destination is
//	Offer     -> Admitted          domain XML and disks; nothing is created
//	Prepare   -> Prepared          libvirt's Begin; checked again, disks created, QEMU waits
//	Seeds     -> SeedList          only if Admitted said that there are some; until it has all
//	Handover  -> Outcome           the decision is the destination's from here on
//	Cancel    -> Outcome           before handover only
//	Query     -> Outcome           after a restart, by the source host itself
//
// Every request may be answered by a Failure instead. A destination treats the
// end of the control stream before Handover as Cancel.
package wire

import (
	"encoding/json"
	"fmt"
	"time"

	"drover/internal/fault"
)

// Versions of the protocol that this build speaks. A change that an older agent
// would misunderstand raises Newest; Oldest rises when support is dropped.
const (
	Oldest = 1
	Newest = 1
)

// Negotiate gives the newest version both sides speak.
func Negotiate(oldest, newest int) (int, bool) {
	v := min(newest, Newest)
	return v, v >= max(oldest, Oldest)
}

// Kind names a message.
type Kind string

// The kinds, in the order in which a move uses them.
const (
	KindHello      Kind = "hello"
	KindHelloReply Kind = "hello-reply"
	KindAuth       Kind = "auth"
	KindAuthReply  Kind = "auth-reply"
	KindOpen       Kind = "open"
	KindOpened     Kind = "opened"
	KindOffer      Kind = "offer"
	KindAdmitted   Kind = "admitted"
	KindPrepare    Kind = "prepare"
	KindPrepared   Kind = "prepared"
	KindSeeds      Kind = "seeds"
	KindSeedList   Kind = "seed-list"
	KindHandover   Kind = "handover"
	KindCancel     Kind = "cancel"
	KindQuery      Kind = "query"
	KindOutcome    Kind = "outcome"
	KindFailure    Kind = "failure"
)

// Envelope carries one message.
type Envelope struct {
	Kind Kind            `json:"kind"`
	Body json.RawMessage `json:"body,omitempty"`
}

// Seal puts a message into its envelope.
func Seal(k Kind, body any) (Envelope, error) {
	b, err := json.Marshal(body)
	return Envelope{Kind: k, Body: b}, err
}

// Unseal takes a message of the wanted kind out. A Failure becomes its error;
// any other kind, or a body that does not fit or cannot be meant, is a
// "protocol-error".
func Unseal(e Envelope, want Kind, host, peer string, into any) error {
	if e.Kind == KindFailure && want != KindFailure {
		var p fault.Problem
		if err := json.Unmarshal(e.Body, &p); err != nil {
			return fault.Wrap(err, fault.ProtocolError, host, "peer", peer, "problem", "a failure that cannot be read")
		}
		return p.Tame().Err()
	}
	if e.Kind != want {
		return fault.New(fault.ProtocolError, host, "peer", peer, "problem", fmt.Sprintf("%.50q instead of %q", e.Kind, want))
	}
	if err := json.Unmarshal(e.Body, into); err != nil {
		return fault.Wrap(err, fault.ProtocolError, host, "peer", peer, "problem", fmt.Sprintf("a %q that cannot be read", want))
	}
	if c, ok := into.(checked); ok {
		if err := c.Check(); err != nil {
			return fault.New(fault.ProtocolError, host, "peer", peer, "problem", fmt.Sprintf("a %q with %v", want, err))
		}
	}
	return nil
}

// Hello opens a control stream.
type Hello struct {
	Host   string    `json:"host"`
	Oldest int       `json:"oldest"`
	Newest int       `json:"newest"`
	Time   time.Time `json:"time"`
}

// HelloReply answers with the version to be spoken.
type HelloReply struct {
	Host    string    `json:"host"`
	Version int       `json:"version"`
	Time    time.Time `json:"time"`
}

// Auth carries a krb5 GSS token (RFC 4121), bound to this TLS session: first the
// operator's ticket for the destination's migration service, then, when the
// move includes storage, the one for cifs.
type Auth struct {
	Token []byte `json:"token"`
	More  bool   `json:"more,omitempty"` // another Auth follows
}

// AuthReply completes the context and proves the TLS session to the source.
type AuthReply struct {
	Token    []byte `json:"token"`
	Proof    []byte `json:"proof"`
	Operator string `json:"operator"` // as the destination saw it
	// DelegatedBy is the host account that the ticket's PAC names, "" if the
	// caller is the host itself (settling).
	DelegatedBy string `json:"delegated_by,omitempty"`
	// SignIn tells how the operator had signed in: "own-credentials" (S-1-18-1)
	// or "service-asserted" (S-1-18-2).
	SignIn string `json:"sign_in"`
}

// Open begins a move on an authenticated stream.
type Open struct {
	Move           string `json:"move"` // ULID
	VM             string `json:"vm"`
	UUID           string `json:"uuid"`
	IncludeStorage bool   `json:"include_storage"`
	DryRun         bool   `json:"dry_run,omitempty"`
	// Compare asks for every incompatibility, and takes no place among the
	// destination's moves; it is a dry run too.
	Compare bool `json:"compare,omitempty"`
}

// Opened gives the session to which data streams bind, and the facts that the
// source plans with.
type Opened struct {
	Session []byte    `json:"session"` // 16 bytes
	Secret  []byte    `json:"secret"`  // 32 bytes
	Facts   HostFacts `json:"facts"`
}

// HostFacts are what a plan needs to know of the other host. Sizes in bytes.
type HostFacts struct {
	Host            string   `json:"host"`
	UUID            string   `json:"uuid"`
	LibvirtVersion  string   `json:"libvirt_version"`
	QEMUVersion     string   `json:"qemu_version"`
	MemoryAvailable uint64   `json:"memory_available"`
	StorageRoots    []string `json:"storage_roots"`
	Incoming        bool     `json:"incoming"` // incoming live migration enabled
	// Plain: the host's policy lets data travel unencrypted if the source's does too.
	Plain bool `json:"plain,omitempty"`
	// Codecs are the names of what the host can decode on memory streams.
	Codecs []string `json:"codecs,omitempty"`
	// Probes: the host takes streams that only measure the link.
	Probes bool `json:"probes,omitempty"`
	// CPUs are the processors of the host, 0: not said.
	CPUs int `json:"cpus,omitempty"`
}

// Probe lets a destination recognise shared storage by content: a file of random
// content that the source wrote beside a disk, and the disk's identity there.
type Probe struct {
	Name  string   `json:"name"` // in the disk's directory
	Nonce string   `json:"nonce"`
	Files []FileID `json:"files"`
}

// FileID identifies a file within a directory that was proved to be the same.
type FileID struct {
	Name  string `json:"name"`
	Inode uint64 `json:"inode"`
	Bytes int64  `json:"bytes"`
}

// Disk is one disk of the offer. Sizes in bytes.
type Disk struct {
	Target         string `json:"target"` // vda
	Device         string `json:"device"` // disk, cdrom, floppy
	Path           string `json:"path"`   // on the source
	Format         string `json:"format"` // qcow2, raw
	Cache          string `json:"cache,omitempty"`
	ReadOnly       bool   `json:"read_only,omitempty"`
	VirtualBytes   uint64 `json:"virtual_bytes"`
	AllocatedBytes uint64 `json:"allocated_bytes"`
	Probe          *Probe `json:"probe,omitempty"`
}

// Offer describes the VM, for the plan; the destination believes none of it.
type Offer struct {
	Kind        MoveKind `json:"kind"`
	XML         string   `json:"xml"`
	Disks       []Disk   `json:"disks"`
	StoragePath string   `json:"storage_path,omitempty"` // --destination-storage-path
	NVRAM       []byte   `json:"nvram,omitempty"`        // a shut-off UEFI guest's variables
	Autostart   bool     `json:"autostart,omitempty"`    // the VM starts with its host
	Connections int      `json:"connections,omitempty"`  // 0: one memory stream, N: multifd with N channels
	Mappings    Mappings `json:"mappings,omitzero"`
}

// Mappings are what the operator wants otherwise at the destination, which checks
// each as if it stood in the definition.
type Mappings struct {
	Networks map[string]string `json:"networks,omitempty"` // bridge or network: the destination's
	Storage  map[string]string `json:"storage,omitempty"`  // directory: the destination's
	Disks    map[string]string `json:"disks,omitempty"`    // target or source path: file or directory
	CPU      string            `json:"cpu,omitempty"`      // model, for a VM that is shut off
	Eject    bool              `json:"eject,omitempty"`    // leave media in drives behind
}

// MoveKind says what is moved.
type MoveKind string

// A running VM, a paused one (which stays paused), or definition and storage of
// a VM that is shut off.
const (
	Live    MoveKind = "live"
	Paused  MoveKind = "paused"
	Offline MoveKind = "offline"
)

// DiskAction is what happens to a disk.
type DiskAction string

// A disk is copied, or seen by both hosts and left in place, or an empty drive.
const (
	Copy   DiskAction = "copy"
	Shared DiskAction = "shared"
	Empty  DiskAction = "empty"
)

// AdmittedDisk is the destination's answer for one disk.
type AdmittedDisk struct {
	Target string     `json:"target"`
	Action DiskAction `json:"action"`
	Path   string     `json:"path"` // on the destination
}

// Admitted is the destination's consent to an offer; nothing has been created.
type Admitted struct {
	Disks []AdmittedDisk `json:"disks"`
	// LeftOut are the parts of the definition that the destination does not take
	// over, such as metadata.
	LeftOut []string `json:"left_out,omitempty"`
	// Seeds: there is something of the VM's disks here from before, which need not be
	// sent if the source asks for the hashes. SeedBytes is how much, as far as is known.
	Seeds     bool   `json:"seeds,omitempty"`
	SeedBytes uint64 `json:"seed_bytes,omitempty"`
	// Problems is all that is in the way; only a comparison gets them together.
	Problems []fault.Problem `json:"problems,omitempty"`
}

// Prepare carries what libvirt's Begin gave. The XML is admitted again, with the
// disks as agreed on the Offer. A shut-off VM has no cookie.
type Prepare struct {
	Cookie []byte `json:"cookie,omitempty"`
	XML    string `json:"xml"`
}

// Prepared says that QEMU waits and that data streams may be opened.
type Prepared struct {
	Cookie []byte `json:"cookie,omitempty"`
}

// Seeds asks which blocks of disks the destination has, from a number on. After an
// answer that has any, all disk streams have references to blocks by their numbers.
type Seeds struct {
	From int `json:"from"`
}

// SeedList has hashes of blocks, 16 bytes of each, from that number on; Total is
// how many there are. It may have less than what is left.
type SeedList struct {
	Total int    `json:"total"`
	Sums  []byte `json:"sums,omitempty"`
}

// Handover says that the source's copy is stopped for good and complete. From
// the moment the destination has journalled it, the decision is the
// destination's.
type Handover struct {
	Cookie []byte `json:"cookie,omitempty"`
	// StoodMS is for how long the guest has stood still at the source, in
	// milliseconds; it is shown and nothing depends on it.
	StoodMS int64 `json:"stood_ms,omitempty"`
}

// Cancel asks the destination to forget the move.
type Cancel struct {
	Reason string `json:"reason"`
}

// Query asks for the outcome of a move by the source host itself. Abandon asks
// the destination to decide against the move if it was not handed over yet.
type Query struct {
	Move    string `json:"move"`
	UUID    string `json:"uuid"`
	Abandon bool   `json:"abandon"`
}

// Verdict is the destination's durable decision.
type Verdict string

// Undecided: the destination still works on it; ask again. Running: the VM is
// the destination's (offline: defined there). Abandoned: it never ran there and
// never will under this move's id.
const (
	Undecided Verdict = "undecided"
	Running   Verdict = "running"
	Abandoned Verdict = "abandoned"
)

// Outcome is the answer to Handover, Cancel and Query.
type Outcome struct {
	Verdict Verdict        `json:"verdict"`
	Cookie  []byte         `json:"cookie,omitempty"`
	Problem *fault.Problem `json:"problem,omitempty"`
}
