package cli

import (
	"context"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"drover/internal/api"
)

type vmOptions struct{ target target }

func newVM(p *program) *cobra.Command {
	return parent("vm", "Look at a host's VMs", newVMList(p), newVMShow(p))
}

func newVMList(p *program) *cobra.Command {
	var o vmOptions
	cmd := &cobra.Command{
		Use: "list", Short: "List a host's VMs",
		Example: "  drover vm list --host HV01",
		Args:    noArgs,
		RunE: p.verb(func(ctx context.Context, _ *cobra.Command, _ []string) error {
			return p.runVMList(ctx, o)
		}),
	}
	o.target.flags(cmd.Flags())
	return cmd
}

func newVMShow(p *program) *cobra.Command {
	var o vmOptions
	cmd := &cobra.Command{
		Use: "show VM", Short: "Show one VM and its disks",
		Example: "  drover vm show APP01 --host HV01",
		Args:    oneArg("the name or UUID of a VM"),
		RunE: p.verb(func(ctx context.Context, _ *cobra.Command, args []string) error {
			return p.runVMShow(ctx, o, args[0])
		}),
	}
	o.target.flags(cmd.Flags())
	return cmd
}

func (p *program) runVMList(ctx context.Context, o vmOptions) error {
	return p.with(ctx, o.target, func(a agent) error {
		vms, err := a.VMs(ctx)
		if err != nil {
			return err
		}
		if p.out != table {
			return p.out.write(p.stdout, vms)
		}
		rows := make([][]string, 0, len(vms))
		for _, v := range vms {
			rows = append(rows, []string{v.Name, v.State, size(v.MemoryBytes), strconv.Itoa(v.VCPUs), disksText(v.Disks), v.Moving})
		}
		return grid(p.stdout, []string{"NAME", "STATE", "MEMORY", "CPUS", "DISKS", "MOVING"}, rows)
	})
}

// disksText is the number of disks and their virtual size together.
func disksText(disks []api.Disk) string {
	var n int
	var sum uint64
	for _, d := range disks {
		if d.Device == "disk" || d.Device == "" {
			n++
			sum += d.VirtualBytes
		}
	}
	if n == 0 {
		return "none"
	}
	return fmt.Sprintf("%s, %s", count(n, "disk"), size(sum))
}

func (p *program) runVMShow(ctx context.Context, o vmOptions, name string) error {
	return p.with(ctx, o.target, func(a agent) error {
		v, err := a.VM(ctx, name)
		if err != nil {
			return err
		}
		if p.out != table {
			return p.out.write(p.stdout, v)
		}
		s := sheet{title: "VM " + v.Name}
		s.add("uuid", "%s", v.UUID)
		s.add("state", "%s", v.State)
		s.add("memory", "%s", size(v.MemoryBytes))
		s.add("cpus", "%d", v.VCPUs)
		for _, d := range v.Disks {
			if d.Path == "" {
				s.add("disks", "%s: %s, empty", d.Target, d.Device)
				continue
			}
			s.add("disks", "%s: %s %s, %s of %s in use, %s", d.Target, d.Device, d.Format, size(d.AllocatedBytes), size(d.VirtualBytes), d.Path)
		}
		if v.Moving != "" {
			s.add("moving", "%s", v.Moving)
		}
		return s.print(p.stdout)
	})
}
