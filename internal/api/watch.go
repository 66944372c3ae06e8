package api

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"iter"
	"net/http"
	"strconv"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/tmaxmax/go-sse"

	"drover/internal/fault"
	"drover/internal/record"
)

// A server writes at least a comment every keepAlive; a client that hears
// nothing for silence takes the connection for dead.
const (
	keepAlive = 10 * time.Second
	silence   = 3*keepAlive + 5*time.Second
	maxEvent  = 4 << 20
)

var errSilent = errors.New("the event stream is silent")

// Watch gives the move's events after seq `after`, and those to come, until the
// one of kind "end". A lost connection is made again, and goes on after the
// last event seen; only when that fails for WatchPatience, or the agent refuses,
// it yields an error, as its last item. The end of ctx ends it with an error.
func (c *Client) Watch(ctx context.Context, id string, after int64) iter.Seq2[record.Event, error] {
	return watch(ctx, c, after, stream[record.Event]{
		path: func(after int64) string { return movePath(id, "/events?after="+strconv.FormatInt(after, 10)) },
		seq:  func(e record.Event) int64 { return e.Seq },
		last: func(e record.Event) bool { return e.Kind == record.EventEnd },
	})
}

// stream is one that the server gives as server-sent events.
type stream[T any] struct {
	path func(after int64) string
	seq  func(T) int64
	last func(T) bool // nothing follows
}

// watch reads a stream, over as many connections as it takes.
func watch[T any](ctx context.Context, c *Client, after int64, of stream[T]) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var zero T
		w := &watcher[T]{c: c, of: of, after: after, yield: yield}
		pause := backoff.NewExponentialBackOff()
		pause.InitialInterval, pause.MaxInterval = 200*time.Millisecond, 5*time.Second
		lost := time.Now()
		for {
			err := w.once(ctx)
			if w.over {
				return
			}
			if w.connected {
				lost = time.Now()
			}
			if w.heard {
				pause.Reset()
			}
			if !passing(err) || time.Since(lost) > c.o.WatchPatience {
				yield(zero, err)
				return
			}
			in := pause.NextBackOff()
			if c.o.Retrying != nil {
				c.o.Retrying(err, in)
			}
			select {
			case <-ctx.Done():
				yield(zero, c.broken(ctx, ctx.Err()))
				return
			case <-time.After(in):
			}
		}
	}
}

// passing reports whether a new connection may cure err.
func passing(err error) bool {
	switch fault.From(err).Code {
	case fault.AgentUnreachable, fault.PeerGone, fault.PeerSilent, fault.Deadline, fault.ShuttingDown, fault.KDCUnreachable:
		return true
	}
	return false
}

type watcher[T any] struct {
	c     *Client
	of    stream[T]
	after int64 // the last that was seen
	yield func(T, error) bool
	over  bool // nothing more is to be yielded

	// Of the last connection: the agent agreed to stream; an event arrived.
	connected, heard bool
}

// once reads one connection to its end.
func (w *watcher[T]) once(parent context.Context) error {
	w.connected, w.heard = false, false
	ctx, cancel := context.WithCancelCause(parent)
	defer cancel(nil)
	watchdog := time.AfterFunc(w.c.o.silence, func() { cancel(errSilent) })
	defer watchdog.Stop()
	header := http.Header{"Accept": {"text/event-stream"}}
	path := w.of.path(w.after)
	resp, err := w.c.roundTrip(ctx, w.c.signed, http.MethodGet, path, nil, header)
	if fault.Is(err, fault.AuthRequired) && w.c.network == "tcp" {
		resp, err = w.c.roundTrip(ctx, w.c.signed, http.MethodGet, path, nil, header)
	}
	if err != nil {
		return w.meaning(ctx, err)
	}
	defer resp.Body.Close()
	w.connected = true
	for e, err := range sse.Read(&heartbeat{resp.Body, watchdog, w.c.o.silence}, &sse.ReadConfig{MaxEventSize: maxEvent}) {
		if err != nil {
			return w.meaning(ctx, w.c.broken(ctx, err))
		}
		if err := w.pass(e); err != nil || w.over {
			return err
		}
	}
	return w.meaning(ctx, w.c.broken(ctx, io.ErrUnexpectedEOF))
}

// meaning makes silence an unavailable peer rather than a cancelled request.
func (w *watcher[T]) meaning(ctx context.Context, err error) error {
	if errors.Is(context.Cause(ctx), errSilent) {
		return fault.New(fault.PeerSilent, w.c.o.Host, "peer", w.c.target, "seconds", strconv.FormatFloat(w.c.o.silence.Seconds(), 'g', 3, 64))
	}
	return err
}

func (w *watcher[T]) pass(e sse.Event) error {
	if e.Type == eventProblem {
		var p fault.Problem
		if err := json.Unmarshal([]byte(e.Data), &p); err != nil {
			return w.c.garbled(err)
		}
		return p.Err()
	}
	var ev T
	if err := json.Unmarshal([]byte(e.Data), &ev); err != nil {
		return w.c.garbled(err)
	}
	w.heard = true
	w.after = max(w.after, w.of.seq(ev))
	if !w.yield(ev, nil) || w.of.last(ev) {
		w.over = true
	}
	return nil
}

// heartbeat puts the watchdog off whenever bytes arrive, comments included.
type heartbeat struct {
	r     io.Reader
	t     *time.Timer
	after time.Duration
}

func (h *heartbeat) Read(p []byte) (int, error) {
	n, err := h.r.Read(p)
	if n > 0 {
		h.t.Reset(h.after)
	}
	return n, err
}
