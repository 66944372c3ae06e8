package move

import (
	"context"
	"errors"
	"path/filepath"
	"time"

	"drover/internal/fault"
	"drover/internal/plan"
	"drover/internal/record"
	"drover/internal/seed"
	"drover/internal/virt"
	"drover/internal/wire"
)

// source is a move as the source sees it.
type source struct {
	*run
	foresight
	aim  aim
	op   Operator
	req  Request
	dom  virt.Domain
	kind wire.MoveKind

	session Session
	opened  wire.Opened
	out     Outgoing
	cookie  []byte // libvirt's, from the latest call
	plan    record.Plan
	// transport is how data streams are carried, notes what was not agreed as asked.
	transport plan.Carriage
	notes     []string
	// connections carry memory, for that reason.
	connections int
	reason      string
	own         *virt.HostFacts // this host's, once asked
	// comparing: this is no move, see Compare.
	comparing bool
	// seeds: the destination has something of the disks; index finds it.
	seeds     bool
	seedBytes uint64 // how much, as far as is known
	index     *seed.Index
	outcome   wire.Outcome
	turn      time.Time // the move did not wait any more; zero: it never did
	stopped   time.Time // the guest stopped here
	running   time.Time // the destination said that it runs there
}

// Start begins a move from this host. It returns once the move is journalled;
// Watch tells how it goes on. A request that cannot be right (no such VM,
// already moving, live migration disabled) is refused at once, and so is one that
// must not wait when this host is at its limit.
func (m *Manager) Start(ctx context.Context, op Operator, req Request) (Record, error) {
	if !m.opt.Settings().Outgoing {
		return Record{}, fault.New(fault.MigrationDisabled, m.opt.Host, "direction", "outgoing")
	}
	dom, err := m.opt.Hypervisor.Domain(ctx, req.VM)
	if err != nil {
		return Record{}, err
	}
	// Before its state is judged: a move that hangs after handover has it paused,
	// and nobody should be told to resume it.
	if err := m.free(dom.UUID, dom.Name); err != nil {
		return Record{}, err
	}
	kind, err := plan.KindOf(m.opt.Host, dom)
	if err != nil {
		return Record{}, err
	}
	if objections := plan.CheckRequest(m.opt.Host, dom, kind, req); len(objections) > 0 {
		return Record{}, objections[0]
	}
	now := m.opt.Now()
	r, mctx, err := m.begin(Record{ID: newID(now), Role: Source, Phase: Queued, VM: dom.Name, UUID: dom.UUID, Kind: kind,
		Peer: req.Destination, Operator: op.Principal, Request: req, Created: now})
	if err != nil {
		return Record{}, err
	}
	if err := m.line(r, req.IncludeStorage && plan.HasStorage(dom)); err != nil {
		m.finished(r)
		return Record{}, err
	}
	s := &source{run: r, op: op, req: req, dom: dom, kind: kind}
	if err := s.enter(mctx, Queued); err != nil {
		s.end(err)
		m.finished(r)
		return Record{}, err
	}
	rec := s.record()
	go func() {
		defer m.finished(r)
		s.end(s.Run(mctx))
	}()
	return rec, nil
}

// Run moves the VM. On success it runs on the destination and not here; on an
// error before handover it runs here and everything acquired is undone.
func (s *source) Run(ctx context.Context) (err error) {
	defer func() {
		if errors.Is(err, errLeave) {
			s.letGo()
			return
		}
		if s.unwind(); len(s.owed) > 0 {
			if left := s.giveBackAtLast(ctx); left != nil {
				err = left
			}
		}
	}()
	if err := s.awaitTurn(ctx); err != nil {
		return s.because(ctx, err)
	}
	for _, step := range []struct {
		phase Phase
		do    func(context.Context) error
	}{
		{Negotiate, s.negotiate},
		{Authorise, s.authorise},
		{Prepare, s.prepare},
		{Connect, s.connect},
		{Transfer, s.carried},
		{Handover, s.handover},
		{Finish, s.finish},
		{Confirm, s.confirm},
	} {
		if step.phase == Finish {
			ctx = context.WithoutCancel(ctx)
		}
		if err := s.enter(ctx, step.phase); err != nil {
			if step.phase != Finish && step.phase != Confirm {
				return s.because(ctx, err)
			}
			// The VM may run over there: that this host's journal has handover, not
			// more, is no reason to take it back. A restart asks, and comes here too.
			s.log.Error("phase not journalled, going on", "phase", step.phase, "error", err)
		}
		if err := step.do(ctx); err != nil {
			return s.because(ctx, err)
		}
		if s.req.DryRun && step.phase == Authorise {
			return nil
		}
	}
	return nil
}

// because prefers why the context ended over what that broke.
func (s *source) because(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil && !errors.Is(err, errLeave) {
		return cause
	}
	return err
}

func (s *source) negotiate(ctx context.Context) error {
	if err := plan.CheckSource(s.m.opt.Host, s.dom); err != nil {
		return err
	}
	s.measure(ctx)
	return s.greet(ctx)
}

// greet looks for what keeps the move from the destination before it is told of it.
func (s *source) greet(ctx context.Context) error {
	if err := s.checkChains(ctx); err != nil {
		return err
	}
	return s.m.opt.Connector.Negotiate(ctx, s.req.Destination)
}

// authorise gets through to the destination as the operator and agrees on the
// plan. Nothing is created; a dry run ends after it.
func (s *source) authorise(ctx context.Context) error {
	if err := s.getThrough(ctx); err != nil {
		return err
	}
	transport, notes, err := plan.Transport(s.m.opt.Host, s.req, s.m.opt.Settings(), s.opened.Facts)
	if err != nil {
		return err
	}
	s.transport, s.notes = transport, notes
	if err := s.session.Bind(s.opened.Session, s.opened.Secret, transport); err != nil {
		return err
	}
	s.probe(ctx)
	if err := plan.CheckDestination(s.m.opt.Host, s.dom, s.hostUUID(ctx), s.opened.Facts); err != nil {
		return err
	}
	if old, err := s.checkVersions(ctx); err != nil || len(old) > 0 {
		return errors.Join(append(old, err)...)
	}
	xml, err := s.m.opt.Hypervisor.MigratableXML(ctx, s.dom.UUID)
	if err != nil {
		return err
	}
	return s.agree(ctx, xml)
}

// open opens an authenticated control stream and the move on it. The destination
// answers whether it takes moves at present.
func (s *source) open(ctx context.Context) error {
	session, err := s.m.opt.Connector.Authorise(ctx, s.req.Destination, s.op, s.req.IncludeStorage && plan.HasStorage(s.dom))
	if err != nil {
		return err
	}
	s.session = session
	s.acquired("session", func(context.Context) error { return session.Close() })
	open := wire.Open{Move: s.rec.ID, VM: s.dom.Name, UUID: s.dom.UUID, IncludeStorage: s.req.IncludeStorage, DryRun: s.req.DryRun, Compare: s.comparing}
	return s.call(ctx, wire.KindOpen, open, wire.KindOpened, &s.opened)
}

func (s *source) hostUUID(ctx context.Context) string {
	f, err := s.facts(ctx)
	if err != nil {
		return ""
	}
	return f.UUID
}

// facts are this host's, asked once.
func (s *source) facts(ctx context.Context) (virt.HostFacts, error) {
	if s.own == nil {
		f, err := s.m.opt.Hypervisor.Facts(ctx)
		if err != nil {
			return f, err
		}
		s.own = &f
	}
	return *s.own, nil
}

// agree offers the VM and makes the plan from what the destination admits.
func (s *source) agree(ctx context.Context, xml string) error {
	s.chooseConnections(ctx)
	offer, cleanup, err := s.offer(xml)
	if err != nil {
		return err
	}
	defer cleanup()
	var admitted wire.Admitted
	if err := s.call(ctx, wire.KindOffer, offer, wire.KindAdmitted, &admitted); err != nil {
		return err
	}
	p, err := s.planOf(offer, admitted)
	if err != nil {
		return err
	}
	s.plan, s.seeds, s.seedBytes = p, admitted.Seeds && copies(admitted.Disks), admitted.SeedBytes
	s.update(func(rec *Record, priv *private) {
		rec.Plan = &p
		priv.NVRAM = s.dom.NVRAM
		priv.Autostart = s.dom.Autostart
		priv.Remove, priv.Retain = p.SourceFiles()
		if s.dom.NVRAM != "" {
			priv.Remove = append(priv.Remove, s.dom.NVRAM)
		}
	})
	s.measureAgain(ctx)
	return s.foretell(ctx, p)
}

// offer describes the VM. cleanup removes the probes beside its disks.
func (s *source) offer(xml string) (o wire.Offer, cleanup func(), err error) {
	variables, err := s.variables()
	if err != nil {
		return o, nil, err
	}
	disks, cleanup := s.offerDisks()
	return wire.Offer{NVRAM: variables, Kind: s.kind, XML: xml, Disks: disks, StoragePath: s.req.DestinationStoragePath,
		Connections: plan.Channels(s.connections), Autostart: s.dom.Autostart, Mappings: plan.Mappings(s.req)}, cleanup, nil
}

func (s *source) planOf(offer wire.Offer, admitted wire.Admitted) (record.Plan, error) {
	return plan.Make(plan.Input{Host: s.m.opt.Host, Destination: s.req.Destination, Domain: s.dom, Kind: s.kind,
		Offered: offer.Disks, Admitted: admitted.Disks, LeftOut: admitted.LeftOut, IncludeStorage: s.req.IncludeStorage, Retain: s.req.RetainVHDCopiesOnSource,
		Eject: s.req.EjectMedia, Connections: s.connections, Reason: s.reason, Networks: s.session.Networks(), Passed: s.session.Passed(), Transport: s.transport,
		Notes: append(s.notes[:len(s.notes):len(s.notes)], seedNote(admitted)...), Delegation: s.session.Delegation(), Cipher: s.session.Cipher()})
}

// offerDisks lists the VM's disks, each with a probe by which the destination
// recognises storage that both see. cleanup removes the probes.
func (s *source) offerDisks() (disks []wire.Disk, cleanup func()) {
	var undo []func()
	for _, d := range s.dom.Disks {
		w := wire.Disk{Target: d.Target, Device: d.Device, Path: d.Path, Format: d.Format, Cache: d.Cache, ReadOnly: d.ReadOnly,
			VirtualBytes: d.VirtualBytes, AllocatedBytes: d.AllocatedBytes}
		if d.Path != "" {
			p, remove, err := s.m.opt.Storage.WriteProbe(d.Path)
			if err != nil {
				// Storage that cannot be probed is not shown to be shared.
				s.log.Debug("no probe for disk", "disk", d.Target, "error", err)
			} else {
				undo = append(undo, remove)
				w.Probe = &p
			}
		}
		disks = append(disks, w)
	}
	return disks, func() {
		for _, f := range undo {
			f()
		}
	}
}

// prepare makes libvirt guard the VM against changes, and the destination
// create disks and start the QEMU that waits.
func (s *source) prepare(ctx context.Context) error {
	xml, err := s.begin(ctx)
	if err != nil {
		return err
	}
	if err := s.unchanged(ctx); err != nil {
		return err
	}
	s.acquired("prepare", func(ctx context.Context) error {
		// The source's own undoing must not wait for a destination that hangs.
		ctx, cancel := context.WithTimeout(ctx, s.m.opt.UnwindTimeout/4)
		defer cancel()
		var o wire.Outcome
		return s.call(ctx, wire.KindCancel, wire.Cancel{Reason: "the source gave up"}, wire.KindOutcome, &o)
	})
	var prepared wire.Prepared
	if err = s.call(ctx, wire.KindPrepare, wire.Prepare{Cookie: s.cookie, XML: xml}, wire.KindPrepared, &prepared); err != nil {
		return err
	}
	if s.cookie, err = s.admitCookie(ctx, prepared.Cookie); err != nil {
		return err
	}
	return s.refer(ctx)
}

// begin is libvirt's Begin; a shut-off VM only has its definition read. A VM
// that its host starts by itself is kept from that while two hosts hold it.
func (s *source) begin(ctx context.Context) (xml string, err error) {
	h := s.m.opt.Hypervisor
	if s.dom.Autostart {
		s.owe("autostart", func(ctx context.Context) error { return h.SetAutostart(ctx, s.dom.UUID, true) }).again = s.startAgain
		if err := h.SetAutostart(ctx, s.dom.UUID, false); err != nil {
			return "", err
		}
	}
	if s.kind == wire.Offline {
		return h.MigratableXML(ctx, s.dom.UUID)
	}
	given := s.maxBlackout()
	out, err := h.Outgoing(ctx, s.params())
	if err != nil {
		return "", err
	}
	s.out = out
	s.acquired("libvirt connection", func(context.Context) error { return out.Close() })
	s.cookie, xml, err = out.Begin(ctx)
	if err != nil {
		if gone := s.ended(ctx, err); gone != nil {
			return "", gone
		}
		return "", withFault(err, fault.TransferFailed, s.m.opt.Host, "vm", s.dom.Name)
	}
	s.owe("begin", func(ctx context.Context) error { return s.giveBack(ctx, out) }).again = s.takeBack
	return xml, s.adjustable(ctx, given)
}

// giveBack undoes libvirt's Begin, after which the VM runs here as before. A
// connection that has broken leaves the VM as it was, which after the transfer
// is paused.
func (s *source) giveBack(ctx context.Context, out Outgoing) error {
	err := out.Confirm(ctx, nil, true)
	if err == nil {
		return s.runsAgain(ctx)
	}
	s.log.Warn("libvirt's cancel failed; taking the VM back instead", "error", err)
	_ = out.Close()
	if err := s.takeBack(ctx); err != nil {
		return err
	}
	return s.runsAgain(ctx)
}

// letGo ends what belongs to a move that is left for the next start to settle.
// libvirt then keeps a VM that was handed over as it is, paused.
func (s *source) letGo() {
	s.undo = nil
	s.gauge.end()
	if s.out != nil {
		_ = s.out.Close()
	}
	if s.session != nil {
		_ = s.session.Close()
	}
	s.removeSockets()
}

func (s *source) params() virt.MigrationParams {
	dir := s.m.socketDir(s.rec.ID)
	p := virt.MigrationParams{UUID: s.dom.UUID, Name: s.dom.Name, MigrateURI: "unix://" + filepath.Join(dir, StreamMemory+".sock"),
		Connections: plan.Channels(s.plan.Connections), Paused: s.kind == wire.Paused, MaxDowntime: s.firstLimit(), AutoConverge: s.req.AutoConverge && s.kind == wire.Live}
	for _, d := range s.plan.Disks {
		switch {
		case d.Action == wire.Copy:
			p.CopyDisks = append(p.CopyDisks, d.Target)
			p.DisksURI = "unix://" + filepath.Join(dir, StreamDisk+".sock")
		case d.Action == wire.Shared, d.SourcePath != "":
			// Proved shared by content, and its cache mode was checked; or a medium
			// that is left behind, so that nothing of it can be out of date there.
			p.UnsafeShared = true
		}
	}
	return p
}

// connect opens the local ends of the data streams, to which QEMU will connect,
// and waits until the plan was told.
func (s *source) connect(ctx context.Context) error {
	f, err := s.facts(ctx)
	if err != nil {
		return err
	}
	dir, err := s.makeSocketDir(f)
	if err != nil {
		return err
	}
	for _, k := range []string{StreamMemory, StreamDisk} {
		if err := s.session.Forward(k, 0, filepath.Join(dir, k+".sock")); err != nil {
			return err
		}
	}
	return s.foretold(ctx)
}

// carried transfers, and fails closed when a stream ran where the plan does not
// have it: nothing is handed over that went another way.
func (s *source) carried(ctx context.Context) error {
	if err := s.transfer(ctx); err != nil {
		return err
	}
	return s.session.Verify()
}

// transfer carries memory and disks until the destination has everything and
// the guest stands still here.
func (s *source) transfer(ctx context.Context) (err error) {
	watchCtx, stop := context.WithCancel(ctx)
	watched := make(chan struct{})
	pctx, giveUp := context.WithCancelCause(ctx)
	defer giveUp(nil)
	go func() { defer close(watched); s.watchTransfer(watchCtx, giveUp) }()
	defer func() { stop(); <-watched }()
	end := s.budget(ctx, giveUp)
	defer func() { end(err) }()
	if s.kind == wire.Offline {
		if err := s.pushDisks(pctx); err != nil {
			return s.because(pctx, err)
		}
		return nil
	}
	cookie, err := s.out.Perform(pctx, s.cookie)
	if err != nil {
		if gone := s.ended(ctx, err); gone != nil && pctx.Err() == nil {
			return gone
		}
		// Streams that break because the transfer was given up do not say why it was.
		if serr := s.session.Err(); serr != nil && pctx.Err() == nil {
			err = errors.Join(serr, err)
		}
		return withFault(err, fault.TransferFailed, s.m.opt.Host, "vm", s.dom.Name)
	}
	s.cookie = cookie
	s.stands()
	return nil
}
