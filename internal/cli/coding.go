package cli

import (
	"fmt"
	"strings"

	"drover/internal/record"
)

// addCoding says what Compression made of what was sent.
func addCoding(s *sheet, c *record.Coding) {
	if c == nil {
		return
	}
	all := c.All()
	s.add("compressed", "%s: %s became %s", ratioText(c), size(all.Before), size(all.After))
	var codecs []string
	for _, t := range []struct {
		name  string
		tally record.Tally
	}{{"none", c.None}, {"s2", c.S2}, {"zstd", c.Zstd}} {
		if t.tally.Blocks > 0 {
			codecs = append(codecs, fmt.Sprintf("%s of %s", t.name, size(t.tally.Before)))
		}
	}
	s.add("compressed", "%s", strings.Join(codecs, ", "))
	if p := c.Pages; p.Seen > 0 {
		s.add("pages", "%d looked at: %d%% of zeros, %d%% sent before, %d%% sent as differences", p.Seen,
			share(p.Zero, p.Seen), share(p.Repeated, p.Seen), share(p.Differences, p.Seen))
	}
}

// ratioText is how much shorter it became.
func ratioText(c *record.Coding) string { return fmt.Sprintf("packed %.1f : 1", max(c.Ratio, 0)) }

// share is a part in percent.
func share(part, whole uint64) int {
	return int(float64(part)/float64(max(whole, 1))*100 + 0.5)
}
