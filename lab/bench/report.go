package bench

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// The report keeps what stands between these lines, which a person writes.
const (
	notesBegin = "<!-- notes -->"
	notesEnd   = "<!-- end of notes -->"
)

// WriteReport reads reports of Run and writes them as one page of Markdown, with
// its plots in a directory of the same name beside it. The notes that are in the
// page already are kept. Two reports of one QEMU and libvirt are an error: their
// plots would have the same names.
func WriteReport(in []string, out string) error {
	var reports []*Report
	for _, path := range in {
		raw, err := os.ReadFile(path)
		if err != nil {
			return fmt.Errorf("report: %w", err)
		}
		r := new(Report)
		if err := json.Unmarshal(raw, r); err != nil {
			return fmt.Errorf("report %s: %w", path, err)
		}
		if slices.ContainsFunc(reports, func(other *Report) bool { return other.slug() == r.slug() }) {
			return fmt.Errorf("report %s: %s is there already", path, r.title())
		}
		reports = append(reports, r)
	}
	former, err := os.ReadFile(out)
	if err != nil && !os.IsNotExist(err) {
		return fmt.Errorf("report: %w", err)
	}
	plots := strings.TrimSuffix(out, filepath.Ext(out))
	if err := os.MkdirAll(plots, 0o755); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	for _, r := range reports {
		for _, g := range r.Guests {
			if err := os.WriteFile(filepath.Join(plots, r.plotName(g.Guest)), []byte(r.plot(g.Guest)), 0o644); err != nil {
				return fmt.Errorf("report: %w", err)
			}
		}
	}
	page := markdown(reports, filepath.Base(plots), notes(string(former)))
	if err := os.WriteFile(out, []byte(page), 0o644); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	return nil
}

// notes are what stands between the marks of a page, "" without them.
func notes(page string) string {
	_, rest, found := strings.Cut(page, notesBegin)
	text, _, ended := strings.Cut(rest, notesEnd)
	if !found || !ended {
		return ""
	}
	return strings.TrimSpace(text)
}

// title names the generation.
func (r *Report) title() string {
	return "QEMU " + cmp.Or(firstWord(r.Versions["qemu"]), "unknown") + ", libvirt " + cmp.Or(r.Versions["libvirt"], "unknown")
}

func (r *Report) slug() string { return "qemu-" + cmp.Or(firstWord(r.Versions["qemu"]), "unknown") }

func (r *Report) plotName(guest string) string { return r.slug() + "-" + guest + ".svg" }

func firstWord(s string) string {
	word, _, _ := strings.Cut(s, " ")
	return word
}

// page is Markdown that grows.
type page struct{ strings.Builder }

func (p *page) line(format string, args ...any) { fmt.Fprintf(p, format+"\n", args...) }

// row is one of a table; a cell must have no line break.
func (p *page) row(cells ...string) {
	for i, c := range cells {
		cells[i] = strings.ReplaceAll(strings.Join(strings.Fields(c), " "), "|", `\|`)
	}
	p.line("| %s |", strings.Join(cells, " | "))
}

func (p *page) head(cells ...string) {
	p.row(cells...)
	p.line("|%s", strings.Repeat("---|", len(cells)))
}

func markdown(reports []*Report, plots, notes string) string {
	p := new(page)
	p.line("# Benchmark")
	p.line("")
	p.line("Written by `drover-lab bench-report` from what `make bench` measured; only the notes are by hand. The same guests were")
	p.line("moved in turn by libvirt alone, by a relay that only copies, and by Drover, interleaved, in a lab of two hosts on one machine:")
	p.line("guests, both QEMUs, libvirt and both agents share its cores. Figures are medians of the rounds, in brackets the smallest")
	p.line("and the largest. Total time is from the operator's command to its end, blackout what the guest's heartbeat")
	p.line("showed (asked every 10 ms), wire bytes are the kernel's counters of the link, both directions, CPU seconds those of QEMU with")
	p.line("the guest in it, libvirt and agents together. Drover's ways are encrypted, but for those that end in `-plain`; the")
	p.line("best peer is the one of libvirt's unencrypted ways with the smallest median of the total time.")
	p.line("")
	p.line("%s", notesBegin)
	if notes != "" {
		p.line("%s", notes)
	}
	p.line("%s", notesEnd)
	for _, r := range reports {
		p.line("")
		p.line("## %s", r.title())
		r.versions(p)
		r.targets(p)
		r.composition(p)
		for _, g := range r.Guests {
			p.line("")
			p.line("### Guest %s", g.Guest)
			p.line("")
			p.line("![Total time and bytes on the wire of guest %s](%s/%s)", g.Guest, plots, r.plotName(g.Guest))
			for _, l := range r.Links {
				r.moves(p, g.Guest, l)
			}
		}
		r.missing(p)
	}
	return p.String()
}

func (r *Report) versions(p *page) {
	p.line("")
	p.head("what", "version")
	for _, key := range slices.Sorted(maps.Keys(r.Versions)) {
		p.row(key, r.Versions[key])
	}
	p.row("begun", r.Started)
	p.row("rounds", fmt.Sprint(r.Rounds))
	for _, l := range r.Links {
		p.row("link "+l.Name, fmt.Sprintf("one TCP connection carries %.0f Mbit/s", l.Measured/1e6))
	}
}

func (r *Report) targets(p *page) {
	p.line("")
	p.line("### Targets")
	p.line("")
	var rows [][]string
	met, measured := 0, 0
	for _, t := range targets() {
		cells := []string{cmp.Or(t.link, "all"), t.way, t.figure, cmp.Or(t.against, "at most"), fmt.Sprintf("<= %.2f", t.limit)}
		if t.against == absolute {
			cells[4] = "<= " + mib(t.limit)
		}
		any := false
		for _, g := range r.Guests {
			v := t.judge(r, g.Guest)
			cells = append(cells, v.cell(t))
			if v.measured {
				any = true
				measured++
			}
			if v.met {
				met++
			}
		}
		if any {
			rows = append(rows, cells)
		}
	}
	p.line("Ratios of medians; %d of %d are met. In brackets, where another of libvirt's unencrypted ways than the fastest", met, measured)
	p.line("has the smallest value of this figure: the ratio to that.")
	p.line("")
	head := []string{"link", "way", "figure", "against", "target"}
	for _, g := range r.Guests {
		head = append(head, g.Guest)
	}
	p.head(head...)
	for _, cells := range rows {
		p.row(cells...)
	}
}

func (r *Report) composition(p *page) {
	p.line("")
	p.line("### Guests")
	p.line("")
	p.line("Memory is all of the guest's, as its QEMU had it; filled is the part that the guest's program fills with real files, rows and random")
	p.line("bytes, rewrites, and verifies after each move. Of rewritten pages some change as a whole (more than a quarter of")
	p.line("their bytes), the others in as many bytes as the table says. Ratios are those of pages that are not zero.")
	p.line("")
	p.head("guest", "what", "memory", "zero pages", "`zstd -1`", "filled", "of it, in percent", "`zstd -1`", "changes as a whole", "else", "rewritten", "CPU at rest")
	for _, g := range r.Guests {
		what := g.Description
		if g.DiskBytes > 0 {
			what += "; disk content " + mib(g.DiskBytes)
		}
		filled := []string{"-", "-", "-", "-", "-"}
		if f := g.Filled; f != nil {
			filled = []string{mib(f.Bytes), f.Mix, number(f.Zstd1Ratio, "%.2f"), number(100*f.WholeShare, "%.0f %%"), number(f.PartialBytes, "%.0f bytes")}
		}
		cells := append([]string{g.Guest, what, mib(g.MemoryBytes), number(100*g.ZeroShare, "%.0f %%"), number(g.Zstd1Ratio, "%.2f")}, filled...)
		p.row(append(cells, number(g.DirtyBytes/(1<<20), "%.1f MiB/s"), number(g.RestCPU, "%.2f cores"))...)
	}
	var by []string
	for _, g := range r.Guests {
		for _, c := range []string{g.Compressor, filledBy(g)} {
			if c != "" && !slices.Contains(by, c) {
				by = append(by, c)
			}
		}
	}
	if len(by) > 0 {
		p.line("")
		p.line("Ratios are by %s.", strings.Join(by, ", and by "))
	}
}

func filledBy(c Content) string {
	if c.Filled == nil {
		return ""
	}
	return c.Filled.Compressor
}

// moves is the table of one guest on one link.
func (r *Report) moves(p *page, guest string, l Link) {
	all := r.outcomes(guest, l.Name)
	if len(all) == 0 {
		return
	}
	peer, _ := least(all, false, total)
	tls, _ := least(all, true, total)
	p.line("")
	p.line("#### %s, link %s", guest, l.Name)
	p.line("")
	p.head("way", "moves", "total s", "transfer s", "blackout ms", "of libvirt ms", "wire MiB", "CPU s", "of it agents", "agent MiB", "total : best", "total : TLS", "wire : best", "blackout : best", "CPU : best")
	var details []string
	for _, o := range all {
		name, moves := o.way.Name, fmt.Sprint(o.good)
		if peer != nil && name == peer.way.Name {
			name += " (best peer)"
		}
		if o.way.Encrypted {
			name += ", encrypted"
		}
		if len(o.failures) > 0 {
			moves += fmt.Sprintf(" of %d", o.tried())
		}
		p.row(name, moves, o.total.text(1000, "%.2f"), o.migration.text(1000, "%.2f"), o.gap.text(1, "%.0f"), o.blackout.text(1, "%.0f"),
			o.wire.text(1<<20, "%.0f"), o.cpu.text(1, "%.2f"), o.agentsCPU.text(1, "%.2f"), zeroDash(o.agents).text(1<<20, "%.0f"),
			o.to(peer, total), o.to(tls, total), o.to(peer, wired), o.to(peer, gap), o.to(peer, cpus))
		if len(o.details) > 0 {
			details = append(details, o.way.Name+": "+strings.Join(o.details, " / "))
		}
	}
	if len(details) > 0 {
		p.line("")
		p.line("What Drover chose: %s.", strings.Join(details, "; "))
	}
}

// zeroDash shows no memory of agents where there were none.
func zeroDash(s spread) spread {
	if s.high == 0 {
		return spread{median: math.NaN()}
	}
	return s
}

// to is the ratio to another outcome in a figure.
func (o outcome) to(other *outcome, of func(outcome) spread) string {
	if other == nil || of(o).n == 0 || of(*other).n == 0 {
		return "-"
	}
	return ratio(of(o).median, of(*other).median)
}

// missing lists what was not to be had and what failed.
func (r *Report) missing(p *page) {
	if len(r.Unavailable) > 0 {
		p.line("")
		p.line("### Not available")
		p.line("")
		for _, way := range slices.Sorted(maps.Keys(r.Unavailable)) {
			p.line("- %s: %s", way, r.Unavailable[way])
		}
	}
	r.failures(p)
}

// failures are the moves without a result; the same one in several rounds is one line.
func (r *Report) failures(p *page) {
	rounds := map[Sample][]string{}
	var failed []Sample
	for _, s := range r.Samples {
		if s.Failed == "" {
			continue
		}
		what := Sample{Guest: s.Guest, Link: s.Link, Way: s.Way, Failed: s.Failed}
		if rounds[what] == nil {
			failed = append(failed, what)
		}
		rounds[what] = append(rounds[what], fmt.Sprint(s.Round))
	}
	if len(failed) == 0 {
		return
	}
	p.line("")
	p.line("### Moves without a result")
	p.line("")
	p.head("guest", "link", "way", "rounds", "why")
	for _, s := range failed {
		p.row(s.Guest, s.Link, s.Way, strings.Join(rounds[s], ", "), s.Failed)
	}
}
