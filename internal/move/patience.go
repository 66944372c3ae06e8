package move

import (
	"context"
	"strconv"
	"time"

	"drover/internal/fault"
	"drover/internal/wire"
)

// A peer that is authenticated and means ill can keep every connection alive and do
// nothing. What waits for it waits for a time that no honest one takes.

// silent is the fault of a peer that was waited for in vain.
func (m *Manager) silent(peer string, within time.Duration) error {
	return fault.New(fault.PeerSilent, m.opt.Host, "peer", peer, "seconds", strconv.Itoa(int(within.Seconds())))
}

// stall tells when the data streams of a move have stood still for too long.
type stall struct {
	limit time.Duration
	bytes uint64
	since time.Time
}

func (s *stall) over(streams []StreamProof, now time.Time) bool {
	n := payload(streams, StreamMemory) + payload(streams, StreamDisk)
	if s.since.IsZero() || n != s.bytes {
		s.bytes, s.since = n, now
	}
	return now.Sub(s.since) > s.limit
}

// whileDataCome ends the context when the source lives and sends nothing of its guest,
// for whom memory and disk space are set aside. The disks of a VM that is shut off may be hours of
// zeros, for which nothing is sent.
func (d *destination) whileDataCome(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		if d.offer.Kind == wire.Offline {
			return
		}
		tick := time.NewTicker(d.m.opt.StallTimeout / 20)
		defer tick.Stop()
		data := stall{limit: d.m.opt.StallTimeout}
		for {
			select {
			case <-ctx.Done():
				return
			case now := <-tick.C:
				if data.over(d.conn.Streams(), now) {
					cancel(d.m.silent(d.rec.Peer, d.m.opt.StallTimeout))
				}
			}
		}
	}()
	return ctx, func() { cancel(nil); <-done }
}

// admitCookie has what the destination says to this host's libvirt go through the same
// rules as what a source says to a destination's: it must be of this VM, and not tell
// displays where else to go.
func (s *source) admitCookie(ctx context.Context, cookie []byte) ([]byte, error) {
	if len(cookie) == 0 {
		return nil, nil
	}
	e := Expected{Name: s.dom.Name, UUID: s.dom.UUID, Disks: map[string]DiskFile{}}
	for _, k := range s.dom.Disks {
		if k.Path != "" {
			e.Disks[k.Target] = DiskFile{Path: k.Path, Format: k.Format}
		}
	}
	out, err := s.m.opt.Hypervisor.AdmitCookie(ctx, cookie, e)
	if err != nil {
		return nil, fault.Wrap(err, fault.ProtocolError, s.m.opt.Host, "peer", s.req.Destination, "problem", "a cookie for libvirt that is none of this move")
	}
	return out, nil
}
