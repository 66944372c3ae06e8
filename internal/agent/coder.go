package agent

import (
	"net"
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
	n := max(runtime.NumCPU()/2, 1)
	return &coder{encoders: stream.NewEncoders(n), host: processors(n)}
}

func (c *coder) close() { c.encoders.Close() }

// code has a stream coded that carries what QEMU writes to local, and gives what
// takes the place of local.
func (c *coder) code(st *stream.Stream, local net.Conn) net.Conn {
	how := stream.Coding{Tuner: tune.New(c.host), Encoders: c.encoders}
	switch st.Kind() {
	case stream.KindMemory:
		how.Scanner = ramstream.New()
	case stream.KindDisk:
		how.Scanner = nbd.New()
		// The destination makes each disk anew, for one connection to write to.
		local = nbd.Sparse(local, st.Index()&(1<<channelBits-1) == 0)
	default:
		return local
	}
	_ = st.SetCoding(how) // refused for other kinds only
	return local
}

// processors is so many threads that compress.
type processors int

func (p processors) Encoders() float64 { return float64(p) }
func (p processors) Idle() float64     { return float64(runtime.NumCPU()) / 2 }
