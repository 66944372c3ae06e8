package move

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"iter"
	"log/slog"
	"path/filepath"
	"sort"
	"strings"
	"sync"
	"time"

	"github.com/oklog/ulid/v2"

	"drover/internal/fault"
	"drover/internal/settings"
	"drover/internal/store"
)

// Options of a Manager.
type Options struct {
	Host   string // this host's name, for records and messages
	RunDir string // sockets of moves are made below RunDir/m
	// Settings are the host's, as of now; they may change between two calls. Nil:
	// those of a new host, on which live migration is off.
	Settings   func() settings.Settings
	Roots      []string
	Hypervisor Hypervisor
	Storage    Storage
	Seeds      Seeds // nil: files of disks are removed
	Connector  Connector
	Store      *store.Store
	Measurer   Measurer // may be nil
	Log        *slog.Logger
	Now        func() time.Time
	// UnwindTimeout bounds the undoing of one move; default 60 s.
	UnwindTimeout time.Duration
	// StreamGrace is how long a transfer may go on after a stream of it has
	// failed; default 15 s.
	StreamGrace time.Duration
	// QuietSource is how long a source may take for its next message while it has
	// nothing to wait for; longer than libvirt takes for Begin on a busy host. Default 2 minutes.
	QuietSource time.Duration
	// AgreeTimeout is how long the destination may take to answer what it is asked
	// before the transfer; longer than it takes to start QEMU on a busy host. Default
	// 5 minutes.
	AgreeTimeout time.Duration
	// StallTimeout is how long a guest's transfer may go on without a byte of data,
	// although the other host gives signs of life; default 10 minutes.
	StallTimeout time.Duration
	// LibvirtGrace is for how long libvirt may answer nothing during a transfer before
	// that is given up; default one minute.
	LibvirtGrace time.Duration
	// StatsInterval is how often a transfer is looked at; default 500 ms.
	StatsInterval time.Duration
	// AnswerTimeout is how long the destination may take to let the VM run, or to
	// tell the outcome, before it is asked on a new connection; default 30 s.
	AnswerTimeout time.Duration
	// RetryInterval is the first pause before an unreadable outcome is asked
	// for again; it doubles up to 30 s. Default 1 s.
	RetryInterval time.Duration
	// Inject is called after each phase change has been journalled. Tests use it
	// to fail, hang or kill at a phase.
	Inject func(context.Context, Role, Phase) error
	// QueueInterval is the first pause before a destination that is at its limit is
	// asked again; pauses grow to eight of it, and vary by chance. Default 250 ms.
	QueueInterval time.Duration
	// Waits, if set, is told of each move that begins to wait (Record.Waiting says
	// what for), and of each that is refused for a limit of this host (Record.Error).
	Waits func(Record)
	// Happened, if set, is told of each event of a move when it is journalled, except
	// the last; Ended is for that.
	Happened func(Record, Event)
	// Ended, if set, is told of each move that is over.
	Ended func(Record)
}

// Manager owns the moves of this host, in both roles.
type Manager struct {
	opt Options

	queue *queue

	mu        sync.Mutex
	active    map[string]*run // by move id
	unwritten map[string]*run // by move id: over, which the journal does not have yet
	refused   map[string]bool // moves of other hosts that were told of a limit
	draining  bool
	base      context.Context // ends when running moves must end
	stop      context.CancelCauseFunc
	wg        sync.WaitGroup
	late      sync.WaitGroup // see run.endLater; nothing is added once wg is done
}

// NewManager makes a Manager. Run must be called before moves are taken.
func NewManager(o Options) *Manager {
	if o.Settings == nil {
		o.Settings = settings.Default
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.UnwindTimeout == 0 {
		o.UnwindTimeout = time.Minute
	}
	if o.StreamGrace == 0 {
		o.StreamGrace = 15 * time.Second
	}
	if o.QuietSource == 0 {
		o.QuietSource = 2 * time.Minute
	}
	if o.AgreeTimeout == 0 {
		o.AgreeTimeout = 5 * time.Minute
	}
	if o.StallTimeout == 0 {
		o.StallTimeout = 10 * time.Minute
	}
	if o.LibvirtGrace == 0 {
		o.LibvirtGrace = time.Minute
	}
	if o.StatsInterval == 0 {
		o.StatsInterval = 500 * time.Millisecond
	}
	if o.AnswerTimeout == 0 {
		o.AnswerTimeout = 30 * time.Second
	}
	if o.RetryInterval == 0 {
		o.RetryInterval = time.Second
	}
	if o.QueueInterval == 0 {
		o.QueueInterval = 250 * time.Millisecond
	}
	base, stop := context.WithCancelCause(context.Background())
	return &Manager{opt: o, queue: &queue{host: o.Host, limits: o.Settings, now: o.Now}, active: map[string]*run{}, unwritten: map[string]*run{},
		refused: map[string]bool{}, base: base, stop: stop}
}

// Drain refuses new moves, ends those that wait, and waits until running ones are
// over or ctx ends.
// Then it cancels what may still be cancelled, leaves what may not to the next
// start, and returns when nothing of the Manager runs any more.
func (m *Manager) Drain(ctx context.Context) {
	m.mu.Lock()
	m.draining = true
	m.mu.Unlock()
	m.queue.close(fault.New(fault.ShuttingDown, m.opt.Host))
	idle := make(chan struct{})
	go func() { m.wg.Wait(); close(idle) }()
	select {
	case <-idle:
	case <-ctx.Done():
	}
	m.stop(fault.New(fault.ShuttingDown, m.opt.Host))
	<-idle
	m.late.Wait()
}

// begin registers a move of this host, refusing a second one of the same VM.
func (m *Manager) begin(rec Record) (*run, context.Context, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.draining {
		return nil, nil, fault.New(fault.ShuttingDown, m.opt.Host)
	}
	if err := m.freeLocked(rec.UUID, rec.VM); err != nil {
		return nil, nil, err
	}
	if m.active[rec.ID] != nil {
		return nil, nil, fault.New(fault.ProtocolError, m.opt.Host, "peer", rec.Peer, "problem", "move id "+rec.ID+" is in use")
	}
	r := m.newRun(rec, private{}, 0)
	ctx, cancel := context.WithCancelCause(m.base)
	r.cancel = cancel
	m.active[rec.ID] = r
	m.wg.Add(1)
	return r, ctx, nil
}

// free is an error while a VM has a move on this host that is not over.
func (m *Manager) free(uuid, vm string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.freeLocked(uuid, vm)
}

func (m *Manager) freeLocked(uuid, vm string) error {
	for _, runs := range []map[string]*run{m.active, m.unwritten} {
		for id, r := range runs {
			if r.holds(uuid) {
				return fault.New(fault.VMMoving, m.opt.Host, "vm", vm, "move", id)
			}
		}
	}
	return nil
}

// holds says that the VM can have no other move on this host.
func (r *run) holds(uuid string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.rec.UUID == uuid && (!r.rec.Phase.Over() || r.unwritten)
}

func (m *Manager) newRun(rec Record, p private, seq int64) *run {
	return &run{m: m, rec: rec, priv: p, seq: seq, changed: make(chan struct{}), ended: make(chan struct{}),
		cancel: func(error) {},
		log:    m.opt.Log.With("move", rec.ID, "vm", rec.VM, "role", rec.Role)}
}

// finished takes a move off the active list; its record stays in the journal.
func (m *Manager) finished(r *run) {
	m.queue.leave(r)
	m.mu.Lock()
	delete(m.active, r.rec.ID)
	r.mu.Lock() // endLater changes it, and lets go of it afterwards
	if r.unwritten {
		m.unwritten[r.rec.ID] = r
	}
	r.mu.Unlock()
	m.mu.Unlock()
	r.mu.Lock()
	close(r.ended)
	r.wake()
	r.mu.Unlock()
	r.cancel(nil)
	m.wg.Done()
}

// written lets go of a move whose end is in the journal after all.
func (m *Manager) written(r *run) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.unwritten, r.rec.ID)
}

func (m *Manager) lookup(id string) *run {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.active[id]
}

func newID(now time.Time) string {
	return ulid.MustNew(ulid.Timestamp(now), rand.Reader).String()
}

// socketDir is where the sockets of a move lie on this host. The end of the id
// is its random part; a socket's path is limited to 107 bytes.
func (m *Manager) socketDir(id string) string {
	return filepath.Join(m.opt.RunDir, "m", strings.ToLower(id[len(id)-12:]))
}

// Get gives the record of a move; "move-not-found" if there is none.
func (m *Manager) Get(ctx context.Context, id string) (Record, error) {
	if r := m.lookup(id); r != nil {
		return r.record(), nil
	}
	row, err := m.opt.Store.Move(ctx, id)
	if errors.Is(err, store.ErrNotFound) {
		return Record{}, fault.New(fault.MoveNotFound, m.opt.Host, "move", id)
	}
	if err != nil {
		return Record{}, fault.Wrap(err, fault.StoreFailed, m.opt.Host)
	}
	rec, _, err := decodeRow(row)
	return rec, err
}

func decodeRow(row store.MoveRow) (rec Record, p private, err error) {
	if err = json.Unmarshal(row.Body, &rec); err == nil {
		err = json.Unmarshal(row.Private, &p)
	}
	return rec, p, err
}

// List gives the records that match, newest first; limit 0 means 100.
func (m *Manager) List(ctx context.Context, f store.Filter) ([]Record, error) {
	if f.Limit == 0 {
		f.Limit = 100
	}
	rows, err := m.opt.Store.Moves(ctx, f)
	if err != nil {
		return nil, fault.Wrap(err, fault.StoreFailed, m.opt.Host)
	}
	out := make([]Record, 0, len(rows))
	for _, row := range rows {
		rec, _, err := decodeRow(row)
		if err != nil {
			return nil, fault.Wrap(err, fault.StoreFailed, m.opt.Host)
		}
		if r := m.lookup(rec.ID); r != nil {
			rec = r.record()
		}
		out = append(out, rec)
	}
	sort.SliceStable(out, func(i, j int) bool { return out[i].ID > out[j].ID })
	return out, nil
}

// Cancel asks a move to end. The source cancels; a destination's record is the
// source's to cancel. "cancel-too-late" after handover, "move-over" at the end.
func (m *Manager) Cancel(ctx context.Context, id, by string) (Record, error) {
	r := m.lookup(id)
	if r == nil {
		rec, err := m.Get(ctx, id)
		if err != nil {
			return Record{}, err
		}
		return rec, fault.New(fault.MoveOver, m.opt.Host, "move", id, "phase", string(rec.Phase))
	}
	r.mu.Lock() // enter looks at the context under it: a cancel that was taken takes effect
	defer r.mu.Unlock()
	if r.committed {
		return r.rec, fault.New(fault.CancelTooLate, m.opt.Host, "move", id)
	}
	r.log.Info("cancel asked", "by", by)
	r.cancel(fault.New(fault.Cancelled, m.opt.Host))
	return r.rec, nil
}

// Watch yields the events of a move after seq: first what is journalled, then
// what happens, with the newest progress in between. It ends after the event of
// kind EventEnd, when ctx ends, or when the agent leaves the move.
func (m *Manager) Watch(ctx context.Context, id string, after int64) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		if _, err := m.Get(ctx, id); err != nil {
			yield(Event{}, err)
			return
		}
		var shown *Event
		for {
			r := m.lookup(id)
			var changed, ended chan struct{}
			var progress *Event
			if r != nil {
				r.mu.Lock()
				changed, ended, progress = r.changed, r.ended, r.progress
				r.mu.Unlock()
			}
			last, over, ok := m.replay(ctx, id, after, yield)
			if !ok || over {
				return
			}
			after = last
			if r == nil { // over without an end: left unsettled
				return
			}
			// One that is older than what was just replayed tells of a phase that is past.
			if progress != nil && progress != shown && progress.Seq >= after {
				if shown = progress; !yield(*progress, nil) {
					return
				}
			}
			select {
			case <-changed:
			case <-ended:
			case <-ctx.Done():
				return
			}
		}
	}
}

// replay yields journalled events after seq. over: the last was the end; !ok:
// the consumer, or the journal, wants no more.
func (m *Manager) replay(ctx context.Context, id string, after int64, yield func(Event, error) bool) (last int64, over, ok bool) {
	rows, err := m.opt.Store.Events(ctx, id, after, 0)
	if err != nil {
		if ctx.Err() == nil {
			yield(Event{}, fault.Wrap(err, fault.StoreFailed, m.opt.Host))
		}
		return after, false, false
	}
	for _, row := range rows {
		var e Event
		if err := json.Unmarshal(row.Body, &e); err != nil {
			yield(Event{}, fault.Wrap(err, fault.StoreFailed, m.opt.Host))
			return after, false, false
		}
		if !yield(e, nil) {
			return after, false, false
		}
		after = e.Seq
		if e.Kind == EventEnd {
			return after, true, true
		}
	}
	return after, false, true
}
