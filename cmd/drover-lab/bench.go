package main

import (
	"strings"

	"github.com/spf13/cobra"

	"drover/lab"
	"drover/lab/bench"
)

// benchLab is a lab of its own: with the default of --name it would meet the one
// that is being used.
const benchLab = "bench"

func newBench() *cobra.Command {
	var o bench.Options
	c := &cobra.Command{
		Use:   "bench",
		Short: "Measure moves of the same guests by libvirt alone, by a plain relay and by Drover",
		Long: "Raises a lab of two hosts, moves guests there and back in all ways in turn, and takes it down. Each move is written to the\n" +
			"report at once, so a run that is cut short has its results; --resume goes on with it.\n\nWays: " + strings.Join(bench.WayNames(), ", "),
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := lab.Missing(o.Lab); err != nil {
				return err
			}
			o.Stdout, o.Stderr = c.OutOrStdout(), c.ErrOrStderr()
			return bench.Run(c.Context(), o)
		},
	}
	f := c.Flags()
	f.StringVar(&o.Lab.Name, "name", benchLab, "the lab's name; it is taken down at the end")
	f.StringVar(&o.Lab.Rootfs, "rootfs", "machine", "what hosts run on: the packages of this `machine`, or trixie (Debian 13)")
	f.StringVar(&o.Lab.Assets, "assets", "", "directory with bin/ and guest/; default: build of the source tree")
	f.IntVar(&o.Rounds, "rounds", 5, "how often each way moves each guest over each link")
	f.StringSliceVar(&o.Links, "links", nil, "speeds of the network between the hosts; default: 100M,1G,10G,unshaped")
	f.StringSliceVar(&o.Guests, "guests", nil, "guests to move: idle, database, build, storage; default: the first three")
	f.StringSliceVar(&o.Ways, "ways", nil, "ways to move them; default: all")
	f.BoolVar(&o.Storage, "storage", false, "also move a guest with its disk, at 1G and unshaped")
	f.BoolVar(&o.Quick, "quick", false, "where links, guests and ways are not named, those of a run of some minutes")
	f.DurationVar(&o.Limit, "limit", 0, "give a move up after this `time`; default: three times what one pass over guest and link takes, and 25 s")
	f.StringVar(&o.Out, "out", "build/bench.json", "`file` for the figures")
	f.BoolVar(&o.Resume, "resume", false, "keep what the file has and measure only what is missing")
	return c
}

// newBenchRelay is what bench starts for the plain relay.
func newBenchRelay() *cobra.Command {
	var name string
	c := &cobra.Command{
		Use:    "bench-relay VM FROM TO",
		Short:  "Move a VM of a lab through a plain relay",
		Args:   cobra.ExactArgs(3),
		Hidden: true,
		RunE: func(c *cobra.Command, args []string) error {
			return bench.Relay(c.Context(), name, args[0], args[1], args[2], c.OutOrStdout())
		},
	}
	c.Flags().StringVar(&name, "name", benchLab, "the lab's name")
	return c
}
