package agent

import (
	"crypto/rand"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"drover/internal/settings"
	"drover/internal/stream"
)

// measurer tells predictions what this host's processors can do. It is a
// move.Measurer.
type measurer struct {
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

// Pack compresses a sample with the codec of a performance option. took is what it
// takes at the pace of the quickest block: the others may have waited for a
// processor.
func (m *measurer) Pack(how settings.Performance, sample []byte) (packed int, took time.Duration, ok bool) {
	if how != settings.Compression || len(sample) == 0 {
		return 0, 0, false
	}
	room := make([]byte, 0, 2*packBlock)
	// Once for nothing: the first block of an encoder pays for its tables.
	if _, err := stream.Compression.Encode(room, sample[:min(len(sample), packBlock)]); err != nil {
		return 0, 0, false
	}
	size, pace := len(sample), 0.0 // bytes per second
	for len(sample) > 0 {
		block := sample[:min(len(sample), packBlock)]
		began := time.Now()
		b, err := stream.Compression.Encode(room, block)
		if err != nil {
			return 0, 0, false
		}
		pace = max(pace, float64(len(block))/max(time.Since(began), time.Microsecond).Seconds())
		packed += min(len(b), len(block))
		sample = sample[len(block):]
	}
	return packed, time.Duration(float64(size) / pace * float64(time.Second)), true
}
