package api

import (
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"drover/internal/fault"
)

type metrics struct {
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
	signIns  *prometheus.CounterVec
	conns    prometheus.Gauge
}

func newMetrics(reg prometheus.Registerer) *metrics {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "drover_api_requests_total", Help: "Requests answered, by route and HTTP status."}, []string{"route", "status"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "drover_api_request_seconds", Help: "Time until a request was answered, streams of events excepted."}, []string{"route"}),
		signIns: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "drover_api_sign_ins_total", Help: "Sign-ins over TLS, by result: ok or the code of the refusal."}, []string{"result"}),
		conns: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "drover_api_connections", Help: "Connections open at present."}),
	}
	reg.MustRegister(m.requests, m.duration, m.signIns, m.conns)
	return m
}

// request counts by the route's pattern, which is bounded, not by path.
func (m *metrics) request(route string, status int, d time.Duration) {
	if route == "" || route == "/" {
		route = "none"
	}
	m.requests.WithLabelValues(route, strconv.Itoa(status)).Inc()
	if route != eventsRoute {
		m.duration.WithLabelValues(route).Observe(d.Seconds())
	}
}

func (m *metrics) signIn(err error) {
	result := "ok"
	if err != nil {
		result = string(fault.From(err).Code)
	}
	m.signIns.WithLabelValues(result).Inc()
}

// serveMetrics answers viewers, and whoever is on the host itself.
func (s *Server) serveMetrics() http.Handler {
	h := promhttp.HandlerFor(s.o.Registry, promhttp.HandlerOpts{})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := callerFrom(r.Context())
		if err := s.allow(c, Viewer); err != nil && !c.Local {
			writeProblem(w, err, s.o.Host)
			return
		}
		h.ServeHTTP(w, r)
	})
}
