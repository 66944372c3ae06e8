package cli

import (
	"fmt"
	"io"
	"strings"
	"time"

	"drover/internal/record"
)

// view is what is known of a running move, for drawing. It does no I/O and
// asks no clock, so a test gives it events, a time and a width and compares
// the text.
type view struct {
	vm, source, destination string
	phase                   record.Phase
	progress                *record.Progress
	waiting                 *record.Waiting
	created                 time.Time     // by the agent's clock
	age                     time.Duration // of the move at the last event, by the agent's clock
	received                time.Time     // when that event came, by our clock
	cancelling              bool
}

func newView(r *record.Record, now time.Time) *view {
	src, dst := ends(r)
	return &view{vm: r.VM, source: src, destination: dst, phase: r.Phase, waiting: r.Waiting, created: r.Created, received: now}
}

// apply takes one event into the view.
func (v *view) apply(ev record.Event, now time.Time) {
	v.phase = ev.Phase
	if ev.Waiting != nil || ev.Phase != record.Queued {
		v.waiting = ev.Waiting
	}
	if ev.Plan != nil {
		v.vm, v.source, v.destination = ev.Plan.VM, ev.Plan.Source, ev.Plan.Destination
	}
	if ev.Progress != nil {
		v.progress = ev.Progress
	}
	v.age, v.received = ev.Time.Sub(v.created), now
}

// elapsed is the move's age. The two clocks are never compared, because they
// may differ by minutes.
func (v *view) elapsed(now time.Time) time.Duration {
	return v.age + now.Sub(v.received)
}

// block draws the move in at most height-1 lines of at most width-1 characters.
func (v *view) block(width, height int, now time.Time) []string {
	lines := []string{fmt.Sprintf("%s  %s -> %s  %s  %s", v.vm, v.source, v.destination, v.phaseText(), clock(v.elapsed(now)))}
	if p := v.progress; p != nil {
		items, hidden := visible(p, max(height-4, 1))
		lines = append(lines, itemLines(items, width-1)...)
		if hidden > 0 {
			lines = append(lines, fmt.Sprintf("  and %s", count(hidden, "other disk")))
		}
		lines = append(lines, "  "+rest(p))
	}
	lines = lines[:min(len(lines), max(height-1, 1))]
	for i := range lines {
		lines[i] = cut(clean(lines[i]), width-1)
	}
	return lines
}

// phaseText is the phase, with what a move that is queued waits for.
func (v *view) phaseText() string {
	text := phaseText(v.phase, v.waiting)
	if v.cancelling && !v.phase.Over() {
		text += " (cancelling)"
	}
	return text
}

func phaseText(p record.Phase, w *record.Waiting) string {
	if p != record.Queued || w == nil {
		return string(p)
	}
	return fmt.Sprintf("%s (%d of %d, for %s)", p, w.Position, w.Of, w.For)
}

// visible are the items that fit into n lines: memory, then the disks under
// way, then those that are done, and how many are left out.
func visible(p *record.Progress, n int) (items []record.Item, hidden int) {
	if p.Memory.Total > 0 {
		items = append(items, p.Memory)
	}
	var done []record.Item
	for _, d := range p.Disks {
		if d.Remaining == 0 && d.Total > 0 {
			done = append(done, d)
			continue
		}
		items = append(items, d)
	}
	items = append(items, done...)
	if len(items) > n {
		return items[:n], len(items) - n
	}
	return items, 0
}

// itemLines draws items in columns, with a bar where there is room for one.
func itemLines(items []record.Item, width int) []string {
	rows := make([][]string, 0, len(items))
	for _, it := range items {
		rows = append(rows, []string{
			clean(it.Name), fmt.Sprintf("%d%%", percent(it.Total, it.Remaining)),
			size(it.Done) + " / " + size(it.Total), rate(it.Rate), size(it.Remaining) + " left",
		})
	}
	widths := []int{0, 4, 17, 9, 12} // usual widths, so that columns stand still
	for _, r := range rows {
		for i, c := range r {
			widths[i] = max(widths[i], len(c))
		}
	}
	used := 2 // indent
	for _, w := range widths {
		used += w + 2
	}
	bar := min(width-used, 30)
	lines := make([]string, 0, len(rows))
	for i, r := range rows {
		var b strings.Builder
		fmt.Fprintf(&b, "  %-*s  ", widths[0], r[0])
		if bar >= 8 {
			b.WriteString(barText(bar, items[i]) + "  ")
		}
		fmt.Fprintf(&b, "%*s  %*s  %*s  %*s", widths[1], r[1], widths[2], r[2], widths[3], r[3], widths[4], r[4])
		lines = append(lines, b.String())
	}
	return lines
}

func barText(width int, it record.Item) string {
	inner := width - 2
	full := int(percent(it.Total, it.Remaining)) * inner / 100
	return "[" + strings.Repeat("#", full) + strings.Repeat(".", inner-full) + "]"
}

// rest is what is known of the transfer as a whole.
func rest(p *record.Progress) string {
	parts := []string{}
	if p.Memory.Total > 0 {
		parts = append(parts, "dirty rate "+rate(p.DirtyRate), fmt.Sprintf("iteration %d", p.Iteration))
	}
	parts = append(parts, size(p.WireBytes)+" on the wire")
	if p.Coding != nil {
		parts = append(parts, ratioText(p.Coding))
	}
	if p.BlackoutMS > 0 {
		parts = append(parts, "blackout about "+milliseconds(p.BlackoutMS))
	}
	return strings.Join(parts, ", ")
}

// cut shortens a line to n characters.
func cut(s string, n int) string {
	r := []rune(s)
	if len(r) <= n {
		return s
	}
	return string(r[:max(n, 0)])
}

// oneLine is the plain form of the progress, for logs.
func (v *view) oneLine(now time.Time) string {
	parts := []string{}
	items, _ := visible(v.progress, 1<<10)
	for _, it := range items {
		parts = append(parts, fmt.Sprintf("%s %d%% (%s of %s, %s, %s left)", it.Name,
			percent(it.Total, it.Remaining), size(it.Done), size(it.Total), rate(it.Rate), size(it.Remaining)))
	}
	return fmt.Sprintf("%s %s: %s; %s", clock(v.elapsed(now)), v.phase, strings.Join(parts, ", "), rest(v.progress))
}

// drawer puts a view on a screen.
type drawer interface {
	// event is called for each event, after the view has taken it.
	event(v *view, ev record.Event, now time.Time)
	// tick is called about once a second.
	tick(v *view, now time.Time)
	// notice prints a line that stays.
	notice(text string)
	// clear takes the redrawn block away, before a question or the summary.
	clear()
}

func newDrawer(s *screen) drawer {
	if s.terminal {
		return &redrawer{canvas{screen: s}}
	}
	return &liner{w: s.w}
}

// redrawer draws the block over the one before.
type redrawer struct{ canvas }

func (d *redrawer) event(v *view, ev record.Event, now time.Time) {
	if ev.Kind == record.EventNotice && ev.Waiting == nil { // the block shows what it waits for
		d.notice(ev.Text)
	}
	d.tick(v, now)
}

func (d *redrawer) tick(v *view, now time.Time) {
	width, height := d.screen.size()
	lines := v.block(width, height, now)
	if len(lines) > 0 {
		lines[0] = d.screen.paint(bold, lines[0])
	}
	d.redraw(lines)
}

// lineEvery is the least time between two plain lines of progress.
const lineEvery = 5 * time.Second

// liner prints plain lines. It goes by the time of the events, so that the
// backlog of a move that is watched late is thinned out as well.
type liner struct {
	w     io.Writer
	phase record.Phase
	last  time.Time
	waits string // as printed last
}

func (l *liner) event(v *view, ev record.Event, now time.Time) {
	switch {
	case ev.Kind == record.EventNotice:
		l.notice(ev.Text)
	case ev.Phase != l.phase, ev.Waiting != nil && phaseText(ev.Phase, ev.Waiting) != l.waits:
		l.phase = ev.Phase
		l.notice(fmt.Sprintf("%s %s", clock(v.elapsed(now)), phaseText(ev.Phase, ev.Waiting)))
	}
	if ev.Waiting != nil {
		l.waits = phaseText(ev.Phase, ev.Waiting)
	}
	if ev.Progress != nil && ev.Time.Sub(l.last) >= lineEvery {
		l.last = ev.Time
		l.notice(v.oneLine(now))
	}
}

func (l *liner) tick(*view, time.Time) {}
func (l *liner) clear()                {}

func (l *liner) notice(text string) { _, _ = fmt.Fprintln(l.w, clean(text)) }
