package cli

import (
	"context"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"drover/internal/api"
	"drover/internal/cmdlet"
	"drover/internal/fault"
	"drover/internal/settings"
)

func (p *program) showHosts(ctx context.Context, call *cmdlet.Call, d *dressing) error {
	return p.fromHosts(ctx, call, d, func(a agent, _ string) ([]cmdlet.Object, error) {
		h, err := a.Host(ctx)
		if err != nil {
			return nil, err
		}
		return []cmdlet.Object{hostObject(h)}, nil
	})
}

// hostObject is a host with Hyper-V's names of the settings. Enabled is what lets VMs
// go both ways, as Hyper-V's setting does.
func hostObject(h api.HostInfo) cmdlet.Object {
	s, m := h.Migration.Settings, h.Migration
	return cmdlet.Object{
		{Name: "ComputerName", Value: h.Host},
		{Name: "VirtualMachineMigrationEnabled", Value: s.Incoming && s.Outgoing},
		{Name: "VirtualMachineMigrationAuthenticationType", Value: string(s.Authentication)},
		{Name: "VirtualMachineMigrationPerformanceOption", Value: string(s.Performance)},
		{Name: "IncomingMigrationEnabled", Value: s.Incoming},
		{Name: "OutgoingMigrationEnabled", Value: s.Outgoing},
		{Name: "MaximumVirtualMachineMigrations", Value: s.MaximumMigrations},
		{Name: "MaximumStorageMigrations", Value: s.MaximumStorageMigrations},
		{Name: "UseAnyNetworkForMigration", Value: s.AnyNetwork},
		{Name: "MigrationNetworks", Value: strs(s.Subnets())},
		{Name: "MigrationAddresses", Value: strs(m.Addresses)},
		{Name: "MigrationBandwidthLimit", Value: s.Bandwidth.String()},
		{Name: "MigrationEncryption", Value: string(s.Encryption)},
		{Name: "MigrationCompressionCores", Value: s.CompressionCores.String()},
		{Name: "RunningMigrations", Value: m.Running.Migrations},
		{Name: "QueuedMigrations", Value: m.Running.Queued},
		{Name: "MemoryCapacity", Value: h.MemoryBytes},
		{Name: "MemoryAvailable", Value: h.MemoryAvailable},
		{Name: "VirtualHardDiskPath", Value: slices.Concat([]string{}, h.StorageRoots)},
		{Name: "HypervisorVersion", Value: "QEMU " + h.QEMUVersion + ", libvirt " + h.LibvirtVersion},
	}
}

func strs[T interface{ String() string }](values []T) []string {
	out := make([]string, 0, len(values))
	for _, v := range values {
		out = append(out, v.String())
	}
	return out
}

func (p *program) showAdapters(ctx context.Context, call *cmdlet.Call, d *dressing) error {
	return p.fromHosts(ctx, call, d, func(a agent, computer string) ([]cmdlet.Object, error) {
		adapters, err := a.NetworkAdapters(ctx)
		var out []cmdlet.Object
		for _, n := range adapters {
			if call.Has("Name") && !anyLike(call.List("Name"), n.Name) {
				continue
			}
			out = append(out, cmdlet.Object{
				{Name: "Name", Value: n.Name}, {Name: "ComputerName", Value: computer},
				{Name: "Status", Value: map[bool]string{true: "Up", false: "Down"}[n.Up]},
				{Name: "MacAddress", Value: n.MAC}, {Name: "IPAddresses", Value: strs(n.Addresses)},
				{Name: "LinkSpeed", Value: speed(n.SpeedMbps)}, {Name: "Mtu", Value: n.MTU}, {Name: "Kind", Value: n.Kind},
				{Name: "Bridge", Value: n.Bridge}, {Name: "UsedForMigration", Value: n.Migration},
			})
		}
		return out, err
	})
}

func speed(mbps int) any {
	if mbps <= 0 {
		return nil
	}
	return strconv.Itoa(mbps) + " Mbps"
}

func anyLike(patterns []string, name string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return cmdlet.Like(p, name) })
}

func (p *program) showNetworks(ctx context.Context, call *cmdlet.Call, d *dressing) error {
	return p.fromHosts(ctx, call, d, func(a agent, computer string) ([]cmdlet.Object, error) {
		s, err := a.Settings(ctx)
		networks := s.Networks
		if call.Has("Subnet") {
			networks = cmdlet.Networks(networks, call.List("Subnet"))
		}
		var out []cmdlet.Object
		for _, n := range networks {
			if call.Has("Priority") && !slices.Contains(call.List("Priority"), strconv.Itoa(n.Priority)) {
				continue
			}
			out = append(out, networkObject(n, computer))
		}
		return out, err
	})
}

func networkObject(n settings.Network, computer string) cmdlet.Object {
	return cmdlet.Object{{Name: "Subnet", Value: n.Subnet.String()}, {Name: "Priority", Value: n.Priority},
		{Name: "BandwidthLimit", Value: n.Bandwidth.String()}, {Name: "ComputerName", Value: computer}}
}

func (p *program) showVMs(ctx context.Context, call *cmdlet.Call, d *dressing) error {
	return p.fromHosts(ctx, call, d, func(a agent, computer string) ([]cmdlet.Object, error) {
		vms, err := a.VMs(ctx)
		if err != nil {
			return nil, err
		}
		names := call.List("Name")
		if call.Has("Id") {
			names = append(slices.Clone(names), call.Text("Id"))
		}
		var out []cmdlet.Object
		for _, v := range vms {
			if len(names) == 0 || anyLike(names, v.Name) || anyLike(names, v.UUID) {
				out = append(out, vmObject(v, computer))
			}
		}
		return out, missing(names, vms, computer)
	})
}

// missing is the error about the first name that is no VM's. A pattern may be.
func missing(names []string, vms []api.VM, computer string) error {
	for _, n := range names {
		is := func(v api.VM) bool { return cmdlet.Like(n, v.Name) || strings.EqualFold(n, v.UUID) }
		if !strings.ContainsAny(n, "*?") && !slices.ContainsFunc(vms, is) {
			return fault.New(fault.VMNotFound, computer, "vm", n)
		}
	}
	return nil
}

// states are Hyper-V's words for libvirt's.
var states = map[string]string{"running": "Running", "paused": "Paused", "shut off": "Off", "shutdown": "Stopping", "in shutdown": "Stopping", "crashed": "Critical", "pmsuspended": "Saved"}

func vmObject(v api.VM, computer string) cmdlet.Object {
	o := cmdlet.Object{{Name: "Name", Value: v.Name}, {Name: "State", Value: v.State}, {Name: "MemoryAssigned", Value: v.MemoryBytes},
		{Name: "ProcessorCount", Value: v.VCPUs}, {Name: "Status", Value: "Operating normally"}, {Name: "ComputerName", Value: computer}, {Name: "Id", Value: v.UUID}}
	if s := states[v.State]; s != "" {
		o[1].Value = s
	}
	if o[1].Value == "Off" {
		o[2].Value = uint64(0)
	}
	if v.Moving != "" {
		o[4].Value = "Moving: " + v.Moving
	}
	paths := []string{}
	for _, d := range v.Disks {
		if d.Path != "" {
			paths = append(paths, d.Path)
		}
	}
	return append(o, cmdlet.Property{Name: "Path", Value: paths})
}

// migrationAddresses are where a host's agent takes migrations, as it says.
func (p *program) migrationAddresses(ctx context.Context, t target) (host string, addresses []netip.Addr, err error) {
	err = p.with(ctx, t, func(a agent) error {
		h, err := a.Host(ctx)
		if err != nil {
			return err
		}
		host = h.Host
		for _, at := range h.Migration.Addresses {
			addresses = append(addresses, at.Addr())
		}
		if len(addresses) == 0 {
			return fault.New(fault.MigrationPortUnbound, h.Host, "networks", orNone(strings.Join(strs(h.Migration.Settings.Subnets()), ", ")))
		}
		return nil
	})
	return host, addresses, err
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}
