package cli

import (
	"context"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"drover/internal/api"
	"drover/internal/doctor"
	"drover/internal/settings"
)

func newHostShow(p *program) *cobra.Command {
	var t target
	cmd := &cobra.Command{
		Use: "show", Short: "Show a host, its migration settings and who you are to it",
		Example: "  drover host show --host HV01",
		Args:    noArgs,
		RunE: p.verb(func(ctx context.Context, _ *cobra.Command, _ []string) error {
			return p.with(ctx, t, func(a agent) error {
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
	t.flags(cmd.Flags())
	return cmd
}

func printHost(w io.Writer, h api.HostInfo) error {
	s := sheet{title: "Host " + h.Host}
	s.add("uuid", "%s", h.UUID)
	s.add("account", "%s", strings.TrimSuffix(h.Account+"@"+h.Realm, "@"))
	s.add("versions", "drover %s, libvirt %s, QEMU %s", h.Version, h.LibvirtVersion, h.QEMUVersion)
	s.add("memory", "%s of %s available", size(h.MemoryAvailable), size(h.MemoryBytes))
	for _, r := range h.Storage {
		if r.Problem != "" {
			s.add("storage", "%s %s", r.Path, r.Problem)
			continue
		}
		s.add("storage", "%s, %s of %s free", r.Path, size(r.FreeBytes), size(r.TotalBytes))
	}
	s.add("kvm", "%s", map[bool]string{true: "yes", false: "no: VMs are emulated"}[h.KVM])
	s.add("time zone", "%s", doctor.TimeZone(h.TimeZone))
	addMigration(&s, h.Migration)
	s.add("you are", "%s", callerText(h.Caller))
	return s.print(w)
}

func addMigration(s *sheet, m api.MigrationInfo) {
	set, run := m.Settings, m.Running
	s.add("migration", "incoming %s, outgoing %s (revision %d of the settings)", settings.Switch(set.Incoming), settings.Switch(set.Outgoing), set.Revision)
	s.add("moves", "%d of %d running, %d of %d with storage, %d waiting", run.Migrations, set.MaximumMigrations, run.StorageMigrations, set.MaximumStorageMigrations, run.Queued)
	s.add("authentication", "%s", set.Authentication)
	s.add("performance", "%s", set.Performance)
	s.add("compression", "%s", compressionCores(set.CompressionCores))
	s.add("encryption", "%s", set.Encryption)
	s.add("bandwidth", "%s", bandwidth(set.Bandwidth))
	if set.AnyNetwork {
		s.add("networks", "any, in this order:")
	} else if len(set.Networks) == 0 {
		s.add("networks", "none")
	}
	for _, n := range set.Networks {
		text := n.Subnet.String()
		if n.Bandwidth > 0 {
			text += ", " + bandwidth(n.Bandwidth)
		}
		s.add("networks", "%s, priority %d", text, n.Priority)
	}
	if len(m.Addresses) == 0 {
		s.add("listens", "nowhere")
	}
	for _, a := range m.Addresses {
		s.add("listens", "%s", a)
	}
}

// compressionCores shows how many processors may compress.
func compressionCores(c settings.Cores) string {
	switch c {
	case 0:
		return "up to half of the processors"
	case 1:
		return "up to 1 processor"
	}
	return "up to " + c.String() + " processors"
}

// bandwidth shows a limit with its unit.
func bandwidth(r settings.Rate) string {
	if r == 0 {
		return "unlimited"
	}
	return "at most " + r.String() + "bit/s"
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
