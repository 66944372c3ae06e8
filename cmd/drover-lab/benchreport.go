package main

import (
	"github.com/spf13/cobra"

	"drover/lab/bench"
)

func newBenchReport() *cobra.Command {
	var in []string
	var out string
	c := &cobra.Command{
		Use:   "bench-report",
		Short: "Write what bench has measured as a page with tables and plots",
		Long:  "Reads reports of bench, one for each QEMU, and writes a page of Markdown and, in a directory of its name, plots.\nNotes between the marks in the page are kept.",
		Args:  cobra.NoArgs,
		RunE:  func(*cobra.Command, []string) error { return bench.WriteReport(in, out) },
	}
	c.Flags().StringArrayVar(&in, "in", []string{"build/bench.json"}, "report of bench, a `file`; may be repeated")
	c.Flags().StringVar(&out, "out", "docs/bench.md", "the page, a `file`")
	return c
}
