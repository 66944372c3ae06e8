package cli

import (
	"context"
	"fmt"
	"iter"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"drover/internal/api"
	"drover/internal/doctor"
	"drover/internal/fault"
	"drover/internal/record"
	"drover/internal/settings"
	"drover/internal/wire"
)

// fakeAgent is an api.Backend that plays a scenario: one line per thing that
// happens to a move. See (*fakeAgent).play for the words.
type fakeAgent struct {
	host     string
	scenario []string

	mu      sync.Mutex
	changed chan struct{}      // closed and made anew on every change
	kept    *settings.Settings // see settingsNow
	rec     record.Record
	events  []record.Event
	clock   time.Time
	done    map[string]bool // cancelled, watched, and what the test sets
	wg      sync.WaitGroup
	stop    context.CancelFunc

	children []*fakeAgent // of a scenario with several moves
	parent   *fakeAgent
}

const fakeID = "01JD4Q8Z0V7M3N5T9K2XWY6B1C"

func newFakeAgent(host, scenario string) *fakeAgent {
	f := &fakeAgent{host: host, changed: make(chan struct{}), done: map[string]bool{}, stop: func() {}}
	for l := range strings.Lines(scenario) {
		if l = strings.TrimSpace(l); l != "" && l[0] != '#' {
			f.scenario = append(f.scenario, l)
		}
	}
	return f
}

func (f *fakeAgent) close() {
	for _, c := range f.moves() {
		if c != f {
			c.close()
		}
	}
	f.stop()
	f.wg.Wait()
}

// change does something under the lock and wakes everybody who waits.
func (f *fakeAgent) change(do func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	do()
	close(f.changed)
	f.changed = make(chan struct{})
}

// until waits for a condition, which is asked under the lock.
func (f *fakeAgent) until(ctx context.Context, cond func() bool) bool {
	for {
		f.mu.Lock()
		ok, changed := cond(), f.changed
		f.mu.Unlock()
		if ok {
			return true
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return false
		}
	}
}

// refusal finds a line `refuse VERB CODE ARG=VALUE...` of the scenario; %20
// stands for a blank.
func (f *fakeAgent) refusal(verb string) error {
	for _, l := range f.scenario {
		if w := strings.Fields(l); len(w) > 2 && w[0] == "refuse" && w[1] == verb {
			return f.fault(w[2:])
		}
	}
	return nil
}

func (f *fakeAgent) fault(words []string) *fault.Error {
	var kv []string
	var cause error
	for _, w := range words[1:] {
		k, v, _ := strings.Cut(w, "=")
		v, err := url.PathUnescape(v)
		if err != nil {
			panic(err)
		}
		if k == "cause" {
			cause = fmt.Errorf("%s", v)
			continue
		}
		kv = append(kv, k, v)
	}
	return fault.Wrap(cause, fault.Code(words[0]), f.host, kv...)
}

// play carries the scenario out. Three seconds go by with each line.
func (f *fakeAgent) play(ctx context.Context) {
	for _, l := range f.scenario {
		w := strings.Fields(l)
		f.clock = f.clock.Add(3 * time.Second)
		over := false
		switch w[0] {
		case "waiting":
			f.emit(record.Event{Kind: record.EventProgress, Phase: f.rec.Phase, Waiting: f.waiting(w[1:])})
		case "refuse", "vm", "incompatible", "event":
		case "phase":
			f.emit(record.Event{Kind: record.EventPhase, Phase: record.Phase(w[1])})
		case "notice":
			f.emit(record.Event{Kind: record.EventNotice, Phase: f.rec.Phase, Text: strings.Join(w[1:], " ")})
		case "plan":
			f.emit(record.Event{Kind: record.EventPlan, Phase: f.rec.Phase, Plan: f.plan(w[1:])})
			if over = f.rec.Request.DryRun; over {
				f.emit(record.Event{Kind: record.EventEnd, Phase: record.Done})
			}
		case "progress":
			f.emit(record.Event{Kind: record.EventProgress, Phase: f.rec.Phase, Progress: f.progress(w[1])})
		case "wait": // for a word of done, or of the script: `release`
			if !f.until(ctx, func() bool { return f.done[w[1]] }) {
				return
			}
		case "end":
			f.emit(f.end(w[1:]))
			over = true
		default:
			panic("scenario: " + l)
		}
		if over {
			return
		}
	}
}

func (f *fakeAgent) emit(ev record.Event) {
	f.change(func() {
		ev.Seq, ev.Move, ev.Time = int64(len(f.events)+1), f.rec.ID, f.clock
		f.rec.Phase, f.rec.Updated, f.rec.Waiting = ev.Phase, ev.Time, ev.Waiting
		if ev.Plan != nil {
			f.rec.Plan, f.rec.Kind = ev.Plan, ev.Plan.Kind
		}
		if ev.Progress != nil {
			f.rec.Progress = ev.Progress
		}
		if ev.Kind == record.EventEnd {
			f.rec.Summary, f.rec.Error, f.rec.Ended = ev.Summary, ev.Error, &ev.Time
		}
		f.events = append(f.events, ev)
	})
}

const (
	fakeOperator = "alice@LAB.DROVER.TEST"
	fakeService  = "Microsoft Virtual System Migration Service/HV02"
)

func (f *fakeAgent) plan(words []string) *record.Plan {
	q := f.rec.Request
	p := &record.Plan{
		VM: q.VM, UUID: "6f7d9b0e-0000-4000-8000-000000000001", Kind: wire.Live, Source: f.host, Destination: q.Destination,
		Networks:    []record.Route{{Subnet: netip.MustParsePrefix("192.168.10.0/24"), Source: netip.MustParseAddr("192.168.10.1"), Destination: netip.MustParseAddr("192.168.10.2")}},
		MemoryBytes: 4 * gib, Codec: "TCPIP", Encryption: "TLS_AES_128_GCM_SHA256", Connections: max(q.Connections, 1), ConnectionsReason: "as asked for",
		Disks:      []record.DiskPlan{{Target: "sda", Action: wire.Empty}},
		Delegation: record.Delegation{Operator: fakeOperator, Account: f.host + "$", Service: fakeService, Method: "ticket"},
		Keeps:      q.RetainVHDCopiesOnSource,
	}
	if q.IncludeStorage {
		p.Disks = append(p.Disks, record.DiskPlan{Target: "vda", Action: wire.Copy, Format: "qcow2", SourcePath: "/srv/vms/app01.qcow2", DestinationPath: "/srv/vms/app01.qcow2", VirtualBytes: 10 * gib, AllocatedBytes: 3 * gib})
		p.Delegation.StorageService = "cifs/HV02"
	}
	if slices.Contains(words, "shared") {
		p.Disks = append(p.Disks, record.DiskPlan{Target: "vdb", Action: wire.Shared, Format: "raw", SourcePath: "/mnt/nfs/app01.raw", VirtualBytes: gib, AllocatedBytes: gib})
	}
	if slices.Contains(words, "offline") {
		p.Kind = wire.Offline
	}
	return p
}

// progress at PERCENT of memory and of the disk.
func (f *fakeAgent) progress(word string) *record.Progress {
	var n uint64
	if _, err := fmt.Sscan(word, &n); err != nil {
		panic(err)
	}
	at := func(name string, total, speed uint64) record.Item {
		return record.Item{Name: name, Total: total, Done: total * n / 100, Remaining: total * (100 - n) / 100, Rate: speed}
	}
	p := &record.Progress{Time: f.clock, Phase: f.rec.Phase, Memory: at("memory", 4*gib, 112*mib), DirtyRate: 12 * mib, Iteration: 2, WireBytes: 5 * gib * n / 100}
	if f.rec.Request.IncludeStorage {
		p.Disks = []record.Item{at("vda", 10*gib, 95*mib)}
	}
	return p
}

func (f *fakeAgent) end(words []string) record.Event {
	ev := record.Event{Kind: record.EventEnd, Phase: record.Phase(words[0])}
	switch words[0] {
	case "done":
		ev.Summary = f.summary()
	case "fault":
		ev.Phase, ev.Error = record.Failed, f.fault(words[1:])
	case "cancelled":
		ev.Error = fault.New(fault.Cancelled, f.host)
	}
	return ev
}

func (f *fakeAgent) summary() *record.Summary {
	s := &record.Summary{
		TotalMS: 41200, BlackoutMS: 212, MemoryBytes: 4 * gib, WireBytes: 5 * gib, Network: "192.168.10.0/24",
		Operator: fakeOperator, DelegatedService: fakeService, DelegatedBy: f.host + "$", SignIn: "own-credentials", Encrypted: true,
		Streams: []record.StreamProof{
			{Kind: "control", Local: "192.168.10.1:40112", Remote: "192.168.10.2:6600", WireBytes: 12 << 10, Encrypted: true, Cipher: "TLS_AES_128_GCM_SHA256"},
			{Kind: "memory", Local: "192.168.10.1:40114", Remote: "192.168.10.2:6600", WireBytes: 5 * gib, Encrypted: true, Cipher: "TLS_AES_128_GCM_SHA256"},
		},
		Removed: []string{"definition"},
	}
	if f.rec.Request.IncludeStorage {
		s.DiskBytes, s.StorageService = 3*gib, "cifs/HV02"
		s.Removed = append(s.Removed, "/srv/vms/app01.qcow2")
	}
	return s
}

// The api.Backend.

func (f *fakeAgent) Host(_ context.Context, c api.Caller) (api.HostInfo, error) {
	var kept settings.Settings
	f.change(func() { kept = f.settingsNow() })
	return api.HostInfo{
		Host: f.host, UUID: "0a1b2c3d-0000-4000-8000-00000000000a", Version: "0.1.0", Account: f.host + "$", Realm: "LAB.DROVER.TEST",
		LibvirtVersion: "9.0.0", QEMUVersion: "7.2.22", MemoryBytes: 64 * gib, MemoryAvailable: 48 * gib, StorageRoots: []string{"/srv/vms", "/srv/old"},
		Storage: []api.StorageRoot{{Path: "/srv/vms", TotalBytes: 2000 * gib, FreeBytes: 1200 * gib}, {Path: "/srv/old", Problem: "does not exist"}},
		KVM:     true, TimeZone: api.TimeZone{Name: "Europe/Berlin", Winter: 60, Summer: 120},
		Migration: api.MigrationInfo{Settings: kept, Addresses: []netip.AddrPort{netip.MustParseAddrPort("192.168.10.1:6600")}},
		Caller:    c.Info(),
	}, f.refusal("host")
}

func fakeVMs() []api.VM {
	return []api.VM{
		{Name: "APP01", UUID: "6f7d9b0e-0000-4000-8000-000000000001", State: "running", MemoryBytes: 4 * gib, VCPUs: 2, Moving: fakeID, Disks: []api.Disk{
			{Target: "vda", Device: "disk", Path: "/srv/vms/app01.qcow2", Format: "qcow2", VirtualBytes: 10 * gib, AllocatedBytes: 3 * gib},
			{Target: "sda", Device: "cdrom"},
		}},
		{Name: "evil\x1b]0;title\a", UUID: "6f7d9b0e-0000-4000-8000-000000000002", State: "shut off", MemoryBytes: gib, VCPUs: 1},
	}
}

func (f *fakeAgent) VMs(context.Context) ([]api.VM, error) { return f.vms(), f.refusal("vms") }

func (f *fakeAgent) VM(_ context.Context, name string) (api.VM, error) {
	return f.vm(name)
}

func (f *fakeAgent) StartMove(_ context.Context, c api.Caller, r record.Request) (record.Record, error) {
	if err := f.refusal("start"); err != nil {
		return record.Record{}, err
	}
	if lines, several := f.section(r.VM); several {
		return f.startOne(r, lines)
	}
	f.close() // the move before
	f.change(func() {
		f.events, f.clock, f.done = nil, start, map[string]bool{}
		f.rec = record.Record{ID: fakeID, Role: record.Source, Phase: record.Queued, VM: r.VM, Peer: r.Destination, Operator: fakeOperator, Request: r, Created: start, Updated: start}
	})
	ctx, stop := context.WithCancel(context.Background())
	f.stop = stop
	f.wg.Go(func() { f.play(ctx) })
	return f.record(), nil
}

func (f *fakeAgent) record() record.Record {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.rec
}

func (f *fakeAgent) known(id string) error {
	if f.record().ID != id {
		return fault.New(fault.MoveNotFound, f.host, "move", id)
	}
	return nil
}

func (f *fakeAgent) Moves(_ context.Context, q api.MoveFilter) ([]record.Record, error) {
	var out []record.Record
	for _, m := range f.moves() {
		r := m.record()
		if r.ID == "" || q.VM != "" && q.VM != r.VM || q.Active && r.Phase.Over() {
			continue
		}
		out = append(out, r)
	}
	return out, nil
}

func (f *fakeAgent) Move(_ context.Context, id string) (record.Record, error) {
	f = f.one(id)
	return f.record(), f.known(id)
}

func (f *fakeAgent) Watch(ctx context.Context, id string, after int64) iter.Seq2[record.Event, error] {
	f = f.one(id)
	return func(yield func(record.Event, error) bool) {
		if err := f.refusal("watch"); err != nil {
			yield(record.Event{}, err)
			return
		}
		for n := int(after); ; n++ {
			f.tellWatched(n)
			if !f.until(ctx, func() bool { return len(f.events) > n }) {
				return
			}
			f.mu.Lock()
			ev := f.events[n]
			f.mu.Unlock()
			if !yield(ev, nil) || ev.Kind == record.EventEnd {
				return
			}
		}
	}
}

func (f *fakeAgent) CancelMove(_ context.Context, _ api.Caller, id string) (record.Record, error) {
	f = f.one(id)
	if err := f.known(id); err != nil {
		return record.Record{}, err
	}
	f.tell("cancelled", true)
	return f.record(), f.refusal("cancel")
}

func (f *fakeAgent) ResolveMove(_ context.Context, _ api.Caller, id string, keep api.Keep) (record.Record, error) {
	if err := f.known(id); err != nil {
		return record.Record{}, err
	}
	if err := f.refusal("resolve"); err != nil {
		return record.Record{}, err
	}
	f.change(func() {
		f.rec.Phase = map[api.Keep]record.Phase{api.KeepSource: record.Failed, api.KeepDestination: record.Done}[keep]
	})
	return f.record(), nil
}

func (f *fakeAgent) Tickets(context.Context) ([]api.Ticket, error) {
	return []api.Ticket{
		{Client: f.host + "$@LAB.DROVER.TEST", Service: "krbtgt/LAB.DROVER.TEST", Kind: "host", Start: start, End: start.Add(10 * time.Hour)},
		{Client: fakeOperator, Service: "cifs/HV02", Kind: "delegated", Start: start, End: start.Add(10 * time.Hour)},
	}, f.refusal("tickets")
}

func (f *fakeAgent) Seeds(context.Context) ([]api.Seed, error) {
	return []api.Seed{{ID: "01JZ00000000000000000000AA", VM: "APP01", UUID: "6f2c3f7e-9d0a-4f0e-8a39-0c4a51a1a001", Kind: "failed-copy", Host: "HV01",
		Path: "/srv/vms/APP01.qcow2", Bytes: 3 << 30, Content: 3 << 30, Made: start, Expires: start.Add(24 * time.Hour)}}, f.refusal("seeds")
}

func (f *fakeAgent) PurgeSeeds(_ context.Context, _ api.Caller, vm string) (int, error) {
	return map[bool]int{true: 1}[vm == "" || vm == "APP01"], f.refusal("purge seeds")
}

func (f *fakeAgent) PurgeTickets(_ context.Context, _ api.Caller, service string) (int, error) {
	if service == "" {
		return 2, nil
	}
	return map[bool]int{true: 1}[service == "cifs/HV02"], nil
}

func (f *fakeAgent) ProbeDelegation(_ context.Context, _ api.Caller, r api.ProbeRequest) ([]doctor.Attempt, error) {
	var out []doctor.Attempt
	for _, s := range r.DestinationServices {
		out = append(out, doctor.Attempt{Service: s, Method: r.Method, Operator: r.Operator})
	}
	return out, f.refusal("probe")
}

func (f *fakeAgent) ProbeNetwork(context.Context, api.Caller, string) ([]doctor.Passage, error) {
	return nil, f.refusal("look")
}

func (f *fakeAgent) Health(context.Context) []api.HealthCheck { return nil }
