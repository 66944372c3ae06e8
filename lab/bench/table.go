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

// median of figures in any order, NaN of none.
func median(of []float64) float64 {
	if len(of) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(of))
	return (sorted[(len(sorted)-1)/2] + sorted[len(sorted)/2]) / 2
}

// print writes the medians of each way, and how Drover does by its targets.
func (r *Report) print(w io.Writer) error {
	for _, guest := range r.Guests {
		for _, link := range r.Links {
			all := r.outcomes(guest.Guest, link.Name)
			if len(all) == 0 {
				continue
			}
			_, _ = fmt.Fprintf(w, "\n%s (%.0f Mbit/s measured), guest %s\n", link.Name, link.Measured/1e6, guest.Guest) // Flush tells of errors
			if err := printOutcomes(w, all); err != nil {
				return err
			}
		}
	}
	return r.printTargets(w)
}

// printOutcomes also has the ratios to that of libvirt's unencrypted ways with the
// smallest median of the total time, and to its TLS.
func printOutcomes(w io.Writer, all []outcome) error {
	peer, _ := least(all, false, total)
	tls, _ := least(all, true, total)
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', tabwriter.AlignRight)
	_, _ = fmt.Fprintln(t, "way\truns\ttotal\ttransfer\tblackout\tof libvirt\twire\tCPU\tagents' peak\ttotal:best\t:TLS\twire:best\tblackout:best\tCPU:best\t")
	for _, o := range all {
		runs := fmt.Sprint(o.good)
		if n := len(o.failures); n > 0 {
			runs += fmt.Sprintf(" (+%d failed)", n)
		}
		_, _ = fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t\n", o.way.Name, runs,
			seconds(o.total.median), seconds(o.migration.median), millis(o.gap.median), millis(o.blackout.median), mib(o.wire.median),
			number(o.cpu.median, "%.2f s"), mib(o.agents.median), o.to(peer, total), o.to(tls, total), o.to(peer, wired),
			o.to(peer, gap), o.to(peer, cpus))
	}
	return t.Flush()
}

func ratio(a, b float64) string {
	if b == 0 {
		return "-"
	}
	return number(a/b, "%.2f")
}

// printTargets writes a line for each target that a guest was measured for.
func (r *Report) printTargets(w io.Writer) error {
	_, _ = fmt.Fprintln(w, "\ntargets (in brackets the ratio to the smallest of any way)")
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	for _, target := range targets() {
		for _, guest := range r.Guests {
			v := target.judge(r, guest.Guest)
			if !v.measured {
				continue
			}
			limit, against := fmt.Sprintf("%.2f", target.limit), "to "+target.against
			if target.against == absolute {
				limit, against = mib(target.limit), ""
			}
			_, _ = fmt.Fprintf(t, "%s\t%s\t%s\t%s %s\t<= %s\t%s\n", cmp.Or(target.link, "all links"), guest.Guest, target.way, target.figure, against, limit, v.cell(target))
		}
	}
	return t.Flush()
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
