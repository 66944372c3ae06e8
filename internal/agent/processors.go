package agent

import (
	"bytes"
	"os"
	"runtime"
	"strconv"
	"sync"
	"time"

	"drover/internal/stream"
)

// lookEvery is how old the figure of idle processors may be.
const lookEvery = 250 * time.Millisecond

// processors tells tuners what there is to code with. It is a tune.Host.
type processors struct {
	encoders *stream.Encoders

	mu     sync.Mutex
	read   func([]byte) (int, error) // the beginning of /proc/stat
	looked time.Time
	last   ticks
	idle   float64
}

// ticks are the first line of /proc/stat: those of all processors since the start
// of the machine, and those of them in which there was nothing to do.
type ticks struct{ all, idle uint64 }

func newProcessors(e *stream.Encoders) *processors {
	// Until it was looked at twice: half of them.
	return &processors{encoders: e, read: readStat, idle: float64(runtime.NumCPU()) / 2}
}

// Encoders is how many threads there are for a stream.
func (p *processors) Encoders() float64 { return p.encoders.Share() }

// Idle is how many processors had nothing to do of late.
func (p *processors) Idle() float64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	if now.Sub(p.looked) < lookEvery {
		return p.idle
	}
	old := now.Sub(p.looked) > 8*lookEvery // what was long ago is not of late
	p.looked = now
	var b [512]byte
	n, err := p.read(b[:])
	t, ok := parseTicks(b[:n])
	if err != nil || !ok {
		return p.idle
	}
	if d := t.all - p.last.all; !old && t.all > p.last.all && t.idle >= p.last.idle {
		p.idle = float64(runtime.NumCPU()) * min(float64(t.idle-p.last.idle)/float64(d), 1)
	}
	p.last = t
	return p.idle
}

func readStat(b []byte) (int, error) {
	f, err := os.Open("/proc/stat")
	if err != nil {
		return 0, err
	}
	defer f.Close()
	return f.Read(b)
}

// parseTicks reads "cpu  user nice system idle iowait irq softirq steal ...";
// guests' time is part of the user's (proc_stat(5)), and not counted again.
func parseTicks(b []byte) (t ticks, ok bool) {
	line, _, _ := bytes.Cut(b, []byte("\n"))
	name, rest, _ := bytes.Cut(line, []byte(" "))
	if string(name) != "cpu" {
		return t, false
	}
	i := 0
	for _, field := range bytes.Fields(rest) {
		n, err := strconv.ParseUint(string(field), 10, 64)
		if err != nil {
			return ticks{}, false
		}
		if i < 8 {
			t.all += n
		}
		if i == 3 || i == 4 {
			t.idle += n
		}
		i++
	}
	return t, i >= 4
}
