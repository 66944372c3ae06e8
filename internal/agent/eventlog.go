package agent

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"github.com/coreos/go-systemd/v22/journal"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"

	"drover/internal/config"
	"drover/internal/eventlog"
	"drover/internal/fault"
	"drover/internal/settings"
	"drover/internal/store"
)

const (
	// logTime bounds the writing of one entry: a disk that hangs holds up a move
	// for so long, and does not end it.
	logTime = 5 * time.Second
	// maxLogBytes bounds the log's bodies together.
	maxLogBytes = 64 << 20
	// pruneEvery is how many entries are appended before the bounds are looked at.
	pruneEvery = 500
	// Refusals are logged one by one up to refusalBurst, and then one in
	// refusalPause: whoever reaches a port can be refused at will, and must not push out what
	// else the log holds.
	refusalBurst = 60
	refusalPause = time.Minute
)

// recorder writes the host's event log: to the journal, to that of systemd where
// there is one, and to the log. What cannot be written is told there and in health
// and metrics, and fails nothing.
type recorder struct {
	host     string
	settings func() settings.Settings
	store    *store.Store
	log      *slog.Logger
	now      func() time.Time
	bounds   config.Events
	// send gives an entry to systemd's journal; nil where there is none.
	send    func(message string, p journal.Priority, fields map[string]string) error
	metrics *logMetrics
	refuse  *rate.Limiter
	grown   chan struct{} // the bounds are to be looked at

	mu       sync.Mutex
	appended int
	leftOut  int               // refusals since the last that was logged
	trouble  error             // why the last entry was not written
	phases   map[string]string // of the moves under way, by id and role
}

// logMetrics are what GET /metrics shows of the event log.
type logMetrics struct {
	entries *prometheus.CounterVec
	failed  prometheus.Counter
}

func newRecorder(cfg *config.Config, set func() settings.Settings, s *store.Store, log *slog.Logger, now func() time.Time, registry prometheus.Registerer) *recorder {
	r := &recorder{host: cfg.Host, settings: set, store: s, log: log, now: now, bounds: cfg.Events, grown: make(chan struct{}, 1),
		refuse: rate.NewLimiter(rate.Every(refusalPause), refusalBurst), phases: map[string]string{},
		metrics: &logMetrics{
			entries: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "drover_events_total",
				Help: "Entries of the event log by number and level (docs/events.md)."}, []string{"id", "level"}),
			failed: prometheus.NewCounter(prometheus.CounterOpts{Name: "drover_event_log_failures_total",
				Help: "Entries that could not be written to the event log."}),
		}}
	registry.MustRegister(r.metrics.entries, r.metrics.failed)
	if journal.Enabled() {
		r.send = journal.Send
	}
	return r
}

// record writes one entry. It returns when the entry is on the disk, or when it
// is known that it will not be.
func (r *recorder) record(id eventlog.ID, about eventlog.About, data eventlog.Data) {
	e := eventlog.New(id, r.now(), about, data)
	r.metrics.entries.WithLabelValues(strconv.Itoa(int(id)), string(e.Level)).Inc()
	seq, err := r.append(e)
	e.Seq = seq
	r.tell(e)
	r.noteTrouble(e, err)
}

func (r *recorder) append(e eventlog.Entry) (int64, error) {
	body, err := json.Marshal(e)
	if err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), logTime)
	defer cancel()
	seq, err := r.store.AppendLog(ctx, store.LogRow{Time: e.Time, ID: int(e.ID), Level: string(e.Level), VM: e.VM, Move: e.Move, Body: body})
	if err != nil {
		return 0, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.appended++; r.appended%pruneEvery == 0 {
		select {
		case r.grown <- struct{}{}:
		default:
		}
	}
	return seq, nil
}

// tell gives the entry to systemd's journal, or where there is none to the log,
// which otherwise would have it twice.
func (r *recorder) tell(e eventlog.Entry) {
	level := map[eventlog.Level]slog.Level{eventlog.Warning: slog.LevelWarn, eventlog.Error: slog.LevelError}[e.Level]
	if r.send != nil {
		err := r.send(e.Message, priorities[e.Level], fields(e))
		if err == nil {
			level = slog.LevelDebug
		} else {
			r.log.Warn("event not given to the journal of systemd", "event", e.ID, "error", err)
		}
	}
	r.log.Log(context.Background(), level, "event", "event", e.ID, "name", e.Name, "move", e.Move, "vm", e.VM, "actor", e.Actor, "code", e.Code, "message", e.Message)
}

var priorities = map[eventlog.Level]journal.Priority{
	eventlog.Information: journal.PriInfo, eventlog.Warning: journal.PriWarning, eventlog.Error: journal.PriErr,
}

// fields are the entry's in the journal of systemd: `journalctl DROVER_EVENT=2003`.
func fields(e eventlog.Entry) map[string]string {
	out := map[string]string{"SYSLOG_IDENTIFIER": "droverd", "MESSAGE_ID": e.ID.MessageID(), "DROVER_EVENT": strconv.Itoa(int(e.ID)), "DROVER_NAME": e.Name}
	for name, v := range map[string]string{"DROVER_CODE": string(e.Code), "DROVER_MOVE": e.Move, "DROVER_VM": e.VM, "DROVER_ACTOR": e.Actor, "DROVER_DATA": string(e.Data)} {
		if v != "" {
			out[name] = v
		}
	}
	if e.Seq > 0 {
		out["DROVER_SEQ"] = strconv.FormatInt(e.Seq, 10)
	}
	return out
}

// noteTrouble says once that the log cannot be written, and once that it can again.
func (r *recorder) noteTrouble(e eventlog.Entry, err error) {
	r.mu.Lock()
	before := r.trouble
	r.trouble = err
	r.mu.Unlock()
	switch {
	case err != nil:
		r.metrics.failed.Inc()
		r.log.Error("event not recorded", "event", e.ID, "message", e.Message, "error", err)
		if before == nil {
			r.tell(eventlog.New(eventlog.JournalTrouble, r.now(), eventlog.About{Code: fault.StoreFailed},
				eventlog.Data{"what": fmt.Sprintf("event %d", e.ID), "reason": err.Error(), "found_by": r.host}))
		}
	case before != nil:
		r.log.Info("the event log can be written again")
	}
}

// check is why the last entry was not written; nil when it was, or could be now.
func (r *recorder) check(ctx context.Context) error {
	r.mu.Lock()
	err := r.trouble
	r.mu.Unlock()
	if err == nil || r.store.Check(ctx) == nil {
		return nil
	}
	return fault.Wrap(err, fault.StoreFailed, r.host)
}

// refused records a refusal, unless there are too many of them.
func (r *recorder) refused(id eventlog.ID, about eventlog.About, data eventlog.Data) {
	allowed := r.refuse.Allow()
	r.mu.Lock()
	if !allowed {
		r.leftOut++
	}
	r.mu.Unlock()
	if allowed {
		r.tellLeftOut()
		r.record(id, about, data)
	}
}

// tellLeftOut records how many refusals were left out, if any.
func (r *recorder) tellLeftOut() {
	r.mu.Lock()
	n := r.leftOut
	r.leftOut = 0
	r.mu.Unlock()
	if n > 0 {
		r.record(eventlog.RefusalsLeftOut, eventlog.About{}, eventlog.Data{"count": n})
	}
}

// run keeps the log within its bounds until ctx ends.
func (r *recorder) run(ctx context.Context) {
	tick := time.NewTicker(time.Hour)
	defer tick.Stop()
	for {
		r.tellLeftOut()
		r.prune(ctx)
		select {
		case <-r.grown:
		case <-tick.C:
		case <-ctx.Done():
			r.tellLeftOut()
			return
		}
	}
}

// prune forgets what is too old, and then what is too much, which is told: it is
// gone sooner than max_age promises.
func (r *recorder) prune(ctx context.Context) {
	before := r.now().Add(-time.Duration(r.bounds.MaxAge))
	old, err := r.store.PruneLog(ctx, before, 1<<62, 1<<62)
	var much int
	if err == nil {
		much, err = r.store.PruneLog(ctx, before, r.bounds.MaxEntries, maxLogBytes)
	}
	switch {
	case err != nil && ctx.Err() == nil:
		r.log.Error("event log not pruned", "error", err)
	case old > 0:
		r.log.Info("event log pruned", "entries", old)
	}
	if much > 0 {
		r.record(eventlog.LogTrimmed, eventlog.About{}, eventlog.Data{"entries": much})
	}
}

// finding are the data of what failed or was refused.
func finding(err error, more eventlog.Data) eventlog.Data {
	f := fault.From(err)
	d := eventlog.Data{"reason": f.Message(), "hint": f.Hint(), "found_by": f.Host}
	if cause := f.Unwrap(); cause != nil {
		d["cause"] = cause.Error()
	}
	for k, v := range more {
		d[k] = v
	}
	return d
}
