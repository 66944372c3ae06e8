package agent

import (
	"runtime"

	"drover/internal/nbd"
	"drover/internal/ramstream"
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

func (c *coder) close() { c.encoders.Close() }

// code has a stream coded that carries what QEMU writes.
func (c *coder) code(st *stream.Stream) {
	how := stream.Coding{Tuner: tune.New(c.host), Encoders: c.encoders}
	switch st.Kind() {
	case stream.KindMemory:
		how.Scanner = ramstream.New()
	case stream.KindDisk:
		how.Scanner = nbd.New()
	default:
		return
	}
	_ = st.SetCoding(how) // refused for other kinds only
}
