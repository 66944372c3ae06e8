package cli

import (
	"context"
	"fmt"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"
)

type seedOptions struct {
	target target
	vm     string
}

func newStorage(p *program) *cobra.Command {
	return parent("storage", "Look at what a host keeps of disks", newStorageSeeds(p))
}

func newStorageSeeds(p *program) *cobra.Command {
	return parent("seeds", "What is left of disks, for the next copy of them", newSeedsList(p), newSeedsPurge(p))
}

func newSeedsList(p *program) *cobra.Command {
	var o seedOptions
	cmd := &cobra.Command{
		Use: "list", Short: "List what a host keeps of disks",
		Long: `List the seeds of a host. When the copy of a disk fails, and when a VM has moved away,
the host keeps what it has of the disk for some time. The next move of the VM to this host,
from the host that has the same, then sends only what differs.

Seeds are bounded in time and size by the host's configuration, and go as soon as a move
needs their room. Each block is hashed before it is used.`,
		Example: "  drover storage seeds list --host HV02",
		Args:    noArgs,
		RunE: p.verb(func(ctx context.Context, _ *cobra.Command, _ []string) error {
			return p.runSeedsList(ctx, o)
		}),
	}
	o.target.flags(cmd.Flags())
	return cmd
}

func newSeedsPurge(p *program) *cobra.Command {
	var o seedOptions
	cmd := &cobra.Command{
		Use: "purge", Short: "Remove what a host keeps of disks",
		Long: `Remove the seeds of a host, or those of one VM. The next move of the VM then sends all.
A seed from which a move takes just now is removed when the move is over. A disk that was
retained where it lay stays there, and is no seed any more.`,
		Example: `  drover storage seeds purge --host HV02
  drover storage seeds purge --host HV02 --vm APP01`,
		Args: noArgs,
		RunE: p.verb(func(ctx context.Context, cmd *cobra.Command, _ []string) error {
			if cmd.Flags().Changed("vm") && o.vm == "" { // a variable of a script that is empty
				return misuse("--vm is empty; without --vm all seeds are removed")
			}
			return p.runSeedsPurge(ctx, o)
		}),
	}
	o.target.flags(cmd.Flags())
	cmd.Flags().StringVar(&o.vm, "vm", "", "only those of the VM with this `name` or UUID")
	return cmd
}

func (p *program) runSeedsList(ctx context.Context, o seedOptions) error {
	return p.with(ctx, o.target, func(a agent) error {
		seeds, err := a.Seeds(ctx)
		if err != nil {
			return err
		}
		if p.out != table {
			return p.out.write(p.stdout, seeds)
		}
		rows := make([][]string, 0, len(seeds))
		for _, s := range seeds {
			rows = append(rows, []string{s.VM, s.Kind, s.Host, humanize.IBytes(s.Bytes), humanize.IBytes(s.Content), moment(s.Expires), s.Path})
		}
		return grid(p.stdout, []string{"VM", "KIND", "FOR MOVES FROM", "OCCUPIES", "CONTENT", "UNTIL", "WAS"}, rows)
	})
}

func (p *program) runSeedsPurge(ctx context.Context, o seedOptions) error {
	return p.with(ctx, o.target, func(a agent) error {
		n, err := a.PurgeSeeds(ctx, o.vm)
		if err != nil {
			return err
		}
		if p.out != table {
			return p.out.write(p.stdout, purged{n})
		}
		_, err = fmt.Fprintf(p.stdout, "%s removed %s\n", o.target, count(n, "seed"))
		return err
	})
}
