package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"drover/lab"
	"drover/lab/soak"
	"drover/lab/soak/drive"
)

func newSoak() *cobra.Command {
	var o drive.Options
	c := &cobra.Command{
		Use:   "soak",
		Short: "Move VMs over three hosts again and again, with faults at random points; exit status 1 when a promise was broken",
		Long: "Raises a lab of three hosts and three VMs, makes the moves that the seed has planned, breaks things under them, and checks after each\n" +
			"that one copy of every VM runs and is sound, that both journals agree and that nothing is left behind; at the end, that nothing has\n" +
			"grown. The same seed and number of moves plan the same run; --only tries one step of it again.",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := lab.Missing(o.Lab); err != nil {
				return err
			}
			if o.Seed == 0 {
				o.Seed = uint64(time.Now().UnixNano()) //nolint:gosec // any number will do
			}
			out := c.OutOrStdout()
			_, _ = fmt.Fprintf(out, "seed %d; the same again: drover-lab soak --seed %d --moves %d\n", o.Seed, o.Seed, o.Moves)
			o.Stderr = c.ErrOrStderr()
			r, err := drive.Run(c.Context(), o)
			if err != nil {
				return err
			}
			_, _ = fmt.Fprint(out, soak.Markdown(r))
			if !r.Sound() {
				return errors.New("a promise was broken, or something has grown: see " + o.Out)
			}
			return nil
		},
	}
	f := c.Flags()
	f.StringVar(&o.Lab.Name, "name", "soak", "the lab's name; it is taken down at the end")
	f.StringVar(&o.Lab.Rootfs, "rootfs", "trixie", "what hosts run on: the packages of this machine, or `trixie` (Debian 13)")
	f.StringVar(&o.Lab.Assets, "assets", "", "directory with bin/ and guest/; default: build of the source tree")
	f.IntVar(&o.Moves, "moves", 200, "how many moves, those that are made again after a failed one among them")
	f.DurationVar(&o.Limit, "limit", time.Hour, "no further step is begun after this `time`")
	f.Uint64Var(&o.Seed, "seed", 0, "`number` from which everything is planned; default: from the clock, and printed")
	f.IntVar(&o.Only, "only", 0, "try only this step of the schedule (`number`)")
	f.StringVar(&o.Out, "out", "build/soak.json", "`file` for the result")
	return c
}
