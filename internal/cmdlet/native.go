package cmdlet

import (
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"drover/internal/settings"
)

// Native gives the arguments of drover that do what the call says, on hosts, ""
// being this machine. present are the host's migration networks, where NeedsNetworks.
func (call *Call) Native(hosts []string, present []settings.Network) ([]string, error) {
	c := call.Cmdlet
	args := append([]string{}, c.Verb...)
	var more []string
	var err error
	switch c.Name {
	case "Enable-VMMigration":
		more = []string{"--live-migration", "on"}
	case "Disable-VMMigration":
		more = []string{"--live-migration", "off"}
	case "Set-VMHost":
		more, err = call.hostSettings()
	case "Add-VMMigrationNetwork":
		more = []string{"--add-network", spec(call.Text("Subnet"), call.Text("Priority"), 0)}
	case "Set-VMMigrationNetwork":
		more, err = call.editNetwork(present)
	case "Remove-VMMigrationNetwork":
		more, err = call.removeNetworks(present)
	case "Move-VM", "Compare-VM":
		more, err = call.move()
	}
	if err != nil {
		return nil, err
	}
	if err := call.contradiction(more); err != nil {
		return nil, err
	}
	args = append(args, more...)
	for _, h := range hosts {
		if h != "" {
			args = append(args, "--host", h)
		}
	}
	return append(args, call.Own...), nil
}

// repeatable are the options that may follow although a parameter stands for them.
var repeatable = []string{"--add-network", "--remove-network", "--vhds"}

// contradiction refuses an option with a value that a parameter has given already:
// the last one would count, and silently.
func (call *Call) contradiction(args []string) error {
	for i, a := range args {
		if !strings.HasPrefix(a, "--") || i+1 == len(args) || strings.HasPrefix(args[i+1], "--") || slices.Contains(repeatable, a) {
			continue
		}
		for _, o := range call.Own {
			if name, _, _ := strings.Cut(o, "="); name == a {
				return fmt.Errorf("%s is given twice: as a parameter of %s, and as the option itself", a, call.Cmdlet.Name)
			}
		}
	}
	return nil
}

// NeedsNetworks reports whether Native has to know the networks that there are.
func (call *Call) NeedsNetworks() bool {
	return call.Cmdlet.Name == "Set-VMMigrationNetwork" || call.Cmdlet.Name == "Remove-VMMigrationNetwork"
}

func (call *Call) hostSettings() (args []string, err error) {
	for _, m := range [][2]string{
		{"VirtualMachineMigrationAuthenticationType", "--authentication"},
		{"VirtualMachineMigrationPerformanceOption", "--performance"},
		{"MaximumVirtualMachineMigrations", "--maximum-migrations"},
		{"MaximumStorageMigrations", "--maximum-storage-migrations"},
	} {
		if call.Has(m[0]) {
			args = append(args, m[1], call.Text(m[0]))
		}
	}
	if call.Has("UseAnyNetworkForMigration") {
		args = append(args, "--any-network", map[bool]string{true: "on", false: "off"}[call.On("UseAnyNetworkForMigration")])
	}
	if len(args) == 0 && len(call.Own) == 0 {
		return nil, errors.New("Set-VMHost needs a setting to change, such as -VirtualMachineMigrationAuthenticationType Kerberos")
	}
	return args, nil
}

// spec is a network as `host set` takes it.
func spec(subnet, priority string, bandwidth settings.Rate) string {
	if priority != "" {
		subnet += ",priority=" + priority
	}
	if bandwidth != 0 {
		subnet += ",bandwidth=" + bandwidth.String()
	}
	return subnet
}

// editNetwork adds where a document does so, naming one network and nothing else,
// and edits as the cmdlet's reference page says.
func (call *Call) editNetwork(present []settings.Network) ([]string, error) {
	name := call.Text("Subnet")
	found := Networks(present, []string{name})
	edit := call.Has("NewSubnet") || call.Has("NewPriority")
	switch {
	case len(found) == 0 && (edit || strings.ContainsAny(name, "*?")):
		return nil, noNetwork(name, present)
	case len(found) == 0:
		return []string{"--add-network", name}, nil
	case len(found) > 1:
		return nil, fmt.Errorf("%s is more than one migration network: %s", name, list(found))
	}
	old := found[0]
	subnet, priority := call.Text("NewSubnet"), call.Text("NewPriority")
	if priority == "" {
		priority = strconv.Itoa(old.Priority)
	}
	if subnet == "" {
		return []string{"--add-network", spec(old.Subnet.String(), priority, old.Bandwidth)}, nil
	}
	added := spec(subnet, priority, old.Bandwidth)
	if len(Networks([]settings.Network{old}, []string{subnet})) == 1 {
		return []string{"--add-network", added}, nil
	}
	return []string{"--remove-network", old.Subnet.String(), "--add-network", added}, nil
}

// removeNetworks names each network once, also where several names mean it.
func (call *Call) removeNetworks(present []settings.Network) (args []string, err error) {
	for _, name := range call.List("Subnet") {
		if len(Networks(present, []string{name})) == 0 {
			return nil, noNetwork(name, present)
		}
	}
	for _, n := range Networks(present, call.List("Subnet")) {
		args = append(args, "--remove-network", n.Subnet.String())
	}
	return args, nil
}

// Networks are those that are called by one of the names: a CIDR, an address, or
// either with wildcards.
func Networks(present []settings.Network, names []string) (found []settings.Network) {
	for _, n := range present {
		if slices.ContainsFunc(names, func(name string) bool { return isCalled(n.Subnet, name) }) {
			found = append(found, n)
		}
	}
	return found
}

func isCalled(subnet netip.Prefix, name string) bool {
	if p, err := settings.ParseSubnet(name); err == nil {
		return p == subnet
	}
	return Like(name, subnet.String()) || subnet.IsSingleIP() && Like(name, subnet.Addr().String())
}

func noNetwork(name string, present []settings.Network) error {
	if len(present) == 0 {
		return fmt.Errorf("%s is no migration network; the host has none", name)
	}
	return fmt.Errorf("%s is no migration network; the host has %s", name, list(present))
}

func list(networks []settings.Network) string {
	var out []string
	for _, n := range networks {
		out = append(out, n.Subnet.String())
	}
	return strings.Join(out, ", ")
}

func (call *Call) move() ([]string, error) {
	args := append([]string{}, call.List("Name")...)
	for _, n := range args {
		if strings.HasPrefix(n, "-") {
			return nil, fmt.Errorf("a VM called %q is moved with `drover move --vm`", n)
		}
	}
	if len(args) == 1 && call.Cmdlet.Name == "Move-VM" {
		args = []string{"--vm", args[0]} // it may be called like a verb
	}
	args = append(args, "--to", call.Text("DestinationHost"))
	if call.On("IncludeStorage") || call.Has("Vhds") {
		args = append(args, "--include-storage")
	}
	if call.Has("DestinationStoragePath") {
		args = append(args, "--destination-storage-path", call.Text("DestinationStoragePath"))
	}
	for _, v := range call.List("Vhds") {
		disks, err := vhds(v)
		if err != nil {
			return nil, err
		}
		for _, d := range disks {
			args = append(args, "--vhds", d)
		}
	}
	for _, m := range [][2]string{{"RetainVhdCopiesOnSource", "--retain-vhd-copies-on-source"}, {"AsJob", "--detach"}, {"WhatIf", "--dry-run"}} {
		if call.On(m[0]) && (call.Cmdlet.Name == "Move-VM" || m[1] == "--retain-vhd-copies-on-source") {
			args = append(args, m[1])
		}
	}
	return args, nil
}

var (
	table = regexp.MustCompile(`@\{([^{}]*)\}`)
	entry = regexp.MustCompile(`(?i)^\s*["']?(SourceFilePath|DestinationFilePath)["']?\s*=\s*(?:"([^"]*)"|'([^']*)'|([^"'\s]+))\s*$`)
)

// vhds reads one element of -Vhds: "vda=/path", a hash table, or an array of those.
func vhds(s string) (disks []string, err error) {
	if !strings.HasPrefix(s, "@") {
		if from, to, ok := strings.Cut(s, "="); !ok || from == "" || to == "" {
			return nil, fmt.Errorf("-Vhds %q is neither TARGET=PATH nor @{SourceFilePath=...; DestinationFilePath=...}", s)
		}
		return []string{s}, nil
	}
	for _, m := range table.FindAllStringSubmatch(s, -1) {
		paths := map[string]string{}
		for part := range strings.SplitSeq(m[1], ";") {
			if e := entry.FindStringSubmatch(part); e != nil {
				paths[strings.ToLower(e[1])] = e[2] + e[3] + e[4]
			} else if strings.TrimSpace(part) != "" {
				return nil, fmt.Errorf("-Vhds has %q, which is neither SourceFilePath nor DestinationFilePath with a value", strings.TrimSpace(part))
			}
		}
		if paths["sourcefilepath"] == "" || paths["destinationfilepath"] == "" {
			return nil, fmt.Errorf("-Vhds needs SourceFilePath and DestinationFilePath in %s", m[0])
		}
		disks = append(disks, paths["sourcefilepath"]+"="+paths["destinationfilepath"])
	}
	if len(disks) == 0 {
		return nil, fmt.Errorf("-Vhds %q has no @{SourceFilePath=...; DestinationFilePath=...}", s)
	}
	return disks, nil
}

// Together reports whether the verb takes several hosts at once.
func (call *Call) Together() bool {
	return !call.NeedsNetworks() && slices.Equal(call.Cmdlet.Verb, []string{"host", "set"})
}

// PlansItself reports whether the verb has a dry run of its own, or changes nothing.
func (call *Call) PlansItself() bool {
	return call.Cmdlet.Name == "Move-VM" || call.Cmdlet.Name == "Compare-VM"
}
