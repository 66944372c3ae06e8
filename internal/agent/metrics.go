package agent

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"drover/internal/record"
)

// moveMetrics are what GET /metrics shows of moves, beside the API's own.
type moveMetrics struct {
	ended    *prometheus.CounterVec
	bytes    *prometheus.CounterVec
	coded    *prometheus.CounterVec
	pages    *prometheus.CounterVec
	total    prometheus.Histogram
	blackout prometheus.Histogram
}

// newRegistry begins with this process itself: its goroutines, memory and open files.
func newRegistry() (*prometheus.Registry, *moveMetrics) {
	m := &moveMetrics{
		ended: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "drover_moves_total",
			Help: "Moves that ended, by this host's role, phase (done, failed, cancelled) and error code."}, []string{"role", "phase", "code"}),
		bytes: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "drover_moved_bytes_total",
			Help: "Bytes of moves that left this host, by what: memory, disk, wire."}, []string{"what"}),
		coded: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "drover_coded_bytes_total",
			Help: "Bytes that moves from this host sent under Compression, by codec (none, s2, zstd), before and after it."}, []string{"codec", "side"}),
		pages: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "drover_pages_total",
			Help: "Pages of 4 KiB that moves from this host sent, by how: whole, zero, repeated, difference."}, []string{"as"}),
		total: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "drover_move_seconds",
			Help: "Duration of successful moves from this host.", Buckets: prometheus.ExponentialBuckets(1, 2, 14)}),
		blackout: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "drover_blackout_seconds",
			Help: "Time during which the guest did not run, in successful moves from this host.", Buckets: prometheus.ExponentialBuckets(0.02, 2, 10)}),
	}
	r := prometheus.NewRegistry()
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		m.ended, m.bytes, m.coded, m.pages, m.total, m.blackout)
	return r, m
}

// observe counts a move that is over.
func (m *moveMetrics) observe(rec record.Record) {
	code := ""
	if rec.Error != nil {
		code = string(rec.Error.Code)
	}
	m.ended.WithLabelValues(string(rec.Role), string(rec.Phase), code).Inc()
	if s := rec.Summary; s != nil && rec.Phase == record.Done && rec.Role == record.Source {
		m.bytes.WithLabelValues("memory").Add(float64(s.MemoryBytes))
		m.bytes.WithLabelValues("disk").Add(float64(s.DiskBytes))
		m.bytes.WithLabelValues("wire").Add(float64(s.WireBytes))
		m.observeCoding(s.Coding)
		m.total.Observe(float64(s.TotalMS) / 1000)
		m.blackout.Observe(float64(s.BlackoutMS) / 1000)
	}
}

func (m *moveMetrics) observeCoding(c *record.Coding) {
	if c == nil {
		return
	}
	for codec, t := range map[string]record.Tally{"none": c.None, "s2": c.S2, "zstd": c.Zstd} {
		m.coded.WithLabelValues(codec, "before").Add(float64(t.Before))
		m.coded.WithLabelValues(codec, "after").Add(float64(t.After))
	}
	p := c.Pages
	other := p.Zero + p.Repeated + p.Differences
	m.pages.WithLabelValues("whole").Add(float64(max(p.Seen, other) - other))
	m.pages.WithLabelValues("zero").Add(float64(p.Zero))
	m.pages.WithLabelValues("repeated").Add(float64(p.Repeated))
	m.pages.WithLabelValues("difference").Add(float64(p.Differences))
}
