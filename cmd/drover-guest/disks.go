//go:build linux

package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"drover/internal/guest"
)

// disk is a virtio disk without the page cache between.
type disk struct{ *os.File }

// Sync flushes the disk's own cache.
func (d disk) Sync() error { return unix.Fdatasync(int(d.Fd())) }

// findDisks names the virtio disks: vda, vdb and so on.
func findDisks() []string {
	paths, _ := filepath.Glob("/sys/block/vd*") // the pattern is well-formed
	for i, p := range paths {
		paths[i] = filepath.Base(p)
	}
	return paths
}

func openDisk(name string, nonce uint64) (*guest.Ring, error) {
	f, err := os.OpenFile("/dev/"+name, os.O_RDWR|unix.O_DIRECT, 0)
	if err != nil {
		return nil, fmt.Errorf("disk: %w", err)
	}
	size, err := f.Seek(0, 2)
	if err != nil {
		return nil, fmt.Errorf("disk %s: size: %w", name, err)
	}
	return guest.NewRing(disk{f}, name, size, nonce)
}

// runDisk appends a record each interval and reads some back, until ctx ends.
func runDisk(ctx context.Context, ring *guest.Ring, interval time.Duration) {
	t := time.NewTicker(interval)
	defer t.Stop()
	failed := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		err := ring.Append(time.Now())
		if err != nil && !failed {
			say("%v", err)
		}
		failed = err != nil
		ring.VerifySome(2)
	}
}
