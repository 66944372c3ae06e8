package move

import (
	"context"
	"errors"

	"drover/internal/fault"
	"drover/internal/plan"
	"drover/internal/record"
	"drover/internal/virt"
	"drover/internal/wire"
)

// Compare finds all that is in the way of a move, on both hosts, and gives the
// plan when there is nothing. Nothing is created, journalled or counted. That the
// destination cannot be reached, or lets the operator do nothing, is an error.
func (m *Manager) Compare(ctx context.Context, op Operator, req Request) (record.Comparison, error) {
	ctx, done, err := m.aside(ctx)
	if err != nil {
		return record.Comparison{}, err
	}
	defer done()
	dom, err := m.opt.Hypervisor.Domain(ctx, req.VM)
	if err != nil {
		return record.Comparison{}, err
	}
	now := m.opt.Now()
	req.DryRun = true
	s := &source{op: op, req: req, dom: dom, comparing: true, run: m.newRun(Record{ID: newID(now), Role: Source, Phase: Queued, VM: dom.Name,
		UUID: dom.UUID, Peer: req.Destination, Operator: op.Principal, Request: req, Created: now}, private{}, 0)}
	defer s.unwind()
	out := record.Comparison{VM: dom.Name, Source: m.opt.Host, Destination: req.Destination, Incompatibilities: []record.Incompatibility{}}
	p, objections, err := s.compare(ctx)
	if err != nil {
		return record.Comparison{}, err
	}
	for _, o := range objections {
		out.Incompatibilities = append(out.Incompatibilities, incompatibility(fault.From(o), dom, req))
	}
	if len(objections) == 0 {
		out.Plan = &p
	}
	return out, nil
}

// aside lets something run that is no move, until the Manager is drained.
func (m *Manager) aside(ctx context.Context) (context.Context, func(), error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.draining {
		return nil, nil, fault.New(fault.ShuttingDown, m.opt.Host)
	}
	m.wg.Add(1)
	ctx, cancel := context.WithCancelCause(ctx)
	detach := context.AfterFunc(m.base, func() { cancel(context.Cause(m.base)) })
	return ctx, func() { detach(); cancel(nil); m.wg.Done() }, nil
}

// compare asks this host, then the destination.
func (s *source) compare(ctx context.Context) (p record.Plan, objections []error, err error) {
	objections = s.objections(ctx)
	if err := broken(objections); err != nil {
		return p, nil, err
	}
	if err := s.meet(ctx); err != nil {
		if refusal(err) {
			return p, append(objections, err), nil
		}
		return p, nil, err
	}
	transport, notes, err := plan.Transport(s.m.opt.Host, s.req, s.m.opt.Settings(), s.opened.Facts)
	if err != nil {
		objections = append(objections, err)
	} else if err := s.session.Bind(s.opened.Session, s.opened.Secret, transport); err != nil {
		return p, nil, err
	}
	s.transport, s.notes = transport, notes
	s.measure(ctx)
	if err == nil {
		s.probe(ctx)
	}
	if err := plan.CheckDestination(s.m.opt.Host, s.dom, s.hostUUID(ctx), s.opened.Facts); err != nil {
		objections = append(objections, err)
	}
	old, err := s.checkVersions(ctx)
	if err != nil {
		return p, nil, err
	}
	objections = append(objections, old...)
	xml, err := s.m.opt.Hypervisor.MigratableXML(ctx, s.dom.UUID)
	if err != nil {
		return p, nil, err
	}
	s.chooseConnections(ctx)
	offer, cleanup, err := s.offer(xml)
	if err != nil {
		return p, nil, err
	}
	defer cleanup()
	var admitted wire.Admitted
	if err := s.call(ctx, wire.KindOffer, offer, wire.KindAdmitted, &admitted); err != nil {
		return p, nil, err
	}
	for _, problem := range admitted.Problems {
		objections = append(objections, problem.Err())
	}
	if len(objections) > 0 {
		return p, objections, nil
	}
	if p, err = s.planOf(offer, admitted); err != nil {
		return p, nil, err
	}
	s.agreed = s.m.opt.Now()
	s.predict(ctx, &p)
	return p, nil, nil
}

// meet gets through to the destination.
func (s *source) meet(ctx context.Context) error {
	if err := s.m.opt.Connector.Negotiate(ctx, s.req.Destination); err != nil {
		return err
	}
	return s.open(ctx)
}

// refusal: the hosts do not fit, and the destination says nothing of the rest.
// Who may not ask, and who is not there to be asked, is another matter.
func refusal(err error) bool {
	code := fault.From(err).Code
	e, _ := fault.Lookup(code)
	return e.Class == fault.ClassRefused || code == fault.ClockSkew
}

// objections are those of this host alone.
func (s *source) objections(ctx context.Context) (all []error) {
	if !s.m.opt.Settings().Outgoing {
		all = append(all, fault.New(fault.MigrationDisabled, s.m.opt.Host, "direction", "outgoing"))
	}
	if err := s.m.free(s.dom.UUID, s.dom.Name); err != nil {
		all = append(all, err)
	}
	var err error
	if s.kind, err = plan.KindOf(s.m.opt.Host, s.dom); err != nil {
		// In another state it might move: the rest is compared for what is nearest.
		all = append(all, err)
		if s.kind = wire.Live; s.dom.State == virt.Shutoff {
			s.kind = wire.Offline
		}
	}
	all = append(all, plan.CheckRequest(s.m.opt.Host, s.dom, s.kind, s.req)...)
	if s.kind != wire.Offline {
		s.req.CPU = "" // has been objected to
	}
	all = append(all, plan.Objections(s.m.opt.Host, s.dom)...)
	if err := s.checkChains(ctx); err != nil {
		all = append(all, err)
	}
	return all
}

// checkVersions looks for features that one of the two hosts is too old for.
func (s *source) checkVersions(ctx context.Context) (objections []error, err error) {
	own, err := s.facts(ctx)
	if err != nil {
		return nil, err
	}
	if err := plan.CheckVersions(s.m.opt.Host, own.LibvirtVersion, own.QEMUVersion, s.req); err != nil {
		objections = append(objections, err)
	}
	dst := s.opened.Facts
	if err := plan.CheckVersions(s.req.Destination, dst.LibvirtVersion, dst.QEMUVersion, s.req); err != nil {
		objections = append(objections, err)
	}
	return objections, nil
}

// broken is the first objection that says nothing about the VM: something does
// not work, and a comparison without it would promise too much.
func broken(objections []error) error {
	for _, o := range objections {
		if e, _ := fault.Lookup(fault.From(o).Code); e.Class == fault.ClassInternal || e.Class == fault.ClassUnavailable {
			return o
		}
	}
	return nil
}

// Objections are several errors of which each by itself is in the way.
type Objections []error

// Error lists them, one to a line.
func (o Objections) Error() string { return errors.Join(o...).Error() }

// Unwrap lets errors.As find the first that fits.
func (o Objections) Unwrap() []error { return o }

// each takes Objections apart.
func each(err error) []error {
	var several Objections
	switch {
	case err == nil:
		return nil
	case errors.As(err, &several):
		return several
	}
	return []error{err}
}

// serveComparison answers one offer with all that is in its way. There is no move:
// nothing is journalled, and no place among the host's moves is taken.
func (m *Manager) serveComparison(ctx context.Context, conn Inbound, open wire.Open) error {
	ctx, done, err := m.aside(ctx)
	if err != nil {
		return refuse(ctx, conn, err)
	}
	defer done()
	c := conn.Caller()
	d := &destination{conn: conn, open: open, run: m.newRun(Record{ID: open.Move, Role: Destination, Phase: Authorise, VM: open.VM, UUID: open.UUID,
		Peer: c.Peer, Operator: c.Principal, Created: m.opt.Now()}, private{}, 0)}
	defer d.unwind()
	d.log.Info("comparison", "operator", c.Principal, "delegated_by", c.DelegatedBy, "from", c.Peer)
	if err := d.introduce(ctx); err != nil {
		return refuse(ctx, conn, err)
	}
	env, err := d.next(ctx)
	if err != nil {
		return err
	}
	if err := d.compared(ctx, env); err != nil {
		return refuse(ctx, conn, err)
	}
	_, _ = d.next(ctx) // the source ends the stream when it has read the answer
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return nil
}

func (d *destination) compared(ctx context.Context, env wire.Envelope) error {
	if err := wire.Unseal(env, wire.KindOffer, d.m.opt.Host, d.rec.Peer, &d.offer); err != nil {
		return err
	}
	if err := d.checkOffer(); err != nil {
		return err
	}
	disks, def, objections := d.examine(ctx)
	if err := d.m.free(d.rec.UUID, d.rec.VM); err != nil {
		objections = append(objections, err)
	}
	if err := broken(objections); err != nil {
		return err
	}
	answer := wire.Admitted{Disks: disks, LeftOut: def.LeftOut}
	for _, o := range objections {
		answer.Problems = append(answer.Problems, *fault.ToProblem(o))
	}
	return reply(ctx, d.conn, wire.KindAdmitted, answer)
}

// examine asks whether the VM could come: with room on the storage, as this
// host's rules and libvirt have it, and with memory and disk space, which are set
// aside until the run unwinds; what only asks sets nothing aside, so that asking
// keeps no move out. It stops at the first objection, except for a comparison.
func (d *destination) examine(ctx context.Context) (disks []wire.AdmittedDisk, def Definition, objections []error) {
	disks, objections = d.place()
	for _, step := range []func() error{
		func() (err error) {
			def, err = d.m.opt.Hypervisor.Admit(ctx, d.offer.XML, d.expected(disks))
			return err
		},
		func() error { return d.checkVariables(def) },
		func() error { return d.reserve(ctx, def, disks) },
	} {
		if len(objections) > 0 && !d.open.Compare {
			return nil, def, objections
		}
		objections = append(objections, each(step())...)
	}
	if d.open.Compare || d.open.DryRun {
		d.unwind()
	}
	return disks, def, objections
}
