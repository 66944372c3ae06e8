package storage

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// What was checked by its path may be another file by the time it is made or removed:
// whoever can write to a directory above it, such as another host that shares
// it, can put a symbolic link there. So files of moves that come in are reached
// from "/" one directory at a time, and none may be a link.

// errLink is a path that leads over a symbolic link, or through what is no directory.
var errLink = errors.New("it leads over a symbolic link or what is no directory")

// place is a name in a directory that is held open.
type place struct {
	dir  *os.File
	name string
	made []string // directories that were not there before, outermost first
}

// reach opens the directory of path, which is absolute and clean, without following
// a link. With make it makes what is missing. The place has to be closed.
func reach(path string, make bool) (*place, error) {
	if !filepath.IsAbs(path) || filepath.Clean(path) != path || path == "/" {
		return nil, fmt.Errorf("%q is not an absolute path as it has to be", path)
	}
	const flags = unix.O_PATH | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC
	at, err := unix.Open("/", flags, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: "/", Err: err}
	}
	parts := strings.Split(path[1:], "/")
	p := &place{name: parts[len(parts)-1]}
	walked := ""
	for _, part := range parts[:len(parts)-1] {
		walked += "/" + part
		next, err := unix.Openat(at, part, flags, 0)
		if errors.Is(err, unix.ENOENT) && make {
			// QEMU runs as another user and must be able to pass through.
			if err = unix.Mkdirat(at, part, 0o711); err == nil {
				p.made = append(p.made, walked)
			}
			if err == nil || errors.Is(err, unix.EEXIST) {
				next, err = unix.Openat(at, part, flags, 0)
			}
		}
		_ = unix.Close(at)
		if errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) {
			err = errLink
		}
		if err != nil {
			p.forget()
			return nil, &fs.PathError{Op: "open", Path: walked, Err: err}
		}
		at = next
	}
	p.dir = os.NewFile(uintptr(at), filepath.Dir(path))
	return p, nil
}

// forget removes the directories that were made, as far as nothing is in them: one
// that is not empty belongs to somebody else by now.
func (p *place) forget() {
	for i := len(p.made) - 1; i >= 0; i-- {
		above, err := reach(p.made[i], false)
		if err != nil {
			return
		}
		err = unix.Unlinkat(int(above.dir.Fd()), above.name, unix.AT_REMOVEDIR)
		above.close()
		if err != nil {
			return
		}
	}
}

func (p *place) close() { _ = p.dir.Close() }

// open opens the file, which may not be a link.
func (p *place) open(flags int, mode fs.FileMode) (*os.File, error) {
	path := filepath.Join(p.dir.Name(), p.name)
	fd, err := unix.Openat(int(p.dir.Fd()), p.name, flags|unix.O_NOFOLLOW|unix.O_CLOEXEC, uint32(mode.Perm()))
	if errors.Is(err, unix.ELOOP) {
		err = errLink
	}
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	return os.NewFile(uintptr(fd), path), nil
}

// remove removes the file, if it is a regular one and, with same, that one.
func (p *place) remove(same fs.FileInfo) error {
	path := filepath.Join(p.dir.Name(), p.name)
	file, err := p.open(unix.O_PATH, 0)
	if err != nil {
		return err
	}
	defer file.Close()
	now, err := file.Stat()
	switch {
	case err != nil:
		return err
	case !now.Mode().IsRegular():
		return fmt.Errorf("not a regular file (%s)", now.Mode().Type())
	case same != nil && !os.SameFile(same, now):
		return nil
	}
	if err := unix.Unlinkat(int(p.dir.Fd()), p.name, 0); err != nil {
		return &fs.PathError{Op: "remove", Path: path, Err: err}
	}
	return p.sync()
}

// sync makes what was done in the directory durable.
func (p *place) sync() error {
	fd, err := unix.Openat(int(p.dir.Fd()), ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return &fs.PathError{Op: "open", Path: p.dir.Name(), Err: err}
	}
	d := os.NewFile(uintptr(fd), p.dir.Name())
	return errors.Join(d.Sync(), d.Close())
}

// Discard removes a file that was made here for a move which did not succeed. Unlike
// Remove it follows no link on the way there. One that is gone already is no error.
func (f Files) Discard(path string) error {
	p, err := reach(path, false)
	if err == nil {
		defer p.close()
		err = p.remove(nil)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return f.failed(path, err)
	}
	return nil
}

// openImage opens a regular file for reading and writing.
func openImage(path string) (*os.File, error) {
	p, err := reach(path, false)
	if err != nil {
		return nil, err
	}
	defer p.close()
	file, err := p.open(unix.O_RDWR|unix.O_NONBLOCK, 0) // a pipe would wait
	if err != nil {
		return nil, err
	}
	if fi, serr := file.Stat(); serr != nil || !fi.Mode().IsRegular() {
		_ = file.Close()
		return nil, errors.Join(serr, errors.New("not a regular file"))
	}
	return file, nil
}

// inherited is the name of the one file that a child was given.
const inherited = "/proc/self/fd/3"
