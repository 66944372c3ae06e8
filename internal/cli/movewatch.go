package cli

import (
	"context"
	"os"

	"github.com/spf13/cobra"
)

type moveWatchOptions struct{ target target }

func newMoveWatch(p *program) *cobra.Command {
	var o moveWatchOptions
	cmd := &cobra.Command{
		Use:   "watch ID",
		Short: "Follow a move to its end",
		Long: `Follow a move to its end, from its beginning, and report it as "drover move"
does. Ctrl-C ends the watching; the move goes on.`,
		Example: "  drover move watch 01JD4Q8Z0V7M3N5T9K2XWY6B1C --host HV01",
		Args:    oneArg("the id of a move"),
		RunE: p.signalVerb(func(ctx context.Context, signals <-chan os.Signal, args []string) error {
			return p.runMoveWatch(ctx, signals, o, args[0])
		}),
	}
	o.target.flags(cmd.Flags())
	return cmd
}

func (p *program) runMoveWatch(ctx context.Context, signals <-chan os.Signal, o moveWatchOptions, id string) error {
	lost := make(chan string, 1)
	a, err := p.openWatching(ctx, o.target, tellLost(lost))
	if err != nil {
		return err
	}
	defer func() { _ = a.Close() }()
	rec, err := a.Move(ctx, id)
	if err != nil {
		return err
	}
	return p.stay(ctx, &follower{p: p, a: a, target: o.target, rec: rec, onlyWatch: true, retrying: lost, signals: signals})
}
