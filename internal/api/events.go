package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"drover/internal/fault"
	"drover/internal/record"
)

const eventsRoute = "GET /v1/moves/{id}/events"

type eventsInput struct {
	ID    string `path:"id" maxLength:"64"`
	After int64  `query:"after" minimum:"0" doc:"give the events after this sequence number"`
	Last  int64  `header:"Last-Event-ID" minimum:"0" doc:"as after; the larger one counts"`
}

// events finds out what can be refused while that still has a status, then
// streams.
func (s *Server) events(ctx context.Context, _ Caller, in *eventsInput) (*huma.StreamResponse, error) {
	if _, err := s.o.Backend.Move(ctx, in.ID); err != nil {
		return nil, err
	}
	return follow(s, func(ctx context.Context) iter.Seq2[record.Event, error] {
		return s.o.Backend.Watch(ctx, in.ID, max(in.After, in.Last))
	}, func(e record.Event) frame {
		return frame{seq: e.Seq, name: string(e.Kind), body: e, last: e.Kind == record.EventEnd}
	}), nil
}

// frame is one item of a stream as a server-sent event.
type frame struct {
	seq  int64  // 0: has no id, so that a client does not go on after it
	name string // the event's name
	body any
	last bool // nothing follows
}

type watched struct {
	frame frame
	err   error
}

// follow streams what a backend gives.
func follow[T any](s *Server, watch func(context.Context) iter.Seq2[T, error], as func(T) frame) *huma.StreamResponse {
	return &huma.StreamResponse{Body: func(hc huma.Context) {
		r, w := humago.Unwrap(hc)
		out := &eventWriter{w: w, rc: http.NewResponseController(w), every: s.o.keepAlive}
		w.Header().Set("Content-Type", "text/event-stream")
		w.WriteHeader(http.StatusOK)
		s.stream(r, out, func(ctx context.Context, send func(watched) bool) {
			for v, err := range watch(ctx) {
				it := watched{err: err}
				if err == nil {
					it.frame = as(v)
				}
				if !send(it) {
					return
				}
			}
		})
	}}
}

// stream copies what produce sends until the end, the client's or the server's. It
// returns when the goroutine that waits for the backend is done.
func (s *Server) stream(r *http.Request, out *eventWriter, produce func(ctx context.Context, send func(watched) bool)) {
	ctx, cancel := context.WithCancel(r.Context())
	stop := context.AfterFunc(s.streams, cancel)
	defer stop()
	items := make(chan watched)
	go func() {
		defer close(items)
		produce(ctx, func(it watched) bool {
			select {
			case items <- it:
				return true
			case <-ctx.Done():
				return false
			}
		})
	}()
	err := out.copy(ctx, items)
	cancel()
	for range items { // until the goroutine has ended
	}
	if err != nil && !errors.Is(err, context.Canceled) {
		s.o.Log.Debug("event stream ended", "path", r.URL.Path, "error", err)
	}
}

// eventWriter writes server-sent events (WHATWG HTML 9.2), each with a deadline.
type eventWriter struct {
	w     http.ResponseWriter
	rc    *http.ResponseController
	every time.Duration // between signs of life
}

func (o *eventWriter) copy(ctx context.Context, items <-chan watched) error {
	tick := time.NewTicker(o.every)
	defer tick.Stop()
	if err := o.write(": drover\n\n"); err != nil {
		return err
	}
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
			if err := o.write(": alive\n\n"); err != nil {
				return err
			}
		case it, ok := <-items:
			if !ok {
				return nil
			}
			if done, err := o.item(ctx, it); done || err != nil {
				return err
			}
		}
	}
}

// item reports done after the event that nothing follows.
func (o *eventWriter) item(ctx context.Context, it watched) (done bool, err error) {
	if it.err != nil {
		if ctx.Err() != nil {
			return true, ctx.Err()
		}
		return true, o.event(frame{name: eventProblem, body: fault.ToProblem(it.err)})
	}
	return it.frame.last, o.event(it.frame)
}

func (o *eventWriter) event(f frame) error {
	b, err := json.Marshal(f.body)
	if err != nil {
		return fmt.Errorf("event %d: %w", f.seq, err)
	}
	var sb strings.Builder
	if f.seq > 0 {
		fmt.Fprintf(&sb, "id: %d\n", f.seq)
	}
	fmt.Fprintf(&sb, "event: %s\ndata: %s\n\n", f.name, b)
	return o.write(sb.String())
}

func (o *eventWriter) write(s string) error {
	if err := o.rc.SetWriteDeadline(time.Now().Add(headerTime)); err != nil {
		return err
	}
	if _, err := o.w.Write([]byte(s)); err != nil {
		return err
	}
	return o.rc.Flush()
}
