package plan

import (
	"fmt"
	"slices"
	"time"

	"drover/internal/fault"
	"drover/internal/record"
	"drover/internal/version"
	"drover/internal/virt"
	"drover/internal/wire"
)

// Mappings are what a request wants otherwise at the destination.
func Mappings(r record.Request) wire.Mappings {
	return wire.Mappings{Networks: r.MapNetwork, Storage: r.MapStorage, Disks: r.DiskPaths, CPU: r.CPU, Eject: r.EjectMedia}
}

// maxTimeout is far beyond any transfer, and far below what a time.Duration holds.
const maxTimeout = 10000 * time.Hour

// CheckRequest gives the objections to what is asked for one VM: "usage" for
// what contradicts itself, "cpu-fixed" for another CPU of a VM that is not shut
// off.
func CheckRequest(host string, d virt.Domain, kind wire.MoveKind, r record.Request) (all []error) {
	wrong := func(format string, args ...any) {
		all = append(all, fault.New(fault.Usage, host, "problem", fmt.Sprintf(format, args...)))
	}
	if err := Mappings(r).Check(); err != nil {
		wrong("%v", err)
	}
	if len(r.MapStorage)+len(r.DiskPaths) > 0 && !r.IncludeStorage {
		wrong("disks are mapped, and the move does not include storage (--include-storage)")
	}
	for name := range r.DiskPaths {
		if !slices.ContainsFunc(d.Disks, func(k virt.Disk) bool { return k.Target == name || k.Path == name && name != "" }) {
			wrong("VM %s has no disk %q; name it by its target, such as vda, or by its path on %s", d.Name, name, host)
		}
	}
	if err := r.Bandwidth.Check(); err != nil { // less would silence the streams
		wrong("bandwidth limit: %v", err)
	}
	if r.TimeoutMS < 0 || r.TimeoutMS > maxTimeout.Milliseconds() {
		wrong("a time limit of %d ms is not between none and %s", r.TimeoutMS, maxTimeout)
	}
	if r.CPU != "" && kind != wire.Offline {
		all = append(all, fault.New(fault.CPUFixed, host, "vm", d.Name, "model", r.CPU))
	}
	return all
}

// CheckVersions refuses a host whose libvirt or QEMU, as it says its versions
// (MAJOR.MINOR.PATCH), is too old for what is asked for.
func CheckVersions(host, libvirt, qemu string, r record.Request) error {
	if Channels(r.Connections) == 0 {
		return nil
	}
	return CheckParallel(host, libvirt, qemu)
}

// CheckParallel refuses a host that has no parallel memory connections.
func CheckParallel(host, libvirt, qemu string) error {
	const feature = "parallel memory connections (--connections)"
	for _, v := range []struct{ program, have, need string }{{"libvirt", libvirt, "5.2.0"}, {"QEMU", qemu, "4.0.0"}} {
		if version.Older(v.have, v.need) {
			return fault.New(fault.VersionTooOld, host, "program", v.program, "have", v.have, "feature", feature, "need", v.need)
		}
	}
	return nil
}

// LosesWrites tells whether a QEMU of that version may miss what a guest of that type
// (virt.Domain.Type) writes between two rounds over its memory, so that it is better sent
// in few: emulated ones before QEMU 10.0, see docs/facts/libvirt.md.
func LosesWrites(domainType, qemu string) bool {
	return domainType == "qemu" && (qemu == "" || version.Older(qemu, "10.0"))
}
