package seed

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// place is a file's name in a directory that is held open, so that what was looked at
// is what is renamed: a link that is planted on the way leads nowhere.
type place struct {
	dir  int
	name string
	path string
}

// reach finds a file without following a link, and gives what it occupies. One with a
// second name, which somebody else may use, is an error.
func reach(path string) (*place, uint64, error) {
	if !filepath.IsAbs(path) || filepath.Clean(path) != path || path == "/" {
		return nil, 0, fmt.Errorf("%q is not an absolute path as it has to be", path)
	}
	dir, err := unix.Openat2(unix.AT_FDCWD, filepath.Dir(path), &unix.OpenHow{
		Flags: unix.O_PATH | unix.O_DIRECTORY | unix.O_CLOEXEC, Resolve: unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS})
	if err != nil {
		return nil, 0, &fs.PathError{Op: "open", Path: filepath.Dir(path), Err: err}
	}
	p := &place{dir: dir, name: filepath.Base(path), path: path}
	var st unix.Stat_t
	err = unix.Fstatat(dir, p.name, &st, unix.AT_SYMLINK_NOFOLLOW)
	if err == nil && (st.Mode&unix.S_IFMT != unix.S_IFREG || st.Nlink != 1) {
		err = errors.New("not a regular file with one name")
	}
	if err != nil {
		p.close()
		return nil, 0, &fs.PathError{Op: "stat", Path: path, Err: err}
	}
	return p, uint64(st.Blocks) * 512, nil
}

// rename gives the file a name in a directory of this package's that nothing else has.
func (p *place) rename(to string) error {
	if err := unix.Renameat(p.dir, p.name, unix.AT_FDCWD, to); err != nil {
		return &os.LinkError{Op: "rename", Old: p.path, New: to, Err: err}
	}
	return nil
}

// sync makes the rename durable.
func (p *place) sync() error {
	fd, err := unix.Openat(p.dir, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	d := os.NewFile(uintptr(fd), filepath.Dir(p.path))
	return errors.Join(d.Sync(), d.Close())
}

func (p *place) close() {
	if p != nil {
		_ = unix.Close(p.dir)
	}
}

// ours is an error unless a directory is as describe makes it: where others may write,
// they would have files of their choice read, for a host of their choice.
func ours(dir string) error {
	real, err := filepath.EvalSymlinks(dir)
	var st unix.Stat_t
	if err == nil {
		err = unix.Lstat(dir, &st)
	}
	if err != nil {
		return err
	}
	if real != dir || st.Mode&unix.S_IFMT != unix.S_IFDIR || int(st.Uid) != os.Geteuid() || st.Mode&0o777 != 0o700 {
		return fmt.Errorf("%s is not a directory of Drover's, which belongs to its user and lets nobody else in", dir)
	}
	return nil
}

// private makes a file that was QEMU's readable by this process's user only. The
// directory lets nobody else in anyway, so that a process without the right to change
// owners, which the unit gives, leaves the file as it is.
func private(path string) error {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	switch err = f.Chown(os.Geteuid(), os.Getegid()); {
	case err == nil:
		err = f.Chmod(0o600)
	case errors.Is(err, fs.ErrPermission):
		err = nil
	}
	return errors.Join(err, f.Close())
}
