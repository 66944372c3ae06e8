package cli

import (
	"context"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"drover/internal/api"
)

type hostOptions struct{ target target }

func newHost(p *program) *cobra.Command {
	return parent("host", "Look at a host, and enroll this one in the directory", newHostShow(p), newHostEnroll(p))
}

func newHostShow(p *program) *cobra.Command {
	var o hostOptions
	cmd := &cobra.Command{
		Use: "show", Short: "Show a host, its migration settings and who you are to it",
		Example: "  drover host show --host HV01",
		Args:    noArgs,
		RunE: p.verb(func(ctx context.Context, _ *cobra.Command, _ []string) error {
			return p.with(ctx, o.target, func(a agent) error {
				h, err := a.Host(ctx)
				if err != nil {
					return err
				}
				if p.out != table {
					return p.out.write(p.stdout, h)
				}
				return printHost(p.stdout, h)
			})
		}),
	}
	o.target.flags(cmd.Flags())
	return cmd
}

func printHost(w io.Writer, h api.HostInfo) error {
	s := sheet{title: "Host " + h.Host}
	s.add("uuid", "%s", h.UUID)
	s.add("account", "%s", strings.TrimSuffix(h.Account+"@"+h.Realm, "@"))
	s.add("versions", "drover %s, libvirt %s, QEMU %s", h.Version, h.LibvirtVersion, h.QEMUVersion)
	s.add("memory", "%s of %s available", size(h.MemoryAvailable), size(h.MemoryBytes))
	s.add("storage", "%s", strings.Join(h.StorageRoots, ", "))
	if !h.Migration.Settings.Incoming {
		s.add("migration", "disabled")
	} else {
		s.add("migration", "enabled")
	}
	for _, n := range h.Migration.Settings.Networks {
		s.add("networks", "%s", n.Subnet)
	}
	for _, a := range h.Migration.Addresses {
		s.add("listens", "%s", a)
	}
	s.add("you are", "%s", callerText(h.Caller))
	return s.print(w)
}

func callerText(c api.CallerInfo) string {
	who := c.Principal
	switch {
	case c.Local && who == "":
		who = "local user " + c.LocalUser + ", who stands for no principal"
	case c.Local:
		who += " (as local user " + c.LocalUser + ")"
	}
	roles := make([]string, 0, len(c.Roles))
	for _, r := range c.Roles {
		roles = append(roles, string(r))
	}
	if len(roles) == 0 {
		return who + ", without a role"
	}
	return who + ", " + strings.Join(roles, " and ")
}
