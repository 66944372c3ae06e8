package cli

import (
	"fmt"
	"io"
	"strings"

	"drover/internal/record"
	"drover/internal/wire"
)

// printPlan shows what a move will do, in a few lines.
func printPlan(w io.Writer, p *record.Plan) error {
	s := sheet{title: fmt.Sprintf("Plan: move %s (%s) from %s to %s", p.VM, kindText(p.Kind), p.Source, p.Destination)}
	for _, n := range p.Networks {
		s.add("network", "%s, %s -> %s", n.Subnet, n.Source, n.Destination)
	}
	for _, n := range p.Passed {
		s.add("passed over", "%s: %s", n.Subnet, clean(n.Reason))
	}
	if p.Kind != wire.Offline {
		s.add("memory", "%s, codec %s", size(p.MemoryBytes), clean(p.Codec))
		s.add("memory", "%s", connectionsText(p))
	}
	if p.Encryption == "" {
		s.add("encryption", "none: both hosts' policies turn it off")
	} else {
		s.add("encryption", "%s", p.Encryption)
	}
	for _, n := range p.Notes {
		s.add("note", "%s", clean(n))
	}
	for _, d := range p.Disks {
		s.add("disk "+clean(d.Target), "%s", diskText(d))
	}
	if len(p.LeftOut) > 0 {
		s.add("left out", "%s", clean(strings.Join(p.LeftOut, ", ")))
	}
	addPrediction(&s, p.Prediction)
	d := p.Delegation
	s.add("operator", "%s", d.Operator)
	s.add("delegation", "%s acts as %s (%s)", d.Account, d.Operator, methodText(d.Method))
	s.add("delegation", "for %q", d.Service)
	if d.StorageService != "" {
		s.add("delegation", "and %q", d.StorageService)
	}
	s.add("afterwards", "%s", afterwards(p))
	return s.print(w)
}

// connectionsText is the number of connections, with why there are so many.
func connectionsText(p *record.Plan) string {
	text := count(max(p.Connections, 1), "connection")
	if p.ConnectionsReason != "" {
		text += ": " + clean(p.ConnectionsReason)
	}
	return text
}

func kindText(k wire.MoveKind) string {
	switch k {
	case wire.Offline:
		return "shut off: definition and storage"
	case wire.Paused:
		return "paused, stays paused"
	}
	return "live"
}

func diskText(d record.DiskPlan) string {
	switch d.Action {
	case wire.Shared:
		return fmt.Sprintf("shared, stays in place: %s %s, %s", d.Format, size(d.VirtualBytes), d.SourcePath)
	case wire.Empty:
		if d.SourcePath != "" {
			return "medium left behind: " + d.SourcePath + "; the drive is empty after the move"
		}
		return "empty drive"
	}
	return fmt.Sprintf("%s %s, %s of %s in use, to %s", d.Action, d.Format, size(d.AllocatedBytes), size(d.VirtualBytes), d.DestinationPath)
}

// methodText says how the source comes to act for the operator, see
// record.Delegation.
func methodText(method string) string {
	switch method {
	case "ticket":
		return "the operator's own ticket"
	case "protocol-transition":
		return "protocol transition"
	}
	return method
}

func afterwards(p *record.Plan) string {
	if p.Keeps {
		return "disk files stay on " + p.Source
	}
	for _, d := range p.Disks {
		if d.Action == wire.Copy {
			return "definition and copied disk files are removed from " + p.Source
		}
	}
	return "the definition is removed from " + p.Source
}
