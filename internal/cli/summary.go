package cli

import (
	"fmt"
	"io"

	"drover/internal/record"
	"drover/internal/wire"
)

// printSummary shows what a finished move did: measured, not planned, values.
func printSummary(w io.Writer, r *record.Record) error {
	m := r.Summary
	if m == nil {
		_, err := fmt.Fprintf(w, "%s: %s\n", clean(r.VM), r.Phase)
		return err
	}
	src, dst := ends(r)
	s := sheet{title: fmt.Sprintf("Moved %s from %s to %s in %s", r.VM, src, dst, milliseconds(m.TotalMS))}
	if r.Kind == wire.Offline {
		s.add("moved", "%s of disks", size(m.DiskBytes))
	} else {
		s.add("blackout", "%s", milliseconds(m.BlackoutMS))
		s.add("moved", "%s of memory, %s of disks", size(m.MemoryBytes), size(m.DiskBytes))
	}
	if m.SeedBytes > 0 {
		s.add("not sent", "%s of disks, which %s had from before", size(m.SeedBytes), dst)
	}
	if m.Score != nil {
		s.add("predicted", "%s", scoreText(m.Score))
	}
	s.add("on the wire", "%s, %s", size(m.WireBytes), encryption(m))
	addCoding(&s, m.Coding)
	s.add("network", "%s", m.Network)
	for _, c := range m.Streams {
		s.add("streams", "%s: %s -> %s, %s", streamName(c), c.Local, c.Remote, size(c.WireBytes))
	}
	s.add("operator", "%s (%s)", m.Operator, signIn(m.SignIn))
	s.add("delegated", "%s for %q", m.DelegatedBy, m.DelegatedService)
	if m.StorageService != "" {
		s.add("delegated", "and %q", m.StorageService)
	}
	for _, f := range m.Removed {
		s.add("removed", "%s from %s", f, src)
	}
	for _, f := range m.Retained {
		s.add("retained", "%s on %s", f, src)
	}
	return s.print(w)
}

// ends names source and destination of a record, whichever side wrote it.
func ends(r *record.Record) (source, destination string) {
	if r.Plan != nil {
		return r.Plan.Source, r.Plan.Destination
	}
	if r.Role == record.Destination {
		return r.Peer, "this host"
	}
	return "this host", r.Peer
}

func encryption(m *record.Summary) string {
	if !m.Encrypted {
		return "not encrypted"
	}
	for _, c := range m.Streams {
		if c.Cipher != "" {
			return "encrypted (" + c.Cipher + ")"
		}
	}
	return "encrypted"
}

func streamName(c record.StreamProof) string {
	if c.Kind == "control" {
		return c.Kind
	}
	return fmt.Sprintf("%s %d", c.Kind, c.Index)
}

// signIn explains the authentication authority SIDs S-1-18-1 and S-1-18-2.
func signIn(s string) string {
	switch s {
	case "own-credentials":
		return "signed in with own credentials"
	case "service-asserted":
		return "asserted by the source host"
	}
	return s
}
