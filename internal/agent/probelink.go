package agent

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"sync"
	"time"

	"drover/internal/stream"
)

// A probe of the link, as the source makes it. What is acknowledged while TCP
// finds its pace, and what the first burst of a shaped link lets through, does
// not count: rates are those of the time after the warm-up.
const (
	probeStreams  = 4         // at most
	probeBlock    = 256 << 10 // incompressible, so that no device on the way shortens it
	probeWarmTime = 100 * time.Millisecond
	probeWarm     = 2 << 20 // or as soon as so many bytes have arrived
	probeSpan     = 100 * time.Millisecond
	probeBytes    = 4 << 20 // or as soon as so many more have: little of the processors' time on fast links
	probeInterval = 2 * time.Millisecond
	// By then a link of 2 Gbit/s and more is warm.
	probeSlow = 35 * time.Millisecond
	// A long way needs more time, in round trips.
	probeWarmTrips, probeTrips = 10, 5
)

// What a destination takes of one probe.
const (
	sinkBytes = 96 << 20
	sinkTime  = 5 * time.Second
)

var errProbeShort = errors.New("the probe ended before anything arrived")

// Probe sends random data to the destination, which drops them, and tells how
// many bytes per second its kernel acknowledged. slow is called as soon as it is
// certain that the link is not fast.
func (s *session) Probe(ctx context.Context, connections int, slow func()) (float64, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	block := make([]byte, probeBlock)
	_, _ = rand.Read(block) // documented never to fail
	var wg sync.WaitGroup
	defer wg.Wait()
	var streams []probed
	for i := range min(max(connections, 1), probeStreams) {
		st, err := s.dial(ctx, stream.KindProbe, uint32(i))
		if err != nil {
			return 0, err
		}
		defer st.Close() // before wg.Wait: it ends the writer
		streams = append(streams, st)
		wg.Go(func() {
			for ctx.Err() == nil {
				if _, err := st.Write(block); err != nil {
					return
				}
			}
		})
	}
	defer cancel()
	rate, err := measure(ctx, streams, time.Now, slow)
	if err == nil {
		s.pace.Store(int64(rate / float64(max(connections, 1))))
	}
	return rate, err
}

// probed is what the measurement needs to know of a stream.
type probed interface{ TCPInfo() stream.TCPInfo }

// measure waits for the warm-up and tells the rate of what comes then.
func measure(ctx context.Context, streams []probed, now func() time.Time, slow func()) (float64, error) {
	tick := time.NewTicker(probeInterval)
	defer tick.Stop()
	begin, before := now(), uint64(0)
	var warm time.Time
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return 0, context.Cause(ctx)
		}
		acked, trip := acknowledged(streams)
		at := now()
		switch {
		case warm.IsZero() && (acked >= probeWarm || at.Sub(begin) >= max(probeWarmTime, probeWarmTrips*trip)):
			warm, before = at, acked
		case warm.IsZero() && at.Sub(begin) >= probeSlow:
			slow()
		case warm.IsZero():
		case acked-before >= probeBytes || at.Sub(warm) >= max(probeSpan, probeTrips*trip):
			if acked <= before {
				return 0, errProbeShort
			}
			return float64(acked-before) / at.Sub(warm).Seconds(), nil
		}
	}
}

// acknowledged are the bytes that have arrived, and the longest round trip.
func acknowledged(streams []probed) (acked uint64, trip time.Duration) {
	for _, st := range streams {
		in := st.TCPInfo()
		acked += in.BytesAcked
		trip = max(trip, in.RTT)
	}
	return acked, trip
}

// sink takes a probe and drops it, within bounds; what ends it is of no interest.
func (in *inbound) sink(st *stream.Stream) {
	if in.probes.Add(1) > probeStreams {
		in.probes.Add(-1)
		st.Close()
		return
	}
	owned := in.relay.own(func(ctx context.Context) {
		defer in.probes.Add(-1)
		defer st.Close()
		ctx, cancel := context.WithTimeout(ctx, sinkTime)
		defer cancel()
		defer context.AfterFunc(ctx, func() { st.Close() })()
		_, _ = io.CopyN(io.Discard, st, sinkBytes)
	})
	if !owned {
		st.Close()
	}
}
