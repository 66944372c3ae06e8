package cli

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"drover/internal/record"
)

// board shows several moves at once: a line each that is drawn again on a
// terminal, else plain lines as for one move, with the VM's name before them.
type board struct {
	canvas
	liners map[*gathered]*liner
}

func newBoard(s *screen) board {
	return board{canvas: canvas{screen: s}, liners: map[*gathered]*liner{}}
}

// event is called for each event, after its move's view has taken it.
func (b *board) event(moves []*gathered, m *gathered, ev record.Event, now time.Time) {
	if !b.screen.terminal {
		l := b.liners[m]
		if l == nil {
			l = &liner{w: prefixed{b.screen.w, clean(m.rec.VM) + ": "}}
			b.liners[m] = l
		}
		l.event(m.view, ev, now)
		return
	}
	if ev.Kind == record.EventNotice && ev.Waiting == nil {
		b.notice(m.rec.VM + ": " + ev.Text)
	}
	b.draw(moves, now)
}

// prefixed writes a name before each line; a line is one write.
type prefixed struct {
	w    io.Writer
	name string
}

func (n prefixed) Write(p []byte) (int, error) {
	if _, err := io.WriteString(n.w, n.name+string(p)); err != nil {
		return 0, err
	}
	return len(p), nil
}

// draw draws all lines over those before.
func (b *board) draw(moves []*gathered, now time.Time) {
	if !b.screen.terminal {
		return
	}
	width, height := b.screen.size()
	b.redraw(boardLines(moves, width, height, now))
}

// boardLines are at most height-1 lines of at most width-1 characters: first the
// moves under way, then those that wait, then those that are over.
func boardLines(moves []*gathered, width, height int, now time.Time) []string {
	shown := slices.Clone(moves)
	slices.SortStableFunc(shown, func(a, b *gathered) int { return a.rank() - b.rank() })
	room := max(height-1, 1)
	hidden := 0
	if len(shown) > room {
		room = max(room-1, 1)
		shown, hidden = shown[:room], len(shown)-room
	}
	name := 0
	for _, m := range shown {
		name = max(name, len([]rune(clean(m.rec.VM))))
	}
	var lines []string
	for _, m := range shown {
		lines = append(lines, cut(fmt.Sprintf("%-*s  %s", name, clean(m.rec.VM), clean(m.line(now))), width-1))
	}
	if hidden > 0 && height > 2 {
		lines = append(lines, cut(fmt.Sprintf("and %s", count(hidden, "other move")), width-1))
	}
	return lines
}

func (m *gathered) rank() int {
	switch {
	case !m.started || m.over:
		return 2
	case m.view.phase == record.Queued:
		return 1
	}
	return 0
}

// line is the move in one line, without the VM's name; the hosts are those of the
// command.
func (m *gathered) line(now time.Time) string {
	v := m.view
	parts := []string{v.phaseText()}
	switch {
	case m.over || !m.started:
		if e := m.rec.Error; e != nil {
			parts = append(parts, string(e.Code))
		}
		return strings.Join(parts, "  ")
	case v.progress != nil && v.phase != record.Queued:
		var total, remaining uint64
		for _, it := range append([]record.Item{v.progress.Memory}, v.progress.Disks...) {
			total, remaining = total+it.Total, remaining+it.Remaining
		}
		parts = append(parts, fmt.Sprintf("%d%%", percent(total, remaining)), size(remaining)+" left")
	}
	return strings.Join(append(parts, clock(v.elapsed(now))), "  ")
}
