package agent

import (
	"testing"

	"drover/internal/record"
)

// TestMetricsOfACodedMove: bytes by codec, and pages by what became of them, of the
// moves from this host only.
func TestMetricsOfACodedMove(t *testing.T) {
	c := coding(record.Coding{None: record.Tally{Blocks: 1, Before: 100, After: 100}, Zstd: record.Tally{Blocks: 2, Before: 900, After: 300}})
	if c == nil || c.Ratio != 2.5 {
		t.Fatalf("%+v", c)
	}
	if c := coding(record.Coding{}); c != nil {
		t.Errorf("of a stream that coded nothing: %+v", c)
	}
	c.Pages = record.Pages{Seen: 10, Zero: 4, Repeated: 3, Differences: 2}
	registry, m := newRegistry()
	for _, role := range []record.Role{record.Source, record.Source, record.Destination} {
		m.observe(record.Record{Role: role, Phase: record.Done, Summary: &record.Summary{Coding: c}})
	}
	m.observe(record.Record{Role: record.Source, Phase: record.Done, Summary: &record.Summary{}})
	got := map[string]float64{}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, metric := range f.GetMetric() {
			key := f.GetName()
			for _, l := range metric.GetLabel() {
				key += " " + l.GetValue()
			}
			got[key] = metric.GetCounter().GetValue()
		}
	}
	for key, want := range map[string]float64{
		"drover_coded_bytes_total none before": 200, "drover_coded_bytes_total none after": 200, "drover_coded_bytes_total s2 before": 0,
		"drover_coded_bytes_total zstd before": 1800, "drover_coded_bytes_total zstd after": 600,
		"drover_pages_total whole": 2, "drover_pages_total zero": 8, "drover_pages_total repeated": 6, "drover_pages_total difference": 4,
	} {
		if v, ok := got[key]; !ok || v != want {
			t.Errorf("%s: %v (%t), want %v", key, v, ok, want)
		}
	}
}
