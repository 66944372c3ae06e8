package storage

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"syscall"

	"github.com/dustin/go-humanize"
	"golang.org/x/sys/unix"

	"drover/internal/fault"
)

// Space is the free space of a file system.
type Space struct {
	// Device identifies the file system on this host while it is mounted.
	Device uint64
	// FreeBytes is what a process without privileges may use.
	FreeBytes uint64
}

// Free reads the free space where path lies or would lie.
func (f Files) Free(path string) (Space, error) {
	at := path
	for {
		fi, err := os.Stat(at)
		if err == nil {
			var s unix.Statfs_t
			if err := unix.Statfs(at, &s); err != nil {
				return Space{}, f.failed(path, err)
			}
			dev := fi.Sys().(*syscall.Stat_t).Dev
			return Space{Device: uint64(dev), FreeBytes: s.Bavail * uint64(s.Bsize)}, nil
		}
		if !errors.Is(err, fs.ErrNotExist) || at == "/" {
			return Space{}, f.failed(path, err)
		}
		at = filepath.Dir(at)
	}
}

// Need is a file that is going to be written.
type Need struct {
	Path string
	// Bytes are what it is expected to occupy in the end.
	Bytes uint64
}

// Book keeps what incoming moves were promised, so that two at once are not
// admitted into the space of one. It lives in memory: after a restart there
// are no incoming moves.
type Book struct {
	files Files
	// Spare is what would make room; nil is nothing.
	Spare Spare

	mu     sync.Mutex
	next   int
	disks  map[int]reservedDisk
	memory map[int]uint64
}

type reservedDisk struct {
	need   Need
	device uint64
}

// Spare is what lies on a file system only as long as nobody needs the room.
type Spare interface {
	Reclaimable(device uint64) (bytes uint64)
	// Reclaim gives back so much, if there is so much. It is done for a VM.
	Reclaim(device, bytes uint64, vm string) (freed uint64)
}

// NewBook makes an empty book.
func NewBook(f Files) *Book {
	return &Book{files: f, disks: map[int]reservedDisk{}, memory: map[int]uint64{}}
}

// outstanding is what is still to be written of a reservation: what the file
// occupies already is missing from the free space as well.
func (r reservedDisk) outstanding() uint64 {
	fi, err := os.Stat(r.need.Path)
	if err != nil {
		return r.need.Bytes
	}
	have := uint64(fi.Sys().(*syscall.Stat_t).Blocks) * 512
	return r.need.Bytes - min(have, r.need.Bytes)
}

// ReserveDisks reserves room for all of needs or none (storage-full). release
// is safe twice.
func (b *Book) ReserveDisks(vm string, needs []Need) (release func(), err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var mine []int
	release = b.releaser(&mine)
	for _, n := range needs {
		space, err := b.files.Free(n.Path)
		if err != nil {
			b.drop(mine)
			return nil, err
		}
		r := reservedDisk{need: n, device: space.Device}
		var others uint64
		for _, o := range b.disks {
			if o.device == r.device {
				others += o.outstanding()
			}
		}
		free := space.FreeBytes + b.reclaimable(r.device)
		left := free - min(others, free)
		if want := r.outstanding(); want > left {
			b.drop(mine)
			return nil, fault.New(fault.StorageFull, b.files.Host, "vm", vm, "path", filepath.Dir(n.Path),
				"free", humanize.IBytes(left), "needed", humanize.IBytes(want))
		}
		b.next++
		b.disks[b.next] = r
		mine = append(mine, b.next)
	}
	return release, nil
}

func (b *Book) reclaimable(device uint64) uint64 {
	if b.Spare == nil {
		return 0
	}
	return b.Spare.Reclaimable(device)
}

// MakeRoom makes sure, before a file is written, that what was reserved on its file
// system is free, and not only reclaimable.
func (b *Book) MakeRoom(vm, path string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	space, err := b.files.Free(path)
	if err != nil || b.Spare == nil {
		return err
	}
	var want uint64
	for _, o := range b.disks {
		if o.device == space.Device {
			want += o.outstanding()
		}
	}
	if want <= space.FreeBytes {
		return nil
	}
	b.Spare.Reclaim(space.Device, want-space.FreeBytes, vm)
	if space, err = b.files.Free(path); err != nil || want <= space.FreeBytes {
		return err
	}
	return fault.New(fault.StorageFull, b.files.Host, "vm", vm, "path", filepath.Dir(path),
		"free", humanize.IBytes(space.FreeBytes), "needed", humanize.IBytes(want))
}

// ReserveMemory reserves memory out of what the host has available now
// (memory-full). Keep it until the guest runs or is given up; available memory
// shrinks while the guest's arrives, so the book errs on the safe side.
func (b *Book) ReserveMemory(vm string, bytes, available uint64) (release func(), err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var others uint64
	for _, m := range b.memory {
		others += m
	}
	left := available - min(others, available)
	if bytes > left {
		return nil, fault.New(fault.MemoryFull, b.files.Host, "vm", vm, "free", humanize.IBytes(left), "needed", humanize.IBytes(bytes))
	}
	b.next++
	b.memory[b.next] = bytes
	mine := []int{b.next}
	return b.releaser(&mine), nil
}

func (b *Book) releaser(ids *[]int) func() {
	var once sync.Once
	return func() {
		once.Do(func() {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.drop(*ids)
		})
	}
}

// drop forgets reservations; the caller holds the lock.
func (b *Book) drop(ids []int) {
	for _, id := range ids {
		delete(b.disks, id)
		delete(b.memory, id)
	}
}
