package api

import (
	"context"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"drover/internal/eventlog"
)

// logStreamPath is the host's event log as a stream.
const logStreamPath = "/v1/events/stream"

// LogSelection are the query parameters that select entries.
type LogSelection struct {
	After int64     `query:"after" minimum:"0" doc:"only entries with a higher number"`
	Since time.Time `query:"since" doc:"only entries from then on (RFC 3339)"`
	Level []string  `query:"level,explode" doc:"only these levels: information, warning, error; repeated, or separated by commas"`
	ID    []string  `query:"id,explode" doc:"only these kinds, by number; repeated, or separated by commas"`
	VM    string    `query:"vm" maxLength:"255" doc:"only about the VM of this name"`
	Move  string    `query:"move" maxLength:"64" doc:"only about this move"`
}

type logInput struct {
	LogSelection
	Limit int `query:"limit" minimum:"1" maximum:"1000" default:"100" doc:"at most so many, the newest"`
}

type logStreamInput struct {
	LogSelection
	Last int64 `header:"Last-Event-ID" minimum:"0" doc:"as after; the larger one counts"`
}

// eventlogOperations are those about the host's event log.
func (s *Server) eventlogOperations(a huma.API) {
	guarded(s, a, Viewer, op("list-events", "GET /v1/events", "The host's event log, oldest first"),
		func(ctx context.Context, _ Caller, in *logInput) (*body[[]eventlog.Entry], error) {
			f, err := in.filter(s.o.Host)
			if err != nil {
				return nil, err
			}
			f.Limit = in.Limit
			return outList(s.o.Backend.Events(ctx, f))
		})
	guarded(s, a, Viewer, streaming[eventlog.Entry](a, op("watch-events", "GET "+logStreamPath, "The host's event log as it grows"),
		"each one's data is an Entry, its id the entry's number, its event the word entry. What matches after the number after comes first."),
		func(_ context.Context, _ Caller, in *logStreamInput) (*huma.StreamResponse, error) {
			f, err := in.filter(s.o.Host)
			if err != nil {
				return nil, err
			}
			f.After = max(f.After, in.Last)
			return follow(s, func(ctx context.Context) iter.Seq2[eventlog.Entry, error] {
				return s.o.Backend.WatchEvents(ctx, f)
			}, func(e eventlog.Entry) frame { return frame{seq: e.Seq, name: "entry", body: e} }), nil
		})
}

// filter refuses words that select nothing, ever.
func (q LogSelection) filter(host string) (EventFilter, error) {
	f := EventFilter{After: q.After, Since: q.Since, VM: q.VM, Move: q.Move}
	for _, w := range words(q.Level) {
		l := eventlog.Level(w)
		if !l.Known() {
			return f, usage(host, http.StatusUnprocessableEntity, fmt.Sprintf("query.level: %q is none of %v", w, eventlog.Levels))
		}
		if !slices.Contains(f.Level, l) {
			f.Level = append(f.Level, l)
		}
	}
	for _, w := range words(q.ID) {
		n, err := strconv.Atoi(w)
		id := eventlog.ID(n)
		if _, known := eventlog.Lookup(id); err != nil || !known {
			return f, usage(host, http.StatusUnprocessableEntity, fmt.Sprintf("query.id: %q is the number of no kind of event", w))
		}
		if !slices.Contains(f.IDs, id) {
			f.IDs = append(f.IDs, id)
		}
	}
	return f, nil
}

// words splits values of a repeated parameter at commas.
func words(values []string) (out []string) {
	for _, v := range values {
		out = append(out, strings.Split(v, ",")...)
	}
	return out
}

// query is the filter as the server reads it; Limit only where it is set.
func (f EventFilter) query() url.Values {
	q := url.Values{}
	if f.After > 0 {
		q.Set("after", strconv.FormatInt(f.After, 10))
	}
	if !f.Since.IsZero() {
		q.Set("since", f.Since.UTC().Format(time.RFC3339Nano))
	}
	for _, l := range f.Level {
		q.Add("level", string(l))
	}
	for _, id := range f.IDs {
		q.Add("id", strconv.Itoa(int(id)))
	}
	if f.VM != "" {
		q.Set("vm", f.VM)
	}
	if f.Move != "" {
		q.Set("move", f.Move)
	}
	if f.Limit > 0 {
		q.Set("limit", strconv.Itoa(f.Limit))
	}
	return q
}

// Events lists the newest entries of the host's event log that match, oldest first.
func (c *Client) Events(ctx context.Context, f EventFilter) ([]eventlog.Entry, error) {
	return call[[]eventlog.Entry](ctx, c, c.signed, http.MethodGet, "/v1/events?"+f.query().Encode(), nil)
}

// WatchEvents gives what matches after f.After, and what comes, as Watch does for a
// move. It has no end of its own; f.Limit does not count.
func (c *Client) WatchEvents(ctx context.Context, f EventFilter) iter.Seq2[eventlog.Entry, error] {
	f.Limit = 0
	return watch(ctx, c, f.After, stream[eventlog.Entry]{
		path: func(after int64) string {
			f.After = after
			return logStreamPath + "?" + f.query().Encode()
		},
		seq:  func(e eventlog.Entry) int64 { return e.Seq },
		last: func(eventlog.Entry) bool { return false },
	})
}
