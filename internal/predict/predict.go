// Package predict says how long a move will take and whether it will end at
// all, from what was measured before it, and scores itself afterwards. It does
// no I/O.
package predict

import "time"

// Sample is what was measured of guest and link. Sizes in bytes, rates in bytes
// per second.
type Sample struct {
	MemoryTotal uint64  // what the guest has
	MemoryUsed  uint64  // what is not zero, as far as sampled
	DirtyRate   float64 // pages dirtied, from libvirt's measurement
	LinkRate    float64 // payload over the migration network
	Ratio       float64 // payload by wire bytes of the codec on a sample; 1 without codec
	CodecRate   float64 // payload per second the codec and QEMU can do; 0 unknown
	DiskBytes   uint64  // to be copied
	MaxBlackout time.Duration
}
