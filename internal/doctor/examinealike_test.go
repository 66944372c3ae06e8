package doctor

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"drover/internal/fault"
	"drover/internal/settings"
)

// machines is an examination of three hosts that are as they should be, with a change to
// the second.
func machines(t *testing.T, change func(*Agent)) *examination {
	x := withAgents(usual(), usual(), usual())
	for i, h := range x.hosts {
		a := h.agent
		a.UUID, a.MachineID = "uuid-of-"+h.Name, "id-of-"+h.Name
		a.LibvirtVersion, a.QEMUVersion, a.KVM = "9.0.0", "7.2.22", true
		a.TimeZone = TimeZone{Name: "Europe/Berlin", Winter: 60, Summer: 120}
		a.Roots = []Root{{Path: "/srv/vms", Total: 1 << 40, Free: 1 << 39}}
		a.Addresses = []netip.AddrPort{netip.MustParseAddrPort("192.168.10.1:6600")}
		if i == 1 && change != nil {
			change(a)
		}
	}
	x.q.Template = &Template{File: "hosts.yaml", Settings: settings.Change{MaximumMigrations: new(int)}}
	*x.q.Template.Settings.MaximumMigrations = usual().MaximumMigrations
	for _, h := range x.hosts {
		x.judgeAgent(t.Context(), h)
	}
	x.compareHosts(t.Context())
	return x
}

func TestHostsThatAreNotAlike(t *testing.T) {
	const set = "drover host set --host hv02.lab.drover.test"
	for _, c := range []struct {
		name   string
		change func(*Agent)
		want   []string
	}{
		{"healthy", nil, nil},
		{"root is missing", func(a *Agent) { a.Roots[0].Problem = "does not exist" }, []string{"error storage-root-unusable HV02: "}},
		{"root is full", func(a *Agent) { a.Roots[0].Free = 1<<30 - 1 }, []string{"error storage-root-full HV02: "}},
		{"root is nearly full", func(a *Agent) { a.Roots[0].Free = 20<<30 - 1 }, []string{"warning storage-root-full HV02: "}},
		{"small root that is nearly full", func(a *Agent) { a.Roots[0].Total, a.Roots[0].Free = 40<<30, 2<<30-1 }, []string{"warning storage-root-full HV02: "}},
		{"small root with room", func(a *Agent) { a.Roots[0].Total, a.Roots[0].Free = 40<<30, 2<<30 }, nil},
		{"same UUID", func(a *Agent) { a.UUID = "uuid-of-HV01" }, []string{"error hosts-cloned HV02: touch /etc/libvirt/libvirtd.conf /etc/libvirt/virtqemud.conf"}},
		{"same machine id", func(a *Agent) { a.MachineID = "id-of-HV01" }, []string{"warning hosts-cloned HV02: rm /etc/machine-id"}},
		{"agents that do not tell", func(a *Agent) { a.UUID, a.MachineID, a.Roots = "", "", nil }, nil},
		{"another time zone", func(a *Agent) { a.TimeZone = TimeZone{Name: "UTC"} }, []string{"warning time-zones-differ HV02: timedatectl set-timezone Europe/Berlin"}},
		{"another name of the same", func(a *Agent) { a.TimeZone.Name = "Europe/Paris" }, nil},
		{"no KVM", func(a *Agent) { a.KVM = false }, []string{"error kvm-missing HV02: "}},
		{"old libvirt", func(a *Agent) { a.LibvirtVersion = "8.10.0" }, []string{"error version-too-old HV02: "}},
		{"old QEMU", func(a *Agent) { a.QEMUVersion = "7.1.0" }, []string{"error version-too-old HV02: "}},
		{"any network", func(a *Agent) { a.Settings.AnyNetwork = true }, []string{"warning any-network-differs HV02: " + set + " --any-network off"}},
		{"drifted", func(a *Agent) { a.Settings.MaximumMigrations = 7 }, []string{"warning settings-drifted HV02: " + set + " --maximum-migrations 2"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			x := machines(t, c.change)
			if got := toldWith(x); !slices.Equal(got, c.want) {
				t.Errorf("%q, want %q", got, c.want)
			}
			for _, f := range x.found {
				if strings.Contains(f.Message+f.Why, "{") || f.Evidence == "" || f.ReadFrom == "" {
					t.Errorf("%+v", f)
				}
			}
		})
	}
}

// What no host has keeps no VM from moving between them.
func TestNoKVMAnywhereIsNoFinding(t *testing.T) {
	x := withAgents(usual(), usual())
	for _, h := range x.hosts {
		h.agent.LibvirtVersion = "9.0.0"
	}
	x.compareHosts(t.Context())
	if slices.ContainsFunc(toldWith(x), func(s string) bool { return strings.Contains(s, string(fault.KVMMissing)) }) {
		t.Errorf("%q", toldWith(x))
	}
}

// Every setting that can drift is put back by options that `drover host set` knows, its
// networks among them, and so is what was there before.
func TestDriftIsPutBackBySettingEverything(t *testing.T) {
	x := withAgents(usual())
	h := x.hosts[0]
	off, any, two, plain, none := false, true, 1, settings.TCPIP, settings.Off
	rate, cores, networks := settings.Rate(500_000_000), settings.Cores(3), []settings.Network{}
	credSSP := settings.CredSSP
	x.q.Template = &Template{File: "hosts.yaml", Settings: settings.Change{Incoming: &off, Outgoing: &off, MaximumMigrations: &two, MaximumStorageMigrations: &two,
		Authentication: &credSSP, Performance: &plain, AnyNetwork: &any, Networks: &networks, Bandwidth: &rate, Encryption: &none, CompressionCores: &cores}}
	h.agent.Settings.Networks = []settings.Network{{Subnet: netip.MustParsePrefix("192.168.10.0/24"), Priority: 1, Bandwidth: rate}, {Subnet: netip.MustParsePrefix("10.0.9.0/24")}}
	x.judgeTemplate(h)
	if len(x.found) != 1 || len(x.found[0].Fix) != 1 || len(x.found[0].Undo) != 1 {
		t.Fatalf("%+v", x.found)
	}
	const at = "drover host set --host hv01.lab.drover.test"
	if got, want := x.found[0].Fix[0].Line, at+" --incoming off --outgoing off --maximum-migrations 1 --maximum-storage-migrations 1 --authentication CredSSP"+
		" --performance TCPIP --any-network on --network none --bandwidth 500M --encryption Off --compression-cores 3"; got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
	if got, want := x.found[0].Undo[0].Line, at+" --incoming on --outgoing on --maximum-migrations 2 --maximum-storage-migrations 2 --authentication Kerberos"+
		" --performance Compression --any-network off --network 192.168.10.0/24,priority=1,bandwidth=500M --network 10.0.9.0/24 --bandwidth none --encryption Required --compression-cores auto"; got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
}

func TestTimeZonesInWords(t *testing.T) {
	for want, z := range map[string]TimeZone{
		"Europe/Berlin (UTC+01:00, in July UTC+02:00)": {"Europe/Berlin", 60, 120},
		"UTC+05:30": {"", 330, 330},
		"America/St_Johns (UTC-03:30, in July UTC-02:30)": {"America/St_Johns", -210, -150},
		"UTC (UTC+00:00)": {"UTC", 0, 0},
	} {
		if z.String() != want {
			t.Errorf("%q, want %q", z, want)
		}
	}
}
