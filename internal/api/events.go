package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
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
	return &huma.StreamResponse{Body: func(hc huma.Context) {
		r, w := humago.Unwrap(hc)
		out := &eventWriter{w: w, rc: http.NewResponseController(w), every: s.o.keepAlive}
		w.Header().Set("Content-Type", "text/event-stream")
		w.WriteHeader(http.StatusOK)
		s.stream(r.Context(), out, in.ID, max(in.After, in.Last))
	}}, nil
}

type watched struct {
	event record.Event
	err   error
}

// stream copies the backend's events until the end, the client's or the
// server's. It returns when the goroutine that waits for the backend is done.
func (s *Server) stream(ctx context.Context, out *eventWriter, id string, after int64) {
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(s.streams, cancel)
	defer stop()
	items := make(chan watched)
	go func() {
		defer close(items)
		for ev, err := range s.o.Backend.Watch(ctx, id, after) {
			select {
			case items <- watched{ev, err}:
			case <-ctx.Done():
				return
			}
		}
	}()
	err := out.copy(ctx, items)
	cancel()
	for range items { // until the goroutine has ended
	}
	if err != nil && !errors.Is(err, context.Canceled) {
		s.o.Log.Debug("event stream ended", "move", id, "error", err)
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
		return true, o.event(0, eventProblem, fault.ToProblem(it.err))
	}
	return it.event.Kind == record.EventEnd, o.event(it.event.Seq, string(it.event.Kind), it.event)
}

// event writes one; seq 0 has no id, so that a client does not go on after it.
func (o *eventWriter) event(seq int64, kind string, body any) error {
	b, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("event %d: %w", seq, err)
	}
	var sb strings.Builder
	if seq > 0 {
		fmt.Fprintf(&sb, "id: %d\n", seq)
	}
	fmt.Fprintf(&sb, "event: %s\ndata: %s\n\n", kind, b)
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
