package move

import (
	"path"
	"slices"
	"strings"

	"drover/internal/fault"
	"drover/internal/finding"
	"drover/internal/record"
	"drover/internal/virt"
)

// incompatibility is an objection with what it is about and the option that cures
// it. The option's words are the destination's guess, of what it has; it is checked
// like any other when it is used.
func incompatibility(e *fault.Error, dom virt.Domain, req Request) record.Incompatibility {
	c := cure{e: e, dom: dom, req: req}
	object, option := c.find()
	return record.Incompatibility{Code: e.Code, Host: e.Host, Message: e.Message(), Object: object, Option: option, Error: e}
}

type cure struct {
	e   *fault.Error
	dom virt.Domain
	req Request
}

func (c cure) find() (object, option string) {
	arg := c.e.Args
	switch c.e.Code {
	case fault.NetworkMissing:
		return "interface " + c.network(), c.otherNetwork()
	case fault.DiskExists:
		return c.file(), c.otherFile()
	case fault.StoragePathOutside:
		return c.file(), c.otherDirectory()
	case fault.DiskMedia:
		return "drive " + arg["disk"], "--eject-media"
	case fault.StorageNotIncluded:
		return "disk " + arg["disks"], "--include-storage"
	case fault.CPUIncompatible:
		if model := arg["available"]; model != "" && model != "none" && c.dom.State == virt.Shutoff && model != c.req.CPU {
			option = pair("--cpu", model)
		}
		return "CPU", option
	}
	return c.object(), ""
}

// object is what the objections are about that no option cures.
func (c cure) object() string {
	arg := c.e.Args
	switch c.e.Code {
	case fault.DiskUnsupported, fault.DiskBackingChain, fault.DiskCacheUnsafe:
		return "disk " + arg["disk"]
	case fault.DeviceRefused:
		return arg["what"]
	case fault.MachineUnsupported:
		return "machine type " + arg["machine"]
	case fault.CPUFixed:
		return "CPU"
	case fault.HostCPUMissing:
		return "CPUs " + arg["cpus"]
	case fault.NUMANodeMissing:
		return "NUMA nodes " + arg["nodes"]
	case fault.HugePagesMissing:
		return "huge pages of " + arg["size"]
	case fault.TPMState, fault.TPMMissing:
		return "TPM"
	case fault.StorageFull:
		return arg["path"]
	case fault.MemoryFull:
		return "memory"
	case fault.VersionTooOld:
		return arg["program"]
	case fault.MigrationDisabled:
		return "live migration"
	case fault.SameHost, fault.AgentTooOld:
		return "host " + c.req.Destination
	case fault.ClockSkew:
		return "clock of " + c.req.Destination
	case fault.VMUUIDTaken:
		return "UUID " + arg["uuid"]
	}
	return "VM " + c.dom.Name
}

// network is the source's name of what is missing; the destination speaks of what
// it was mapped to.
func (c cure) network() string {
	name := c.e.Args["name"]
	for from, to := range c.req.MapNetwork {
		if to == name {
			return from
		}
	}
	return name
}

func (c cure) otherNetwork() string {
	first, _, _ := strings.Cut(c.e.Args["available"], ", ")
	if first == "" || first == "none" {
		return ""
	}
	return pair("--map-network", c.network()+"="+first)
}

func (c cure) file() string {
	if disk := c.e.Args["disk"]; disk != "" {
		return "disk " + disk
	}
	return c.e.Args["path"]
}

// otherFile is a name beside the one that is taken.
func (c cure) otherFile() string {
	disk, taken := c.e.Args["disk"], c.e.Args["path"]
	if disk == "" || taken == "" {
		return ""
	}
	ext := path.Ext(taken)
	return pair("--vhds", disk+"="+strings.TrimSuffix(taken, ext)+"-1"+ext)
}

// otherDirectory is the first of the destination's storage roots, for the option
// that has named the refused one.
func (c cure) otherDirectory() string {
	disk := c.e.Args["disk"]
	root, _, _ := strings.Cut(c.e.Args["roots"], ", ")
	i := slices.IndexFunc(c.dom.Disks, func(d virt.Disk) bool { return d.Target == disk })
	if i < 0 || !path.IsAbs(root) {
		return ""
	}
	if source := c.dom.Disks[i].Path; c.mapped(disk, source) {
		return pair("--vhds", disk+"="+path.Join(root, path.Base(source)))
	}
	return pair("--destination-storage-path", root)
}

// mapped: there is a more particular word on the disk than the one on all.
func (c cure) mapped(disk, source string) bool {
	if c.req.DiskPaths[disk] != "" || c.req.DiskPaths[source] != "" {
		return true
	}
	for from := range c.req.MapStorage {
		if strings.HasPrefix(source, path.Clean(from)+"/") || path.Clean(from) == "/" {
			return true
		}
	}
	return false
}

// pair is an option with its value, as it is typed.
func pair(option, value string) string {
	left, right, mapping := strings.Cut(value, "=")
	if !mapping {
		return option + " " + finding.Quote(finding.Shell, value)
	}
	return option + " " + finding.Quote(finding.Shell, left) + "=" + finding.Quote(finding.Shell, right)
}
