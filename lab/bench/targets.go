package bench

import (
	"fmt"
	"math"
	"strings"
)

// The ways of Drover that targets are about.
const (
	compression = "drover-compression"
	tcpip       = "drover-tcpip"
	tcpipPlain  = "drover-tcpip-plain"
)

// What a target compares with.
const (
	bestPeer  = "best of libvirt's unencrypted ways"
	nativeTLS = "libvirt's TLS"
	ownTCPIP  = tcpip
	absolute  = "" // the limit is an amount of bytes
)

// target is a bound on a ratio of medians, or on the largest value.
type target struct {
	link    string // "" for every link
	way     string
	figure  string
	of      func(outcome) spread
	against string
	limit   float64
}

// targets are what Drover is held to. The best way of libvirt is the one with the smallest
// median of the total time, for every figure.
func targets() []target {
	var all []target
	add := func(link, way, figure string, of func(outcome) spread, against string, limit float64) {
		all = append(all, target{link, way, figure, of, against, limit})
	}
	for _, l := range []struct {
		link             string
		total, tls, wire float64
	}{{"100M", 0.5, 0.4, 0.5}, {"1G", 0.85, 0.6, 0.85}, {"10G", 1.0, 0.7, 1.0}, {unshaped, 1.15, 0.6, 0}} {
		add(l.link, compression, "total time", total, bestPeer, l.total)
		add(l.link, compression, "total time", total, nativeTLS, l.tls)
		if l.wire > 0 {
			add(l.link, compression, "wire bytes", wired, bestPeer, l.wire)
		}
		add(l.link, compression, "blackout", gap, bestPeer, 1.0)
	}
	add(unshaped, tcpipPlain, "total time", total, bestPeer, 1.05)
	add(unshaped, tcpipPlain, "blackout", gap, bestPeer, 1.0)
	for _, link := range []string{"1G", "10G"} {
		add(link, compression, "CPU seconds", cpus, bestPeer, 1.2)
	}
	for _, link := range allLinks {
		add(link, compression, "total time", total, ownTCPIP, 1.05)
	}
	add("", compression, "agent's memory", memory, absolute, 256<<20)
	add("", tcpip, "agent's memory", memory, absolute, 256<<20)
	return all
}

// verdict is what became of a target with one guest.
type verdict struct {
	measured bool
	met      bool
	// value is the ratio, or the bytes; NaN where there is none although it was
	// measured, and note says why.
	value float64
	// strict is the ratio to the smallest of any of libvirt's unencrypted ways in
	// this figure, NaN where that is no other.
	strict float64
	note   string
}

// judge holds a target against the moves of a guest. A target without a link
// looks at the largest value of all links.
func (t target) judge(r *Report, guest string) verdict {
	if t.against == absolute {
		return t.judgeLargest(r, guest)
	}
	v := verdict{value: math.NaN(), strict: math.NaN()}
	all := r.outcomes(guest, t.link)
	ours := named(all, t.way)
	if ours == nil {
		return v
	}
	peer, tried := t.peer(all)
	switch mine := t.of(*ours); {
	case !tried:
		return v
	case ours.good == 0:
		v.measured, v.note = true, "no move ended"
	case peer == nil:
		v.measured, v.met, v.note = true, true, "no move of the other ended"
	case mine.n == 0 || t.of(*peer).n == 0 || t.of(*peer).median == 0:
		return v
	default:
		v.measured = true
		v.value = mine.median / t.of(*peer).median
		// What is shown is what is judged.
		v.met = math.Round(v.value*100)/100 <= t.limit
		if strict, _ := least(all, false, t.of); t.against == bestPeer && strict != nil && strict.way.Name != peer.way.Name && t.of(*strict).median > 0 {
			v.strict = mine.median / t.of(*strict).median
		}
	}
	if n := len(ours.failures); n > 0 && ours.good > 0 {
		v.note = strings.TrimPrefix(v.note+fmt.Sprintf(", %d of %d moves failed", n, ours.tried()), ", ")
		v.met = v.met && n < ours.good // a median of few that went well proves nothing
	}
	return v
}

func (t target) peer(all []outcome) (o *outcome, tried bool) {
	switch t.against {
	case nativeTLS:
		return least(all, true, total)
	case bestPeer:
		return least(all, false, total)
	}
	other := named(all, t.against)
	if other == nil || other.good == 0 {
		return nil, other != nil
	}
	return other, true
}

func (t target) judgeLargest(r *Report, guest string) verdict {
	v := verdict{value: math.NaN(), strict: math.NaN()}
	for _, link := range r.Links {
		if o := named(r.outcomes(guest, link.Name), t.way); o != nil && t.of(*o).n > 0 && !(v.value >= t.of(*o).high) {
			v.value = t.of(*o).high
		}
	}
	v.measured = !math.IsNaN(v.value)
	v.met = v.measured && v.value <= t.limit
	return v
}

// cell is the verdict in a table.
func (v verdict) cell(t target) string {
	if !v.measured {
		return "-"
	}
	text := v.note
	if !math.IsNaN(v.value) {
		text = fmt.Sprintf("%.2f", v.value)
		if t.against == absolute {
			text = mib(v.value)
		}
		if !math.IsNaN(v.strict) {
			text += fmt.Sprintf(" (%.2f)", v.strict)
		}
		if v.note != "" {
			text += ", " + v.note
		}
	}
	if !v.met {
		return text + " **missed**"
	}
	return text
}
