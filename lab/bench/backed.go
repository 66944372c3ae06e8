package bench

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// back has the kernel give n bytes to this program once and takes them back. On a
// virtual machine whose host was told which of its pages are free, the first touch
// of such a page waits for the host: 3.8 s for a GiB instead of 0.1 s where this was
// found, so that what the move before had left free decided how long a move took.
// After this the free pages are the machine's own, for all ways alike.
func back(n uint64) error {
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err != nil {
		return fmt.Errorf("touch free memory: %w", err)
	}
	n = min(n, info.Freeram*uint64(info.Unit)/2)
	m, err := unix.Mmap(-1, 0, int(n), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		return fmt.Errorf("touch free memory: %w", err)
	}
	_ = unix.Madvise(m, unix.MADV_HUGEPAGE) // as QEMU does with a guest's memory
	for i := 0; i < len(m); i += 4096 {
		m[i] = 1
	}
	return unix.Munmap(m)
}
