package admit

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"drover/internal/fault"
)

// under reports whether the clean path p lies below one of roots.
func under(p string, roots []string) bool {
	return slices.ContainsFunc(roots, func(r string) bool {
		r = path.Clean(r)
		return r == "/" || strings.HasPrefix(p, r+"/")
	})
}

// rewriteOS checks firmware and boot files and gives the UEFI variables this
// host's path.
func (p Policy) rewriteOS(root *node, a *Admitted) error {
	os := root.kid("os")
	if os == nil || os.kid("type") == nil {
		return &invalid{"no os type"}
	}
	if err := once(os, "type", "loader", "nvram", "kernel", "initrd", "cmdline"); err != nil {
		return err
	}
	t := os.kid("type")
	a.Arch, a.Machine = t.attr("arch"), t.attr("machine")
	for _, name := range []string{"kernel", "initrd"} {
		if k := os.kid(name); k != nil && !under(k.text, p.BootRoots) {
			return &refused{fmt.Sprintf("<domain/os/%s> %s, which is not below %s", name, k.text, list(p.BootRoots))}
		}
	}
	if l := os.kid("loader"); l != nil && !slices.Contains(p.Loaders, l.text) {
		return &refused{fmt.Sprintf("<domain/os/loader> %s, which is not among this host's firmware", l.text)}
	}
	return p.rewriteNVRAM(os, a)
}

func (p Policy) rewriteNVRAM(os *node, a *Admitted) error {
	n := os.kid("nvram")
	if n == nil {
		return nil
	}
	if p.NVRAMDir == "" {
		return &refused{"<domain/os/nvram>"}
	}
	if err := once(n, "source"); err != nil {
		return err
	}
	a.NVRAM = path.Join(p.NVRAMDir, a.Name+"_VARS.fd")
	if s := n.kid("source"); s != nil {
		a.OfferedNVRAM = s.attr("file")
		s.set("file", a.NVRAM)
		return nil
	}
	a.OfferedNVRAM, n.text = n.text, a.NVRAM
	return nil
}

// rewriteDevices replaces what a device takes from its host. Every device is
// looked at, whatever is wrong with the one before.
func (p Policy) rewriteDevices(root *node, a *Admitted) (errs []error) {
	devices := root.kid("devices")
	if devices == nil {
		return nil
	}
	if len(devices.kids) > maxDevices {
		return []error{&invalid{fmt.Sprintf("%d devices, more than %d", len(devices.kids), maxDevices)}}
	}
	seen := map[string]bool{}
	for _, d := range devices.kids {
		var err error
		switch d.name {
		case "disk":
			err = p.rewriteDisk(d, a, seen)
		case "interface":
			err = p.rewriteInterface(d, a)
		case "serial", "console":
			err = p.rewriteSerial(d, a)
		case "tpm":
			a.TPM = true
		}
		if err != nil {
			errs = append(errs, err)
		}
	}
	if p.Emulator != "" {
		devices.kids = slices.Insert(devices.kids, 0, &node{name: "emulator", text: p.Emulator})
	}
	return errs
}

// maxDevices is more than a machine has slots for.
const maxDevices = 1024

func (p Policy) rewriteDisk(d *node, a *Admitted, seen map[string]bool) error {
	if err := once(d, "driver", "source", "target", "backingStore"); err != nil {
		return err
	}
	t := d.kid("target")
	if t == nil || t.attr("dev") == "" {
		return &invalid{"a disk without target"}
	}
	k := Disk{Target: t.attr("dev"), Device: d.attr("device"), ReadOnly: d.kid("readonly") != nil, Shareable: d.kid("shareable") != nil}
	if seen[k.Target] {
		return &invalid{"two disks are named " + k.Target}
	}
	seen[k.Target] = true
	if k.Device == "" {
		k.Device = "disk"
	}
	if drv := d.kid("driver"); drv != nil {
		k.Format, k.Cache = drv.attr("type"), drv.attr("cache")
	}
	if k.Format == "" {
		k.Format = "raw" // libvirt's default, which must not depend on anything
	}
	if err := p.rewriteMedium(d, &k); err != nil {
		return err
	}
	a.Disks = append(a.Disks, k)
	return nil
}

func (p Policy) rewriteMedium(d *node, k *Disk) error {
	src := d.kid("source")
	if src == nil || src.attr("file") == "" {
		if k.Device == "disk" {
			return &invalid{fmt.Sprintf("disk %s has no file", k.Target)}
		}
		d.removeAll("source")
		return nil
	}
	k.Offered, k.Path = src.attr("file"), src.attr("file")
	if p.Disks != nil {
		f, ok := p.Disks[k.Target]
		if !ok && p.Eject && k.Device != "disk" {
			d.removeAll("source")
			k.Path = ""
			return nil
		}
		if !ok {
			return &refused{fmt.Sprintf("disk %s (%s), which is not part of the offer", k.Target, k.Path)}
		}
		if f.Format != k.Format {
			return &refused{fmt.Sprintf("disk %s as %s, the offer says %s", k.Target, k.Format, f.Format)}
		}
		k.Path = f.Path
	}
	if !validPath(k.Path) || !under(k.Path, p.StorageRoots) {
		return fault.New(fault.StoragePathOutside, p.Host, "path", k.Path, "roots", list(p.StorageRoots))
	}
	src.set("file", k.Path)
	return nil
}

func (p Policy) rewriteInterface(d *node, a *Admitted) error {
	if err := once(d, "source", "virtualport"); err != nil {
		return err
	}
	src := d.kid("source")
	bridge, network := "", ""
	if src != nil {
		bridge, network = src.attr("bridge"), src.attr("network")
	}
	for _, name := range []string{network, bridge} {
		if to, ok := p.Networks[name]; ok && name != "" {
			attach(d, src, to)
			bridge, network = src.attr("bridge"), src.attr("network")
			break
		}
	}
	switch kind := d.attr("type"); {
	case kind == "bridge" && bridge != "" && network == "":
		a.Bridges = appendNew(a.Bridges, bridge)
	case kind == "network" && network != "":
		// A running domain's XML names the network's bridge as well.
		src.unset("bridge")
		a.Networks = appendNew(a.Networks, network)
	case kind == "user" && bridge == "" && network == "":
	default:
		return &invalid{fmt.Sprintf("an interface of type %q does not say where it is attached", kind)}
	}
	return nil
}

// attach puts an interface where the operator wants it. Port groups and the
// parameters of a virtual port are those of the old place.
func attach(d, src *node, to Attachment) {
	src.attrs = nil
	d.removeAll("virtualport")
	if to.Network {
		d.set("type", "network")
		src.set("network", to.Name)
		return
	}
	d.set("type", "bridge")
	src.set("bridge", to.Name)
	if to.OpenVSwitch {
		d.kids = append(d.kids, &node{name: "virtualport", attrs: []attr{{"type", "openvswitch"}}})
	}
}

// rewriteSerial gives a port its own pseudo terminal, or a log file of this
// host's choosing. A console on a serial port shows that port, so it gets the
// same file.
func (p Policy) rewriteSerial(d *node, a *Admitted) error {
	if err := once(d, "source", "target"); err != nil {
		return err
	}
	if d.attr("type") != "file" {
		d.removeAll("source")
		return nil
	}
	if p.SerialLogDir == "" {
		return &refused{fmt.Sprintf("<domain/devices/%s> of type file", d.name)}
	}
	src := d.kid("source")
	if src == nil {
		return &invalid{"a port of type file without a file"}
	}
	kind, port := d.name, "0"
	if t := d.kid("target"); t != nil {
		if t.attr("port") != "" {
			port = t.attr("port")
		}
		if d.name == "console" && (t.attr("type") == "serial" || t.attr("type") == "") {
			kind = "serial"
		}
	}
	src.set("path", path.Join(p.SerialLogDir, a.Name+"-"+kind+port+".log"))
	return nil
}

func appendNew(s []string, v string) []string {
	if slices.Contains(s, v) {
		return s
	}
	return append(s, v)
}

func list(s []string) string {
	if len(s) == 0 {
		return "(none)"
	}
	return strings.Join(s, ", ")
}
