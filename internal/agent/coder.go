package agent

import (
	"runtime"

	"drover/internal/nbd"
	"drover/internal/ramstream"
	"drover/internal/stream"
	"drover/internal/tune"
)

// coder codes what this host's migrations send, all of them with the same few
// threads.
type coder struct {
	encoders *stream.Encoders
	host     tune.Host
}

func newCoder() *coder {
	e := stream.NewEncoders(max(runtime.NumCPU()/2, 1))
	return &coder{encoders: e, host: newProcessors(e)}
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
