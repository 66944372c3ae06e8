package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"drover/lab"
	"drover/lab/doctor"
)

func newDoctorMatrix() *cobra.Command {
	var o doctor.Options
	c := &cobra.Command{
		Use:   "doctor-matrix",
		Short: "Break one thing at a time in a lab, and see whether the doctor finds and cures it",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := lab.Missing(o.Lab); err != nil {
				return err
			}
			o.Stderr = c.ErrOrStderr()
			failed, err := doctor.Run(c.Context(), o)
			if err == nil && failed > 0 {
				err = fmt.Errorf("%d cases did not go as they should", failed)
			}
			return err
		},
	}
	f := c.Flags()
	f.StringVar(&o.Lab.Name, "name", "doctor", "the lab's name; it is taken down at the end")
	f.StringVar(&o.Lab.Directory, "directory", "machine", "which Samba the domain controller is: this `machine`'s, or trixie's (Debian 13, 4.22)")
	f.StringVar(&o.Lab.Assets, "assets", "", "directory with bin/drover; default: build of the source tree")
	f.StringVar(&o.Cases, "cases", "", "run only the cases whose name this `regexp` matches; two at once are called \"both: ONE + OTHER\"")
	f.BoolVar(&o.Quick, "quick", false, "try one form of each cure: of drover, samba-tool, LDIF and shell the first that there is")
	f.BoolVar(&o.Moves, "moves", true, "after each cure, move a guest between the hosts concerned, there and back")
	f.StringVar(&o.Out, "out", "build/doctor.json", "`file` for what was found")
	return c
}

func newDoctorScale() *cobra.Command {
	var o doctor.ScaleOptions
	c := &cobra.Command{
		Use:   "doctor-scale",
		Short: "Have the doctor look at a domain of many hosts, and say how long that takes",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := lab.Missing(o.Lab); err != nil {
				return err
			}
			o.Stderr = c.ErrOrStderr()
			failed, err := doctor.RunScale(c.Context(), o)
			if err == nil && failed > 0 {
				err = fmt.Errorf("%d looks did not go as they should", failed)
			}
			return err
		},
	}
	f := c.Flags()
	f.StringVar(&o.Lab.Name, "name", "doctor-scale", "the lab's name; it is taken down at the end")
	f.StringVar(&o.Lab.Directory, "directory", "machine", "which Samba the domain controller is: this `machine`'s, or trixie's (Debian 13, 4.22)")
	f.StringVar(&o.Lab.Assets, "assets", "", "directory with bin/drover; default: build of the source tree")
	f.IntVar(&o.Hosts, "hosts", 200, "hosts that may delegate to one another")
	f.StringVar(&o.Out, "out", "build/doctor-scale.json", "`file` for the figures")
	return c
}

func newDoctorReport() *cobra.Command {
	var in []string
	var scale, out string
	c := &cobra.Command{
		Use:   "doctor-report",
		Short: "Write what doctor-matrix has found as a page",
		Args:  cobra.NoArgs,
		RunE:  func(*cobra.Command, []string) error { return doctor.WriteReport(in, scale, out) },
	}
	c.Flags().StringArrayVar(&in, "in", []string{"build/doctor.json"}, "report of doctor-matrix, a `file`; may be repeated, and of a case that is in several that of the last counts")
	c.Flags().StringVar(&scale, "scale", "build/doctor-scale.json", "report of doctor-scale, a `file`; left out when there is none")
	c.Flags().StringVar(&out, "out", "docs/doctor-matrix.md", "the page, a `file`")
	return c
}
