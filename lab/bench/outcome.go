package bench

import (
	"fmt"
	"math"
	"slices"
)

// spread is what the rounds gave for one figure; NaN throughout when none of them
// could be measured.
type spread struct {
	n                 int
	median, low, high float64
}

// spreadOf leaves out what is below 0: it could not be measured.
func spreadOf(all []float64) spread {
	measured := slices.DeleteFunc(slices.Clone(all), func(v float64) bool { return v < 0 || math.IsNaN(v) })
	if len(measured) == 0 {
		return spread{0, math.NaN(), math.NaN(), math.NaN()}
	}
	return spread{len(measured), median(measured), slices.Min(measured), slices.Max(measured)}
}

// text is "1.20 (1.11-1.60)" after division by unit, "-" for nothing.
func (s spread) text(unit float64, format string) string {
	if s.n == 0 {
		return "-"
	}
	mid := fmt.Sprintf(format, s.median/unit)
	low, high := fmt.Sprintf(format, s.low/unit), fmt.Sprintf(format, s.high/unit)
	if s.n == 1 || low == high {
		return mid
	}
	return mid + " (" + low + "-" + high + ")"
}

// outcome is what the rounds of one way with one guest on one link gave.
type outcome struct {
	way                                                           Way
	good                                                          int
	failures                                                      []string // why, of each move without a result
	details                                                       []string // what Drover chose, each once
	total, migration, gap, blackout, wire, cpu, agents, agentsCPU spread
}

// outcomes are those of the ways that were tried, in the report's order.
func (r *Report) outcomes(guest, link string) []outcome {
	var all []outcome
	for _, w := range r.Ways {
		o := outcome{way: w}
		var good []Sample
		for _, s := range r.Samples {
			switch {
			case s.Way != w.Name || s.Guest != guest || s.Link != link:
			case s.Failed != "":
				o.failures = append(o.failures, s.Failed)
			default:
				good = append(good, s)
				if s.Detail != "" && !slices.Contains(o.details, s.Detail) {
					o.details = append(o.details, s.Detail)
				}
			}
		}
		if len(good)+len(o.failures) == 0 {
			continue
		}
		o.good = len(good)
		of := func(f func(Sample) float64) spread {
			values := make([]float64, len(good))
			for i, s := range good {
				values[i] = f(s)
			}
			return spreadOf(values)
		}
		o.total = of(func(s Sample) float64 { return float64(s.TotalMS) })
		o.migration = of(func(s Sample) float64 { return float64(s.MigrationMS) })
		o.gap = of(func(s Sample) float64 { return float64(s.BlackoutGuestMS) })
		o.blackout = of(func(s Sample) float64 { return float64(s.BlackoutLibvirtMS) })
		o.wire = of(func(s Sample) float64 { return float64(s.WireBytes) })
		o.cpu = of(Sample.cpu)
		o.agentsCPU = of(func(s Sample) float64 { return s.CPUAgents })
		o.agents = of(func(s Sample) float64 { return float64(s.AgentPeak) })
		all = append(all, o)
	}
	return all
}

// tried counts the moves.
func (o outcome) tried() int { return o.good + len(o.failures) }

// named is the outcome of a way, nil if it was not tried.
func named(all []outcome, way string) *outcome {
	for i := range all {
		if all[i].way.Name == way {
			return &all[i]
		}
	}
	return nil
}

// least is the outcome of the peers (encrypted or not) whose median of the figure
// is smallest, nil without one; tried tells whether there was a peer at all.
func least(all []outcome, encrypted bool, of func(outcome) spread) (o *outcome, tried bool) {
	for i := range all {
		if !all[i].way.Peer || all[i].way.Encrypted != encrypted {
			continue
		}
		tried = true
		if of(all[i]).n > 0 && (o == nil || of(all[i]).median < of(*o).median) {
			o = &all[i]
		}
	}
	return o, tried
}

func total(o outcome) spread  { return o.total }
func wired(o outcome) spread  { return o.wire }
func gap(o outcome) spread    { return o.gap }
func cpus(o outcome) spread   { return o.cpu }
func memory(o outcome) spread { return o.agents }
