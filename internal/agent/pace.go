package agent

import (
	"net/netip"
	"sync"

	"drover/internal/settings"
	"drover/internal/stream"
)

// pacer holds this host's migrations together to the limits of its settings, as
// they are at the moment: one for the host and one for each network that has one,
// each direction by itself.
type pacer struct {
	settings func() settings.Settings

	mu     sync.Mutex
	limits map[paceKey]*stream.Limit
}

// paceKey is a network, or the host with the zero Prefix, and a direction.
type paceKey struct {
	network netip.Prefix
	d       stream.Direction
}

func newPacer(s func() settings.Settings) *pacer {
	return &pacer{settings: s, limits: map[paceKey]*stream.Limit{}}
}

// pace is a stream.Pace.
func (p *pacer) pace(local netip.Addr, d stream.Direction) (out []*stream.Limit) {
	s := p.settings()
	if s.Bandwidth > 0 {
		out = append(out, p.limit(paceKey{d: d}, s.Bandwidth))
	}
	for _, n := range s.Networks {
		if n.Bandwidth > 0 && n.Subnet.Contains(local) {
			out = append(out, p.limit(paceKey{n.Subnet, d}, n.Bandwidth))
		}
	}
	return out
}

func (p *pacer) limit(k paceKey, r settings.Rate) *stream.Limit {
	p.mu.Lock()
	defer p.mu.Unlock()
	l := p.limits[k]
	if l == nil {
		l = stream.NewLimit(r.BytesPerSecond())
		p.limits[k] = l
	}
	l.SetRate(r.BytesPerSecond())
	return l
}

// ofMove adds a limit of one move to those of the host.
func (p *pacer) ofMove(r settings.Rate) stream.Pace {
	if r == 0 {
		return p.pace
	}
	in, out := stream.NewLimit(r.BytesPerSecond()), stream.NewLimit(r.BytesPerSecond())
	return func(local netip.Addr, d stream.Direction) []*stream.Limit {
		own := in
		if d == stream.Out {
			own = out
		}
		return append(p.pace(local, d), own)
	}
}
