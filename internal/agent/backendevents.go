package agent

import (
	"context"
	"encoding/json"
	"iter"

	"drover/internal/api"
	"drover/internal/eventlog"
	"drover/internal/fault"
	"drover/internal/store"
)

// logPage is how many entries are read at a time for whoever follows the log.
const logPage = 256

// Events lists the newest entries of the event log that match.
func (b *backend) Events(ctx context.Context, f api.EventFilter) ([]eventlog.Entry, error) {
	q := logFilter(f)
	if q.Newest = f.Limit; q.Newest == 0 {
		q.Newest = api.DefaultLimit
	}
	return b.readLog(ctx, q)
}

func logFilter(f api.EventFilter) store.LogFilter {
	q := store.LogFilter{After: f.After, Since: f.Since, VM: f.VM, Move: f.Move}
	for _, l := range f.Level {
		q.Levels = append(q.Levels, string(l))
	}
	for _, id := range f.IDs {
		q.IDs = append(q.IDs, int(id))
	}
	return q
}

func (b *backend) readLog(ctx context.Context, q store.LogFilter) ([]eventlog.Entry, error) {
	rows, err := b.store.Log(ctx, q)
	if err != nil {
		return nil, fault.Wrap(err, fault.StoreFailed, b.cfg.Host)
	}
	out := make([]eventlog.Entry, 0, len(rows))
	for _, row := range rows {
		var e eventlog.Entry
		if err := json.Unmarshal(row.Body, &e); err != nil {
			return nil, fault.Wrap(err, fault.StoreFailed, b.cfg.Host)
		}
		e.Seq = row.Seq
		out = append(out, e)
	}
	return out, nil
}

// WatchEvents gives what matches after f.After, and what comes.
func (b *backend) WatchEvents(ctx context.Context, f api.EventFilter) iter.Seq2[eventlog.Entry, error] {
	return func(yield func(eventlog.Entry, error) bool) {
		q := logFilter(f)
		q.First = logPage
		for ctx.Err() == nil {
			changed := b.store.LogChanged()
			entries, top, err := b.page(ctx, q)
			if err != nil {
				if ctx.Err() == nil {
					yield(eventlog.Entry{}, err)
				}
				return
			}
			for _, e := range entries {
				if !yield(e, nil) {
					return
				}
				q.After = e.Seq
			}
			if len(entries) == logPage {
				continue
			}
			q.After = max(q.After, top)
			select {
			case <-changed:
			case <-ctx.Done():
			}
		}
	}
}

// page reads the next entries for a follower. Up to top there is nothing else that
// matches, so that it need not be looked through again.
func (b *backend) page(ctx context.Context, q store.LogFilter) ([]eventlog.Entry, int64, error) {
	top, err := b.store.LogTop(ctx)
	if err != nil {
		return nil, 0, fault.Wrap(err, fault.StoreFailed, b.cfg.Host)
	}
	entries, err := b.readLog(ctx, q)
	return entries, top, err
}
