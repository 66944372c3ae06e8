package soak

import (
	"fmt"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
)

// Markdown is the section "Long run" of the page about faults.
func Markdown(r *Result) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("## Long run\n")
	line("%d moves of %d VMs over three hosts in %s, with faults at random points; seed %d, begun %s. The same again: `%s`.\n",
		r.Moves, len(r.VMs), r.Duration().Round(time.Second), r.Seed, r.Started.UTC().Format(time.DateTime+" UTC"), r.Replay(r.Only))
	if r.Stopped != "" {
		line("It ended early: %s.\n", r.Stopped)
	}
	line("QEMU %s, libvirt %s, Drover %s, Linux %s, %s cores.\n", r.Versions["qemu"], r.Versions["libvirt"], r.Versions["drover"], r.Versions["kernel"], r.Versions["cores"])
	r.verdict(line)
	r.faultTable(line)
	r.growthTable(line)
	return b.String()
}

func (r *Result) verdict(line func(string, ...any)) {
	line("| | |\n|---|---|")
	line("| running copies of a VM at any instant, at most | %d |", r.Copies)
	line("| looked for in | %s heartbeats, caught where they leave each host, and each libvirt's answers, 20 a second |", humanize.Comma(int64(r.Heartbeats)))
	line("| broken promises | %d |", len(r.Broken))
	line("| moves done, failed, cancelled | %d, %d, %d |", r.Outcomes["done"], r.Outcomes["failed"], r.Outcomes["cancelled"])
	line("")
	line("Broken would be: a second running copy, a guest that was lost or restarted, a page or sector that the guest finds wrong, a move that\n" +
		"does not settle by itself once the fault is over, journals of the two hosts that disagree, anything left behind, a VM that\n" +
		"cannot be moved after a move that failed.\n")
	for _, x := range r.Broken {
		line("- %s (`%s`)", escape(x.String()), r.Replay(x.Step))
	}
	if len(r.Broken) > 0 {
		line("")
	}
}

func (r *Result) faultTable(line func(string, ...any)) {
	line("| fault | moves | VM arrived | VM stayed | over before the fault | settled after, median | at most |\n|---|---|---|---|---|---|---|")
	for _, f := range r.Faults {
		median, most := "-", "-"
		if f.Fault != None && f.Moves > f.Missed {
			median, most = seconds(f.SettledMedianMS), seconds(f.SettledMaxMS)
		}
		line("| %s | %d | %d | %d | %d | %s | %s |", f.Fault.Title(), f.Moves, f.Done, f.Stayed, f.Missed, median, most)
	}
	line("")
}

func seconds(ms int64) string { return fmt.Sprintf("%.1f s", float64(ms)/1000) }

func (r *Result) growthTable(line func(string, ...any)) {
	if len(r.Growth) == 0 { // a single step
		return
	}
	line("| host | what | after the warm-up | at the end | allowed | moves of the host between |\n|---|---|---|---|---|---|")
	for _, f := range r.Growth {
		after := amount(f.After, f.Unit)
		if f.Grown() {
			after = "**" + after + "**"
		}
		line("| %s | %s | %s | %s | %s | %d |", f.Host, f.What, amount(f.Before, f.Unit), after, amount(f.Allowed, f.Unit), f.Moves)
	}
	line("\nAn agent's figures are of the process that lived longest. A move may add %s to a journal, which forgets moves after 90 days\n"+
		"but keeps the last 1000. Of domains, files, sockets, processes, mounts, interfaces and namespaces a census at the end has %s.",
		amount(JournalAllowance, "bytes"), censusSays(r.Grown))
	if len(r.LibvirtGrown) > 0 {
		line("Left by libvirt itself where it was killed: %s.", escape(strings.Join(r.LibvirtGrown, "; ")))
	}
}

func censusSays(grown []string) string {
	if len(grown) == 0 {
		return "no more than one after the warm-up"
	}
	return "more than one after the warm-up: " + escape(strings.Join(grown, "; "))
}

func amount(v int64, unit string) string {
	if unit == "bytes" {
		return humanize.IBytes(uint64(max(v, 0)))
	}
	return humanize.Comma(v)
}

// escape keeps what comes from elsewhere from being read as Markdown.
func escape(s string) string {
	return strings.NewReplacer("|", `\|`, "<", "&lt;", "*", `\*`, "_", `\_`, "#", `\#`, "\n", " ").Replace(s)
}
