package api

import (
	"bufio"
	"context"
	"iter"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"drover/internal/eventlog"
	"drover/internal/fault"
)

func (b *backend) Events(_ context.Context, f EventFilter) ([]eventlog.Entry, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.logSeen = append(b.logSeen, f)
	return slices.Clone(b.log), nil
}

func (b *backend) WatchEvents(ctx context.Context, f EventFilter) iter.Seq2[eventlog.Entry, error] {
	return func(yield func(eventlog.Entry, error) bool) {
		b.mu.Lock()
		b.logSeen = append(b.logSeen, f)
		b.mu.Unlock()
		for after := f.After; ; {
			b.mu.Lock()
			rest, changed := slices.Clone(b.log[min(int(after), len(b.log)):]), b.changed
			b.mu.Unlock()
			for _, e := range rest {
				if e.ID == eventlog.JournalTrouble {
					yield(eventlog.Entry{}, fault.New(fault.StoreFailed, "HV01"))
					return
				}
				if !yield(e, nil) {
					return
				}
				after = e.Seq
			}
			select {
			case <-changed:
			case <-ctx.Done():
				yield(eventlog.Entry{}, ctx.Err())
				return
			}
		}
	}
}

// logs appends an entry to the fake's log.
func (b *backend) logs(id eventlog.ID) {
	b.mu.Lock()
	defer b.mu.Unlock()
	e := eventlog.New(id, time.Unix(1, 0), eventlog.About{VM: "APP01"}, nil)
	e.Seq = int64(len(b.log) + 1)
	b.log = append(b.log, e)
	close(b.changed)
	b.changed = make(chan struct{})
}

func (b *backend) filters() []EventFilter {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.logSeen)
}

func TestEventsAreSelectedByTheClientsFilter(t *testing.T) {
	b := start(t)
	b.backend.logs(eventlog.MoveDone)
	want := EventFilter{After: 7, Since: time.Date(2026, 11, 20, 8, 0, 0, 5000, time.UTC), Level: []eventlog.Level{eventlog.Error, eventlog.Warning},
		VM: "APP 01&x", Move: "M1", IDs: []eventlog.ID{2003, 2004}, Limit: 3}
	got, err := b.client("viewer").Events(t.Context(), want)
	if err != nil || len(got) != 1 || got[0].Name != "move-done" {
		t.Fatal(got, err)
	}
	if _, err := b.client("viewer").Events(t.Context(), EventFilter{}); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]EventFilter{want, {Limit: DefaultLimit}}, b.backend.filters()); d != "" {
		t.Error(d)
	}
}

func TestEventsRefuseWhatSelectsNothing(t *testing.T) {
	b := start(t)
	conn := b.signed("viewer")
	for query, names := range map[string]string{
		"level=loud": "query.level", "level=error,": "query.level", "id=9999": "query.id", "id=2003,x": "query.id",
		"limit=0": "query.limit", "limit=1001": "query.limit", "since=yesterday": "query.since", "after=-1": "query.after", "host=HV01": "query.host",
	} {
		for _, path := range []string{"/v1/events?", logStreamPath + "?"} {
			resp, body := ask(t, conn, "GET", path+query, "")
			if resp.StatusCode != 422 || !strings.Contains(body, names) && !strings.HasPrefix(query, "limit") {
				t.Errorf("%s%s: %s %s", path, query, resp.Status, body)
			}
		}
	}
	if resp, body := ask(t, conn, "GET", "/v1/events?level=error,warning&level=information&id=2003&id=2004,2003", ""); resp.StatusCode != 200 {
		t.Error(resp.Status, body)
	}
	asked := EventFilter{Level: []eventlog.Level{"error", "warning", "information"}, IDs: []eventlog.ID{2003, 2004}, Limit: 100}
	if d := cmp.Diff([]EventFilter{asked}, b.backend.filters()); d != "" {
		t.Error(d)
	}
	_, err := b.client("nobody").Events(t.Context(), EventFilter{})
	want(t, err, fault.RoleMissing)
}

func TestWatchEventsGoesOnWhereTheConnectionBroke(t *testing.T) {
	b := start(t)
	cut := make(chan net.Conn, 10)
	front := listener(t, func(c net.Conn) {
		out, err := net.Dial("tcp", b.addr)
		if err != nil {
			return
		}
		defer out.Close()
		cut <- out
		go func() { _, _ = bufio.NewReader(c).WriteTo(out); out.Close() }()
		_, _ = bufio.NewReader(out).WriteTo(c)
	})
	c := b.client("viewer", func(o *ClientOptions) { o.Address = front })
	for range 3 {
		b.backend.logs(eventlog.MoveDone)
	}
	var seqs []int64
	filter := EventFilter{After: 1, VM: "APP01", Level: []eventlog.Level{eventlog.Error}, Limit: 5}
	for e, err := range c.WatchEvents(t.Context(), filter) {
		if err != nil {
			want(t, err, fault.StoreFailed)
			break
		}
		switch seqs = append(seqs, e.Seq); e.Seq {
		case 3:
			(<-cut).Close()
			b.backend.logs(eventlog.MoveFailed)
		case 4:
			b.backend.logs(eventlog.JournalTrouble) // ends the stream with a problem
		}
	}
	if d := cmp.Diff([]int64{2, 3, 4}, seqs); d != "" {
		t.Error(d)
	}
	var after []int64
	for _, f := range b.backend.filters() {
		after = append(after, f.After)
		if f.VM != "APP01" || len(f.Level) != 1 || f.Limit != 0 {
			t.Errorf("asked for %+v", f)
		}
	}
	if d := cmp.Diff([]int64{1, 3}, after); d != "" {
		t.Error(d)
	}
}

// A stream lives longer than any other request may.
func TestLogStreamOutlivesTheTimeOfARequest(t *testing.T) {
	for path, want := range map[string]bool{logStreamPath: true, "/v1/moves/M1/events": true, "/v1/events": false, "/v1/moves": false, "/v1/vms/events": false} {
		if streams(path) != want {
			t.Errorf("%s is a stream: %v", path, !want)
		}
	}
}

func TestRefusalsAreTold(t *testing.T) {
	var mu sync.Mutex
	var told []Refusal
	b := start(t, func(o *Options) {
		o.Refused = func(r Refusal) { mu.Lock(); defer mu.Unlock(); told = append(told, r) }
	})
	_, err := b.client("viewer").CancelMove(t.Context(), "M1")
	want(t, err, fault.RoleMissing)
	bad := b.client("viewer", func(o *ClientOptions) { o.Initiator = initiator{realm{[]byte("other key")}, "viewer", nil} })
	_, err = bad.VMs(t.Context())
	want(t, err, fault.BindingMismatch)
	mu.Lock()
	defer mu.Unlock()
	if len(told) != 2 {
		t.Fatalf("%+v", told)
	}
	for i, request := range []string{"cancel-move", "sign-in"} {
		if told[i].Request != request || told[i].Remote == "" || told[i].Err == nil {
			t.Errorf("%+v", told[i])
		}
	}
	if told[0].Caller.Principal != "viewer@LAB" || told[1].Caller.Principal != "" {
		t.Errorf("%+v", told)
	}
}
