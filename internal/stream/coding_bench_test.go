package stream

import (
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"drover/internal/tune"
)

// BenchmarkCoded carries guests' pages from socket to socket in each mode, beside
// the same stream without a Coding, in turns.
func BenchmarkCoded(b *testing.B) {
	const times = 8
	for name, content := range map[string][]byte{"mixed": guest(8<<20, 9), "random": random(8 << 20)} {
		b.Run(name, func(b *testing.B) {
			e := newEnv(b, Timing{})
			ways := append([]tune.Mode{none}, modes...)
			spent, worked := make([]time.Duration, len(ways)), make([]time.Duration, len(ways))
			index := uint32(0)
			for b.Loop() {
				for i, mode := range ways {
					c := Coding{}
					if mode != none {
						c, _ = coding(b, mode)
						c.Tuner = constant(mode)
					}
					start, before := time.Now(), processorTime(b)
					e.once(b, index, c, content, times)
					spent[i] += time.Since(start)
					worked[i] += processorTime(b) - before
					index++
				}
			}
			size := float64(len(content)) * times * float64(b.N)
			for i, mode := range ways {
				label := "uncoded"
				if mode != none {
					label = modeLabels[mode]
				}
				b.ReportMetric(size/1e6/spent[i].Seconds(), label+"-MB/s")
				b.ReportMetric(worked[i].Seconds()/size*1e9, label+"-cpu-s/GB")
			}
			b.ReportMetric(0, "ns/op")
		})
	}
}

const none = tune.Mode(99)

var modeLabels = map[tune.Mode]string{tune.Carry: "carry", tune.S2: "s2", tune.FoldS2: "fold+s2",
	tune.FoldFast: "fold+fast", tune.FoldMore: "fold+more", tune.FoldMost: "fold+most"}

// once moves content so many times through one stream.
func (e *env) once(b *testing.B, index uint32, c Coding, content []byte, times int) {
	qs, qd, _, src, dst := e.codedPath(b, e.ctx, KindMemory, index, c)
	go func() {
		for range times {
			if _, err := qs.Write(content); err != nil {
				b.Error(err)
			}
		}
		qs.CloseWrite()
	}()
	if n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{qd}, make([]byte, 256<<10)); n != int64(len(content)*times) || err != nil {
		b.Fatal(n, err)
	}
	for _, c := range []net.Conn{qd, qs} {
		c.Close()
	}
	if a, b1 := <-src, <-dst; a.err != nil || b1.err != nil {
		b.Fatal(a.err, b1.err)
	}
}

// BenchmarkRoundTrip is how long it takes until what a program writes has come to
// the other end, and a byte back, with nothing else on the stream.
func BenchmarkRoundTrip(b *testing.B) {
	for _, size := range []int{1, 100 << 10} {
		for _, mode := range append([]tune.Mode{none}, modes...) {
			label := "uncoded"
			if mode != none {
				label = modeLabels[mode]
			}
			b.Run(fmt.Sprintf("%d bytes, %s", size, label), func(b *testing.B) {
				e := newEnv(b, Timing{})
				c := Coding{}
				if mode != none {
					c, _ = coding(b, mode)
					c.Tuner = constant(mode)
				}
				qs, qd, _, src, dst := e.codedPath(b, e.ctx, KindMemory, 0, c)
				content, room := guest(size, 1), make([]byte, size)
				for b.Loop() {
					if _, err := qs.Write(content); err != nil {
						b.Fatal(err)
					}
					if _, err := io.ReadFull(qd, room); err != nil {
						b.Fatal(err)
					}
					if _, err := qd.Write(room[:1]); err != nil {
						b.Fatal(err)
					}
					if _, err := io.ReadFull(qs, room[:1]); err != nil {
						b.Fatal(err)
					}
				}
				qs.Close()
				qd.Close()
				<-src
				<-dst
			})
		}
	}
}
