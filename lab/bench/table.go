package bench

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"slices"
	"text/tabwriter"
)

// String is the sample in one line.
func (s Sample) String() string {
	where := fmt.Sprintf("%s, %s, round %d: %s", s.Link, s.Guest, s.Round, s.Way)
	if s.Failed != "" {
		return where + ": FAILED: " + s.Failed
	}
	text := fmt.Sprintf("%s: %s (transfer %s), blackout %s (libvirt %s), %s on the wire, CPU %s (QEMU %.2f, libvirt %.2f, agents %.2f)",
		where, seconds(s.TotalMS), seconds(s.MigrationMS), millis(s.BlackoutGuestMS), millis(s.BlackoutLibvirtMS), mib(s.WireBytes),
		fmt.Sprintf("%.2f s", s.cpu()), s.CPUQEMU, s.CPULibvirt, s.CPUAgents)
	if s.AgentPeak > 0 {
		text += ", peak " + mib(s.AgentPeak)
	}
	if s.Detail != "" {
		text += ", " + s.Detail
	}
	return text
}

func (s Sample) cpu() float64 { return s.CPUQEMU + s.CPULibvirt + s.CPUAgents }

// row is what the rounds of one way with one guest on one link came to.
type row struct {
	way       Way
	n, failed int
	// Medians of the moves that went well, NaN without one.
	total, migration, gap, blackout, wire, cpu, peak float64
}

func (r *Report) row(w Way, guest, link string) row {
	out := row{way: w}
	var good []Sample
	for _, s := range r.Samples {
		switch {
		case s.Way != w.Name || s.Guest != guest || s.Link != link:
		case s.Failed != "":
			out.failed++
		default:
			good = append(good, s)
		}
	}
	of := func(f func(Sample) float64) float64 {
		var all []float64
		for _, s := range good {
			all = append(all, f(s))
		}
		return median(all)
	}
	out.n = len(good)
	out.total = of(func(s Sample) float64 { return float64(s.TotalMS) })
	out.migration = of(func(s Sample) float64 { return float64(s.MigrationMS) })
	out.gap = of(func(s Sample) float64 { return float64(s.BlackoutGuestMS) })
	out.blackout = of(func(s Sample) float64 { return float64(s.BlackoutLibvirtMS) })
	out.wire = of(func(s Sample) float64 { return float64(s.WireBytes) })
	out.cpu = of(Sample.cpu)
	out.peak = of(func(s Sample) float64 { return float64(s.AgentPeak) })
	return out
}

// median of figures in any order, NaN of none.
func median(of []float64) float64 {
	if len(of) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(of))
	return (sorted[(len(sorted)-1)/2] + sorted[len(sorted)/2]) / 2
}

// best is the smallest figure of the rows that are wanted; NaN without one.
func best(rows []row, wanted func(Way) bool, of func(row) float64) float64 {
	b := math.NaN()
	for _, r := range rows {
		if v := of(r); wanted(r.way) && r.n > 0 && !(b <= v) {
			b = v
		}
	}
	return b
}

// print writes the medians, and how Drover compares with the best peer.
func (r *Report) print(w io.Writer) error {
	for _, link := range r.Links {
		for _, guest := range r.Guests {
			var rows []row
			for _, way := range r.Ways {
				if one := r.row(way, guest.Guest, link.Name); one.n+one.failed > 0 {
					rows = append(rows, one)
				}
			}
			if len(rows) == 0 {
				continue
			}
			if err := printRows(w, link, guest.Guest, rows); err != nil {
				return err
			}
		}
	}
	return nil
}

func printRows(w io.Writer, link Link, guest string, rows []row) error {
	peer := func(w Way) bool { return w.Peer && !w.Encrypted }
	tls := func(w Way) bool { return w.Peer && w.Encrypted }
	total := func(r row) float64 { return r.total }
	wire := func(r row) float64 { return r.wire }
	gap := func(r row) float64 { return r.gap }
	cpu := func(r row) float64 { return r.cpu }
	_, err := fmt.Fprintf(w, "\n%s (measured %.0f Mbit/s), guest %s; ratios are to the best of libvirt's unencrypted ways\n", link.Name, link.Measured/1e6, guest)
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', tabwriter.AlignRight)
	_, _ = fmt.Fprintln(t, "way\truns\ttotal\ttransfer\tblackout\tof libvirt\twire\tCPU\tagents' peak\ttotal:best\t:TLS\twire:best\tblackout:best\tCPU:best\t")
	for _, r := range rows {
		runs := fmt.Sprint(r.n)
		if r.failed > 0 {
			runs += fmt.Sprintf(" (+%d failed)", r.failed)
		}
		_, _ = fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t\n", r.way.Name, runs, seconds(r.total), seconds(r.migration),
			millis(r.gap), millis(r.blackout), mib(r.wire), number(r.cpu, "%.2f s"), mib(r.peak),
			ratio(r.total, best(rows, peer, total)), ratio(r.total, best(rows, tls, total)), ratio(r.wire, best(rows, peer, wire)),
			ratio(r.gap, best(rows, peer, gap)), ratio(r.cpu, best(rows, peer, cpu)))
	}
	return cmp.Or(err, t.Flush()) // Flush tells of errors
}

func ratio(a, b float64) string {
	if b == 0 {
		return "-"
	}
	return number(a/b, "%.2f")
}

func seconds[T int64 | float64](ms T) string { return number(float64(ms)/1000, "%.2f s") }

func millis[T int64 | float64](ms T) string { return number(float64(ms), "%.0f ms") }

func mib[T int64 | float64](bytes T) string { return number(float64(bytes)/(1<<20), "%.0f MiB") }

// number is "-" for what could not be measured.
func number(v float64, format string) string {
	if math.IsNaN(v) || math.IsInf(v, 0) || v < 0 {
		return "-"
	}
	return fmt.Sprintf(format, v)
}
