package agent

import (
	"crypto/rand"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"drover/internal/predict"
	"drover/internal/settings"
	"drover/internal/stream"
	"drover/internal/tune"
)

// measurer tells predictions what this host's processors can do. It is a
// move.Measurer.
type measurer struct {
	// encoders tells how many threads of this host compress; nil: one.
	encoders func() float64

	once sync.Once
	rate float64
}

// calibration is what is sent to find out, in pieces as QEMU sends them.
const calibration, calibrationPiece = 32 << 20, 64 << 10

// SendRate is what one process here can send another over a socket, which is
// how QEMU's memory comes to the agent. It is measured once, in some
// milliseconds; 0 if it cannot be.
func (m *measurer) SendRate() float64 {
	m.once.Do(func() { m.rate = socketRate() })
	return m.rate
}

func socketRate() float64 {
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0
	}
	var ends [2]net.Conn
	for i, fd := range fds {
		f := os.NewFile(uintptr(fd), "calibration")
		ends[i], err = net.FileConn(f)
		f.Close()
		if err != nil {
			return 0
		}
		defer ends[i].Close()
	}
	piece := make([]byte, calibrationPiece)
	_, _ = rand.Read(piece) // documented never to fail
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() {
		for sent := 0; sent < calibration; sent += len(piece) {
			if _, err := ends[0].Write(piece); err != nil {
				return
			}
		}
	})
	began := time.Now()
	n, _ := io.CopyBuffer(io.Discard, io.LimitReader(ends[1], calibration), make([]byte, 1<<20))
	if n < calibration {
		return 0
	}
	return float64(n) / time.Since(began).Seconds()
}

// packBlock is what is compressed at once, less than on a memory stream, so that
// there are several to be timed.
const packBlock = 64 << 10

// Codings compresses a sample with each codec of a performance option.
func (m *measurer) Codings(how settings.Performance, sample []byte) (out []predict.Coding) {
	if how != settings.Compression || len(sample) == 0 {
		return nil
	}
	threads := 1.0
	if m.encoders != nil {
		threads = max(m.encoders(), 1)
	}
	for _, c := range sampled {
		if packed, pace := pack(c, sample); packed > 0 {
			out = append(out, predict.Coding{Ratio: float64(len(sample)) / float64(packed), Rate: pace * threads})
		}
	}
	return out
}

// sampled are the codecs that are tried on a sample: what a stream settles for on
// a slow link is like the last of them or better.
var sampled = []stream.Codec{stream.Codec(tune.S2), stream.Codec(tune.FoldFast), stream.Codec(tune.FoldMore)}

// pack gives the length of a compressed sample, 0 if it cannot be compressed, and
// the pace of the quickest block in bytes per second: the others may have waited
// for a processor.
func pack(c stream.Codec, sample []byte) (packed int, pace float64) {
	room := make([]byte, 0, 2*packBlock)
	// Once for nothing: the first block of an encoder pays for its tables.
	if _, err := c.Encode(room, sample[:min(len(sample), packBlock)]); err != nil {
		return 0, 0
	}
	for len(sample) > 0 {
		block := sample[:min(len(sample), packBlock)]
		began := time.Now()
		b, err := c.Encode(room, block)
		if err != nil {
			return 0, 0
		}
		pace = max(pace, float64(len(block))/max(time.Since(began), time.Microsecond).Seconds())
		packed += min(len(b), len(block))
		sample = sample[len(block):]
	}
	return packed, pace
}
