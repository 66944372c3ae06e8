package cli

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"drover/internal/record"
)

type moveShowOptions struct{ target target }

func newMoveShow(p *program) *cobra.Command {
	var o moveShowOptions
	cmd := &cobra.Command{
		Use:     "show ID",
		Short:   "Show a move: request, plan, progress, summary or error",
		Example: "  drover move show 01JD4Q8Z0V7M3N5T9K2XWY6B1C --host HV01 -o json",
		Args:    oneArg("the id of a move"),
		RunE: p.verb(func(ctx context.Context, _ *cobra.Command, args []string) error {
			return p.with(ctx, o.target, func(a agent) error {
				rec, err := a.Move(ctx, args[0])
				if err != nil {
					return err
				}
				if p.out != table {
					return p.out.write(p.stdout, rec)
				}
				return printRecord(p.stdout, &rec)
			})
		}),
	}
	o.target.flags(cmd.Flags())
	return cmd
}

func printRecord(w io.Writer, r *record.Record) error {
	s := sheet{title: "Move " + r.ID}
	s.add("vm", "%s %s", r.VM, r.UUID)
	s.add("phase", "%s", phaseText(r.Phase, r.Waiting))
	if w := r.Waiting; w != nil {
		s.add("waits since", "%s", moment(w.Since))
	}
	s.add("role", "%s; the other host is %s", r.Role, r.Peer)
	s.add("operator", "%s", r.Operator)
	s.add("asked for", "%s", strings.Join(asked(r.Request), ", "))
	s.add("created", "%s", moment(r.Created))
	if r.Ended != nil {
		s.add("ended", "%s", moment(*r.Ended))
	}
	if p := r.Progress; p != nil && !r.Phase.Over() {
		items, _ := visible(p, 1<<10)
		for _, l := range itemLines(items, 0) {
			s.add("progress", "%s", strings.TrimSpace(l))
		}
		s.add("progress", "%s", rest(p))
	}
	if e := r.Error; e != nil {
		s.add("error", "%s", e.Error())
		s.add("hint", "%s", e.Hint())
		s.add("code", "%s", e.Code)
	}
	if err := s.print(w); err != nil {
		return err
	}
	if r.Plan != nil {
		if err := printPlan(w, r.Plan); err != nil {
			return err
		}
	}
	if r.Summary != nil {
		return printSummary(w, r)
	}
	return nil
}

// asked is the request in the words of the flags.
func asked(q record.Request) []string {
	out := []string{"to " + q.Destination}
	if q.IncludeStorage {
		out = append(out, "with storage")
	}
	if q.DestinationStoragePath != "" {
		out = append(out, "in "+q.DestinationStoragePath)
	}
	if q.RetainVHDCopiesOnSource {
		out = append(out, "files kept on the source")
	}
	if q.Connections > 0 {
		out = append(out, count(q.Connections, "connection"))
	}
	if q.MaxBlackoutMS > 0 {
		out = append(out, fmt.Sprintf("blackout up to %d ms", q.MaxBlackoutMS))
	}
	if q.Priority != 0 {
		out = append(out, fmt.Sprintf("priority %d", q.Priority))
	}
	if q.NoWait {
		out = append(out, "no waiting")
	}
	if words := furtherWords(q); words != "" {
		out = append(out, words)
	}
	if q.DryRun {
		out = append(out, "dry run")
	}
	return out
}
