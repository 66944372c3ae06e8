package lab

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// rootConfig describes a member's file system: an overlay over Lower whose changes live in memory
// and vanish with the member, and some directories that are bound in from outside.
type rootConfig struct {
	// Lower is the directory below the overlay: "/" or a debootstrap root.
	Lower string `json:"lower"`
	// Scratch is an empty directory on which the overlay is put together.
	Scratch string `json:"scratch"`
	// Absent are files and directories that are not to be there although Lower may have them.
	Absent []string `json:"absent"`
	// Tmpfs are directories that start empty although Lower may have something in them.
	Tmpfs []string `json:"tmpfs"`
	// Binds are directories of the machine, on a real file system.
	Binds []bind `json:"binds"`
	// Files are written last.
	Files []file `json:"files"`
}

type bind struct {
	Source   string `json:"source"`
	Target   string `json:"target"`
	ReadOnly bool   `json:"read_only,omitempty"`
}

type file struct {
	Path    string      `json:"path"`
	Mode    os.FileMode `json:"mode"`
	Content string      `json:"content"`
}

// enter builds the root and makes it this mount namespace's only one.
func (r *rootConfig) enter() error {
	root, err := r.overlay()
	if err != nil {
		return err
	}
	for _, path := range r.Absent { // before anything of the machine is mounted: this removes recursively
		if err := os.RemoveAll(filepath.Join(root, path)); err != nil {
			return err
		}
	}
	if err := mountKernelFilesystems(root); err != nil {
		return err
	}
	for _, dir := range r.Tmpfs {
		if err := mount("tmpfs", filepath.Join(root, dir), "tmpfs", 0, "mode=0755"); err != nil {
			return err
		}
	}
	for _, b := range r.Binds {
		if err := b.mount(root); err != nil {
			return err
		}
	}
	for _, f := range r.Files {
		if err := f.write(root); err != nil {
			return err
		}
	}
	return pivot(root)
}

// overlay mounts Lower with a writable layer in memory and returns the mount point. In memory
// because Samba's and libvirt's many small synchronous writes then cost nothing, and because
// there is nothing to delete afterwards.
func (r *rootConfig) overlay() (string, error) {
	if err := mount("tmpfs", r.Scratch, "tmpfs", 0, "mode=0755"); err != nil {
		return "", err
	}
	upper, work, root := filepath.Join(r.Scratch, "upper"), filepath.Join(r.Scratch, "work"), filepath.Join(r.Scratch, "root")
	for _, dir := range []string{upper, work} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			return "", err
		}
	}
	options := fmt.Sprintf("lowerdir=%s,upperdir=%s,workdir=%s", r.Lower, upper, work)
	return root, mount("overlay", root, "overlay", 0, options)
}

// mountKernelFilesystems gives the root its own /proc, /sys, /run and /tmp, and the machine's
// devices but not its shared memory and terminals.
func mountKernelFilesystems(root string) error {
	in := func(dir string) string { return filepath.Join(root, dir) }
	const plain = syscall.MS_NOSUID | syscall.MS_NODEV
	return errors.Join(
		mount("proc", in("/proc"), "proc", plain|syscall.MS_NOEXEC, ""),
		mount("sysfs", in("/sys"), "sysfs", plain|syscall.MS_NOEXEC, ""),
		mount("/dev", in("/dev"), "", syscall.MS_BIND, ""),
		mount("devpts", in("/dev/pts"), "devpts", syscall.MS_NOSUID|syscall.MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620"),
		mount("tmpfs", in("/dev/shm"), "tmpfs", plain, "mode=1777"),
		mount("tmpfs", in("/run"), "tmpfs", plain, "mode=0755"),
		mount("tmpfs", in("/tmp"), "tmpfs", plain, "mode=1777"),
	)
}

func (b bind) mount(root string) error {
	target := filepath.Join(root, b.Target)
	if err := mount(b.Source, target, "", syscall.MS_BIND, ""); err != nil {
		return err
	}
	if b.ReadOnly {
		return mount("", target, "", syscall.MS_BIND|syscall.MS_REMOUNT|syscall.MS_RDONLY, "")
	}
	return nil
}

func (f file) write(root string) error {
	path := filepath.Join(root, f.Path)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	// It may be a symbolic link to a place that does not exist in here (/etc/resolv.conf).
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.WriteFile(path, []byte(f.Content), f.Mode)
}

// mount creates the mount point when it is missing.
func mount(source, target, kind string, flags uintptr, options string) error {
	if err := os.MkdirAll(target, 0o755); err != nil {
		return err
	}
	if err := syscall.Mount(source, target, kind, flags, options); err != nil {
		return fmt.Errorf("mount %s on %s: %w", source, target, err)
	}
	return nil
}

// pivot makes root the root directory and drops the old one. Both arguments of pivot_root(2) may
// be the same directory: the old root is then stacked on it, and detaching it uncovers the new.
func pivot(root string) error {
	if err := os.Chdir(root); err != nil {
		return err
	}
	if err := syscall.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("pivot_root: %w", err)
	}
	if err := syscall.Unmount(".", syscall.MNT_DETACH); err != nil {
		return fmt.Errorf("detach the machine's root: %w", err)
	}
	return os.Chdir("/")
}
