package agent

import (
	"runtime"

	"github.com/prometheus/client_golang/prometheus"

	"drover/internal/nbd"
	"drover/internal/ramstream"
	"drover/internal/seed"
	"drover/internal/settings"
	"drover/internal/stream"
	"drover/internal/tune"
)

// coder codes what this host's migrations send, all of them with the same few
// threads.
type coder struct {
	encoders *stream.Encoders
	host     tune.Host
}

func newCoder(s settings.Settings) *coder {
	e := stream.NewEncoders(s.CompressionCores.Of(runtime.NumCPU()))
	return &coder{encoders: e, host: newProcessors(e)}
}

// follow keeps to the settings.
func (c *coder) follow(s settings.Settings) {
	c.encoders.Resize(s.CompressionCores.Of(runtime.NumCPU()))
}

// metrics are what compressing takes.
func (c *coder) metrics() []prometheus.Collector {
	return []prometheus.Collector{
		prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "drover_compression_cpu_seconds_total",
			Help: "Time of processors that compressing took."}, func() float64 { return c.encoders.Spent().Seconds() }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "drover_compression_threads",
			Help: "Threads that compress, at most as many as the setting compression_cores allows."}, func() float64 { return float64(c.encoders.Threads()) }),
	}
}

func (c *coder) close() { c.encoders.Close() }

// code has a stream coded that carries what QEMU writes. The link may be expected
// to take so many bytes per second of it; 0 is unknown. refers: it comes out of seed.Refer.
func (c *coder) code(st *stream.Stream, pace float64, refers bool) {
	tuner := tune.New(c.host)
	tuner.Expect(pace)
	how := stream.Coding{Tuner: tuner, Encoders: c.encoders}
	switch st.Kind() {
	case stream.KindMemory:
		how.Scanner = ramstream.New()
	case stream.KindDisk:
		how.Scanner = nbd.New()
		if refers {
			how.Scanner = seed.NewScanner(nbd.New())
		}
	default:
		return
	}
	_ = st.SetCoding(how) // refused for other kinds only
}
