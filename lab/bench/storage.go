package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"

	"drover/lab"
)

// The disk of the storage move: content in extents with holes between them. What
// lies before the first extent is the guest's own, for its records.
const (
	diskBytes    = 4 << 30
	contentBytes = 1 << 30
	extentBytes  = 16 << 20
	extents      = contentBytes / extentBytes
	firstExtent  = 300 << 20
	extentStride = 56 << 20
	// Of ten extents so many have bytes of real files, one after the other, the
	// others random ones: what is compressed or encrypted already.
	filesOfTen = 8
	// After every fourth extent come zeros that are allocated, as deleted files and
	// tables of a file system leave them.
	zeroBytes = 4 << 20
)

// contentPath is the content as it was written, in the first host.
const contentPath = lab.VMDir + "/bench-content.raw"

func extentAt(i int) int64 { return int64(firstExtent + i*extentStride) }

// fillDisk gives the disk, which is on HV01 and not in use, its content.
func (b *bench) fillDisk(ctx context.Context) error {
	m := b.lab.Member(lab.HV01)
	if _, err := os.Stat(m.Path(contentPath)); errors.Is(err, fs.ErrNotExist) {
		b.say("%d MiB of content for the disk", contentBytes>>20)
		if err := makeContent(ctx, m.Path(contentPath)); err != nil {
			return fmt.Errorf("content of the disk: %w", err)
		}
	}
	d := b.vm.Disks[0]
	if _, err := m.Run(ctx, "qemu-img", "convert", "-f", "raw", "-O", d.Format, contentPath, d.Path); err != nil {
		return err
	}
	// By another program: the conversion would make holes of zeros.
	zero := []string{"qemu-io", "-f", d.Format}
	for i := 0; i < extents; i += 4 {
		zero = append(zero, "-c", fmt.Sprintf("write -q -P 0 %d %d", extentAt(i)+extentBytes, zeroBytes))
	}
	_, err := m.Run(ctx, append(zero, d.Path)...)
	return err
}

// makeContent writes a sparse image.
func makeContent(ctx context.Context, path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Truncate(diskBytes); err != nil {
		return err
	}
	files, done := realFiles(ctx)
	defer done()
	random := rand.NewChaCha8([32]byte{1})
	block := make([]byte, extentBytes)
	for i := range extents {
		from := io.Reader(random)
		if i%10 < filesOfTen {
			from = files
		}
		if _, err := io.ReadFull(from, block); err != nil {
			return fmt.Errorf("extent %d: %w", i, err)
		}
		if _, err := f.WriteAt(block, extentAt(i)); err != nil {
			return err
		}
	}
	return f.Close()
}

// realFiles gives the machine's programs, libraries and documents, one after the
// other. done must be called.
func realFiles(ctx context.Context) (r io.Reader, done func()) {
	ctx, cancel := context.WithCancel(ctx)
	pr, pw := io.Pipe()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		err := filepath.WalkDir("/usr", func(path string, e fs.DirEntry, err error) error {
			if err != nil || ctx.Err() != nil || !e.Type().IsRegular() {
				return ctx.Err() // what cannot be read is left out
			}
			f, err := os.Open(path)
			if err != nil {
				return nil
			}
			defer f.Close()
			_, err = io.Copy(pw, f)
			return err
		})
		_ = pw.CloseWithError(errors.Join(err, io.EOF))
	}()
	return pr, func() {
		cancel()
		_ = pr.Close()
		<-ended
	}
}

// checkDisk ends the guest and compares the content of its disk with what was once
// written, after all moves of it.
func (b *bench) checkDisk(ctx context.Context) error {
	if !b.subject.disk {
		return nil
	}
	m, d := b.lab.Member(b.at), b.vm.Disks[0]
	if _, err := b.lab.Virsh(ctx, b.at, "destroy", b.vm.Name); err != nil {
		return err
	}
	const plain = lab.VMDir + "/bench-check.raw"
	defer os.Remove(m.Path(plain))
	if _, err := m.Run(ctx, "qemu-img", "convert", "-f", d.Format, "-O", "raw", d.Path, plain); err != nil {
		return err
	}
	return sameExtents(m.Path(plain), b.lab.Member(lab.HV01).Path(contentPath))
}

func sameExtents(a, b string) error {
	fa, err := os.Open(a)
	if err != nil {
		return err
	}
	defer fa.Close()
	fb, err := os.Open(b)
	if err != nil {
		return err
	}
	defer fb.Close()
	is, want := make([]byte, extentBytes), make([]byte, extentBytes)
	for i := range extents {
		_, aerr := fa.ReadAt(is, extentAt(i))
		_, berr := fb.ReadAt(want, extentAt(i))
		if err := errors.Join(aerr, berr); err != nil {
			return err
		}
		if !bytes.Equal(is, want) {
			return fmt.Errorf("the moves have changed the disk's content: extent %d", i)
		}
	}
	return nil
}
