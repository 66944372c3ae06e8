package bench

import (
	"encoding/xml"
	"fmt"
	"math"
	"strings"
)

// Sizes of a plot, in pixels.
const (
	plotLabel  = 170 // names of ways
	plotPanel  = 250 // a link
	plotBars   = 150 // of it, the longest bar
	plotLine   = 18  // a way
	plotHeader = 44
)

// plot draws a guest's moves as SVG: a column for each link, total time above,
// bytes on the wire below, a bar for the median of each way and a line from the
// smallest to the largest.
func (r *Report) plot(guest string) string {
	var columns []Link
	outcomes := map[string][]outcome{}
	var ways []Way
	for _, l := range r.Links {
		if all := r.outcomes(guest, l.Name); len(all) > 0 {
			columns, outcomes[l.Name] = append(columns, l), all
		}
	}
	for _, w := range r.Ways {
		for _, all := range outcomes {
			if named(all, w.Name) != nil {
				ways = append(ways, w)
				break
			}
		}
	}
	rows := []struct {
		title, format string
		unit          float64
		of            func(outcome) spread
	}{{"total time, s", "%.1f", 1000, total}, {"on the wire, MiB", "%.0f", 1 << 20, wired}}
	height := plotHeader + plotLine*len(ways)
	d := &drawing{}
	d.open(plotLabel+plotPanel*len(columns), 30+height*len(rows))
	d.text(8, 20, "start", 15, "#222", "guest "+guest+", "+r.title())
	for i, row := range rows {
		top := 30 + i*height
		for n, w := range ways {
			d.text(plotLabel-8, top+plotHeader+n*plotLine-2, "end", 12, "#222", w.Name)
		}
		for c, l := range columns {
			left := plotLabel + c*plotPanel
			d.text(left, top+18, "start", 12, "#222", l.Name+": "+row.title)
			panel{d, left, top + plotHeader, row.unit, row.format, row.of}.draw(ways, outcomes[l.Name])
		}
	}
	return d.close()
}

type panel struct {
	d         *drawing
	left, top int
	unit      float64
	format    string
	of        func(outcome) spread
}

func (p panel) draw(ways []Way, all []outcome) {
	most := 0.0
	for _, o := range all {
		if p.of(o).n > 0 {
			most = max(most, p.of(o).high)
		}
	}
	p.d.rect(p.left, p.top-plotLine, 1, plotLine*len(ways), "#999")
	for n, w := range ways {
		y := p.top + n*plotLine
		o := named(all, w.Name)
		switch {
		case o == nil:
			continue
		case p.of(*o).n == 0:
			p.d.text(p.left+6, y-2, "start", 11, "#b03020", "no move ended")
			continue
		}
		s := p.of(*o)
		scale := func(v float64) int { return int(math.Round(plotBars * v / max(most, 1))) }
		p.d.rect(p.left, y-13, max(scale(s.median), 1), 13, colour(w))
		if s.high > s.low {
			p.d.rect(p.left+scale(s.low), y-7, max(scale(s.high)-scale(s.low), 1), 1, "#222")
		}
		text := fmt.Sprintf(p.format, s.median/p.unit)
		if len(o.failures) > 0 {
			text += fmt.Sprintf(" (%d of %d)", o.good, o.tried())
		}
		p.d.text(p.left+scale(max(s.median, s.high))+6, y-2, "start", 11, "#222", text)
	}
}

// colour tells libvirt's ways, the relay and Drover's apart.
func colour(w Way) string {
	switch {
	case w.Name == compression:
		return "#d2691e"
	case strings.HasPrefix(w.Name, "drover"):
		return "#eda66b"
	case w.Peer && w.Encrypted:
		return "#4f6d8f"
	case w.Peer:
		return "#9db3c8"
	}
	return "#bdb7a4"
}

// drawing is SVG that grows; coordinates from the top left.
type drawing struct{ strings.Builder }

func (d *drawing) open(width, height int) {
	fmt.Fprintf(d, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %[1]d %d" font-family="sans-serif">`+"\n", width, height)
	d.rect(0, 0, width, height, "#fff")
}

func (d *drawing) rect(x, y, width, height int, fill string) {
	fmt.Fprintf(d, `<rect x="%d" y="%d" width="%d" height="%d" fill="%s"/>`+"\n", x, y, width, height, fill)
}

func (d *drawing) text(x, y int, anchor string, size int, fill, text string) {
	fmt.Fprintf(d, `<text x="%d" y="%d" text-anchor="%s" font-size="%d" fill="%s">`, x, y, anchor, size, fill)
	_ = xml.EscapeText(d, []byte(text)) // a Builder takes everything
	d.WriteString("</text>\n")
}

func (d *drawing) close() string {
	d.WriteString("</svg>\n")
	return d.String()
}
