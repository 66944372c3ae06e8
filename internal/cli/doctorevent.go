package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"drover/internal/api"
	"drover/internal/delegation"
	"drover/internal/doctor"
	"drover/internal/eventlog"
	"drover/internal/fault"
)

// eventWait bounds reading one entry of an event log.
const eventWait = 15 * time.Second

// fromEvent makes the question out of an entry of a host's event log: of the host that
// is named, or of this one.
func (p *program) fromEvent(ctx context.Context, o doctorOptions, args []string) (doctor.Question, error) {
	var q doctor.Question
	number, err := strconv.ParseInt(o.event, 10, 64)
	switch {
	case err != nil || number < 1:
		return q, misuse("--from-event %q is not the number of an entry; `drover events` shows it as SEQ", o.event)
	case len(args) > 1 || len(args) == 1 && strings.Contains(args[0], ":") || len(o.pairs) > 0 || o.vm != "":
		return q, misuse("--from-event finds hosts and VM by itself: name the host whose event it is, or none for this one, and no --pair or --vm")
	}
	t := target{socket: DefaultSocket}
	if len(args) == 1 {
		t.host = args[0]
	}
	ctx, cancel := context.WithTimeout(ctx, eventWait)
	defer cancel()
	err = p.with(ctx, t, func(a agent) error {
		h, err := a.Host(ctx)
		if err != nil {
			return err
		}
		e, err := entryOf(ctx, a, h.Host, number)
		if err != nil {
			return err
		}
		q = questionOf(doctor.Origin{Host: h.Host, Entry: e})
		return nil
	})
	if o.operator != "" {
		q.Operator = o.operator
	}
	return q, err
}

// entryOf finds one entry by its number. An agent gives the newest of several, so that
// one that is far back is read from the stream, which begins with the oldest.
func entryOf(ctx context.Context, a agent, host string, number int64) (eventlog.Entry, error) {
	unknown := fault.New(fault.EventUnknown, host, "event", strconv.FormatInt(number, 10))
	f := api.EventFilter{After: number - 1, Limit: 1}
	newest, err := a.Events(ctx, f)
	switch {
	case err != nil:
		return eventlog.Entry{}, err
	case len(newest) == 0:
		return eventlog.Entry{}, unknown
	case newest[0].Seq == number:
		return newest[0], nil
	}
	for e, err := range a.WatchEvents(ctx, f) {
		if err == nil && e.Seq != number {
			err = unknown
		}
		return e, err
	}
	return eventlog.Entry{}, unknown
}

// questionOf is what an event gives rise to: the direction of the move that it is about,
// or else its host; whoever moved; the VM, where it is known which way it was to go.
func questionOf(o doctor.Origin) doctor.Question {
	q := doctor.Question{Origin: &o}
	var data struct{ Source, Destination string }
	_ = json.Unmarshal(o.Entry.Data, &data) // an entry without them has none
	switch {
	case isHostName(data.Destination) && !strings.EqualFold(data.Destination, o.Host):
		q.Pairs = []delegation.Direction{{Source: o.Host, Destination: data.Destination}}
	case isHostName(data.Source) && !strings.EqualFold(data.Source, o.Host):
		q.Pairs = []delegation.Direction{{Source: data.Source, Destination: o.Host}}
	default:
		q.Hosts = []string{o.Host}
	}
	if len(q.Pairs) > 0 {
		q.VM = o.Entry.VM
	}
	// A local user without a principal, or a host that came as itself, moves nothing.
	if name, _, principal := strings.Cut(o.Entry.Actor, "@"); principal && !strings.HasSuffix(name, "$") {
		q.Operator = o.Entry.Actor
	}
	return q
}

func isHostName(name string) bool { return name != "" && checkHost("", name) == nil }

// originText tells the event that a report began with.
func originText(o *doctor.Origin) string {
	e := o.Entry
	out := fmt.Sprintf("Began with event %d of %s, %s (%d, %s): %s", e.Seq, o.Host, moment(e.Time), e.ID, e.Name, e.Message)
	if e.Code != "" {
		out += fmt.Sprintf(" (code %s)", e.Code)
	}
	return out
}

// originAdvice is what the event itself says is to be done.
func originAdvice(o *doctor.Origin) string {
	var data struct{ Hint string }
	_ = json.Unmarshal(o.Entry.Data, &data)
	if data.Hint == "" && o.Entry.Code != "" {
		return fmt.Sprintf("`drover explain %s` tells what it means", o.Entry.Code)
	}
	return data.Hint
}

// completedEvents bounds the entries that a shell is offered.
const completedEvents = 20

// eventsOfTrouble are the newest warnings and errors of a host's event log.
func eventsOfTrouble(ctx context.Context, a agent) ([]string, error) {
	entries, err := a.Events(ctx, api.EventFilter{Level: []eventlog.Level{eventlog.Warning, eventlog.Error}, Limit: completedEvents})
	var out []string
	for i := len(entries) - 1; i >= 0; i-- {
		out = append(out, described(strconv.FormatInt(entries[i].Seq, 10), moment(entries[i].Time)+":", entries[i].Message))
	}
	return out, err
}

// completeDoctor lets the flags about VMs and events be completed by the agent of the
// host that the command line names first.
func (p *program) completeDoctor(cmd *cobra.Command) {
	by := func(ask func(context.Context, agent) ([]string, error)) cobra.CompletionFunc {
		return func(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
			words := args
			if pairs, err := cmd.Flags().GetStringArray("pair"); err == nil {
				words = append(words, pairs...)
			}
			t := target{socket: DefaultSocket}
			if len(words) > 0 {
				t.host, _, _ = strings.Cut(words[0], ":")
			}
			return p.askedAt(t, ask)(cmd, args, typed)
		}
	}
	_ = cmd.RegisterFlagCompletionFunc("vm", by(vmNames)) // both flags are there
	_ = cmd.RegisterFlagCompletionFunc("from-event", by(eventsOfTrouble))
}
