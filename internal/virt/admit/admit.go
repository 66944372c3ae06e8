package admit

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"drover/internal/fault"
)

// Policy is what this host grants one offered definition.
type Policy struct {
	// Host is this host's name, for faults.
	Host string
	// Name and UUID are what the offer calls the VM; the definition must agree.
	// "" is for a first look only.
	Name, UUID string
	// StorageRoots are the directories that disks may lie under.
	StorageRoots []string
	// BootRoots are the directories of kernels and initial RAM disks for direct
	// kernel boot. Storage roots do not count: as an initrd, another VM's disk
	// could be read by the guest.
	BootRoots []string
	// Loaders are the firmware files that libvirt's domain capabilities name.
	Loaders []string
	// NVRAMDir is where UEFI variables lie; "" refuses such guests.
	NVRAMDir string
	// SerialLogDir is where a serial port's log file is put; "" refuses ports
	// that write to a file.
	SerialLogDir string
	// Emulator is written into the definition; "" leaves the choice to libvirt,
	// which takes its own default for type and architecture.
	Emulator string
	// Disks are this host's files by target name. A disk with a medium that is
	// not in it is refused, and so is another format: content that a guest
	// wrote to a raw disk must never be read as qcow2, where it could name any
	// file as its backing file. nil is for a first look only: then every file
	// under StorageRoots passes.
	Disks map[string]DiskFile
	// Networks are this host's bridges and networks for some of the source's, by
	// the name of the source's bridge or network.
	Networks map[string]Attachment
	// Eject empties CD and floppy drives whose medium is not among Disks.
	Eject bool
	// CPU, unless "", is the model that replaces the definition's.
	CPU string
}

// Attachment is what an interface is attached to on this host.
type Attachment struct {
	// Name of a libvirt network, or of a bridge of the host.
	Name    string
	Network bool
	// OpenVSwitch says that the bridge is one of Open vSwitch.
	OpenVSwitch bool
}

// DiskFile is a disk's file on this host.
type DiskFile struct{ Path, Format string }

// Admitted is a definition that passed, as this host would run it.
type Admitted struct {
	// XML is written anew from what was checked.
	XML         string
	Name, UUID  string
	MemoryBytes uint64
	VCPUs       int
	// Type, Arch and Machine as in the definition; CPUXML is its <cpu> element,
	// "" without one.
	Type, Arch, Machine, CPUMode, CPUXML string
	Disks                                []Disk
	// Bridges and Networks (libvirt's) must exist on this host.
	Bridges, Networks []string
	// CPUSets are the host CPUs that the VM is pinned to, NUMANodes the nodes its
	// memory is bound to, each as libvirt writes sets: 0-3,^2.
	CPUSets, NUMANodes []string
	// HugePages are sizes in bytes of the pages that back the memory, 0 for the
	// host's default size.
	HugePages []uint64
	// TPM: it has one that is emulated.
	TPM bool
	// NVRAM is this host's path of the UEFI variables, OfferedNVRAM the source's.
	NVRAM, OfferedNVRAM string
	// Dropped are the paths of elements that were left out.
	Dropped []string
}

// Disk is a drive of an admitted definition.
type Disk struct {
	Target, Device, Format, Cache string
	// Offered is the source's path, Path this host's; both "" without a medium.
	Offered, Path       string
	ReadOnly, Shareable bool
}

// Domain admits an offered definition. Faults: device-refused,
// storage-path-outside, definition-invalid; the first that is found.
func Domain(offered []byte, p Policy) (*Admitted, error) {
	a, errs := Examine(offered, p)
	if len(errs) > 0 {
		return nil, errs[0]
	}
	return a, nil
}

// Examine is Domain that goes on after the first objection and gives all of
// them. With objections there is no XML, and what else is told of the definition
// has what was refused left out; nil when it cannot be read at all.
func Examine(offered []byte, p Policy) (*Admitted, []error) {
	root, err := parse(offered)
	if err != nil {
		return nil, []error{p.fault(err)}
	}
	a, errs := p.domain(root)
	if len(errs) == 0 {
		if err := p.complete(a); err != nil {
			errs = []error{err}
		}
	}
	for i := range errs {
		errs[i] = p.fault(errs[i])
	}
	if len(errs) == 0 {
		a.XML = root.write()
	}
	return a, errs
}

// Cookie admits a cookie of libvirt's migration protocol, from either side.
// The definition in it, which Finish would make persistent, goes through the
// same policy. An empty cookie is admitted as it is.
func Cookie(offered []byte, p Policy) ([]byte, error) {
	if len(offered) == 0 {
		return nil, nil
	}
	// libvirt's cookies are strings with their terminating zero.
	root, err := parse(bytes.TrimSuffix(offered, []byte{0}))
	if err != nil {
		return nil, p.fault(err)
	}
	doms := root.all("domain")
	if len(doms) > 1 {
		return nil, p.fault(&refused{"a second <qemu-migration/domain>"})
	}
	for _, d := range doms {
		if _, errs := p.domain(d); len(errs) > 0 {
			return nil, p.fault(errs[0])
		}
	}
	at := slices.IndexFunc(root.kids, func(k *node) bool { return k.name == "domain" })
	root.removeAll("domain")
	var dropped []string
	if err := check(cookieRules, root, root.name, &dropped); err != nil {
		return nil, p.fault(err)
	}
	if err := p.identity(root); err != nil {
		return nil, p.fault(err)
	}
	if len(doms) == 1 {
		root.kids = slices.Insert(root.kids, min(at, len(root.kids)), doms[0])
	}
	return append([]byte(root.write()), 0), nil
}

// fault gives an error of this package its code.
func (p Policy) fault(err error) error {
	vm := p.Name
	if vm == "" {
		vm = "(unnamed)"
	}
	var (
		r *refused
		i *invalid
		f *fault.Error
	)
	switch {
	case errors.As(err, &f):
		return err
	case errors.As(err, &r):
		return fault.New(fault.DeviceRefused, p.Host, "vm", vm, "what", r.what)
	case errors.As(err, &i):
		return fault.New(fault.DefinitionInvalid, p.Host, "vm", vm, "problem", i.problem)
	}
	return err
}

// domain checks the tree and changes it into this host's.
func (p Policy) domain(root *node) (*Admitted, []error) {
	if root.name != "domain" {
		return nil, []error{&invalid{fmt.Sprintf("the document is a <%s>", shorten(root.name))}}
	}
	w := walk{rules: domainRules}
	w.element(root, "domain")
	a := &Admitted{Dropped: w.dropped}
	errs := w.refused
	for _, step := range []func(*node, *Admitted) error{
		func(root *node, _ *Admitted) error {
			return once(root, "name", "uuid", "memory", "currentMemory", "vcpu", "os", "cpu", "devices", "maxMemory", "cputune", "numatune", "memoryBacking")
		},
		p.identify, size, p.rewriteCPU, p.rewriteOS, places,
	} {
		if err := step(root, a); err != nil {
			errs = append(errs, err)
		}
	}
	return a, append(errs, p.rewriteDevices(root, a)...)
}

// complete refuses an offer of disks that the definition does not have: they would be
// made, and then be nobody's. (The definition in a cookie is the persistent one, which may have fewer.)
func (p Policy) complete(a *Admitted) error {
	if a == nil {
		return nil
	}
	for _, target := range slices.Sorted(maps.Keys(p.Disks)) {
		if !slices.ContainsFunc(a.Disks, func(d Disk) bool { return d.Target == target && d.Path != "" }) {
			return &invalid{fmt.Sprintf("the offer has a disk %s, the definition has not", shorten(target))}
		}
	}
	return nil
}

// identify reads name, UUID and accelerator.
func (p Policy) identify(root *node, a *Admitted) error {
	a.Type = root.attr("type")
	if n := root.kid("name"); n != nil {
		a.Name = n.text
	}
	if n := root.kid("uuid"); n != nil {
		a.UUID = strings.ToLower(n.text)
	}
	return p.identity(root)
}

// once refuses elements that stand twice: libvirt takes the first of them and
// some reader the last.
func once(n *node, names ...string) error {
	for _, name := range names {
		if len(n.all(name)) > 1 {
			return &refused{fmt.Sprintf("a second <%s/%s>", n.name, name)}
		}
	}
	return nil
}

// identity compares name and UUID with the offer's.
func (p Policy) identity(root *node) error {
	if err := once(root, "name", "uuid"); err != nil {
		return err
	}
	name, uuid := root.kid("name"), root.kid("uuid")
	if name == nil || uuid == nil {
		return &invalid{"no name or no uuid"}
	}
	if p.Name != "" && name.text != p.Name {
		return &invalid{fmt.Sprintf("its name is %q, the offer's is %q", name.text, p.Name)}
	}
	if p.UUID != "" && !strings.EqualFold(uuid.text, p.UUID) {
		return &invalid{fmt.Sprintf("its UUID is %s, the offer's is %s", uuid.text, p.UUID)}
	}
	return nil
}

// size reads memory and CPUs, for the destination's reservation.
func size(root *node, a *Admitted) error {
	m := root.kid("memory")
	if m == nil {
		return &invalid{"no memory"}
	}
	var err error
	if a.MemoryBytes, err = scaled(m.text, m.attr("unit")); err != nil {
		return err
	}
	parts, err := memoryParts(root)
	if err != nil {
		return err
	}
	if cur := root.kid("currentMemory"); cur != nil {
		if n, err := scaled(cur.text, cur.attr("unit")); err != nil || n > a.MemoryBytes {
			return &invalid{"currentMemory is not a part of memory"}
		}
	}
	a.MemoryBytes = max(a.MemoryBytes, parts)
	a.VCPUs = 1
	if v := root.kid("vcpu"); v != nil {
		if a.VCPUs, err = strconv.Atoi(v.text); err != nil || a.VCPUs < 1 || a.VCPUs > 4096 {
			return &invalid{fmt.Sprintf("%q CPUs", v.text)}
		}
	}
	return nil
}

// memoryParts adds up NUMA cells and modules. Where there are any, libvirt takes them
// for the size of the VM, whatever <memory> says.
func memoryParts(root *node) (sum uint64, err error) {
	add := func(text, unit string) error {
		n, err := scaled(text, unit)
		if sum += n; err == nil && sum > maxMemory {
			err = &invalid{"NUMA cells and memory modules that no host has"}
		}
		return err
	}
	for _, c := range root.kid("cpu").kid("numa").all("cell") {
		if err := add(c.attr("memory"), c.attr("unit")); err != nil {
			return 0, err
		}
	}
	for _, m := range root.kid("devices").all("memory") {
		size := m.kid("target").kid("size")
		if size == nil {
			return 0, &invalid{"a memory module without a size"}
		}
		if err := add(size.text, size.attr("unit")); err != nil {
			return 0, err
		}
	}
	return sum, nil
}

// maxMemory is more than a VM has.
const maxMemory = 1 << 50

// scaled reads an amount of memory as libvirt does: KiB without a unit.
func scaled(text, unit string) (uint64, error) {
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0, &invalid{fmt.Sprintf("%q is no amount of memory", text)}
	}
	scale, ok := map[string]uint64{
		"": 1 << 10, "b": 1, "bytes": 1, "k": 1 << 10, "KiB": 1 << 10, "KB": 1e3, "M": 1 << 20, "MiB": 1 << 20,
		"MB": 1e6, "G": 1 << 30, "GiB": 1 << 30, "GB": 1e9, "T": 1 << 40, "TiB": 1 << 40, "TB": 1e12,
	}[unit]
	if !ok {
		return 0, &invalid{fmt.Sprintf("unknown unit %q", unit)}
	}
	if n == 0 || n > maxMemory/scale {
		return 0, &invalid{fmt.Sprintf("%s %s of memory", text, unit)}
	}
	return n * scale, nil
}
