package soak

import (
	"slices"

	"drover/lab/census"
)

// Figure is one amount that must not grow from move to move.
type Figure struct {
	Host string `json:"host"`
	What string `json:"what"`
	Unit string `json:"unit"` // "" counts
	// Before is after the warm-up, After at the end, with so many moves of the host
	// between them.
	Before  int64 `json:"before"`
	After   int64 `json:"after"`
	Allowed int64 `json:"allowed"` // that After may be
	Moves   int   `json:"moves"`
}

// Grown reports whether there is more than is allowed.
func (f Figure) Grown() bool { return f.After > f.Allowed }

// What an agent's process may have more of at the end than at the beginning. Its
// memory is that of Go's runtime, which gives back late what a large transfer took;
// its pools of connections, to libvirt and within SQLite, fill as they are used. A
// leak of half a MiB, or of a goroutine or file in every sixth move, is beyond
// that in the stretch of a run of 200 moves in which no agent is ended.
const (
	RSSAllowance       = 24 << 20
	GoroutineAllowance = 8
	OpenFileAllowance  = 8
)

// JournalAllowance is what one move may add to a host's journal, with its events, the
// audit and the event log. The agent forgets moves after 90 days but never the last
// 1000, so 1000 times what is measured is what a quiet host keeps for good.
const JournalAllowance = 32 << 10

// Sample is what the agent of a host took after so many moves of that host.
type Sample struct {
	Host  string
	Moves int
	Agent census.Agent
}

// window is how many samples one end of a comparison is the median of.
const window = 5

// AgentFigures compares, for each host, the beginning and the end of its agent's
// longest life, by samples. The first samples of a life are not its beginning: they
// are of a process that has moved nothing yet. A life of fewer than three windows
// tells nothing.
func AgentFigures(samples []Sample) (figures []Figure) {
	for _, host := range Hosts() {
		life := longest(samples, host)
		if len(life) < 3*window {
			continue
		}
		begin, end := life[window:2*window], life[len(life)-window:]
		for _, f := range []struct {
			what, unit string
			allowance  int64
			of         func(census.Agent) int64
		}{
			{"agent: resident memory", "bytes", RSSAllowance, func(a census.Agent) int64 { return a.RSS }},
			{"agent: goroutines", "", GoroutineAllowance, func(a census.Agent) int64 { return int64(a.Goroutines) }},
			{"agent: open files", "", OpenFileAllowance, func(a census.Agent) int64 { return int64(a.OpenFiles) }},
		} {
			before := median(begin, f.of)
			figures = append(figures, Figure{Host: host, What: f.what, Unit: f.unit, Before: before, After: median(end, f.of),
				Allowed: before + f.allowance, Moves: end[window-1].Moves - begin[0].Moves})
		}
	}
	return figures
}

// longest gives the samples of the process of which there are most.
func longest(samples []Sample, host string) (life []Sample) {
	lives := map[string][]Sample{}
	for _, s := range samples {
		if s.Host != host {
			continue
		}
		all := append(lives[s.Agent.Start], s)
		if lives[s.Agent.Start] = all; len(all) > len(life) {
			life = all
		}
	}
	return life
}

func median(samples []Sample, of func(census.Agent) int64) int64 {
	values := make([]int64, len(samples))
	for i, s := range samples {
		values[i] = of(s.Agent)
	}
	slices.Sort(values)
	return values[len(values)/2]
}

// StateFigures compare an agent's state directory, each time while the agent is
// stopped: then SQLite has put away what it writes ahead.
func StateFigures(host string, before, after census.Size, moves int) []Figure {
	return []Figure{
		{Host: host, What: "files in the state directory", Before: int64(before.Files), After: int64(after.Files), Allowed: int64(before.Files), Moves: moves},
		{Host: host, What: "state directory", Unit: "bytes", Before: before.Bytes, After: after.Bytes, Allowed: before.Bytes + int64(moves)*JournalAllowance, Moves: moves},
	}
}
