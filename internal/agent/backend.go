package agent

import (
	"context"
	"encoding/json"
	"errors"
	"iter"
	"log/slog"
	"slices"
	"strings"
	"time"

	"drover/internal/api"
	"drover/internal/config"
	"drover/internal/eventlog"
	"drover/internal/fault"
	"drover/internal/krb"
	"drover/internal/move"
	"drover/internal/seed"
	"drover/internal/storage"
	"drover/internal/store"
	"drover/internal/stream"
	"drover/internal/virt"
)

// backend does what the API offers.
type backend struct {
	cfg      *config.Config
	version  string
	virt     *virt.Host
	kerberos *krb.Host
	reasons  *explainer
	moves    *move.Manager
	store    *store.Store
	listener *stream.Listener
	settings *settingsKeeper
	events   *recorder
	seeds    *seed.Shelf
	roots    *storage.Watch
	log      *slog.Logger
	// connector and looks are for ProbeNetwork; looks bounds how many go on at a time.
	connector *connector
	looks     chan struct{}
}

// Host describes this host.
func (b *backend) Host(ctx context.Context, c api.Caller) (api.HostInfo, error) {
	f, err := b.virt.Facts(ctx)
	if err != nil {
		return api.HostInfo{}, err
	}
	migrations, storage, queued := b.moves.Running()
	return api.HostInfo{
		Host: b.cfg.Host, UUID: f.UUID, Version: b.version, Account: strings.TrimSuffix(b.kerberos.Account(), "@"+b.kerberos.Realm()), Realm: b.kerberos.Realm(),
		LibvirtVersion: f.LibvirtVersion, QEMUVersion: f.QEMUVersion, MemoryBytes: f.MemoryTotal, MemoryAvailable: f.MemoryAvailable,
		StorageRoots: b.cfg.Storage.Roots, Storage: b.storageRoots(ctx), KVM: slices.Contains(f.DomainTypes, "kvm"),
		Machine: machineID(machineIDFile), TimeZone: timeZone(localtimeFile, time.Now()), Caller: c.Info(),
		Migration: api.MigrationInfo{Settings: b.settings.get(), Addresses: b.listener.Addrs(),
			Running: api.Running{Migrations: migrations, StorageMigrations: storage, Queued: queued}},
	}, nil
}

// VMs lists the VMs of this host.
func (b *backend) VMs(ctx context.Context) ([]api.VM, error) {
	domains, err := b.virt.Domains(ctx)
	if err != nil {
		return nil, err
	}
	moving, err := b.moving(ctx)
	if err != nil {
		return nil, err
	}
	out := make([]api.VM, 0, len(domains))
	for _, d := range domains {
		out = append(out, vm(d, moving))
	}
	return out, nil
}

// VM describes one VM.
func (b *backend) VM(ctx context.Context, name string) (api.VM, error) {
	d, err := b.virt.Domain(ctx, name)
	if err != nil {
		return api.VM{}, err
	}
	moving, err := b.moving(ctx)
	return vm(d, moving), err
}

// moving maps the UUID of each VM under way to its move.
func (b *backend) moving(ctx context.Context) (map[string]string, error) {
	recs, err := b.moves.List(ctx, store.Filter{Unfinished: true})
	if err != nil {
		return nil, err
	}
	m := map[string]string{}
	for _, r := range recs {
		m[r.UUID] = r.ID
	}
	return m, nil
}

func vm(d virt.Domain, moving map[string]string) api.VM {
	out := api.VM{Name: d.Name, UUID: d.UUID, State: string(d.State), MemoryBytes: d.MemoryBytes, VCPUs: d.VCPUs, Disks: []api.Disk{},
		Transient: !d.Persistent, Moving: moving[d.UUID]}
	for _, disk := range d.Disks {
		out.Disks = append(out.Disks, api.Disk{Target: disk.Target, Device: disk.Device, Path: disk.Path, Format: disk.Format,
			VirtualBytes: disk.VirtualBytes, AllocatedBytes: disk.AllocatedBytes})
	}
	return out
}

// StartMove begins a move in the caller's name.
func (b *backend) StartMove(ctx context.Context, c api.Caller, r move.Request) (move.Record, error) {
	op, err := b.operator(c)
	if err != nil {
		return move.Record{}, err
	}
	rec, err := b.moves.Start(ctx, op, r)
	b.audit(ctx, c, "move.start", r.VM, err, r)
	if err != nil {
		b.events.moveRefused(c.Name(), r, err)
	}
	return rec, err
}

// operator is on whose behalf something is done for the caller; a local user who
// stands for no principal has none.
func (b *backend) operator(c api.Caller) (move.Operator, error) {
	if c.Principal == "" {
		return move.Operator{}, fault.New(fault.LocalUserUnmapped, b.cfg.Host, "user", c.LocalUser)
	}
	op := move.Operator{Principal: c.Principal}
	if ev, ok := c.Evidence.(krb.Evidence); ok {
		op.Evidence = ev
	}
	return op, nil
}

// Moves lists the moves that match.
func (b *backend) Moves(ctx context.Context, f api.MoveFilter) ([]move.Record, error) {
	return b.moves.List(ctx, store.Filter{Role: string(f.Role), VM: f.VM, Unfinished: f.Active, Limit: f.Limit})
}

// Move gives one move.
func (b *backend) Move(ctx context.Context, id string) (move.Record, error) {
	return b.moves.Get(ctx, id)
}

// Watch yields the events of a move.
func (b *backend) Watch(ctx context.Context, id string, after int64) iter.Seq2[move.Event, error] {
	return b.moves.Watch(ctx, id, after)
}

// CancelMove asks a move to end.
func (b *backend) CancelMove(ctx context.Context, c api.Caller, id string) (move.Record, error) {
	rec, err := b.moves.Cancel(ctx, id, c.Name())
	b.audit(ctx, c, "move.cancel", id, err, nil)
	if err == nil {
		b.events.record(eventlog.MoveCancelAsked, by(c, rec), eventlog.Data{"destination": rec.Peer})
	}
	return rec, err
}

// ResolveMove decides a move whose outcome is unknown.
func (b *backend) ResolveMove(ctx context.Context, c api.Caller, id string, keep api.Keep) (move.Record, error) {
	rec, err := b.moves.Resolve(ctx, id, keep == api.KeepSource, c.Name())
	b.audit(ctx, c, "move.resolve", id, err, map[string]any{"keep": keep})
	if err == nil {
		b.events.record(eventlog.MoveResolved, by(c, rec), eventlog.Data{"keep": keep})
	}
	return rec, err
}

// Tickets lists the agent's Kerberos cache.
func (b *backend) Tickets(context.Context) ([]api.Ticket, error) {
	out := []api.Ticket{}
	for _, t := range b.kerberos.Tickets() {
		out = append(out, api.Ticket{Client: t.Client, Service: t.Service, Kind: t.Kind, Start: t.Obtained, End: t.Expires})
	}
	return out, nil
}

// PurgeTickets empties the cache, or what of it is for one service.
func (b *backend) PurgeTickets(ctx context.Context, c api.Caller, service string) (int, error) {
	n := b.kerberos.Purge(func(t krb.TicketInfo) bool { return service == "" || strings.EqualFold(t.Service, service) })
	b.audit(ctx, c, "ticket.purge", service, nil, map[string]any{"purged": n})
	b.events.record(eventlog.TicketsPurged, eventlog.About{Actor: c.Name()}, eventlog.Data{"purged": n, "service": service})
	return n, nil
}

// audit records who did what, or was refused what. What cannot be recorded is
// logged; the journal's own health is watched elsewhere.
func (b *backend) audit(ctx context.Context, c api.Caller, action, object string, err error, detail any) {
	row := store.AuditRow{Time: time.Now(), Actor: c.Name(), Action: action, Object: object, Outcome: "ok"}
	if err != nil {
		row.Outcome = string(fault.From(err).Code)
	}
	var jerr error
	if detail != nil {
		row.Detail, jerr = json.Marshal(detail)
	}
	if aerr := errors.Join(jerr, b.store.Audit(context.WithoutCancel(ctx), row)); aerr != nil {
		b.log.Error("audit not recorded", "action", action, "actor", row.Actor, "error", aerr)
	}
}

// Health checks what the agent cannot do without.
func (b *backend) Health(ctx context.Context) []api.HealthCheck {
	checks := []api.HealthCheck{{Name: "journal"}, {Name: "libvirt"}, {Name: "keytab"}, {Name: "migration-port"}, {Name: "event-log"}}
	for i, err := range []error{b.store.Check(ctx), b.virt.Ping(ctx), b.kerberos.CheckKeytab(), b.portCheck(), b.events.check(ctx)} {
		checks[i].OK = err == nil
		if err != nil {
			checks[i].Reason = fault.From(err).Error()
		}
	}
	return checks
}

// portCheck: an agent with live migration enabled must be reachable for it.
func (b *backend) portCheck() error {
	if !b.settings.get().Incoming || len(b.listener.Addrs()) > 0 {
		return nil
	}
	return fault.New(fault.MigrationPortUnbound, b.cfg.Host, "networks", networkList(b.settings.get().Subnets()))
}
