package audit

import (
	"github.com/prometheus/client_golang/prometheus"
)

// Metrics are a watcher's figures for Prometheus, fed by its events.
type Metrics struct {
	findings *prometheus.GaugeVec
	rounds   prometheus.Counter
	failures prometheus.Counter
	success  prometheus.Gauge
	usn      prometheus.Gauge
}

// NewMetrics makes and registers them.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	m := &Metrics{
		findings: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "drover_directory_findings",
			Help: "Findings that there are at present, by code and severity."}, []string{"code", "severity"}),
		rounds: prometheus.NewCounter(prometheus.CounterOpts{Name: "drover_directory_watch_rounds_total",
			Help: "Looks at the directory that were completed."}),
		failures: prometheus.NewCounter(prometheus.CounterOpts{Name: "drover_directory_watch_failures_total",
			Help: "Looks at the directory that failed."}),
		success: prometheus.NewGauge(prometheus.GaugeOpts{Name: "drover_directory_watch_last_success_timestamp_seconds",
			Help: "When the directory was last looked at with success, in seconds since 1970."}),
		usn: prometheus.NewGauge(prometheus.GaugeOpts{Name: "drover_directory_usn",
			Help: "The controller's update sequence number up to which changes are known."}),
	}
	reg.MustRegister(m.findings, m.rounds, m.failures, m.success, m.usn)
	return m
}

// Observe counts one event.
func (m *Metrics) Observe(e Event) {
	switch e.Kind {
	case Appeared:
		m.findings.WithLabelValues(string(e.Finding.Code), string(e.Finding.Severity)).Inc()
	case Cleared:
		m.findings.WithLabelValues(string(e.Finding.Code), string(e.Finding.Severity)).Dec()
	case Failing:
		m.failures.Inc()
	case Round:
		m.rounds.Inc()
		m.success.Set(float64(e.Time.UnixMilli()) / 1000)
		m.usn.Set(float64(e.USN))
	}
}
