package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"drover/internal/api"
	"drover/internal/cmdlet"
	"drover/internal/eventlog"
)

// logNames are what the host's event log answers to: its own name, and those of the
// log in which Hyper-V tells of migrations.
var logNames = []string{"Drover", "Microsoft-Windows-Hyper-V-VMMS-Admin", "Microsoft-Windows-Hyper-V-VMMS/Admin"}

func (p *program) showEvents(ctx context.Context, call *cmdlet.Call, d *dressing) error {
	name := call.Text("LogName")
	if !slices.ContainsFunc(logNames, func(n string) bool { return strings.EqualFold(n, name) }) {
		return misuseOf(call.Cmdlet, fmt.Errorf("there is no event log %s on hosts of drover; there is one, %s, which answers to %s as well", name, logNames[0], logNames[1]))
	}
	limit := api.MaxLimit
	if call.Has("MaxEvents") {
		limit = call.Number("MaxEvents")
	}
	switch {
	case limit == 0:
		return misuseOf(call.Cmdlet, errors.New("-MaxEvents 0 shows nothing; give a number from 1"))
	case limit > api.MaxLimit:
		p.screen.line("note: a host tells at most %d events at once, so the newest %d are shown", api.MaxLimit, api.MaxLimit)
		limit = api.MaxLimit
	}
	return p.fromHosts(ctx, call, d, func(a agent, computer string) ([]cmdlet.Object, error) {
		entries, err := a.Events(ctx, api.EventFilter{Limit: limit})
		if err != nil {
			return nil, err
		}
		if !call.On("Oldest") {
			slices.Reverse(entries)
		}
		var out []cmdlet.Object
		for _, e := range entries {
			out = append(out, eventObject(e, computer))
		}
		return out, nil
	})
}

func eventObject(e eventlog.Entry, computer string) cmdlet.Object {
	level := map[eventlog.Level]string{eventlog.Information: "Information", eventlog.Warning: "Warning", eventlog.Error: "Error"}[e.Level]
	return cmdlet.Object{
		{Name: "TimeCreated", Value: e.Time}, {Name: "Id", Value: int(e.ID)}, {Name: "LevelDisplayName", Value: level}, {Name: "Message", Value: e.Message},
		{Name: "LogName", Value: logNames[0]}, {Name: "MachineName", Value: computer}, {Name: "RecordId", Value: e.Seq}, {Name: "UserId", Value: e.Actor},
		{Name: "Code", Value: string(e.Code)}, {Name: "VMName", Value: e.VM}, {Name: "MoveId", Value: e.Move},
	}
}
