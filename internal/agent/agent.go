package agent

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"drover/internal/api"
	"drover/internal/config"
	"drover/internal/krb"
	"drover/internal/move"
	"drover/internal/seed"
	"drover/internal/settings"
	"drover/internal/storage"
	"drover/internal/store"
	"drover/internal/stream"
	"drover/internal/virt"
)

// Options of an agent.
type Options struct {
	Config  *config.Config
	Version string
	Log     *slog.Logger
	// Now is this host's clock; nil is time.Now.
	Now func() time.Time
	// Ready is called when the agent answers on all its sockets.
	Ready func()
	// Stopping is called when it takes no more moves.
	Stopping func()
	// Inject is handed to move.Options.Inject.
	Inject func(context.Context, move.Role, move.Phase) error
	// LibvirtTimeout, if set, bounds each call of libvirt; tests use it.
	LibvirtTimeout time.Duration
}

// Run serves until ctx ends, then lets running moves end within the configured
// time. It owns nothing any more when it returns.
func Run(ctx context.Context, o Options) error {
	if o.Now == nil {
		o.Now = time.Now
	}
	cfg := o.Config
	// QEMU, which may be another user, connects to sockets below the second.
	if err := errors.Join(os.MkdirAll(cfg.StateDir, 0o700), os.MkdirAll(cfg.RunDir, 0o755)); err != nil {
		return fmt.Errorf("directory of droverd: %w", err)
	}
	journal, err := store.Open(ctx, filepath.Join(cfg.StateDir, "drover.db"))
	if err != nil {
		return err
	}
	defer journal.Close()
	kerberos, err := krb.OpenHost(krb.Config{Krb5Conf: cfg.Kerberos.Krb5Conf, Keytab: cfg.Kerberos.Keytab, Account: cfg.Kerberos.Account,
		Host: cfg.Host, Now: o.Now, Log: o.Log})
	if err != nil {
		return err
	}
	identity, err := stream.LoadOrCreateIdentity(cfg.StateDir, cfg.Host)
	if err != nil {
		return err
	}
	return serve(ctx, o, journal, kerberos, identity)
}

// serve composes the agent and runs it.
func serve(ctx context.Context, o Options, journal *store.Store, kerberos *krb.Host, identity *stream.Identity) error {
	cfg := o.Config
	local := virt.New(virt.Config{Socket: cfg.Libvirt.Socket, Name: cfg.Host, Log: o.Log,
		CallTimeout: o.LibvirtTimeout, LongCallTimeout: 2 * o.LibvirtTimeout})
	disks, err := newDiskStore(cfg, o.Log)
	if err != nil {
		return err
	}
	defer disks.seeds.Close()
	kept, err := openSettings(ctx, cfg.Host, journal)
	if err != nil {
		return err
	}
	roles := roles{cfg.Roles}
	registry, metrics := newRegistry()
	pacer := newPacer(kept.get)
	coder := newCoder(kept.get())
	defer coder.close()
	registry.MustRegister(coder.metrics()...)
	events := newRecorder(cfg, kept.get, journal, o.Log, o.Now, registry)
	reasons := &explainer{kerberos: kerberos, log: o.Log}
	connector := &connector{host: cfg.Host, settings: kept.get, kerberos: kerberos, now: o.Now,
		explain: reasons.explain, pacer: pacer, coder: coder, have: stream.Interfaces}
	moves := move.NewManager(move.Options{
		Host: cfg.Host, RunDir: cfg.RunDir, Settings: kept.get, Roots: cfg.Storage.Roots,
		Hypervisor: hypervisor{Host: local, cfg: cfg, roots: disks.roots.Dirs()}, Storage: disks, Seeds: disks.seeds, Store: journal, Log: o.Log, Inject: o.Inject, LibvirtGrace: 3 * o.LibvirtTimeout,
		Ended:    func(rec move.Record) { metrics.observe(rec); events.ended(rec) },
		Happened: events.happened, Waits: events.waits, Measurer: &measurer{encoders: coder.host.Encoders},
		Connector: connector,
	})
	door := &doorman{host: cfg.Host, kerberos: kerberos, roles: roles, moves: moves, events: events, log: o.Log, now: o.Now}
	listener, err := stream.Listen(ctx, stream.ListenOptions{
		Addrs:   func() ([]netip.Addr, error) { return migrationAddrs(kept.get()) },
		Allowed: func(a netip.Addr) bool { return allows(kept.get(), a) },
		Plain:   func() bool { return kept.get().Encryption.Plain() }, Pace: pacer.pace,
		Port: stream.Port, Host: cfg.Host, Identity: identity, OnControl: door.serve, Log: o.Log,
		Changed: events.addresses,
	})
	if err != nil {
		return err
	}
	defer listener.Close()
	registry.MustRegister(api.TurnedOut("migration", listener.Strangers()))
	door.listener = listener
	kept.changed = append(kept.changed, func(string, settings.Settings, settings.Settings) { listener.Rebind(ctx) },
		func(_ string, _, after settings.Settings) { coder.follow(after) },
		func(string, settings.Settings, settings.Settings) { moves.SettingsChanged() },
		func(actor string, before, after settings.Settings) {
			events.settingsChanged(actor, before, after, listener.Addrs())
		})
	server, err := api.NewServer(api.Options{
		Host: cfg.Host, Version: o.Version, Acceptor: acceptor{kerberos, roles}, LocalMapper: localMapper(cfg.Host, roles, cfg.LocalUsers),
		Backend: &backend{cfg: cfg, version: o.Version, virt: local, kerberos: kerberos, reasons: reasons, moves: moves, store: journal, listener: listener, settings: kept, events: events, seeds: disks.seeds,
			roots: storage.NewWatch(cfg.Storage.Roots), log: o.Log,
			connector: connector, looks: make(chan struct{}, looksAtATime)},
		TLS: &tls.Config{Certificates: []tls.Certificate{identity.Certificate()}},
		Now: o.Now, Listen: cfg.API.Listen, Socket: cfg.API.Socket, Log: o.Log, Registry: registry, Refused: events.requestRefused,
	})
	if err != nil {
		return err
	}
	return run(ctx, o, local, journal, server, listener, moves, events, disks.seeds)
}

// run starts the servers and ends them in the order that lets moves end: no new
// ones first, then the API and the migration port.
func run(ctx context.Context, o Options, local *virt.Host, journal *store.Store, server *api.Server, listener *stream.Listener, moves *move.Manager, events *recorder, seeds *seed.Shelf) error {
	if err := events.unfinished(ctx, moves); err != nil {
		return err
	}
	if err := moves.Settle(ctx); err != nil {
		return err
	}
	serving, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	g, gctx := errgroup.WithContext(serving)
	g.Go(func() error { return server.Run(gctx) })
	g.Go(func() error { return listener.Run(gctx) })
	g.Go(func() error { warmUp(gctx, o, local); return nil })
	g.Go(func() error { retain(gctx, journal, o.Log); return nil })
	g.Go(func() error { events.run(gctx); return nil })
	g.Go(func() error { seeds.Run(gctx); return nil })
	g.Go(func() error {
		select {
		case <-server.Ready():
			o.Log.Info("droverd serves", "host", o.Config.Host, "version", o.Version, "migration", listener.Addrs())
			events.started(o.Version, listener.Addrs())
			o.Ready()
		case <-gctx.Done():
			return nil
		}
		select {
		case <-ctx.Done():
		case <-gctx.Done():
		}
		o.Stopping()
		events.stopping(moves)
		o.Log.Info("droverd stops; running moves may end", "within", time.Duration(o.Config.ShutdownTimeout))
		dctx, cancel := context.WithTimeout(context.Background(), time.Duration(o.Config.ShutdownTimeout))
		defer cancel()
		moves.Drain(dctx)
		stop()
		return nil
	})
	return g.Wait()
}

// warmUp lets libvirt probe its QEMU now: the first time takes some seconds,
// which the first move would wait for.
func warmUp(ctx context.Context, o Options, local *virt.Host) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if _, err := (hypervisor{Host: local}).loaders(ctx); err != nil {
		o.Log.Warn("libvirt does not answer yet", "error", err)
	}
}

// What the journal keeps of moves that are over, and of the audit.
const (
	retention  = 90 * 24 * time.Hour
	retainLast = 1000
)

// retain forgets old moves once a day.
func retain(ctx context.Context, journal *store.Store, log *slog.Logger) {
	tick := time.NewTicker(24 * time.Hour)
	defer tick.Stop()
	for {
		if n, err := journal.Prune(ctx, time.Now().Add(-retention), retainLast); err != nil && ctx.Err() == nil {
			log.Error("journal not pruned", "error", err)
		} else if n > 0 {
			log.Info("journal pruned", "moves", n)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}
