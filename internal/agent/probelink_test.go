package agent

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"math"
	"testing"
	"time"

	"drover/internal/settings"
	"drover/internal/stream"
)

// pipe is a link of a steady rate that lets a burst through at first. Its clock
// goes on by what is asked of it.
type pipe struct {
	at          time.Time
	rate, burst float64
	trip        time.Duration
}

func (p *pipe) now() time.Time {
	p.at = p.at.Add(probeInterval)
	return p.at
}

func (p *pipe) TCPInfo() stream.TCPInfo {
	passed := p.at.Sub(time.Unix(0, 0)).Seconds()
	return stream.TCPInfo{BytesAcked: uint64(p.burst + p.rate*passed), RTT: p.trip}
}

func TestALinkIsMeasuredWithoutItsBurst(t *testing.T) {
	for name, p := range map[string]pipe{
		"slow":              {rate: 1e6},
		"shaped":            {rate: 12.5e6, burst: 2 << 20},
		"fast":              {rate: 1.2e9},
		"long":              {rate: 12.5e6, trip: 30 * time.Millisecond},
		"burst of 8 MiB":    {rate: 12.5e6, burst: 8 << 20},
		"hardly any at all": {rate: 2e4},
	} {
		t.Run(name, func(t *testing.T) {
			p.at = time.Unix(0, 0)
			got, err := measure(t.Context(), []probed{&p}, p.now)
			if err != nil || math.Abs(got/p.rate-1) > 0.02 {
				t.Errorf("%.0f bytes per second, %v; want %.0f", got, err, p.rate)
			}
			if took := p.at.Sub(time.Unix(0, 0)); took > time.Second {
				t.Errorf("it took %s", took)
			}
		})
	}
}

func TestALinkThatCarriesNothingIsNotMeasured(t *testing.T) {
	p := pipe{at: time.Unix(0, 0)}
	if r, err := measure(t.Context(), []probed{&p}, p.now); !errors.Is(err, errProbeShort) {
		t.Errorf("%f, %v", r, err)
	}
	gone, cancel := context.WithCancelCause(t.Context())
	why := errors.New("enough")
	cancel(why)
	p = pipe{at: time.Unix(0, 0), trip: time.Hour}
	if r, err := measure(gone, []probed{&p}, p.now); !errors.Is(err, why) {
		t.Errorf("%f, %v", r, err)
	}
}

func TestWhatTheProcessorsCanDo(t *testing.T) {
	m := &measurer{}
	if r := m.SendRate(); r <= 0 || r != m.SendRate() {
		t.Errorf("sends %f bytes per second", r)
	}
	text := bytes.Repeat([]byte("what can be packed "), 50_000)
	packed, took, ok := m.Pack(settings.Compression, text)
	if !ok || packed <= 0 || packed > len(text)/4 || took <= 0 {
		t.Errorf("%d of %d in %s, %v", packed, len(text), took, ok)
	}
	noise := make([]byte, 300<<10)
	_, _ = rand.Read(noise)
	if packed, _, ok := m.Pack(settings.Compression, noise); !ok || packed != len(noise) {
		t.Errorf("noise of %d is sent as %d, %v", len(noise), packed, ok)
	}
	if _, _, ok := m.Pack(settings.TCPIP, text); ok {
		t.Error("TCPIP packs")
	}
	if _, _, ok := m.Pack(settings.Compression, nil); ok {
		t.Error("nothing was packed")
	}
}
