package main

import (
	"github.com/spf13/cobra"

	"drover/lab/faults"
	"drover/lab/soak"
)

func newFaultsReport() *cobra.Command {
	var in []string
	var out, long string
	c := &cobra.Command{
		Use:   "faults-report",
		Short: "Write what faults has found as the generated part of a page",
		Long:  "Reads reports of faults, such as those of the parts of a matrix, and writes them between the marks of a page of Markdown.\nWhat stands outside of the marks is kept.",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			var more []string
			if long != "" {
				r, err := soak.Read(long)
				if err != nil {
					return err
				}
				more = append(more, "\n"+soak.Markdown(r))
			}
			return faults.WriteReport(in, out, more...)
		},
	}
	c.Flags().StringArrayVar(&in, "in", []string{"build/faults.json"}, "report of faults, a `file`; may be repeated")
	c.Flags().StringVar(&long, "soak", "", "result of soak, a `file`, which is reported too")
	c.Flags().StringVar(&out, "out", "docs/faults.md", "the page, a `file`")
	return c
}
