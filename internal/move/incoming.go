package move

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"drover/internal/fault"
	"drover/internal/plan"
	"drover/internal/seed"
	"drover/internal/wire"
)

// checkOpen says whether a caller may bring a VM here at all.
func (m *Manager) checkOpen(ctx context.Context, c Caller, open wire.Open) error {
	switch {
	case c.DelegatedBy == "":
		return fault.New(fault.NotDelegated, m.opt.Host, "caller", c.Principal)
	case !m.opt.Settings().Incoming && !open.Compare: // a comparison has it among the facts
		return fault.New(fault.MigrationDisabled, m.opt.Host, "direction", "incoming")
	}
	if !validID(open.Move) || !wire.ValidName(open.VM) || !validUUID(open.UUID) {
		return fault.New(fault.ProtocolError, m.opt.Host, "peer", c.Peer, "problem", "an open without a usable move id, name or UUID (a name is of characters that print, without /, and of 128 bytes at most)")
	}
	if _, err := m.opt.Store.Move(ctx, open.Move); err == nil {
		return fault.New(fault.ProtocolError, m.opt.Host, "peer", c.Peer, "problem", "move id "+open.Move+" was used before")
	}
	return nil
}

func validID(id string) bool {
	return len(id) == 26 && strings.Trim(id, "0123456789ABCDEFGHJKMNPQRSTVWXYZ") == ""
}

// validUUID: as libvirt writes it, so that the same VM never goes by two, and
// that none of them is taken for a name.
func validUUID(s string) bool {
	if len(s) != 36 || strings.Trim(s, "0123456789abcdef-") != "" {
		return false
	}
	for i, c := range s {
		if (c == '-') != (i == 8 || i == 13 || i == 18 || i == 23) {
			return false
		}
	}
	return true
}

func (d *destination) broken(problem string) error {
	return fault.New(fault.ProtocolError, d.m.opt.Host, "peer", d.rec.Peer, "problem", problem)
}

// checkOffer refuses what no source of ours says.
func (d *destination) checkOffer() error {
	switch o := d.offer; {
	case o.Kind != wire.Live && o.Kind != wire.Paused && o.Kind != wire.Offline:
		return d.broken(fmt.Sprintf("a move of the unknown kind %.50q", o.Kind))
	case o.Mappings.CPU != "" && o.Kind != wire.Offline:
		return d.broken("another CPU for a VM that is not shut off")
	case o.Connections < 0 || o.Connections > plan.MaxConnections:
		return d.broken(fmt.Sprintf("%d memory connections", o.Connections))
	}
	return nil
}

// stillFree looks again for what came since the offer. Files: what the journal
// is about to call the move's own is removed when the move fails. And links, which would
// have the disks elsewhere than was checked.
func (d *destination) stillFree() error {
	for _, a := range d.disks {
		if a.Path == "" {
			continue
		}
		if p, err := d.m.opt.Storage.Place("", a.Path); err != nil || p != a.Path {
			return fault.Wrap(err, fault.StoragePathOutside, d.m.opt.Host, "path", a.Path, "roots", strings.Join(d.m.opt.Roots, ", "))
		}
		if a.Action == wire.Copy && d.m.opt.Storage.Exists(a.Path) {
			return fault.New(fault.DiskExists, d.m.opt.Host, "path", a.Path, "vm", d.rec.VM)
		}
	}
	return nil
}

// reserve sets memory and disk space aside until the move is over.
func (d *destination) reserve(ctx context.Context, def Definition, disks []wire.AdmittedDisk) error {
	f, err := d.m.opt.Hypervisor.Facts(ctx)
	if err != nil {
		return err
	}
	files := map[string]uint64{}
	for i, a := range disks {
		if a.Action == wire.Copy {
			// Sparse stays sparse: what the source occupies is what is needed,
			// but never less than libvirt's definition would let it claim.
			files[a.Path] = min(d.offer.Disks[i].AllocatedBytes, d.offer.Disks[i].VirtualBytes)
		}
	}
	memory := def.MemoryBytes
	if d.offer.Kind == wire.Offline {
		memory = 0
	}
	release, err := d.m.opt.Storage.Reserve(d.rec.VM, memory, f.MemoryAvailable, files)
	if err != nil {
		return err
	}
	d.acquired("reservation", func(context.Context) error { release(); return nil })
	return nil
}

func (d *destination) createDisks(ctx context.Context, variables string) error {
	for i, a := range d.disks {
		if a.Action != wire.Copy {
			continue
		}
		if err := d.m.opt.Storage.Create(ctx, a.Path, d.offer.Disks[i].Format, d.offer.Disks[i].VirtualBytes, d.rec.VM); err != nil {
			var later []string
			for _, b := range d.disks[i+1:] {
				later = append(later, b.Path)
			}
			d.notMade(err, a.Path, append(later, variables)...)
			return err
		}
		d.vms = append(d.vms, d.owe("disk "+a.Target, func(ctx context.Context) error { return d.remove(ctx, a.Path) }))
	}
	return nil
}

// notMade takes files off the list of what this move has to remove: all that come later
// than the one that could not be made, and that one too when another has its name. They
// are somebody else's, or may be by the time that cleaning up gets to them.
func (d *destination) notMade(err error, path string, later ...string) {
	if fault.Is(err, fault.DiskExists) {
		later = append(later, path)
	}
	var left []string
	d.update(func(_ *Record, p *private) {
		var made []string
		for _, f := range p.Files {
			if slices.Contains(later, f) {
				left = append(left, f)
			} else {
				made = append(made, f)
			}
		}
		p.Files = made
	})
	if len(left) == 0 {
		return
	}
	if err := d.note(Event{Kind: EventNotice, Text: "not made here, so not removed either: " + strings.Join(left, ", ")}); err != nil {
		d.log.Error("files that were not made: not journalled", "files", left, "error", err)
	}
}

func (d *destination) remove(ctx context.Context, path string) error {
	_, _, err := d.removeUnused(ctx, []string{path}, func(f string) error {
		return d.retire(f, shortHost(d.conn.Caller().DelegatedBy), seed.FailedCopy)
	})
	return err
}

// keep takes off the undo list what now belongs to the VM.
func (d *destination) keep() {
	for _, u := range d.vms {
		u.keep()
	}
}

// refused ends the move with an answer to the source: the decision that the VM
// never runs here is durable before the source hears of it.
func (d *destination) refused(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil && errors.Is(err, ctx.Err()) {
		err = cause // why the context ended, not that it did
	}
	d.abandon()
	k, body := wire.KindFailure, any(fault.ToProblem(err))
	if d.committedToFinish() {
		k, body = wire.KindOutcome, wire.Outcome{Verdict: wire.Abandoned, Problem: fault.ToProblem(err)}
	}
	if rerr := reply(context.WithoutCancel(ctx), d.conn, k, body); rerr != nil {
		d.log.Debug("refusal not delivered", "error", rerr)
	}
	return err
}

func (d *destination) committedToFinish() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.committed
}

// abandon makes it durable that the VM never runs here under this move, then
// removes what there is of it.
func (d *destination) abandon() {
	d.update(func(_ *Record, p *private) { p.Verdict = wire.Abandoned })
	if err := d.note(Event{Kind: EventNotice, Text: "abandoned here; the VM stays at the source"}); err != nil {
		d.log.Error("abandonment not journalled", "error", err)
	}
	d.unwind()
}

// stopIncoming ends the QEMU that waits for the guest. One that lost its source
// may hang (QEMU 7.2 with parallel connections does, in its main loop), and
// libvirt's answer with it; then it is destroyed, which needs no answer of QEMU.
func (d *destination) stopIncoming(ctx context.Context, inc Incoming) error {
	fctx, cancel := context.WithTimeout(ctx, d.m.opt.UnwindTimeout/4)
	defer cancel()
	_, err := inc.Finish(fctx, nil, true)
	if err == nil || fctx.Err() == nil {
		return err
	}
	d.log.Warn("libvirt does not get the incoming VM stopped; destroying it", "error", err)
	if err := d.m.opt.Hypervisor.Destroy(ctx, d.rec.UUID); err != nil && !fault.Is(err, fault.VMNotFound) {
		return err
	}
	return nil
}

// cancelled is the source's wish before handover.
func (d *destination) cancelled(ctx context.Context, env wire.Envelope) error {
	var req wire.Cancel
	if err := wire.Unseal(env, wire.KindCancel, d.m.opt.Host, d.rec.Peer, &req); err != nil {
		return d.refused(ctx, err)
	}
	d.abandon()
	if err := reply(context.WithoutCancel(ctx), d.conn, wire.KindOutcome, wire.Outcome{Verdict: wire.Abandoned}); err != nil {
		d.log.Debug("cancel not answered", "error", err)
	}
	return fault.New(fault.Cancelled, d.m.opt.Host)
}

// interrupted is the end of the control stream, or of this agent, before
// handover.
func (d *destination) interrupted(err error) error {
	phase, reason := d.record().Phase, "the source ended the connection"
	if fault.Is(err, fault.PeerSilent) {
		reason = "the source sent nothing"
	}
	if serr := d.conn.Err(); serr != nil {
		err = errors.Join(serr, err)
	}
	d.conn.Cut()
	d.abandon()
	if f := fault.From(err); f.Code == fault.ShuttingDown || f.Code == fault.MoveInterrupted || f.Code == fault.Cancelled {
		return f // by this agent
	}
	return fault.Wrap(err, fault.MoveInterrupted, d.m.opt.Host, "move", d.rec.ID, "vm", d.rec.VM, "phase", string(phase),
		"reason", reason)
}

// leave stops working on a move whose outcome this host cannot establish now;
// it is settled afterwards, without the connection.
func (d *destination) leave(ctx context.Context, err error) error {
	d.log.Error("outcome not established", "error", err)
	_ = reply(ctx, d.conn, wire.KindOutcome, wire.Outcome{Verdict: wire.Undecided, Problem: fault.ToProblem(err)})
	return errLeave
}

// receive waits for the next message of a peer as long as it is alive; the
// stream itself notices a silent one.
func receive(ctx context.Context, c Conn, env *wire.Envelope) error {
	err := c.Receive(ctx, env)
	if cause := context.Cause(ctx); err != nil && cause != nil {
		return cause
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if err != nil {
		return io.EOF
	}
	return nil
}

func reply(ctx context.Context, c Conn, k wire.Kind, body any) error {
	env, err := wire.Seal(k, body)
	if err != nil {
		return err
	}
	return c.Send(ctx, env)
}

func refuse(ctx context.Context, c Conn, err error) error {
	if serr := reply(ctx, c, wire.KindFailure, fault.ToProblem(err)); serr != nil {
		return errors.Join(err, serr)
	}
	return err
}
