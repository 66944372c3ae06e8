package guest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

// Responder is the guest's end of the heartbeat.
type Responder struct {
	name   string
	nonce  uint64
	start  time.Time
	memory *Memory
	clock  *Clock
	verify chan uint64

	mu         sync.Mutex
	ready      bool
	rings      []*Ring
	serial     uint64
	asked      uint64 // token of the last verify-now
	verifyDone uint64
	seen       map[uint64]requests
}

// requests is what is known of one observer.
type requests struct {
	last int64
	gap  int64
}

// maxObservers bounds what strangers can make the guest remember.
const maxObservers = 64

// NewResponder answers for the memory and, once AddRing told, disks.
func NewResponder(name string, nonce uint64, memory *Memory, clock *Clock) *Responder {
	return &Responder{
		name: name, nonce: nonce, start: time.Now(), memory: memory, clock: clock,
		verify: make(chan uint64, 1), seen: make(map[uint64]requests),
	}
}

// AddRing adds a disk to the status; at most 4 fit, more is an error.
func (r *Responder) AddRing(ring *Ring) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.rings) == maxDisks {
		return fmt.Errorf("more than %d disks", maxDisks)
	}
	r.rings = append(r.rings, ring)
	return nil
}

// SetReady says that memory has been filled.
func (r *Responder) SetReady() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ready = true
}

// Serve answers requests until ctx ends, which closes conn, and runs the full
// passes that are asked for. It returns nil when ctx ended.
func (r *Responder) Serve(ctx context.Context, conn net.PacketConn) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	wg.Go(func() { r.runVerify(ctx) })
	buf := make([]byte, maxMessage+1)
	for {
		n, from, err := conn.ReadFrom(buf)
		if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("heartbeat: %w", err)
		}
		req, err := DecodeRequest(buf[:n])
		if err != nil {
			continue // not for us, or a newer observer: silence is the answer
		}
		answer, err := r.answer(req).Encode()
		if err != nil {
			return err
		}
		// An answer that cannot be sent is a lost datagram: the observer asks again.
		_, _ = conn.WriteTo(answer, from)
	}
}

func (r *Responder) answer(req Request) Status {
	if req.Op == OpReset {
		r.clock.Reset()
	}
	s := Status{
		Name: r.name, Nonce: r.nonce, UptimeNs: int64(time.Since(r.start)),
		Seq: req.Seq, SentNs: req.SentNs,
		Memory: r.memory.Status(), Clock: r.clock.Status(),
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, ring := range r.rings {
		s.Disks = append(s.Disks, ring.Status())
	}
	r.serial++
	s.Serial, s.Ready, s.VerifyDone = r.serial, r.ready, r.verifyDone
	s.RequestGapNs = r.note(req)
	if req.Op == OpVerify && req.Token != r.asked {
		select {
		case r.verify <- req.Token:
			r.asked = req.Token
		default: // a pass is waiting already; the observer repeats itself
		}
	}
	return s
}

// note keeps the largest gap between the send times of one observer. A send
// time before the last one (a datagram overtaken) counts for nothing.
func (r *Responder) note(req Request) int64 {
	o, known := r.seen[req.Observer]
	if !known && len(r.seen) == maxObservers {
		clear(r.seen)
	}
	if known {
		o.gap = max(o.gap, req.SentNs-o.last)
	}
	if req.Op == OpReset {
		o.gap = 0
	}
	o.last = max(o.last, req.SentNs)
	if !known {
		o.last = req.SentNs
	}
	r.seen[req.Observer] = o
	return o.gap
}

func (r *Responder) runVerify(ctx context.Context) {
	for {
		var token uint64
		select {
		case <-ctx.Done():
			return
		case token = <-r.verify:
		}
		if r.verifyEverything(ctx) != nil {
			return
		}
		r.mu.Lock()
		r.verifyDone = token
		r.mu.Unlock()
	}
}

func (r *Responder) verifyEverything(ctx context.Context) error {
	r.mu.Lock()
	rings := append([]*Ring(nil), r.rings...)
	r.mu.Unlock()
	if err := r.memory.VerifyAll(ctx); err != nil {
		return err
	}
	for _, ring := range rings {
		if err := ring.VerifyAll(ctx); err != nil {
			return err
		}
	}
	return nil
}
