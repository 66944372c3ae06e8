package cli

import (
	"context"
	"fmt"
	"os"
	"sync"
	"time"

	"drover/internal/fault"
	"drover/internal/record"
)

// gathering follows several moves to their ends, one line each, and turns Ctrl-C
// into one question and the cancels of all that are not over. follow owns all
// goroutines and ends with none left.
type gathering struct {
	p      *program
	a      agent
	target target
	moves  []*gathered
	// yes: Ctrl-C cancels without a question.
	yes      bool
	pending  os.Signal
	retrying <-chan string
	signals  <-chan os.Signal

	board      board
	wg         sync.WaitGroup
	items      chan gatheredItem
	cancelled  chan gatheredItem
	question   *question
	cancelling bool
	lost       bool
}

// gathered is one of several moves.
type gathered struct {
	rec     record.Record
	view    *view
	started bool
	over    bool
	left    error // why it could not be followed to its end
}

type gatheredItem struct {
	m   *gathered
	ev  record.Event
	err error
}

// end is how the move ended, nil when it is done.
func (m *gathered) end(t target) error {
	switch {
	case m.left != nil && !m.rec.Phase.Over():
		return m.left
	case m.rec.Phase.Over() || m.rec.Phase == record.Unknown:
		return outcome(&m.rec, t)
	}
	return nil
}

// follow returns when all moves are over, when the operator stopped waiting, or
// detached. What became of each move is in moves.
func (g *gathering) follow(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	defer g.wg.Wait()
	defer stop()
	g.question = newQuestion(g.p, &g.wg)
	g.items, g.cancelled = make(chan gatheredItem), make(chan gatheredItem, len(g.moves))
	g.board = newBoard(g.p.screen)
	for _, m := range g.moves {
		if m.view = newView(&m.rec, g.p.now()); m.started {
			g.wg.Go(func() { g.pump(ctx, m) })
		}
	}
	ticks := time.NewTicker(time.Second)
	defer ticks.Stop()
	if g.pending != nil {
		if err := g.signal(ctx, g.pending); err != nil {
			return err
		}
	}
	for g.open() > 0 {
		if err := g.step(ctx, ticks.C); err != nil {
			g.tell(g.question.withdraw())
			g.board.clear()
			return err
		}
	}
	g.tell(g.question.withdraw())
	g.board.clear()
	return nil
}

// open counts the moves that are not over.
func (g *gathering) open() (n int) {
	for _, m := range g.moves {
		if m.started && !m.over {
			n++
		}
	}
	return n
}

func (g *gathering) pump(ctx context.Context, m *gathered) {
	for ev, err := range g.a.Watch(ctx, m.rec.ID, 0) {
		select {
		case g.items <- gatheredItem{m, ev, err}:
		case <-ctx.Done():
			return
		}
	}
}

// step waits for one thing to happen and deals with it.
func (g *gathering) step(ctx context.Context, ticks <-chan time.Time) error {
	select {
	case it := <-g.items:
		g.event(it)
	case <-ticks:
		g.draw()
	case text := <-g.retrying:
		if !g.lost {
			g.lost = true
			g.notice("lost the connection to %s: %s; trying again", g.target, text)
		}
	case s := <-g.signals:
		return g.signal(ctx, s)
	case a := <-g.question.answers:
		return g.answer(ctx, a)
	case it := <-g.cancelled:
		if it.err != nil {
			it.m.view.cancelling = false
			g.notice("%s: not cancelled: %s", it.m.rec.VM, fault.From(it.err).Error())
		}
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	return nil
}

// event takes one event of one move.
func (g *gathering) event(it gatheredItem) {
	m := it.m
	if it.err != nil {
		m.left, m.over = it.err, true
		g.notice("%s: move %s may go on without being watched: %s", m.rec.VM, m.rec.ID, fault.From(it.err).Error())
		return
	}
	if g.lost {
		g.lost = false
		g.notice("connected to %s again", g.target)
	}
	now := g.p.now()
	m.view.apply(it.ev, now)
	if m.rec.Phase = it.ev.Phase; it.ev.Plan != nil {
		m.rec.Plan = it.ev.Plan
	}
	if it.ev.Kind == record.EventEnd || it.ev.Phase == record.Unknown {
		m.rec.Summary, m.rec.Error, m.over = it.ev.Summary, it.ev.Error, true
	}
	if !g.question.open() {
		g.board.event(g.moves, m, it.ev, now)
	}
}

func (g *gathering) draw() {
	if !g.question.open() {
		g.board.draw(g.moves, g.p.now())
	}
}

func (g *gathering) notice(format string, args ...any) {
	g.tell([]string{fmt.Sprintf(format, args...)})
	g.draw()
}

// tell shows notices, after the question when one is open.
func (g *gathering) tell(notices []string) {
	if g.question.open() {
		g.question.kept = append(g.question.kept, notices...)
		return
	}
	for _, text := range notices {
		g.board.notice(text)
	}
}

// signal deals with SIGINT and SIGTERM.
func (g *gathering) signal(ctx context.Context, s os.Signal) error {
	switch {
	case g.cancelling:
		g.board.clear()
		g.board.notice(fmt.Sprintf("no longer waiting; see `drover move list%s` for how the moves end", g.target.again()))
		return fault.New(fault.Cancelled, "")
	case g.question.open():
		g.tell(g.question.withdraw())
		g.cancel(ctx)
	case s == os.Interrupt && !g.yes && g.p.asker.able():
		g.board.clear()
		g.question.ask(ctx, fmt.Sprintf("Cancel the %s that are not over? [y/N/d=detach]", count(g.open(), "move")))
	default:
		g.cancel(ctx)
	}
	return nil
}

func (g *gathering) answer(ctx context.Context, a answer) error {
	g.tell(g.question.close())
	if a.err != nil {
		return a.err
	}
	switch a.text {
	case "y", "yes":
		g.cancel(ctx)
	case "d", "detach":
		for _, m := range g.moves {
			m.over = true
		}
	}
	g.draw()
	return nil
}

// cancel asks the agent to cancel all that are not over; their ends come as events.
func (g *gathering) cancel(ctx context.Context) {
	g.cancelling = true
	g.notice("cancelling %s", count(g.open(), "move"))
	for _, m := range g.moves {
		if !m.started || m.over {
			continue
		}
		m.view.cancelling = true
		g.wg.Go(func() {
			_, err := g.a.CancelMove(ctx, m.rec.ID)
			g.cancelled <- gatheredItem{m: m, err: err}
		})
	}
}
