package cli

import (
	"strings"
	"testing"

	"drover/internal/record"
)

func TestWhatCompressionDidIsShown(t *testing.T) {
	c := record.Coding{None: record.Tally{Blocks: 1, Before: 1 << 20, After: 1 << 20}, Zstd: record.Tally{Blocks: 9, Before: 9 << 20, After: 3 << 20},
		Pages: record.Pages{Seen: 2000, Zero: 200, Repeated: 30, Differences: 1000}}
	c = c.Plus(record.Coding{})
	s := sheet{title: "Moved"}
	addCoding(&s, &c)
	addCoding(&s, nil)
	var b strings.Builder
	if err := s.print(&b); err != nil {
		t.Fatal(err)
	}
	want := `Moved
  compressed  packed 2.5 : 1: 10 MiB became 4.0 MiB
              none of 1.0 MiB, zstd of 9.0 MiB
  pages       2000 looked at: 10% of zeros, 2% sent before, 50% sent as differences
`
	if b.String() != want {
		t.Errorf("got\n%s", b.String())
	}
	if r := rest(&record.Progress{WireBytes: 1 << 20, Coding: &c}); !strings.HasSuffix(r, "1.0 MiB on the wire, packed 2.5 : 1") {
		t.Errorf("progress: %q", r)
	}
}
