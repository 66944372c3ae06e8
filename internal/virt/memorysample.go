package virt

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"

	lv "github.com/digitalocean/go-libvirt"
)

// Bounds of a sample: its size in all, and of one piece of memory that lies
// together. libvirt has QEMU write each piece to a file, so few large pieces
// are quicker and many small ones are more even.
const (
	// MaxMemorySample is the most that MemorySample reads, bytes.
	MaxMemorySample = 4 << 20
	samplePiece     = 64 << 10
	pageBytes       = 4096
)

// errNoSample: which addresses are memory is known for x86 only.
var errNoSample = errors.New("memory is sampled on x86 guests only")

// MemorySample reads pages of 4 KiB (at most MaxMemorySample in all) from
// places of the guest's memory that follow from seed. It reads nothing else
// than memory: between its parts lie registers of devices, some of which change
// when they are read.
func (h *Host) MemorySample(ctx context.Context, vm string, pages int, seed uint64) ([]byte, error) {
	d, err := h.Domain(ctx, vm)
	if err != nil {
		return nil, err
	}
	if d.Arch != "x86_64" && d.Arch != "i686" {
		return nil, errNoSample
	}
	var out []byte
	err = h.onDomain(ctx, vm, "sample the memory of", false, func(l *lv.Libvirt, dom lv.Domain) error {
		out = nil
		for _, at := range samplePlaces(d.MemoryBytes, pages, seed) {
			if err := ctx.Err(); err != nil {
				return err
			}
			b, err := l.DomainMemoryPeek(dom, at, samplePiece, lv.MemoryPhysical)
			if err != nil {
				return fmt.Errorf("read memory at %#x: %w", at, err)
			}
			out = append(out, b...)
		}
		return nil
	})
	return out, err
}

// memoryRange is a part of the guest's physical addresses, end exclusive.
type memoryRange struct{ start, end uint64 }

// memoryRanges are addresses that are memory of an x86 guest with so many bytes
// in every machine type of QEMU: above the first MiB, which has the VGA window,
// and below 2 GiB, where PCI begins at the earliest, without the last 16 MiB,
// which may be the firmware's own; and what is certainly above 4 GiB, as no
// machine type has more than 3.5 GiB below.
func memoryRanges(memory uint64) (out []memoryRange) {
	const mib, gib = 1 << 20, 1 << 30
	if low := min(memory, 2*gib); low > 32*mib {
		out = append(out, memoryRange{mib, low - 16*mib})
	}
	if memory > 4*gib {
		// A machine moves what would lie beyond 1 TiB elsewhere.
		out = append(out, memoryRange{4 * gib, min(memory+gib/2, 256*gib)})
	}
	return out
}

// samplePlaces chooses where to read, aligned pieces spread evenly by chance.
func samplePlaces(memory uint64, pages int, seed uint64) []uint64 {
	ranges := memoryRanges(memory)
	var total uint64
	for _, r := range ranges {
		total += (r.end - r.start) / samplePiece
	}
	n := min(max(pages, 0)*pageBytes, MaxMemorySample) / samplePiece
	if total == 0 {
		return nil
	}
	random := rand.New(rand.NewPCG(seed, memory))
	places := make([]uint64, 0, n)
	for range n {
		piece := random.Uint64N(total)
		for _, r := range ranges {
			have := (r.end - r.start) / samplePiece
			if piece < have {
				places = append(places, r.start+piece*samplePiece)
				break
			}
			piece -= have
		}
	}
	return places
}
