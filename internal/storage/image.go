package storage

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"drover/internal/fault"
)

// Formats that Drover moves.
const (
	QCOW2 = "qcow2"
	Raw   = "raw"
)

// toolTimeout bounds qemu-img where it only reads or writes headers.
const toolTimeout = 30 * time.Second

// Image is what a disk image file says of itself.
type Image struct {
	Format string
	// VirtualBytes is the guest's view, AllocatedBytes what the file occupies.
	VirtualBytes, AllocatedBytes uint64
	// Backing is the backing file's name as the image has it, "" without.
	Backing string
	// DataFile is the external file of a qcow2 image's data, "" without. Such an
	// image is not one file and is not moved.
	DataFile string
}

// Files makes and reads the image files of one host.
type Files struct {
	// Host is the host's name in faults.
	Host string
	// Mode is a new file's mode; 0 means 0600.
	Mode fs.FileMode
	// UID and GID own a new file; 0 and -1 leave the process's own. libvirt changes
	// the owner by itself when it starts a domain, unless told not to.
	UID, GID int
}

func (f Files) failed(path string, err error) error {
	return fault.Wrap(err, fault.StorageFailed, f.Host, "path", path, "problem", problem(err))
}

func problem(err error) string {
	switch {
	case errors.Is(err, errLink):
		return errLink.Error()
	case errors.Is(err, fs.ErrNotExist):
		return "no such file"
	case errors.Is(err, fs.ErrPermission):
		return "no permission"
	case errors.Is(err, syscall.ENOSPC):
		return "no space left"
	}
	return "cannot be used"
}

func checkFormat(format string) error {
	if format != QCOW2 && format != Raw {
		return fmt.Errorf("format %q is neither %s nor %s", format, QCOW2, Raw)
	}
	return nil
}

// Inspect reads an image's header, also of one in use. It follows no backing
// file.
func (f Files) Inspect(ctx context.Context, path, format string) (Image, error) {
	if err := checkFormat(format); err != nil {
		return Image{}, f.failed(path, err)
	}
	if err := regular(path); err != nil {
		return Image{}, f.failed(path, err)
	}
	out, err := qemuImg(ctx, nil, "info", "-U", "--output=json", "-f", format, "--", path)
	if err != nil {
		return Image{}, f.failed(path, err)
	}
	var info struct {
		Format   string `json:"format"`
		Virtual  uint64 `json:"virtual-size"`
		Actual   uint64 `json:"actual-size"`
		Backing  string `json:"backing-filename"`
		Specific struct {
			Data struct {
				DataFile string `json:"data-file"`
			} `json:"data"`
		} `json:"format-specific"`
	}
	if err := json.Unmarshal(out, &info); err != nil {
		return Image{}, f.failed(path, fmt.Errorf("read qemu-img's answer: %w", err))
	}
	return Image{Format: info.Format, VirtualBytes: info.Virtual, AllocatedBytes: info.Actual,
		Backing: info.Backing, DataFile: info.Specific.Data.DataFile}, nil
}

// regular refuses everything but a regular file, links included.
func regular(path string) error {
	fi, err := os.Lstat(path)
	if err != nil {
		return err
	}
	if !fi.Mode().IsRegular() {
		return fmt.Errorf("not a regular file (%s)", fi.Mode().Type())
	}
	return nil
}

// Create makes a sparse image and the directories above it that are missing.
// path is what Roots.Resolve gave: a link that came since is an error. A file that
// exists is never touched
// (disk-exists). undo removes what was made, if it is still the same file; it
// is safe twice.
func (f Files) Create(ctx context.Context, path, format string, size uint64, vm string) (undo func() error, err error) {
	if err := checkFormat(format); err != nil {
		return nil, f.failed(path, err)
	}
	if size == 0 || size > 1<<62 {
		return nil, f.failed(path, fmt.Errorf("virtual size of %d bytes", size))
	}
	return f.make(path, vm, func(file *os.File) error {
		if format == Raw {
			return file.Truncate(int64(size))
		}
		// qemu-img keeps the file that it is given, with its owner and mode.
		_, err := qemuImg(ctx, file, "create", "-q", "-f", QCOW2, "--", inherited, strconv.FormatUint(size, 10))
		return err
	})
}

// WriteNew writes a small file, such as UEFI variables, under the same rules as
// Create.
func (f Files) WriteNew(path string, content []byte, vm string) (undo func() error, err error) {
	return f.make(path, vm, func(file *os.File) error {
		_, err := file.Write(content)
		return err
	})
}

// ReadSmall reads a regular file of at most limit bytes.
func (f Files) ReadSmall(path string, limit int64) ([]byte, error) {
	if err := regular(path); err != nil {
		return nil, f.failed(path, err)
	}
	fi, err := os.Stat(path)
	if err != nil {
		return nil, f.failed(path, err)
	}
	if fi.Size() > limit {
		return nil, f.failed(path, fmt.Errorf("%d bytes, limit %d", fi.Size(), limit))
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, f.failed(path, err)
	}
	return b, nil
}

// make creates the file, exclusively, and missing directories, and has it filled.
func (f Files) make(path, vm string, fill func(*os.File) error) (undo func() error, err error) {
	p, err := reach(path, true)
	if err != nil {
		return nil, f.failed(path, err)
	}
	defer p.close()
	mode := f.Mode
	if mode == 0 {
		mode = 0o600
	}
	file, err := p.open(os.O_RDWR|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		p.forget()
		if errors.Is(err, fs.ErrExist) {
			return nil, fault.Wrap(err, fault.DiskExists, f.Host, "path", path, "vm", vm)
		}
		return nil, f.failed(path, err)
	}
	made, err := file.Stat()
	undo = func() error {
		if now, err := reach(path, false); err == nil {
			defer now.close()
			if rerr := now.remove(made); rerr != nil && !errors.Is(rerr, fs.ErrNotExist) {
				return f.failed(path, rerr)
			}
		}
		p.forget()
		return nil
	}
	if err == nil && (f.UID > 0 || f.GID > 0) {
		err = file.Chown(own(f.UID), own(f.GID))
	}
	if err == nil {
		err = file.Chmod(mode) // whatever the umask is
	}
	if err == nil {
		err = fill(file)
	}
	if err == nil {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err == nil {
		err = p.sync()
	}
	if err != nil {
		return nil, errors.Join(f.failed(path, err), undo())
	}
	return undo, nil
}

// own is an id for chown, where -1 changes nothing.
func own(id int) int {
	if id == 0 {
		return -1
	}
	return id
}

// Remove deletes a regular file; one that is gone already is no error. It is for
// files of this host's own: links on the way there are its administrator's.
func (f Files) Remove(path string) error {
	err := regular(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = os.Remove(path)
	}
	if err == nil {
		err = syncPath(filepath.Dir(path))
	}
	if err != nil {
		return f.failed(path, err)
	}
	return nil
}

func syncPath(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// qemuImg runs it to its end, with a file, if there is one, which it inherits, and
// gives its standard output; its errors are in the error.
func qemuImg(ctx context.Context, file *os.File, args ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, toolTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, "qemu-img", args...)
	cmd.WaitDelay = 2 * time.Second
	if file != nil {
		cmd.ExtraFiles = []*os.File{file}
	}
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return nil, fmt.Errorf("qemu-img %s: %w", args[0], context.Cause(ctx))
		}
		return nil, fmt.Errorf("qemu-img %s: %w: %s", args[0], err, lastLine(errs.String()))
	}
	return out.Bytes(), nil
}

func lastLine(s string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return lines[len(lines)-1]
}
