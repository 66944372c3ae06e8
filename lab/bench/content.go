package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strconv"
	"strings"
	"time"

	"drover/internal/guest"
	"drover/lab"
)

// content looks at the guest's memory from outside, all of it, and at what it does
// when nobody moves it.
func (b *bench) content(ctx context.Context) (Content, error) {
	c := Content{Guest: b.subject.name, Description: b.subject.description, MemoryBytes: int64(b.subject.memoryMiB) << 20}
	if b.subject.disk {
		c.DiskBytes = contentBytes
	}
	pid := 0
	for _, p := range children(b.lab.Member(b.at).PID()) {
		if kindOf[command(p)] == kindQEMU {
			pid = p
		}
	}
	memory, done, err := memoryOf(pid, c.MemoryBytes)
	if err == nil {
		c.ZeroShare, c.Zstd1Ratio, c.Compressor, err = Measure(ctx, memory)
		err = errors.Join(err, done())
	}
	if err != nil {
		return c, fmt.Errorf("memory of QEMU %d: %w", pid, err)
	}
	if c.Filled, err = b.filled(ctx); err != nil {
		return c, err
	}
	const span = 3 * time.Second
	before, used := b.watch.Snapshot().Last, b.meter.cpu()
	begin := time.Now()
	select {
	case <-ctx.Done():
		return c, ctx.Err()
	case <-time.After(span):
	}
	took := time.Since(begin).Seconds()
	c.DirtyBytes = guest.DirtyRate(before, b.watch.Snapshot().Last)
	c.RestCPU = b.meter.cpu().since(used).qemu / took
	return c, nil
}

// filled is nil for a guest that is none of the profiles.
func (b *bench) filled(ctx context.Context) (*Filled, error) {
	p, err := guest.ProfileByName(b.subject.name)
	if err != nil {
		return nil, nil
	}
	files, err := guest.ReadFiles(b.lab.Member(b.at).Path(path.Join(lab.GuestDir, lab.FilesInitrd)))
	if err != nil {
		return nil, err
	}
	return Compose(ctx, p, files)
}

// memoryOf opens the guest's memory in its QEMU.
func memoryOf(pid int, bytes int64) (io.Reader, func() error, error) {
	start, err := guestMemory(pid, bytes)
	if err != nil {
		return nil, nil, err
	}
	f, err := os.Open(fmt.Sprintf("/proc/%d/mem", pid))
	if err != nil {
		return nil, nil, err
	}
	return io.NewSectionReader(f, start, bytes), f.Close, nil
}

// guestMemory finds where a QEMU has its guest's memory: a mapping that can be
// written and is just as large, or else the first that is large enough.
func guestMemory(pid int, bytes int64) (start int64, err error) {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(raw)) {
		f := strings.Fields(line)
		low, high, _ := strings.Cut(f[0], "-")
		from, ferr := strconv.ParseInt(low, 16, 64)
		to, terr := strconv.ParseInt(high, 16, 64)
		if ferr != nil || terr != nil || !strings.HasPrefix(f[1], "rw") {
			continue
		}
		switch size := to - from; {
		case size == bytes:
			return from, nil
		case size > bytes && start == 0:
			start = from
		}
	}
	if start == 0 {
		return 0, fmt.Errorf("no mapping of %d bytes", bytes)
	}
	return start, nil
}
