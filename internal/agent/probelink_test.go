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
			slow := false
			got, err := measure(t.Context(), []probed{&p}, p.now, func() { slow = true })
			if err != nil || math.Abs(got/p.rate-1) > 0.02 {
				t.Errorf("%.0f bytes per second, %v; want %.0f", got, err, p.rate)
			}
			if took := p.at.Sub(time.Unix(0, 0)); took > time.Second {
				t.Errorf("it took %s", took)
			}
			if want := p.rate*probeSlow.Seconds()+p.burst < probeWarm; slow != want {
				t.Errorf("called slow: %t", slow)
			}
		})
	}
}

func TestALinkThatCarriesNothingIsNotMeasured(t *testing.T) {
	p := pipe{at: time.Unix(0, 0)}
	if r, err := measure(t.Context(), []probed{&p}, p.now, func() {}); !errors.Is(err, errProbeShort) {
		t.Errorf("%f, %v", r, err)
	}
	gone, cancel := context.WithCancelCause(t.Context())
	why := errors.New("enough")
	cancel(why)
	p = pipe{at: time.Unix(0, 0), trip: time.Hour}
	if r, err := measure(gone, []probed{&p}, p.now, func() {}); !errors.Is(err, why) {
		t.Errorf("%f, %v", r, err)
	}
}

func TestWhatTheProcessorsCanDo(t *testing.T) {
	m := &measurer{}
	if r := m.SendRate(); r <= 0 || r != m.SendRate() {
		t.Errorf("sends %f bytes per second", r)
	}
	text := bytes.Repeat([]byte("what can be packed "), 50_000)
	for _, c := range m.Codings(settings.Compression, text) {
		if c.Ratio < 4 || c.Rate <= 0 {
			t.Errorf("text: %+v", c)
		}
	}
	noise := make([]byte, 300_000)
	_, _ = rand.Read(noise)
	codings := m.Codings(settings.Compression, noise)
	for _, c := range codings {
		if c.Ratio != 1 {
			t.Errorf("noise: %+v", c)
		}
	}
	if len(codings) != len(sampled) {
		t.Errorf("%d of %d codecs", len(codings), len(sampled))
	}
	if c := m.Codings(settings.TCPIP, text); c != nil {
		t.Errorf("TCPIP: %+v", c)
	}
	if c := m.Codings(settings.Compression, nil); c != nil {
		t.Errorf("of nothing: %+v", c)
	}
	m.encoders = func() float64 { return 2 }
	if two := m.Codings(settings.Compression, text); len(two) != len(codings) || two[0].Rate <= 0 {
		t.Errorf("two encoders: %+v", two)
	}
}
