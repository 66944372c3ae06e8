package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"drover/internal/api"
	"drover/internal/eventlog"
	"drover/internal/fault"
)

type eventsOptions struct {
	target target
	since  string
	levels []string
	ids    []int
	vm     string
	move   string
	limit  int
	follow bool
}

func newEvents(p *program) *cobra.Command {
	var o eventsOptions
	cmd := &cobra.Command{
		Use:   "events",
		Short: "Show a host's event log",
		Long: `Show a host's event log: moves with their figures, what was refused and why,
settings that were changed and by whom, delegation that was used, limits that were
reached. The newest entries that match are shown, oldest first. What each number
means is in docs/events.md. SEQ is the number of the entry on that host, from which
"drover doctor --from-event" goes on.

With --follow it goes on, one line per entry as it comes, with -o json one JSON
object per line. It runs until SIGINT or SIGTERM, which is a good end.`,
		Example: `  drover events --host HV01 --since 1h --level warning,error
  drover events --host HV01 --vm APP01 -o json
  drover events --host HV01 --id 2003 --limit 10
  drover events --host HV01 --follow`,
		Args: noArgs,
		RunE: p.verb(func(ctx context.Context, _ *cobra.Command, _ []string) error { return p.runEvents(ctx, o) }),
	}
	o.target.flags(cmd.Flags())
	cmd.Flags().StringVar(&o.since, "since", "", "only what happened since a `time`: 90m, 12h, 7d ago, 2026-11-20, or RFC 3339")
	cmd.Flags().StringSliceVar(&o.levels, "level", nil, "only these `levels`: information, warning, error")
	cmd.Flags().IntSliceVar(&o.ids, "id", nil, "only these kinds, by `number`")
	cmd.Flags().StringVar(&o.vm, "vm", "", "only what is about the VM of this `name`")
	cmd.Flags().StringVar(&o.move, "move", "", "only what is about the move of this `id`")
	cmd.Flags().IntVar(&o.limit, "limit", api.DefaultLimit, "at most so many entries (`number`), the newest")
	cmd.Flags().BoolVarP(&o.follow, "follow", "f", false, "go on with what comes")
	return cmd
}

// filter is what the flags select.
func (o eventsOptions) filter(now time.Time) (api.EventFilter, error) {
	f := api.EventFilter{VM: o.vm, Move: o.move, Limit: o.limit}
	if o.limit < 1 || o.limit > api.MaxLimit {
		return f, misuse("--limit %d is not between 1 and %d", o.limit, api.MaxLimit)
	}
	for _, l := range o.levels {
		level := eventlog.Level(strings.ToLower(l))
		if !level.Known() {
			return f, misuse("--level %s is none of information, warning, error", l)
		}
		f.Level = append(f.Level, level)
	}
	for _, n := range o.ids {
		if _, known := eventlog.Lookup(eventlog.ID(n)); !known {
			return f, misuse("--id %d is the number of no kind of event; docs/events.md lists them", n)
		}
		f.IDs = append(f.IDs, eventlog.ID(n))
	}
	var err error
	f.Since, err = parseSince(o.since, now)
	return f, err
}

var days = regexp.MustCompile(`^([0-9]{1,5})d$`)

// parseSince reads a time, or how long ago it was.
func parseSince(s string, now time.Time) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	if m := days.FindStringSubmatch(s); m != nil {
		n, err := strconv.Atoi(m[1])
		if err == nil {
			return now.AddDate(0, 0, -n), nil
		}
	}
	if d, err := time.ParseDuration(s); err == nil && d >= 0 {
		return now.Add(-d), nil
	}
	if t, err := time.ParseInLocation(time.DateOnly, s, time.Local); err == nil {
		return t, nil
	}
	if t, err := time.Parse(time.RFC3339, s); err == nil {
		return t, nil
	}
	return time.Time{}, misuse("--since %s is none of: how long ago (90m, 12h, 7d), a day (2026-11-20), a time as in RFC 3339 (2026-11-20T08:00:00Z)", s)
}

func (p *program) runEvents(ctx context.Context, o eventsOptions) error {
	f, err := o.filter(p.now())
	switch {
	case err != nil:
		return err
	case !o.follow:
		return p.with(ctx, o.target, func(a agent) error { return p.listEvents(ctx, a, f) })
	case p.out == yamlForm:
		return misuse("--follow prints lines: -o table or -o json")
	}
	a, err := p.openWatching(ctx, o.target, func(err error, _ time.Duration) {
		_, _ = fmt.Fprintf(p.stderr, "lost the connection to %s: %s; trying again\n", o.target, clean(fault.From(err).Message()))
	})
	if err != nil {
		return err
	}
	defer func() { _ = a.Close() }()
	err = p.followEvents(ctx, a, f)
	if ctx.Err() != nil && (errors.Is(err, context.Canceled) || fault.Is(err, fault.Cancelled)) {
		return nil // asked to end
	}
	return err
}

func (p *program) listEvents(ctx context.Context, a agent, f api.EventFilter) error {
	entries, err := a.Events(ctx, f)
	if err != nil {
		return err
	}
	if p.out != table {
		return p.out.write(p.stdout, entries)
	}
	rows := make([][]string, 0, len(entries))
	for _, e := range entries {
		rows = append(rows, []string{moment(e.Time), strconv.FormatInt(e.Seq, 10), strconv.Itoa(int(e.ID)), string(e.Level), e.Message})
	}
	return grid(p.stdout, []string{"TIME", "SEQ", "ID", "LEVEL", "MESSAGE"}, rows)
}

// followEvents prints what there is, and what comes.
func (p *program) followEvents(ctx context.Context, a agent, f api.EventFilter) error {
	entries, err := a.Events(ctx, f)
	if err != nil {
		return err
	}
	for e := range slices.Values(entries) {
		if err := p.printEntry(e); err != nil {
			return err
		}
		f.After = e.Seq
	}
	for e, err := range a.WatchEvents(ctx, f) {
		if err != nil {
			return err
		}
		if err := p.printEntry(e); err != nil {
			return err
		}
	}
	return nil
}

// printEntry prints one line.
func (p *program) printEntry(e eventlog.Entry) error {
	if p.out == jsonForm {
		enc := json.NewEncoder(p.stdout)
		enc.SetEscapeHTML(false)
		return enc.Encode(e)
	}
	_, err := fmt.Fprintf(p.stdout, "%s  %d  %d  %-11s  %s\n", moment(e.Time), e.Seq, e.ID, e.Level, clean(e.Message))
	return err
}
