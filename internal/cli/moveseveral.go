package cli

import (
	"context"
	"fmt"
	"os"
	"strings"

	"drover/internal/fault"
	"drover/internal/record"
)

// runMoves moves several VMs: all are started, those that meet a limit wait at
// their host, and drover stays with them to their ends.
func (p *program) runMoves(ctx context.Context, signals <-chan os.Signal, o moveOptions) error {
	lost := make(chan string, 1)
	a, err := p.openWatching(ctx, o.target, tellLost(lost))
	if err != nil {
		return err
	}
	defer func() { _ = a.Close() }()
	vms, err := p.chosen(ctx, a, o)
	if err != nil {
		return err
	}
	if o.all && !o.dryRun {
		question := fmt.Sprintf("Move %s to %s: %s?", count(len(vms), "VM"), o.to, strings.Join(vms, ", "))
		if err := p.confirmed(ctx, signals, o.yes, question); err != nil {
			return err
		}
	}
	g := &gathering{p: p, a: a, target: o.target, yes: o.yes, retrying: lost, signals: signals}
	if g.pending, err = p.startAll(ctx, g, o, vms); err != nil {
		return err
	}
	if o.detach && g.pending == nil {
		return p.detachedAll(g.moves, o.target)
	}
	err = g.follow(ctx)
	for _, m := range g.moves {
		// The agent's record has more than the events told; do without if it is gone.
		if m.rec.ID != "" {
			if rec, rerr := a.Move(ctx, m.rec.ID); rerr == nil {
				m.rec = rec
			}
		}
	}
	return p.endedAll(g.moves, o, err)
}

// chosen names the VMs to move. That each of them is there is known before the
// first one is started.
func (p *program) chosen(ctx context.Context, a agent, o moveOptions) ([]string, error) {
	if o.all {
		return p.everyVM(ctx, a, o.target)
	}
	named := map[string]string{}
	for _, name := range o.vms {
		vm, err := a.VM(ctx, name)
		if err != nil {
			return nil, err
		}
		if first, twice := named[vm.UUID]; twice {
			return nil, misuse("%s and %s are the same VM", first, name)
		}
		named[vm.UUID] = name
	}
	return o.vms, nil
}

// everyVM lists the VMs of the host that can move as such.
func (p *program) everyVM(ctx context.Context, a agent, t target) ([]string, error) {
	all, err := a.VMs(ctx)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, vm := range all {
		switch {
		case vm.Moving != "":
			p.screen.line("%s stays out: it takes part in move %s", vm.Name, vm.Moving)
		case vm.Transient:
			p.screen.line("%s stays out: it has no persistent definition", vm.Name)
		default:
			out = append(out, vm.Name)
		}
	}
	switch {
	case len(out) == 0:
		return nil, misuse("%s has no VM to move", t)
	case len(out) > maxVMs:
		return nil, misuse("%s has %d VMs, more than %d; name those to move", t, len(out), maxVMs)
	}
	return out, nil
}

// confirmed asks a yes-or-no question in a verb that handles signals itself.
func (p *program) confirmed(ctx context.Context, signals <-chan os.Signal, yes bool, question string) error {
	ctx, cancel := context.WithCancel(ctx)
	over, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		select {
		case <-signals:
			cancel()
		case <-over:
		}
	}()
	err := p.asker.confirm(ctx, yes, question)
	close(over)
	<-ended
	cancel()
	return err
}

// startAll asks the agent to start each move. A refusal is that VM's own; a
// signal keeps those that were not started yet from being started.
func (p *program) startAll(ctx context.Context, g *gathering, o moveOptions, vms []string) (pending os.Signal, err error) {
	for _, vm := range vms {
		q := o.request(vm)
		m := &gathered{rec: record.Record{VM: vm, Role: record.Source, Phase: record.Failed, Peer: o.to, Request: q}}
		g.moves = append(g.moves, m)
		if pending != nil {
			m.rec.Phase, m.rec.Error = record.Cancelled, fault.New(fault.Cancelled, "")
			continue
		}
		rec, signal, err := p.start(ctx, g.a, o.target, q, g.signals)
		if pending = signal; err != nil {
			if ctx.Err() != nil {
				return nil, err
			}
			m.rec.Error = fault.From(err)
			continue
		}
		m.rec, m.started = rec, true
	}
	return pending, nil
}

// detachedAll prints what leads back to moves that go on alone.
func (p *program) detachedAll(moves []*gathered, t target) error {
	var first error
	recs := make([]*record.Record, 0, len(moves))
	for _, m := range moves {
		recs = append(recs, &m.rec)
		if !m.started && first == nil {
			first = outcome(&m.rec, t)
		}
	}
	if p.out != table {
		if err := p.out.write(p.stdout, recs); err != nil || first == nil {
			return err
		}
		return reported{first}
	}
	for _, m := range moves {
		if !m.started {
			p.screen.printError(fault.From(outcome(&m.rec, t)))
			continue
		}
		if _, err := fmt.Fprintln(p.stdout, clean(m.rec.ID)); err != nil {
			return err
		}
	}
	if first != nil {
		return reported{first}
	}
	return nil
}

// endedAll prints how the moves ended. left: why drover did not stay to the end.
func (p *program) endedAll(moves []*gathered, o moveOptions, left error) error {
	first := left
	recs := make([]*record.Record, 0, len(moves))
	for _, m := range moves {
		end := m.end(o.target)
		recs = append(recs, withError(&m.rec, end))
		if first == nil {
			first = end
		}
	}
	var err error
	if p.out != table {
		err = p.out.write(p.stdout, recs)
	} else {
		err = p.printMoves(moves, o)
	}
	if err != nil || first == nil {
		return err
	}
	return reported{first}
}

func (p *program) printMoves(moves []*gathered, o moveOptions) error {
	var rows [][]string
	for _, m := range moves {
		r, code, total, blackout := &m.rec, "", "", ""
		if end := m.end(o.target); end != nil {
			code = string(fault.From(end).Code)
		}
		if s := r.Summary; s != nil {
			total, blackout = milliseconds(s.TotalMS), milliseconds(s.BlackoutMS)
		}
		if r.Request.DryRun && r.Plan != nil {
			if err := printPlan(p.stdout, r.Plan); err != nil {
				return err
			}
		}
		rows = append(rows, []string{r.VM, r.Peer, string(r.Phase), total, blackout, code, r.ID})
	}
	if err := grid(p.stdout, []string{"VM", "TO", "PHASE", "TIME", "BLACKOUT", "ERROR", "ID"}, rows); err != nil {
		return err
	}
	if o.dryRun {
		if _, err := fmt.Fprintln(p.stdout, "Dry run: nothing was changed on either host."); err != nil {
			return err
		}
	}
	for _, m := range moves {
		if end := m.end(o.target); end != nil && !fault.Is(end, fault.Cancelled) {
			p.screen.line("%s:", m.rec.VM)
			p.screen.printError(fault.From(end))
		}
	}
	return nil
}
