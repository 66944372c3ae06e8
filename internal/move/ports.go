package move

import (
	"context"
	"io"
	"time"

	"drover/internal/plan"
	"drover/internal/record"
	"drover/internal/seed"
	"drover/internal/virt"
	"drover/internal/wire"
)

// Hypervisor is what a move needs of the local libvirt.
type Hypervisor interface {
	Facts(ctx context.Context) (virt.HostFacts, error)
	Domain(ctx context.Context, nameOrUUID string) (virt.Domain, error)
	Domains(ctx context.Context) ([]virt.Domain, error)
	MigratableXML(ctx context.Context, uuid string) (string, error)
	Outgoing(ctx context.Context, p virt.MigrationParams) (Outgoing, error)
	Incoming(ctx context.Context, p virt.MigrationParams) (Incoming, error)
	// Admit checks an offered definition, by this host's rules and by libvirt's
	// own, and gives it back as this host would have it. The error may be
	// Objections; with vm.All it has all of them, and the Definition tells sizes.
	Admit(ctx context.Context, xml string, vm Expected) (Definition, error)
	// AdmitCookie does the same to libvirt's migration cookie, which carries a
	// definition too.
	AdmitCookie(ctx context.Context, cookie []byte, vm Expected) ([]byte, error)
	Define(ctx context.Context, xml string) error
	Resume(ctx context.Context, uuid string) error
	Destroy(ctx context.Context, uuid string) error
	Undefine(ctx context.Context, uuid string) error
	AbortJob(ctx context.Context, uuid string) error
	// Suspend stops a guest that runs; in a migration, the migration lets it run again.
	Suspend(ctx context.Context, uuid string) error
	// DirtyRate and MemorySample measure a guest before it moves: what it changes
	// per second, and pages from places that follow from seed.
	DirtyRate(ctx context.Context, uuid string, period time.Duration) (bytesPerSecond float64, err error)
	MemorySample(ctx context.Context, uuid string, pages int, seed uint64) ([]byte, error)
	SetAutostart(ctx context.Context, uuid string, on bool) error
}

// Expected is what an offered definition must agree with.
type Expected struct {
	Name, UUID string
	// Disks are the files here by target; every medium must be among them, in
	// its format.
	Disks map[string]DiskFile
	// Networks are this host's bridges or networks for some of the source's.
	Networks map[string]string
	// Eject empties CD and floppy drives whose medium is not among Disks.
	Eject bool
	// CPU, unless "", replaces the CPU's model.
	CPU string
	// Offline: the VM is shut off.
	Offline bool
	// All asks for every objection, not for the first.
	All bool
}

// DiskFile is a disk's file on this host.
type DiskFile struct{ Path, Format string }

// Definition is an offered definition as admitted.
type Definition struct {
	XML         string // made anew from what was checked, with this host's paths
	MemoryBytes uint64
	// NVRAM is this host's path of the VM's UEFI variables, "" without.
	NVRAM   string
	LeftOut []string // what of it this host does not take over
}

// Outgoing is the source's half of libvirt's migration protocol.
type Outgoing interface {
	Begin(ctx context.Context) (cookie []byte, xml string, err error)
	Perform(ctx context.Context, cookie []byte) ([]byte, error)
	Confirm(ctx context.Context, cookie []byte, cancelled bool) error
	// Guard keeps the guest standing still whatever becomes of libvirt's daemon. It is
	// an error unless it stood still all the time since Perform.
	Guard(ctx context.Context) error
	Stats(ctx context.Context) (virt.JobStats, error)
	// Suspended tells when QEMU stopped the guest for the switch-over.
	Suspended() <-chan time.Time
	// SetMaxDowntime changes the limit of the blackout in any phase after Begin.
	SetMaxDowntime(ctx context.Context, d time.Duration) error
	Close() error
}

// Incoming is the destination's half. Closing it before Finish destroys the
// waiting VM.
type Incoming interface {
	Prepare(ctx context.Context, cookie []byte, xml string) ([]byte, error)
	Finish(ctx context.Context, cookie []byte, cancelled bool) ([]byte, error)
	Close() error
}

// Storage is what a move needs of the local disk images.
type Storage interface {
	// Place finds where a disk from another host goes: below dir, or where it
	// lay if dir is "", always under this host's roots.
	Place(dir, sourcePath string) (string, error)
	// IsDir reports whether path is a directory under a root, or a root.
	IsDir(path string) bool
	Exists(path string) bool
	WriteProbe(diskPath string) (wire.Probe, func(), error)
	SeesProbe(path string, p wire.Probe) bool
	// Reserve sets bytes aside for an incoming VM until release is called;
	// "storage-full" or "memory-full" when they are not there.
	Reserve(vm string, memory, memoryAvailable uint64, files map[string]uint64) (release func(), err error)
	Create(ctx context.Context, path, format string, virtualBytes uint64, vm string) error
	// Backing is the file that an image is based on, "" when on none.
	Backing(ctx context.Context, path, format string) (string, error)
	// ReadSmall and WriteNew are for UEFI variables; WriteNew overwrites nothing.
	ReadSmall(path string, limit int64) ([]byte, error)
	WriteNew(path string, content []byte, vm string) error
	Remove(path string) error
	// Discard removes what was made here for a move that did not succeed; no link
	// leads it elsewhere.
	Discard(path string) error
	Serve(ctx context.Context, path, format, socket string) (io.Closer, error)
	Push(ctx context.Context, path, format, socket string, progress func(done, total uint64)) error
}

// Operator is on whose behalf a move runs.
type Operator struct {
	Principal string
	// Evidence is what the connector needs to act for the operator; nil when
	// the operator came by the local socket, and the host must assert it.
	Evidence any
}

// Connector finds the destination's agent and gets through to it.
type Connector interface {
	// Negotiate asks the agent, without credentials, whether it is there, who it
	// is and which versions it speaks.
	Negotiate(ctx context.Context, destination string) error
	// Authorise obtains the delegated tickets, chooses the migration network and
	// opens an authenticated control stream on it.
	Authorise(ctx context.Context, destination string, op Operator, storage bool) (Session, error)
	// Settle opens a control stream as the host itself, on a network that the
	// move used, to ask for its outcome.
	Settle(ctx context.Context, destination string, ns []record.Route) (Conn, error)
}

// Conn is a control stream whose two ends are authenticated.
type Conn interface {
	Send(ctx context.Context, v any) error
	Receive(ctx context.Context, v any) error
	Close() error
}

// Session is a control stream of the source with what belongs to it.
type Session interface {
	Conn
	// Networks carry the move's streams together; Passed were not used.
	Networks() []record.Route
	Passed() []record.Passed
	Delegation() record.Delegation
	Cipher() string
	// Peer is what the destination said when it authenticated the operator.
	Peer() wire.AuthReply
	// Bind tells to which session of the destination data streams belong, and how
	// they are carried.
	Bind(id, secret []byte, how plan.Carriage) error
	// Refer has the disk streams that are opened from now on refer to blocks that the
	// destination has.
	Refer(x *seed.Index)
	// Forward listens on a unix socket, until the session is closed, and carries
	// each connection made to it as one data stream of the kind and channel.
	Forward(kind string, channel int, socket string) error
	// Probe measures how much payload so many connections (at least one) carry, before
	// there is any. That it fails says nothing of the session.
	// slow is called, maybe several times, as soon as the link is known not to be
	// fast, which is before its rate is.
	Probe(ctx context.Context, connections int, slow func()) (bytesPerSecond float64, err error)
	// Err is the first thing that went wrong on a data stream, nil if nothing.
	Err() error
	// Verify holds the kernel's addresses of every stream against Networks:
	// "network-mismatch".
	Verify() error
	Streams() []StreamProof
}

// Inbound is a control stream of the destination with what belongs to it.
type Inbound interface {
	Conn
	Caller() Caller
	// Open registers a session: data streams that know its secret are accepted
	// until the connection is closed.
	Open() (id, secret []byte, err error)
	// Attach connects each data stream of the kind and channel to a unix socket, at
	// most so many at a time; one more breaks the protocol.
	Attach(kind string, channel int, socket string, most int) error
	// Take has the disk streams that come from now on refer to the blocks of a set.
	Take(set *seed.Set)
	// Cut ends all data streams: what waits for data of a source that is gone, such
	// as QEMU when it is to be stopped, then waits no longer.
	Cut()
	Err() error
	// Streams tells what each connection carried, and where it ran.
	Streams() []StreamProof
}

// Caller is who opened an inbound control stream, as the tickets prove.
type Caller struct {
	// Principal is the operator; the host's own account when a host settles.
	Principal string
	// DelegatedBy is the host account that acts for the operator, "" when a
	// host speaks for itself.
	DelegatedBy string
	SignIn      string
	// SignInSID is what the PAC has for SignIn: S-1-18-1 or S-1-18-2.
	SignInSID string
	// Storage is whether a second ticket proved delegation for storage.
	Storage bool
	// Peer is the source's host name as it gave it; for messages only.
	Peer string
}

// Kinds of data streams. Memory, and QEMU's copy of the disks of a VM that has
// memory, use channel 0; the disks of a shut-off VM one channel each.
const (
	StreamMemory = "memory"
	StreamDisk   = "disk"
)
