package cli

import (
	"context"
	"iter"
	"slices"
	"strconv"
	"strings"
	"time"

	"drover/internal/api"
	"drover/internal/eventlog"
	"drover/internal/fault"
)

// entries are what lines `event ID VM ACTOR MEMBER=VALUE...` of the scenario say, a
// minute apart; - stands for nobody, %20 for a blank, and code=CODE gives a code. A
// line `event after WORD` holds back what follows until the script releases WORD, and
// `event fail CODE` is what ends a stream of them.
func (f *fakeAgent) entries() (out []eventlog.Entry, end error) {
	for _, l := range f.scenario {
		w := strings.Fields(l)
		if len(w) < 3 || w[0] != "event" {
			continue
		}
		if w[1] == "after" {
			f.mu.Lock()
			released := f.done[w[2]]
			f.mu.Unlock()
			if !released {
				return out, nil
			}
			continue
		}
		if w[1] == "fail" {
			return out, f.fault(w[2:])
		}
		n, err := strconv.Atoi(w[1])
		if err != nil {
			panic(l)
		}
		about, data := eventlog.About{VM: strings.Trim(w[2], "-"), Actor: strings.Trim(w[3], "-"), Move: fakeID}, eventlog.Data{}
		for _, m := range w[4:] {
			k, v, _ := strings.Cut(strings.ReplaceAll(m, "%20", " "), "=")
			if k == "code" {
				about.Code = fault.Code(v)
			} else if n, err := strconv.ParseInt(v, 10, 64); err == nil {
				data[k] = n
			} else {
				data[k] = v
			}
		}
		if err := eventlog.Check(eventlog.ID(n), data); err != nil {
			panic(err)
		}
		e := eventlog.New(eventlog.ID(n), start.Add(time.Duration(len(out))*time.Minute), about, data)
		e.Seq = int64(len(out) + 1)
		out = append(out, e)
	}
	return out, nil
}

func matching(entries []eventlog.Entry, q api.EventFilter) (out []eventlog.Entry) {
	for _, e := range entries {
		if e.Seq > q.After && !e.Time.Before(q.Since) && (len(q.Level) == 0 || slices.Contains(q.Level, e.Level)) &&
			(len(q.IDs) == 0 || slices.Contains(q.IDs, e.ID)) && (q.VM == "" || q.VM == e.VM) && (q.Move == "" || q.Move == e.Move) {
			out = append(out, e)
		}
	}
	return out
}

func (f *fakeAgent) Events(_ context.Context, q api.EventFilter) ([]eventlog.Entry, error) {
	all, _ := f.entries()
	out := matching(all, q)
	return out[max(0, len(out)-q.Limit):], f.refusal("events")
}

func (f *fakeAgent) WatchEvents(ctx context.Context, q api.EventFilter) iter.Seq2[eventlog.Entry, error] {
	return func(yield func(eventlog.Entry, error) bool) {
		f.change(func() {
			for n := 1; ; n++ { // who follows first makes it followed-1, the next one followed-2
				if word := "followed-" + strconv.Itoa(n); !f.done[word] {
					f.done[word] = true
					return
				}
			}
		})
		for {
			f.mu.Lock()
			changed := f.changed
			f.mu.Unlock()
			all, end := f.entries()
			for _, e := range matching(all, q) {
				if !yield(e, nil) {
					return
				}
				q.After = e.Seq
			}
			if end != nil {
				yield(eventlog.Entry{}, end)
				return
			}
			select {
			case <-changed:
			case <-ctx.Done():
				return
			}
		}
	}
}

// logOnly is an agent of which only the event log is asked.
type logOnly struct {
	agent
	fakeLog *fakeAgent
}

func (l logOnly) Events(ctx context.Context, q api.EventFilter) ([]eventlog.Entry, error) {
	return l.fakeLog.Events(ctx, q)
}

func (l logOnly) WatchEvents(ctx context.Context, q api.EventFilter) iter.Seq2[eventlog.Entry, error] {
	return l.fakeLog.WatchEvents(ctx, q)
}
