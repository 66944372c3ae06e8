package stream

import (
	"crypto/tls"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// BenchmarkRelay compares three ways between two local sockets, in turns within
// one run, because only their ratio means something on a shared machine: the
// relay of this package with and without encryption, and io.Copy over plain TLS
// and over plain TCP.
func BenchmarkRelay(b *testing.B) {
	const size = 64 << 20
	ways := []struct {
		name string
		join func(near, far net.Conn) (wait func())
	}{
		{"relay", carried(b, newEnv(b, Timing{}))},
		{"plain", carried(b, newPlainEnv(b, Timing{}))},
		{"tls", func(near, far net.Conn) func() { return plain(b, near, far, true) }},
		{"tcp", func(near, far net.Conn) func() { return plain(b, near, far, false) }},
	}
	spent, worked := make([]time.Duration, len(ways)), make([]time.Duration, len(ways))
	for b.Loop() {
		for i, w := range ways {
			qs, near := unixPair(b)
			qd, far := unixPair(b)
			wait := w.join(near, far)
			start, before := time.Now(), processorTime(b)
			go func() {
				block := make([]byte, 256<<10)
				for range size / len(block) {
					if _, err := qs.Write(block); err != nil {
						b.Error(err)
						return
					}
				}
				qs.CloseWrite()
			}()
			if n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{qd}, make([]byte, 256<<10)); n != size || err != nil {
				b.Fatal(n, err)
			}
			spent[i] += time.Since(start)
			worked[i] += processorTime(b) - before
			qd.Close()
			wait()
			qs.Close()
		}
	}
	rate := func(i int) float64 { return float64(b.N) * size / 1e6 / spent[i].Seconds() }
	for i, w := range ways {
		b.ReportMetric(rate(i), w.name+"-MB/s")
		b.ReportMetric(worked[i].Seconds()/float64(b.N)/size*1e9, w.name+"-cpu-s/GB")
	}
	b.ReportMetric(rate(0)/rate(2), "relay/tls")
	b.ReportMetric(rate(0)/rate(3), "relay/tcp")
	b.ReportMetric(rate(1)/rate(3), "plain/tcp")
	b.ReportMetric(0, "ns/op")
}

// processorTime is what this process has used so far.
func processorTime(t testing.TB) time.Duration {
	t.Helper()
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// carried joins the two sockets by a stream of e.
func carried(b *testing.B, e *env) func(near, far net.Conn) func() {
	var index uint32
	return func(near, far net.Conn) func() {
		src, dst := e.pair(b, KindMemory, index)
		index++
		var wg sync.WaitGroup
		for s, c := range map[*Stream]net.Conn{src: near, dst: far} {
			wg.Go(func() {
				if _, err := Relay(e.ctx, s, c); err != nil {
					b.Error(err)
				}
			})
		}
		return wg.Wait
	}
}

// plain joins the two sockets by io.Copy over a connection without frames.
func plain(b *testing.B, near, far net.Conn, withTLS bool) (wait func()) {
	b.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer ln.Close()
	src, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	dst, err := ln.Accept()
	if err != nil {
		b.Fatal(err)
	}
	if withTLS {
		id, err := LoadOrCreateIdentity(b.TempDir(), "bench")
		if err != nil {
			b.Fatal(err)
		}
		src = tls.Client(src, &tls.Config{InsecureSkipVerify: true, DynamicRecordSizingDisabled: true}) //nolint:gosec // as Dial does
		dst = tls.Server(dst, &tls.Config{Certificates: []tls.Certificate{id.Certificate()}, DynamicRecordSizingDisabled: true})
		shaken := make(chan error, 1)
		go func() { shaken <- dst.(*tls.Conn).Handshake() }()
		if err := src.(*tls.Conn).Handshake(); err != nil {
			b.Fatal(err)
		}
		if err := <-shaken; err != nil {
			b.Fatal(err)
		}
	}
	var wg sync.WaitGroup
	pump := func(to, from net.Conn) {
		// Without splice and with the relay's block size: the same work.
		_, _ = io.CopyBuffer(struct{ io.Writer }{to}, struct{ io.Reader }{from}, make([]byte, 256<<10))
		to.Close()
		from.Close()
	}
	wg.Go(func() { pump(src, near) })
	wg.Go(func() { pump(far, dst) })
	return wg.Wait
}
