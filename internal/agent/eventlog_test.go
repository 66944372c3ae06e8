package agent

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coreos/go-systemd/v22/journal"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"drover/internal/api"
	"drover/internal/config"
	"drover/internal/eventlog"
	"drover/internal/fault"
	"drover/internal/move"
	"drover/internal/record"
	"drover/internal/settings"
	"drover/internal/store"
	"drover/internal/wire"
)

// sent is what systemd's journal was given.
type sent struct {
	message  string
	priority journal.Priority
	fields   map[string]string
}

// logBench is a recorder with its store, and a journal of systemd that remembers.
type logBench struct {
	*recorder
	b        *backend
	registry *prometheus.Registry
	mu       sync.Mutex
	sent     []sent
	fail     error // of the journal of systemd
}

func newLogBench(t *testing.T) *logBench {
	t.Helper()
	s, err := store.Open(t.Context(), filepath.Join(t.TempDir(), "drover.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	cfg := &config.Config{Host: "HV01", Events: config.Events{MaxAge: config.Duration(24 * time.Hour), MaxEntries: 1000}}
	set := settings.Default()
	set.Incoming = true
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	registry := prometheus.NewRegistry()
	l := &logBench{registry: registry, recorder: newRecorder(cfg, func() settings.Settings { return set }, s, log, time.Now, registry)}
	l.recorder.send = func(message string, p journal.Priority, fields map[string]string) error {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.sent = append(l.sent, sent{message, p, fields})
		return l.fail
	}
	l.b = &backend{cfg: cfg, store: s, events: l.recorder, log: log}
	return l
}

func (l *logBench) entries(t *testing.T, f api.EventFilter) []eventlog.Entry {
	t.Helper()
	out, err := l.b.Events(t.Context(), f)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range out {
		var d eventlog.Data
		if e.Data != nil {
			if err := json.Unmarshal(e.Data, &d); err != nil {
				t.Error(err)
			}
		}
		if err := eventlog.Check(e.ID, d); err != nil {
			t.Error(err)
		}
		if strings.Contains(e.Message, "(unknown)") {
			t.Errorf("%d says %q", e.ID, e.Message)
		}
	}
	return out
}

func ids(entries []eventlog.Entry) (out []eventlog.ID) {
	for _, e := range entries {
		out = append(out, e.ID)
	}
	return out
}

func doneMove(role record.Role) record.Record {
	begun := time.Date(2026, 11, 20, 10, 0, 0, 0, time.UTC)
	over := begun.Add(42 * time.Second)
	r := record.Record{ID: "01JD4Q8Z0V7M3N5T9K2XWY6B1C", Role: role, Phase: record.Done, VM: "APP01", Kind: wire.Live, Peer: "HV02", Operator: "alice@LAB",
		Request: record.Request{VM: "APP01", Destination: "HV02", IncludeStorage: true}, Created: begun, Ended: &over,
		Summary: &record.Summary{TotalMS: 41200, BlackoutMS: 212, MemoryBytes: 4 << 30, DiskBytes: 3 << 30, WireBytes: 5 << 30, Network: "10.0.0.0/24",
			DelegatedBy: "HV01$@LAB", SignIn: "own-credentials", Encrypted: true, Streams: []record.StreamProof{{Kind: "memory", Cipher: "TLS_AES_128_GCM_SHA256"}}}}
	if role == record.Destination {
		r.Peer, r.DelegatedBy, r.SignIn = "HV01", "HV01$@LAB", "own-credentials"
		return r
	}
	r.Plan = &record.Plan{VM: "APP01", Networks: []record.Route{{Subnet: netip.MustParsePrefix("10.0.0.0/24")}}, MemoryBytes: 4 << 30, Codec: "TCPIP",
		Disks:      []record.DiskPlan{{Target: "vda", Action: wire.Copy}, {Target: "sda", Action: wire.Empty}},
		Passed:     []record.Passed{{Subnet: netip.MustParsePrefix("10.9.0.0/24"), Reason: "link down"}},
		Delegation: record.Delegation{Operator: "alice@LAB", Account: "HV01$", Service: "Microsoft Virtual System Migration Service/HV02", StorageService: "cifs/HV02", Method: "ticket"}}
	return r
}

// live is the course of a move: its events, then its end.
func (l *logBench) live(rec record.Record) {
	begun := rec
	begun.Phase, begun.Ended, begun.Summary, begun.Error = record.Queued, nil, nil, nil
	l.happened(begun, record.Event{Kind: record.EventPhase, Phase: record.Queued, Seq: 1})
	l.happened(begun, record.Event{Kind: record.EventPhase, Phase: record.Queued, Seq: 2}) // back in the queue
	if rec.Plan != nil {
		l.happened(begun, record.Event{Kind: record.EventPlan, Plan: rec.Plan, Seq: 3})
	}
	l.happened(begun, record.Event{Kind: record.EventPhase, Phase: record.Transfer, Seq: 4})
	l.ended(rec)
}

func TestAMoveLeavesItsFiguresOnBothSides(t *testing.T) {
	for role, want := range map[record.Role][]eventlog.ID{
		record.Source:      {eventlog.MoveQueued, eventlog.DelegationUsed, eventlog.MoveStarted, eventlog.MoveDone},
		record.Destination: {eventlog.IncomingStarted, eventlog.DelegationAccepted, eventlog.IncomingDone},
	} {
		l := newLogBench(t)
		l.live(doneMove(role))
		got := l.entries(t, api.EventFilter{Move: doneMove(role).ID, VM: "APP01"})
		if d := cmp.Diff(want, ids(got)); d != "" {
			t.Fatalf("%s: %s", role, d)
		}
		last := got[len(got)-1]
		var data map[string]any
		if err := json.Unmarshal(last.Data, &data); err != nil {
			t.Fatal(err)
		}
		for name, v := range map[string]any{"total_ms": 41200., "blackout_ms": 212., "memory_bytes": float64(4 << 30), "disk_bytes": float64(3 << 30), "wire_bytes": float64(5 << 30),
			"network": "10.0.0.0/24", "encrypted": true, "delegated_by": "HV01$@LAB", "sign_in": "own-credentials", "cipher": "TLS_AES_128_GCM_SHA256", "kind": "live"} {
			if data[name] != v {
				t.Errorf("%s: %s is %v, want %v", role, name, data[name], v)
			}
		}
		for _, e := range got {
			if e.Actor != "alice@LAB" {
				t.Errorf("%d: nobody did it: %+v", e.ID, e)
			}
		}
	}
}

func TestHowAMoveEndsIsTold(t *testing.T) {
	refusal := fault.Wrap(errors.New("beneath"), fault.RoleMissing, "HV02", "operator", "alice@LAB", "role", "operator")
	unknown := fault.New(fault.OutcomeUnknown, "HV01", "move", "M", "destination", "HV02", "vm", "APP01")
	for name, tc := range map[string]struct {
		change func(*record.Record)
		role   record.Role
		id     eventlog.ID
		code   fault.Code
	}{
		"failed":               {func(r *record.Record) { r.Phase, r.Error = record.Failed, refusal }, record.Source, eventlog.MoveFailed, fault.RoleMissing},
		"failed there":         {func(r *record.Record) { r.Phase, r.Error = record.Failed, refusal }, record.Destination, eventlog.IncomingFailed, fault.RoleMissing},
		"cancelled":            {func(r *record.Record) { r.Phase, r.Error = record.Cancelled, fault.New(fault.Cancelled, "HV01") }, record.Source, eventlog.MoveCancelled, fault.Cancelled},
		"cancelled there":      {func(r *record.Record) { r.Phase, r.Error = record.Cancelled, fault.New(fault.Cancelled, "HV01") }, record.Destination, eventlog.IncomingCancelled, fault.Cancelled},
		"tried":                {func(r *record.Record) { r.Request.DryRun = true }, record.Source, eventlog.MoveChecked, ""},
		"tried there":          {func(r *record.Record) { r.Request.DryRun = true }, record.Destination, eventlog.IncomingChecked, ""},
		"settled":              {func(r *record.Record) { r.Summary, r.Plan = nil, nil }, record.Source, eventlog.MoveDone, ""},
		"settled there":        {func(r *record.Record) { r.Summary = nil }, record.Destination, eventlog.IncomingDone, ""},
		"done at second trial": {func(r *record.Record) { r.Error = unknown }, record.Source, eventlog.MoveDone, ""},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLogBench(t)
			rec := doneMove(tc.role)
			tc.change(&rec)
			l.live(rec)
			got := l.entries(t, api.EventFilter{})
			last := got[len(got)-1]
			if last.ID != tc.id || last.Code != tc.code {
				t.Errorf("%d with %q: %s", last.ID, last.Code, last.Message)
			}
			if tc.code == fault.RoleMissing {
				var d map[string]any
				_ = json.Unmarshal(last.Data, &d)
				if d["phase"] != "transfer" || d["found_by"] != "HV02" || d["cause"] != "beneath" || d["hint"] == "" {
					t.Errorf("%v", d)
				}
			}
		})
	}
	l := newLogBench(t)
	rec := doneMove(record.Source)
	rec.Phase = record.Handover
	l.takenUp(rec)
	rec.Phase, rec.Error = record.Unknown, unknown
	l.happened(rec, record.Event{Kind: record.EventPhase, Phase: record.Unknown, Seq: 9})
	rec.Phase = record.Confirm
	l.happened(rec, record.Event{Kind: record.EventNotice, Phase: record.Confirm, Seq: 10, Text: "disk not removed"})
	l.happened(rec, record.Event{Kind: record.EventNotice, Phase: record.Queued, Seq: 11, Text: "waits", Waiting: &record.Waiting{}})
	want := []eventlog.ID{eventlog.MoveTakenUp, eventlog.MoveUnknown, eventlog.MoveNotice}
	if d := cmp.Diff(want, ids(l.entries(t, api.EventFilter{}))[:3]); d != "" {
		t.Error(d)
	}
}

func TestLimitsAreTold(t *testing.T) {
	l := newLogBench(t)
	rec := doneMove(record.Source)
	rec.Waiting = &record.Waiting{Position: 1, Of: 2, Host: "HV02", For: "a place among the 2 migrations of HV02"}
	l.waits(rec)
	rec.Waiting.Host = "HV01"
	l.waits(rec)
	rec.Waiting, rec.Error = nil, fault.New(fault.MigrationLimit, "HV01", "what", "migrations", "limit", "2")
	l.waits(rec)
	l.b.events.moveRefused("alice@LAB", rec.Request, rec.Error) // the same, from the API: told already
	want := []eventlog.ID{eventlog.MoveWaiting, eventlog.MoveWaiting, eventlog.LimitReached, eventlog.LimitReached}
	if d := cmp.Diff(want, ids(l.entries(t, api.EventFilter{}))); d != "" {
		t.Error(d)
	}
}

func TestRefusalsHaveTheirFinding(t *testing.T) {
	l := newLogBench(t)
	bob := fault.New(fault.RoleMissing, "HV01", "operator", "bob@LAB", "role", "operator")
	bare := fault.New(fault.NotDelegated, "HV01", "caller", "HV09$@LAB")
	l.connectionRefused("10.0.0.9:5", fault.New(fault.AuthRefused, "HV01", "reason", "replayed"))
	l.connectionRefused("10.0.0.9:5", bob)
	l.connectionRefused("10.0.0.9:5", bare)
	l.connectionRefused("10.0.0.9:5", io.EOF) // nothing was refused
	l.connectionRefused("10.0.0.9:5", fault.New(fault.PeerGone, "HV01", "peer", "HV09"))
	l.incomingRefused(move.Caller{Principal: "HV09$@LAB"}, bare)
	l.incomingRefused(move.Caller{Principal: "bob@LAB", Peer: "HV09", DelegatedBy: "HV09$@LAB"}, fault.New(fault.MigrationDisabled, "HV01", "direction", "incoming"))
	l.incomingRefused(move.Caller{}, io.ErrUnexpectedEOF)
	l.requestRefused(api.Refusal{Caller: api.Caller{Principal: "bob@LAB"}, Remote: "10.0.0.9:6", Request: "cancel-move", Err: bob})
	l.requestRefused(api.Refusal{Remote: "10.0.0.9:6", Request: "sign-in", Err: fault.New(fault.AuthRefused, "HV01", "reason", "old")})
	l.moveRefused("bob@LAB", record.Request{VM: "APP09", Destination: "HV02"}, fault.New(fault.VMNotFound, "HV01", "vm", "APP09"))
	l.settingsRefused("bob@LAB", fault.New(fault.SettingsInvalid, "HV01", "setting", "networks", "problem", "host bits"))
	var got []string
	for _, e := range l.entries(t, api.EventFilter{Level: []eventlog.Level{eventlog.Warning}}) {
		got = append(got, fmt.Sprintf("%d %s %s", e.ID, e.Code, e.Actor))
	}
	want := []string{"3000 authentication-refused ", "3003 role-missing bob@LAB", "3005 not-delegated HV09$@LAB", "3005 not-delegated HV09$@LAB", "3002 migration-disabled bob@LAB",
		"3003 role-missing bob@LAB", "3004 authentication-refused ", "3001 vm-not-found bob@LAB", "4001 settings-invalid bob@LAB"}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestAFloodOfRefusalsIsCounted(t *testing.T) {
	l := newLogBench(t)
	for range refusalBurst + 25 {
		l.connectionRefused("10.0.0.9:5", fault.New(fault.AuthRefused, "HV01", "reason", "replayed"))
	}
	l.tellLeftOut()
	got := l.entries(t, api.EventFilter{Limit: 1000})
	refused, left := 0, 0
	for _, e := range got {
		switch e.ID {
		case eventlog.ConnectionRefused:
			refused++
		case eventlog.RefusalsLeftOut:
			var d struct{ Count int }
			if err := json.Unmarshal(e.Data, &d); err != nil {
				t.Error(err)
			}
			left += d.Count
		}
	}
	if refused+left != refusalBurst+25 || refused < refusalBurst || left == 0 {
		t.Errorf("%d one by one, %d counted", refused, left)
	}
}

func TestEntriesReachTheJournalOfSystemd(t *testing.T) {
	l := newLogBench(t)
	rec := doneMove(record.Source)
	rec.Phase, rec.Error = record.Failed, fault.New(fault.AgentUnreachable, "HV01", "name", "HV02")
	l.ended(rec)
	got := l.sent[0]
	if got.priority != journal.PriErr || !strings.HasPrefix(got.message, "APP01 was not moved to HV02") {
		t.Errorf("%+v", got)
	}
	for name, want := range map[string]string{"DROVER_EVENT": "2004", "DROVER_NAME": "move-failed", "DROVER_CODE": "agent-unreachable", "DROVER_MOVE": rec.ID, "DROVER_VM": "APP01",
		"DROVER_ACTOR": "alice@LAB", "DROVER_SEQ": "1", "SYSLOG_IDENTIFIER": "droverd", "MESSAGE_ID": "5c7158f1c7f95d48b1ce5be2fc60a8d4"} {
		if got.fields[name] != want {
			t.Errorf("%s=%s, want %s", name, got.fields[name], want)
		}
	}
	l.mu.Lock()
	l.fail = errors.New("journald is gone")
	l.mu.Unlock()
	l.ended(rec) // is recorded all the same
	if n := len(l.entries(t, api.EventFilter{})); n != 2 {
		t.Errorf("%d entries", n)
	}
}

func TestALogThatCannotBeWrittenFailsNothing(t *testing.T) {
	l := newLogBench(t)
	l.noteTrouble(eventlog.Entry{}, errors.New("disk full"))
	l.sent = nil
	if err := l.check(t.Context()); err != nil {
		t.Errorf("health forgets no trouble that is over: %v", err)
	}
	l.trouble = nil
	if err := l.store.Close(); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		l.ended(doneMove(record.Source))
	}
	if err := l.check(t.Context()); !fault.Is(err, fault.StoreFailed) {
		t.Errorf("health says %v", err)
	}
	trouble := 0
	for _, s := range l.sent {
		if s.fields["DROVER_EVENT"] == "8000" {
			trouble++
		}
	}
	if len(l.sent) != 4 || trouble != 1 {
		t.Errorf("%d given to systemd, %d of them about the trouble", len(l.sent), trouble)
	}
	families, err := l.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "drover_event_log_failures_total" && f.GetMetric()[0].GetCounter().GetValue() != 4 {
			t.Errorf("%v failures counted", f)
		}
	}
}

func TestTheLogIsKeptWithinItsBounds(t *testing.T) {
	l := newLogBench(t)
	old := l.now
	l.now = func() time.Time { return old().Add(-25 * time.Hour) }
	l.record(eventlog.AddressBound, eventlog.About{}, eventlog.Data{"address": "10.0.0.1:6600"})
	l.now = old
	l.record(eventlog.AddressGone, eventlog.About{}, eventlog.Data{"address": "10.0.0.1:6600"})
	l.prune(t.Context())
	if d := cmp.Diff([]eventlog.ID{eventlog.AddressGone}, ids(l.entries(t, api.EventFilter{}))); d != "" {
		t.Errorf("by age: %s", d)
	}
	l.bounds.MaxEntries = 3
	for range 9 {
		l.record(eventlog.AddressGone, eventlog.About{}, eventlog.Data{"address": "10.0.0.1:6600"})
	}
	l.prune(t.Context())
	got := ids(l.entries(t, api.EventFilter{}))
	if d := cmp.Diff([]eventlog.ID{eventlog.AddressGone, eventlog.AddressGone, eventlog.AddressGone, eventlog.LogTrimmed}, got); d != "" {
		t.Errorf("by number: %s", d)
	}
}

func TestFollowersSeeEntriesInOrder(t *testing.T) {
	l := newLogBench(t)
	for range 3 {
		l.record(eventlog.AddressBound, eventlog.About{}, eventlog.Data{"address": "10.0.0.1:6600"})
		l.ended(doneMove(record.Source))
	}
	var seqs []int64
	for e, err := range l.b.WatchEvents(t.Context(), api.EventFilter{After: 1, VM: "APP01"}) {
		if err != nil {
			t.Fatal(err)
		}
		seqs = append(seqs, e.Seq)
		if len(seqs) == 3 {
			go func() { // while the follower waits
				l.record(eventlog.AddressGone, eventlog.About{}, eventlog.Data{"address": "10.0.0.1:6600"})
				l.ended(doneMove(record.Destination))
			}()
		}
		if len(seqs) == 4 {
			break
		}
	}
	if d := cmp.Diff([]int64{2, 4, 6, 8}, seqs); d != "" {
		t.Error(d)
	}
}

func TestSettingsAndAddressesAreTold(t *testing.T) {
	l := newLogBench(t)
	before := settings.Default()
	after := before
	after.MaximumMigrations, after.Incoming = 4, true
	addr := netip.MustParseAddrPort("10.0.0.1:6600")
	l.settingsChanged("ann@LAB", before, after, nil)
	l.addresses([]netip.AddrPort{addr}, nil, []netip.AddrPort{addr})
	l.addresses(nil, []netip.AddrPort{addr}, nil)
	l.started("1.0", []netip.AddrPort{addr})
	got := l.entries(t, api.EventFilter{})
	want := []eventlog.ID{eventlog.SettingsChanged, eventlog.AddressNone, eventlog.AddressBound, eventlog.AddressGone, eventlog.AddressNone, eventlog.AgentStarted}
	if d := cmp.Diff(want, ids(got)); d != "" {
		t.Error(d)
	}
	if m := got[0].Message; !strings.HasPrefix(m, "ann@LAB changed ") || !strings.Contains(m, "maximum_migrations from 2 to 4") {
		t.Error(m)
	}
}
