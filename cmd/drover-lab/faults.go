package main

import (
	"github.com/spf13/cobra"

	"drover/lab"
	"drover/lab/faults"
)

func newFaults() *cobra.Command {
	var o faults.Options
	var storage, noStorage bool
	c := &cobra.Command{
		Use:   "faults",
		Short: "Break things at every phase of a move and see that the guest survives",
		Long: "Raises a lab of two hosts and moves a guest there and back, each time with one fault at one phase: what was killed is started\n" +
			"again, and both hosts, both journals and the guest are looked at. Each case is written to the report at once; --resume tries\n" +
			"those that are missing or were not as promised. Exit status 1 when a promise was broken.",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := lab.Missing(o.Lab); err != nil {
				return err
			}
			if storage != noStorage {
				o.Storage = &storage
			}
			o.Stdout, o.Stderr = c.OutOrStdout(), c.ErrOrStderr()
			return faults.Run(c.Context(), o)
		},
	}
	f := c.Flags()
	f.StringVar(&o.Lab.Name, "name", "faults", "the lab's name; it is taken down at the end")
	f.StringVar(&o.Lab.Rootfs, "rootfs", "trixie", "what hosts run on: the packages of this `machine`, or trixie (Debian 13)")
	f.StringVar(&o.Lab.Assets, "assets", "", "directory with bin/ and guest/; default: build of the source tree")
	f.StringVar(&o.Only, "cases", "", "only cases that this regular `expression` matches, such as ^storage/source:handover/")
	f.BoolVar(&storage, "storage-only", false, "only cases in which the disk is copied")
	f.BoolVar(&noStorage, "no-storage", false, "only cases in which both hosts see the disk")
	f.IntVar(&o.Shard, "shard", 0, "try only this part of the cases, from 1 on")
	f.IntVar(&o.Shards, "shards", 0, "of so many parts")
	f.StringVar(&o.Out, "out", "build/faults.json", "`file` for the results")
	f.BoolVar(&o.Resume, "resume", false, "keep the good results of the file and try only the rest")
	f.DurationVar(&o.Budget, "budget", 0, "begin no case after this `time`")
	c.MarkFlagsMutuallyExclusive("storage-only", "no-storage")
	return c
}
