package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"drover/lab"
	"drover/lab/benchdirectory"
	"drover/lab/demo"
)

func newRoot() *cobra.Command {
	var name string
	root := &cobra.Command{
		Use:           "drover-lab",
		Short:         "Raise, show and remove Drover's lab: a domain controller, hosts and a workstation",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.PersistentFlags().StringVar(&name, "name", lab.DefaultName, "the lab's name; labs of different names do not disturb each other")
	root.AddCommand(newUp(&name), newDown(&name), newStatus(&name), newShell(&name), newGuest(), newDemo(&name), newBench(), newBenchRelay(), newBenchReport(), newBenchDirectory(), newFaults(), newFaultsReport(), newSoak(), newDoctorMatrix(), newDoctorScale(), newDoctorReport())
	return root
}

func newUp(name *string) *cobra.Command {
	var o lab.Options
	var rates []string
	c := &cobra.Command{
		Use:   "up",
		Short: "Raise the lab; a stale one is removed first",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			o.Name = *name
			var err error
			if o.Rates, err = parseRates(rates); err != nil {
				return err
			}
			return runUp(c.Context(), o, c.OutOrStdout(), c.ErrOrStderr())
		},
	}
	c.Flags().StringVar(&o.Rootfs, "rootfs", "machine", "what hosts run on: the packages of this `machine`, or trixie (Debian 13)")
	c.Flags().StringVar(&o.Directory, "directory", "machine", "which Samba the domain controller is: this `machine`'s, or trixie's (Debian 13, 4.22)")
	c.Flags().StringSliceVar(&o.Hosts, "hosts", nil, "hosts to raise, `HV01,HV02,...`; default: HV01 to HV03, and there is an HV04")
	c.Flags().BoolVar(&o.Unjoined, "unjoined", false, "raise NEW1 too: a machine that the directory does not know yet")
	c.Flags().StringVar(&o.Libvirt, "libvirt", "", "monolithic or modular; default: what the root has")
	c.Flags().StringVar(&o.Assets, "assets", "", "directory with bin/drover, bin/droverd and so on; default: build of the source tree")
	c.Flags().StringArrayVar(&rates, "rate", nil, "limit a network, `NETWORK=RATE` such as mig=1gbit; may be repeated")
	return c
}

func parseRates(rates []string) (map[lab.Network]uint64, error) {
	limits := map[lab.Network]uint64{}
	for _, r := range rates {
		network, rate, found := strings.Cut(r, "=")
		if !found {
			return nil, fmt.Errorf("--rate %q: write it as NETWORK=RATE, for example mig=1gbit", r)
		}
		n, err := lab.ParseNetwork(network)
		if err != nil {
			return nil, err
		}
		if limits[n], err = lab.ParseRate(rate); err != nil {
			return nil, err
		}
	}
	return limits, nil
}

func runUp(ctx context.Context, o lab.Options, stdout, stderr io.Writer) error {
	if err := lab.Missing(o); err != nil {
		return err
	}
	start := time.Now()
	o.Progress = func(format string, args ...any) {
		_, _ = fmt.Fprintf(stderr, "%5.1f s  %s\n", time.Since(start).Seconds(), fmt.Sprintf(format, args...))
	}
	l, err := lab.Up(ctx, o)
	if err != nil {
		return err
	}
	o.Progress("lab %s is up", l.Name())
	return printStatus(ctx, l.Name(), stdout)
}

func newDown(name *string) *cobra.Command {
	return &cobra.Command{
		Use:   "down",
		Short: "Remove every process, mount, namespace and file of the lab, in whatever condition it is",
		Args:  cobra.NoArgs,
		RunE:  func(c *cobra.Command, _ []string) error { return lab.Down(c.Context(), *name) },
	}
}

func newStatus(name *string) *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Show the lab's members, addresses and services",
		Args:  cobra.NoArgs,
		RunE:  func(c *cobra.Command, _ []string) error { return printStatus(c.Context(), *name, c.OutOrStdout()) },
	}
}

func printStatus(ctx context.Context, name string, stdout io.Writer) error {
	s, err := lab.Inspect(ctx, name)
	if err != nil {
		return err
	}
	_, _ = fmt.Fprintf(stdout, "lab %s: %s\n", s.Name, s.Condition)
	if s.Condition == lab.Absent {
		return nil
	}
	table := tabwriter.NewWriter(stdout, 0, 8, 2, ' ', 0)
	_, _ = fmt.Fprintln(table, "MEMBER\tPID\tMANAGEMENT\tMIGRATION\tMIGRATION 2\tGUEST\tSERVICES")
	for _, m := range s.Members {
		pid := "dead"
		if m.Alive {
			pid = fmt.Sprint(m.PID)
		}
		_, _ = fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", m.Name, pid,
			dash(m.Addresses[lab.Management]), dash(m.Addresses[lab.Migration]), dash(m.Addresses[lab.Migration2]), dash(m.Addresses[lab.Guest]), services(m.Services))
	}
	return table.Flush()
}

func services(all []lab.ServiceStatus) string {
	var words []string
	for _, s := range all {
		word := s.Name
		if !s.Running {
			word += fmt.Sprintf(" (ended, status %d)", s.ExitCode)
		}
		words = append(words, word)
	}
	return dash(strings.Join(words, ", "))
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func newShell(name *string) *cobra.Command {
	return &cobra.Command{
		Use:   "shell MEMBER [-- COMMAND...]",
		Short: "Run a shell, or a command, inside a member",
		Args:  cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			l, err := lab.Open(*name)
			if err != nil {
				return err
			}
			m := l.Member(strings.ToUpper(args[0]))
			if m == nil {
				return fmt.Errorf("lab %s has no member %s", *name, args[0])
			}
			argv := args[1:]
			if len(argv) == 0 {
				argv = []string{"bash", "--norc"}
			}
			return runInside(c, m, argv)
		},
	}
}

// insideError carries the exit status of a command in `shell`, which has said itself what is wrong.
type insideError struct{ status int }

func (e insideError) Error() string { return fmt.Sprintf("the command ended with status %d", e.status) }

func commandStatus(err error) (status int, isStatus bool) {
	var inside insideError
	isStatus = errors.As(err, &inside)
	return inside.status, isStatus
}

func runInside(c *cobra.Command, m *lab.Member, argv []string) error {
	err := m.Attach(c.InOrStdin(), c.OutOrStdout(), c.ErrOrStderr(), []string{`PS1=\h:\w# `, "TERM=xterm-256color"}, argv...)
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return insideError{exit.ExitCode()}
	}
	return err
}

func newGuest() *cobra.Command {
	var assets string
	c := &cobra.Command{
		Use:   "guest",
		Short: "Make kernel and initramfs of the lab's virtual machines around bin/drover-guest",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			_, err := lab.PrepareGuest(c.Context(), assets)
			return err
		},
	}
	c.Flags().StringVar(&assets, "assets", "build", "`directory` with bin/drover-guest; guest/ is made in it")
	return c
}

func newDemo(name *string) *cobra.Command {
	var o demo.Options
	c := &cobra.Command{
		Use:   "demo",
		Short: "Raise the lab, move a running VM there and back, and prove that nothing was lost",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := lab.Missing(o.Lab); err != nil {
				return err
			}
			o.Lab.Name, o.Stdout, o.Stderr = *name, c.OutOrStdout(), c.ErrOrStderr()
			return demo.Run(c.Context(), o)
		},
	}
	c.Flags().StringVar(&o.Lab.Rootfs, "rootfs", "machine", "what hosts run on: the packages of this `machine`, or trixie (Debian 13)")
	c.Flags().StringVar(&o.Lab.Assets, "assets", "", "directory with bin/ and guest/; default: build of the source tree")
	c.Flags().StringVar(&o.Report, "report", "build/demo.json", "`file` for the figures")
	return c
}

func newBenchDirectory() *cobra.Command {
	var o benchdirectory.Options
	c := &cobra.Command{
		Use:   "bench-directory",
		Short: "Measure the directory side in a large domain; exit status 1 when a target is missed",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := lab.Missing(o.Lab); err != nil {
				return err
			}
			o.Stdout, o.Stderr = c.OutOrStdout(), c.ErrOrStderr()
			missed, err := benchdirectory.Run(c.Context(), o)
			if err == nil && missed {
				err = errors.New("a figure has missed its target")
			}
			return err
		},
	}
	// A lab of its own: with --name's default it would meet the one that is being used.
	c.Flags().StringVar(&o.Lab.Name, "name", "bench-directory", "the lab's name; it is taken down at the end")
	c.Flags().StringVar(&o.Lab.Directory, "directory", "trixie", "which Samba the domain controller is: this `machine`'s, or trixie's (Debian 13, 4.22)")
	c.Flags().StringVar(&o.Lab.Assets, "assets", "", "directory with bin/drover; default: build of the source tree")
	c.Flags().IntVar(&o.Hosts, "hosts", 500, "hosts that may delegate to one another")
	c.Flags().IntVar(&o.Users, "users", 10000, "users that the directory has besides")
	c.Flags().IntVar(&o.Rounds, "rounds", 5, "how often each figure is taken")
	c.Flags().StringVar(&o.Report, "report", "build/bench-directory.json", "`file` for the figures")
	return c
}
