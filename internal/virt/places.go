package virt

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/dustin/go-humanize"

	"drover/internal/fault"
	"drover/internal/virt/admit"
)

// sysDevices and hugePages are where the kernel tells of CPUs, nodes and pools.
var (
	sysDevices = "/sys/devices/system"
	hugePages  = "/sys/kernel/mm/hugepages"
	memInfo    = "/proc/meminfo"
)

const (
	// maxCPU bounds what a set may name; the kernel's own limit is 8192.
	maxCPU = 1 << 14
	// maxSizes bounds how many sizes of huge pages are looked at; no processor has
	// as many.
	maxSizes = 16
)

// checkPlaces compares what the VM is bound to with what there is here. What the
// kernel does not tell is left to libvirt's Prepare.
func (h *Host) checkPlaces(a *admit.Admitted, offline bool) (found []error) {
	if lacks, have := missingFrom(a.CPUSets, "cpu/online"); lacks != "" {
		found = append(found, fault.New(fault.HostCPUMissing, h.name, "vm", a.Name, "cpus", lacks, "have", have))
	}
	if lacks, have := missingFrom(a.NUMANodes, "node/online"); lacks != "" {
		found = append(found, fault.New(fault.NUMANodeMissing, h.name, "vm", a.Name, "nodes", lacks, "have", have))
	}
	for _, size := range a.HugePages[:min(len(a.HugePages), maxSizes)] {
		text := humanize.IBytes(size)
		if size == 0 {
			text = "the default size"
			size = defaultHugePage(memInfo)
		}
		free, ok := freeHugePages(size)
		// Pages of several sizes share the memory in ways that libvirt knows.
		if ok && (offline || len(a.HugePages) > 1 || free >= a.MemoryBytes) {
			continue
		}
		found = append(found, fault.New(fault.HugePagesMissing, h.name, "vm", a.Name, "size", text,
			"free", humanize.IBytes(free), "needed", humanize.IBytes(a.MemoryBytes)))
	}
	return found
}

// missingFrom gives what sets name and the kernel's list does not, "" for nothing.
func missingFrom(sets []string, list string) (lacks, have string) {
	if len(sets) == 0 {
		return "", ""
	}
	b, err := os.ReadFile(filepath.Join(sysDevices, list))
	if err != nil {
		return "", ""
	}
	have = strings.TrimSpace(string(b))
	online, ok := parseSet(have)
	if !ok {
		return "", ""
	}
	var missing []string
	for _, s := range sets {
		wanted, ok := parseSet(s)
		if !ok {
			if len(missing) < maxAvailable && !slices.Contains(missing, s) {
				missing = append(missing, s)
			}
			continue
		}
		for n, is := range wanted {
			if is && !online[n] && len(missing) < maxAvailable && !slices.Contains(missing, strconv.Itoa(n)) {
				missing = append(missing, strconv.Itoa(n))
			}
		}
	}
	return strings.Join(missing, ","), have
}

// parseSet reads 0-3,^2,8 as libvirt and the kernel write it. A set that says the
// same again and again is none: it is another host's, and takes time to read.
func parseSet(s string) (in *[maxCPU]bool, ok bool) {
	in = new([maxCPU]bool)
	named := 0
	for part := range strings.SplitSeq(s, ",") {
		text, without := strings.CutPrefix(strings.TrimSpace(part), "^")
		first, last, ranged := strings.Cut(text, "-")
		from, err := strconv.Atoi(first)
		to := from
		if err == nil && ranged {
			to, err = strconv.Atoi(last)
		}
		if err != nil || from < 0 || to < from || to >= maxCPU {
			return nil, false
		}
		if named += to - from + 1; named > 2*maxCPU {
			return nil, false
		}
		for n := from; n <= to; n++ {
			in[n] = !without
		}
	}
	return in, true
}

// freeHugePages is the free memory in pages of a size, bytes; false without a
// pool of them, as a kernel without huge pages has none.
func freeHugePages(size uint64) (uint64, bool) {
	b, err := os.ReadFile(filepath.Join(hugePages, fmt.Sprintf("hugepages-%dkB", size>>10), "free_hugepages"))
	if err != nil {
		return 0, false
	}
	n, err := strconv.ParseUint(strings.TrimSpace(string(b)), 10, 32)
	return n * size, err == nil
}

// defaultHugePage is the kernel's size of a huge page, 0 if it has none.
func defaultHugePage(meminfo string) uint64 {
	b, err := os.ReadFile(meminfo)
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(b)) {
		var n uint64
		if _, err := fmt.Sscanf(line, "Hugepagesize: %d kB", &n); err == nil {
			return n << 10
		}
	}
	return 0
}
