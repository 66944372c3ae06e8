package move

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"time"

	"github.com/dustin/go-humanize"

	"drover/internal/fault"
	"drover/internal/plan"
	"drover/internal/seed"
	"drover/internal/virt"
	"drover/internal/wire"
)

// destination is a move as the destination sees it: one control stream.
type destination struct {
	*run
	conn  Inbound
	open  wire.Open
	offer wire.Offer
	disks []wire.AdmittedDisk
	facts virt.HostFacts // as the source was told
	inc   Incoming
	xml   string // definition as admitted
	// memory was set aside for it.
	memory uint64
	vms    []*undoStep // what the VM takes over when it is this host's
	nbd    []io.Closer // servers of a shut-off VM's disks
	lent   bool        // the source has asked for seeds
	seeds  *seed.Set   // that it got, nil: none
}

// Serve answers one authenticated control stream until it ends. A move that was
// not handed over by then is abandoned: the promise is that a destination which
// was never asked to run the VM never does.
func (m *Manager) Serve(ctx context.Context, conn Inbound) error {
	var env wire.Envelope
	if err := m.hear(ctx, conn, conn.Caller().Peer, &env); err != nil {
		return err
	}
	if env.Kind == wire.KindQuery {
		return m.answerQuery(ctx, conn, env)
	}
	var open wire.Open
	err := wire.Unseal(env, wire.KindOpen, m.opt.Host, conn.Caller().Peer, &open)
	if err == nil {
		err = m.checkOpen(ctx, conn.Caller(), open)
	}
	if err != nil {
		return refuse(ctx, conn, err)
	}
	if open.Compare {
		return m.serveComparison(ctx, conn, open)
	}
	c := conn.Caller()
	now := m.opt.Now()
	r, mctx, err := m.begin(Record{ID: open.Move, Role: Destination, Phase: Queued, VM: open.VM, UUID: open.UUID, Peer: c.Peer,
		Operator: c.Principal, DelegatedBy: c.DelegatedBy, SignIn: c.SignIn, Request: Request{VM: open.VM, Destination: m.opt.Host, IncludeStorage: open.IncludeStorage, DryRun: open.DryRun}, Created: now})
	if err != nil {
		return refuse(ctx, conn, err)
	}
	if err := m.takeIn(r, open); err != nil {
		m.finished(r) // the journal never hears of it: the source asks again with the same id
		return refuse(ctx, conn, err)
	}
	defer m.finished(r)
	r.update(func(_ *Record, p *private) { p.Owner = c.DelegatedBy })
	r.log.Info("move comes in", "operator", c.Principal, "delegated_by", c.DelegatedBy, "sign_in", c.SignIn, "sign_in_sid", c.SignInSID, "from", c.Peer)
	d := &destination{run: r, conn: conn, open: open}
	mctx, stop := context.WithCancelCause(mctx)
	defer stop(nil)
	// Not as a cancel: nobody asked for one, and the source would be told so.
	defer context.AfterFunc(ctx, func() { stop(fault.Wrap(context.Cause(ctx), fault.ShuttingDown, m.opt.Host)) })()
	err = d.Run(mctx)
	if errors.Is(err, errLeave) {
		// Not established over this connection; libvirt and the journal decide, as
		// after a restart.
		err = d.settle(m.base)
	}
	d.end(err)
	return nil
}

// Run serves the move. It returns nil when the VM is this host's, or when a dry
// run got its answer.
func (d *destination) Run(ctx context.Context) (err error) {
	defer func() {
		if errors.Is(err, errLeave) {
			d.keep() // whose the disks are is not known yet
		}
		if d.unwind(); len(d.owed) > 0 && !errors.Is(err, errLeave) {
			if left := d.clearAtLast(ctx); left != nil {
				err = left
			}
		}
	}()
	if err := d.opened(ctx); err != nil {
		return d.refused(ctx, err)
	}
	for {
		env, err := d.next(ctx)
		if err != nil {
			if d.open.DryRun && errors.Is(err, io.EOF) {
				return nil
			}
			return d.interrupted(err)
		}
		switch env.Kind {
		case wire.KindOffer:
			err = d.offered(ctx, env)
		case wire.KindPrepare:
			err = d.prepare(ctx, env)
		case wire.KindSeeds:
			err = d.lend(ctx, env)
		case wire.KindHandover:
			return d.handover(ctx, env)
		case wire.KindCancel:
			return d.cancelled(ctx, env)
		default:
			err = d.broken(fmt.Sprintf("%q in the middle of a move", env.Kind))
		}
		if err != nil {
			return d.refused(ctx, err)
		}
	}
}

// next waits for the source's next message. Until the transfer begins a source
// has nothing to wait for, and one that says nothing would hold memory and disk
// space reserved.
func (d *destination) next(ctx context.Context) (env wire.Envelope, err error) {
	if d.record().Phase != Transfer {
		return env, d.m.hear(ctx, d.conn, d.rec.Peer, &env)
	}
	ctx, stop := d.whileDataCome(ctx)
	defer stop()
	err = receive(ctx, d.conn, &env)
	return env, err
}

// hear is receive where a source has nothing to wait for.
func (m *Manager) hear(ctx context.Context, conn Conn, peer string, env *wire.Envelope) error {
	ctx, cancel := context.WithTimeoutCause(ctx, m.opt.QuietSource, m.silent(peer, m.opt.QuietSource))
	defer cancel()
	return receive(ctx, conn, env)
}

func (d *destination) opened(ctx context.Context) error {
	if err := d.enter(ctx, Negotiate, Authorise); err != nil { // both are over once a stream is authenticated
		return err
	}
	return d.introduce(ctx)
}

// introduce says what this host is, with the session for data streams.
func (d *destination) introduce(ctx context.Context) error {
	id, secret, err := d.conn.Open()
	if err != nil {
		return err
	}
	f, err := d.m.opt.Hypervisor.Facts(ctx)
	if err != nil {
		return err
	}
	d.facts = f
	return reply(ctx, d.conn, wire.KindOpened, wire.Opened{Session: id, Secret: secret, Facts: wire.HostFacts{
		Host: d.m.opt.Host, UUID: f.UUID, LibvirtVersion: f.LibvirtVersion, QEMUVersion: f.QEMUVersion,
		MemoryAvailable: f.MemoryAvailable, StorageRoots: d.m.opt.Roots, Incoming: d.m.opt.Settings().Incoming,
		Plain: d.m.opt.Settings().Encryption.Plain(), Codecs: plan.Codecs(), Probes: true, CPUs: f.CPUs}})
}

// offered answers whether the VM could come. Nothing is created.
func (d *destination) offered(ctx context.Context, env wire.Envelope) error {
	if d.disks != nil {
		return d.broken("a second offer")
	}
	if err := wire.Unseal(env, wire.KindOffer, d.m.opt.Host, d.rec.Peer, &d.offer); err != nil {
		return err
	}
	if err := d.checkOffer(); err != nil {
		return err
	}
	d.update(func(rec *Record, p *private) { rec.Kind, p.Autostart = d.offer.Kind, d.offer.Autostart })
	disks, def, objections := d.examine(ctx)
	if len(objections) > 0 {
		return objections[0]
	}
	d.disks, d.memory = disks, def.MemoryBytes
	answer := wire.Admitted{Disks: disks, LeftOut: def.LeftOut}
	answer.SeedBytes, answer.Seeds = d.seedsHere(disks)
	return reply(ctx, d.conn, wire.KindAdmitted, answer)
}

// expected is what every definition of this move must agree with.
func (d *destination) expected(disks []wire.AdmittedDisk) Expected {
	m := d.offer.Mappings
	e := Expected{Name: d.open.VM, UUID: d.open.UUID, Disks: map[string]DiskFile{}, Networks: m.Networks, Eject: m.Eject, CPU: m.CPU,
		Offline: d.offer.Kind == wire.Offline, All: d.open.Compare}
	for i, a := range disks {
		if a.Path != "" {
			e.Disks[a.Target] = DiskFile{Path: a.Path, Format: d.offer.Disks[i].Format}
		}
	}
	return e
}

// prepare creates the disks and starts the QEMU that waits for the guest.
func (d *destination) prepare(ctx context.Context, env wire.Envelope) error {
	var req wire.Prepare
	if err := wire.Unseal(env, wire.KindPrepare, d.m.opt.Host, d.rec.Peer, &req); err != nil {
		return err
	}
	if d.disks == nil || d.open.DryRun || d.open.Compare || d.record().Phase != Authorise {
		return d.broken("prepare without an offer, or a second one")
	}
	def, err := d.m.opt.Hypervisor.Admit(ctx, req.XML, d.expected(d.disks))
	if err != nil {
		return err
	}
	if def.MemoryBytes > d.memory {
		return fault.New(fault.DefinitionInvalid, d.m.opt.Host, "vm", d.rec.VM,
			"problem", fmt.Sprintf("its memory is %s, the offer's is %s", humanize.IBytes(def.MemoryBytes), humanize.IBytes(d.memory)))
	}
	d.xml = def.XML
	if err := d.stillFree(); err != nil {
		return err
	}
	d.update(func(_ *Record, p *private) { // journalled before they are made, so that a restart finds them
		for _, a := range d.disks {
			if a.Action == wire.Copy {
				p.Files = append(p.Files, a.Path)
			}
		}
		if def.NVRAM != "" {
			p.Files, p.NVRAM = append(p.Files, def.NVRAM), def.NVRAM
		}
	})
	if err := d.enter(ctx, Prepare); err != nil {
		return err
	}
	if err := d.createDisks(ctx, def.NVRAM); err != nil {
		return err
	}
	if err := d.createVariables(def); err != nil {
		d.notMade(err, def.NVRAM)
		return err
	}
	dir, err := d.makeSocketDir(d.facts)
	if err != nil {
		return err
	}
	if d.offer.Kind == wire.Offline {
		return d.serveDisks(ctx, dir)
	}
	return d.prepareQEMU(ctx, dir, req.Cookie)
}

// How many streams may be open at a time: of memory, beside multifd's channels,
// QEMU's main stream and one to spare; and for each disk, which is copied over one,
// some to spare.
const spareStreams, diskStreams = 2, 4

func (d *destination) prepareQEMU(ctx context.Context, dir string, cookie []byte) error {
	cookie, err := d.m.opt.Hypervisor.AdmitCookie(ctx, cookie, d.expected(d.disks))
	if err != nil {
		return err
	}
	inc, err := d.m.opt.Hypervisor.Incoming(ctx, d.params(dir))
	if err != nil {
		return err
	}
	d.inc = inc
	d.acquired("libvirt connection", func(context.Context) error { return inc.Close() })
	cookie, err = inc.Prepare(ctx, cookie, d.xml)
	if err != nil {
		return withFault(err, fault.PrepareFailed, d.m.opt.Host, "vm", d.rec.VM)
	}
	d.vms = append(d.vms, d.owe("incoming VM", func(ctx context.Context) error { return d.stopIncoming(ctx, inc) }))
	for kind, most := range map[string]int{StreamMemory: d.offer.Connections + spareStreams, StreamDisk: diskStreams * len(d.offer.Disks)} {
		if err := d.conn.Attach(kind, 0, filepath.Join(dir, kind+".sock"), most); err != nil {
			return err
		}
	}
	if err := d.enter(ctx, Connect, Transfer); err != nil {
		return err
	}
	return reply(ctx, d.conn, wire.KindPrepared, wire.Prepared{Cookie: cookie})
}

func (d *destination) params(dir string) virt.MigrationParams {
	p := virt.MigrationParams{UUID: d.rec.UUID, Name: d.rec.VM, MigrateURI: "unix://" + filepath.Join(dir, StreamMemory+".sock"),
		Connections: d.offer.Connections, Paused: d.offer.Kind == wire.Paused}
	for i, a := range d.disks {
		switch {
		case a.Action == wire.Copy:
			p.CopyDisks = append(p.CopyDisks, a.Target)
			p.DisksURI = "unix://" + filepath.Join(dir, StreamDisk+".sock")
		case a.Action == wire.Shared, d.offer.Disks[i].Path != "": // or a medium that is left behind
			p.UnsafeShared = true
		}
	}
	return p
}

// serveDisks lets the disks of a shut-off VM be written.
func (d *destination) serveDisks(ctx context.Context, dir string) error {
	for i, a := range d.disks {
		if a.Action != wire.Copy {
			continue
		}
		socket := diskSocket(dir, i)
		srv, err := d.m.opt.Storage.Serve(ctx, a.Path, d.offer.Disks[i].Format, socket)
		if err != nil {
			return err
		}
		d.nbd = append(d.nbd, srv)
		d.acquired("disk server of "+a.Target, func(context.Context) error { return srv.Close() })
		if err := d.conn.Attach(StreamDisk, i+1, socket, diskStreams); err != nil {
			return err
		}
	}
	if err := d.enter(ctx, Connect, Transfer); err != nil {
		return err
	}
	return reply(ctx, d.conn, wire.KindPrepared, wire.Prepared{})
}

// handover makes the VM this host's. The journal has finish before libvirt lets
// the guest run, and the connection to the source no longer matters.
func (d *destination) handover(ctx context.Context, env wire.Envelope) error {
	var req wire.Handover
	if err := wire.Unseal(env, wire.KindHandover, d.m.opt.Host, d.rec.Peer, &req); err != nil {
		return d.refused(ctx, err)
	}
	if d.record().Phase != Transfer {
		return d.refused(ctx, d.broken("handover before the transfer"))
	}
	for _, p := range []Phase{Handover, Finish} {
		if err := d.enter(ctx, p); err != nil {
			return d.refused(ctx, err)
		}
	}
	handed := d.m.opt.Now()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), finishTimeout)
	defer cancel()
	cookie, err := d.finish(ctx, req.Cookie)
	if err != nil {
		if d.inc != nil {
			_ = d.inc.Close() // libvirt destroys a VM that it has not let run yet
		}
		running, lerr := d.m.runsHere(ctx, d.run)
		if lerr != nil {
			return d.leave(ctx, errors.Join(err, lerr))
		}
		if !running {
			return d.refused(ctx, withFault(err, fault.FinishFailed, d.m.opt.Host, "vm", d.rec.VM))
		}
		d.log.Warn("finish reported an error, and the VM runs", "error", err)
	}
	d.keep()
	d.summarise(handed, req)
	d.update(func(_ *Record, p *private) { p.Verdict = wire.Running })
	d.carryAutostart(ctx)
	if err := d.enter(ctx, Confirm); err != nil {
		// The VM runs, and the journal has finish: a restart would find the same.
		d.log.Error("phase not journalled, going on", "phase", Confirm, "error", err)
	}
	if err := reply(ctx, d.conn, wire.KindOutcome, wire.Outcome{Verdict: wire.Running, Cookie: cookie}); err != nil {
		d.log.Info("source did not hear that the VM runs here; it will ask", "error", err)
	}
	return nil
}

const finishTimeout = 2 * time.Minute

func (d *destination) finish(ctx context.Context, cookie []byte) ([]byte, error) {
	h := d.m.opt.Hypervisor
	if d.offer.Kind == wire.Offline {
		for _, srv := range d.nbd { // all is written before the definition names it
			if err := srv.Close(); err != nil {
				return nil, err
			}
		}
		return nil, h.Define(ctx, d.xml)
	}
	cookie, err := h.AdmitCookie(ctx, cookie, d.expected(d.disks))
	if err != nil {
		return nil, err
	}
	return d.inc.Finish(ctx, cookie, false)
}
