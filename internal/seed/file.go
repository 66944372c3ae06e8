package seed

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// open opens a seed's file for reading; it follows no link, as reach, and waits for nothing.
func open(path string) (*os.File, error) {
	fd, err := unix.Openat2(unix.AT_FDCWD, path, &unix.OpenHow{
		Flags: unix.O_RDONLY | unix.O_NONBLOCK | unix.O_CLOEXEC, Resolve: unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS})
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	f := os.NewFile(uintptr(fd), path)
	if fi, err := f.Stat(); err != nil || !fi.Mode().IsRegular() {
		f.Close()
		return nil, errors.Join(err, fmt.Errorf("%s is no regular file", path))
	}
	return f, nil
}

func stamp(f *os.File) (Stamp, error) {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return Stamp{}, err
	}
	return Stamp{Size: uint64(st.Size), Inode: st.Ino, Changed: st.Ctim.Nano(), Wrote: st.Mtim.Nano()}, nil
}

// allocated is what a file occupies; 0 for one that is not there.
func allocated(path string) uint64 {
	var st unix.Stat_t
	if unix.Lstat(path, &st) != nil || st.Mode&unix.S_IFMT != unix.S_IFREG {
		return 0
	}
	return uint64(st.Blocks) * 512
}

// read makes the ledger of a file: of all whole blocks with something else than
// zeros in them. A file that changes meanwhile gets a stamp of before.
func read(ctx context.Context, f *os.File) (Ledger, error) {
	s, err := stamp(f)
	if err != nil {
		return Ledger{}, err
	}
	l := Ledger{Stamp: s}
	buf := make([]byte, BlockSize)
	for at := int64(0); at+BlockSize <= int64(s.Size) && len(l.Entries) < MostBlocks; {
		data, err := unix.Seek(int(f.Fd()), at, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) { // only holes follow
			break
		}
		if err != nil {
			return Ledger{}, err
		}
		at = data / BlockSize * BlockSize
		hole, err := unix.Seek(int(f.Fd()), data, unix.SEEK_HOLE)
		if err != nil {
			return Ledger{}, err
		}
		for ; at < hole && at+BlockSize <= int64(s.Size) && len(l.Entries) < MostBlocks; at += BlockSize {
			sum, ok, err := sumAt(ctx, f, uint32(at/BlockSize), buf)
			if err != nil {
				return Ledger{}, err
			}
			if ok {
				l.Entries = append(l.Entries, Entry{Block: uint32(at / BlockSize), Sum: sum})
			}
		}
	}
	return l, nil
}

// sumAt hashes one block; ok is false when it is nothing but zeros.
func sumAt(ctx context.Context, f io.ReaderAt, block uint32, buf []byte) (sum Sum, ok bool, err error) {
	if err := context.Cause(ctx); err != nil {
		return sum, false, err
	}
	if _, err := f.ReadAt(buf, int64(block)*BlockSize); err != nil {
		return sum, false, err
	}
	if bytes.Equal(buf, zeros[:]) {
		return sum, false, nil
	}
	full := sha256.Sum256(buf)
	return Sum(full[:SumSize]), true, nil
}

// readAgain keeps the entries of a ledger that the file bears out as it is now. It
// adds none: what came to be in the file since may be another's. When ctx ends,
// what was read by then counts.
func readAgain(ctx context.Context, f *os.File, old Ledger) (Ledger, error) {
	s, err := stamp(f)
	if err != nil {
		return Ledger{}, err
	}
	l := Ledger{Stamp: s}
	if s.Inode != old.Stamp.Inode {
		return l, nil // another file
	}
	buf := make([]byte, BlockSize)
	for _, e := range old.Entries {
		if (uint64(e.Block)+1)*BlockSize > s.Size {
			break
		}
		sum, ok, err := sumAt(ctx, f, e.Block, buf)
		if ctx.Err() != nil {
			break
		}
		if err == nil && ok && sum == e.Sum {
			l.Entries = append(l.Entries, e)
		}
	}
	return l, nil
}

// write puts a small file in place, whole or not at all, for root only.
func write(path string, content []byte) error {
	tmp := path + ".tmp"
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(tmp, path)
	}
	if err != nil {
		_ = os.Remove(tmp)
		return err
	}
	return syncDir(filepath.Dir(path))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// readLimited reads a regular file of at most so many bytes.
func readLimited(path string, most int64) ([]byte, error) {
	f, err := open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, most+1))
	if err == nil && int64(len(b)) > most {
		err = fmt.Errorf("%s has more than %d bytes", path, most)
	}
	return b, err
}
