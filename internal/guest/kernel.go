package guest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Kernel is an unpacked kernel package.
type Kernel struct {
	// Package is the file name of the package without its ending, which has
	// the version.
	Package string
	// Image is the path of vmlinuz, Modules of lib/modules/VERSION.
	Image, Modules string
}

// kernelMeta always depends on Debian's newest kernel for virtual machines.
const kernelMeta = "linux-image-cloud-amd64"

// fetchTimeout bounds download and unpacking of some 30 MB.
const fetchTimeout = 5 * time.Minute

// FetchKernel gives Debian's newest cloud kernel, unpacked below cacheDir. It
// downloads the package with apt-get, once for each version, and installs
// nothing; it needs no privilege. Without package lists or network it gives the
// newest kernel that the cache has, else an error. Processes that call it at
// once wait for each other.
func FetchKernel(ctx context.Context, cacheDir string) (Kernel, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	base, err := filepath.Abs(filepath.Join(cacheDir, "kernel"))
	if err != nil {
		return Kernel{}, fmt.Errorf("kernel cache: %w", err)
	}
	unlock, err := lockDir(ctx, base)
	if err != nil {
		return Kernel{}, fmt.Errorf("kernel cache: %w", err)
	}
	defer unlock()
	pkg, err := kernelPackage(ctx)
	if err == nil {
		dir := filepath.Join(base, pkg.dir())
		if k, ok := cachedKernel(dir); ok {
			return k, nil
		}
		if err = downloadKernel(ctx, pkg, dir); err == nil {
			if k, ok := cachedKernel(dir); ok {
				return k, nil
			}
			err = fmt.Errorf("package %s holds no kernel and modules", pkg.name)
		}
	}
	if k, ok := newestKernel(base); ok {
		return k, nil
	}
	return Kernel{}, fmt.Errorf("fetch kernel: %w", err)
}

// debPackage is one version of a package.
type debPackage struct{ name, version string }

func (p debPackage) dir() string { return p.name + "_" + strings.ReplaceAll(p.version, ":", "%3a") }

var dependsOnKernel = regexp.MustCompile(`(?m)^Depends:.*?(linux-image-[0-9][^ ,]*) \(= ([^)]+)\)`)

func kernelPackage(ctx context.Context) (debPackage, error) {
	out, err := command(ctx, "", "apt-cache", "show", "--no-all-versions", kernelMeta)
	if err != nil {
		return debPackage{}, fmt.Errorf("%w (is the package list there? `apt-get update`)", err)
	}
	m := dependsOnKernel.FindStringSubmatch(out)
	if m == nil {
		return debPackage{}, fmt.Errorf("package %s depends on no kernel", kernelMeta)
	}
	return debPackage{m[1], m[2]}, nil
}

func downloadKernel(ctx context.Context, pkg debPackage, dir string) error {
	tmp, err := os.MkdirTemp(filepath.Dir(dir), "download-")
	if err != nil {
		return fmt.Errorf("kernel cache: %w", err)
	}
	defer os.RemoveAll(tmp)
	args := []string{"download", pkg.name + "=" + pkg.version}
	if os.Geteuid() == 0 {
		// apt's own user may not write to our directory.
		args = append([]string{"-o", "APT::Sandbox::User=root"}, args...)
	}
	if _, err := command(ctx, tmp, "apt-get", args...); err != nil {
		return err
	}
	debs, _ := filepath.Glob(filepath.Join(tmp, "*.deb"))
	if len(debs) != 1 {
		return fmt.Errorf("apt-get download left %d packages", len(debs))
	}
	root := filepath.Join(tmp, "root")
	if _, err := command(ctx, tmp, "dpkg-deb", "-x", debs[0], root); err != nil {
		return err
	}
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("kernel cache: %w", err)
	}
	if err := os.Rename(root, dir); err != nil {
		return fmt.Errorf("kernel cache: %w", err)
	}
	return nil
}

// cachedKernel looks at an unpacked package; it was renamed there as a whole,
// so what is there is complete.
func cachedKernel(dir string) (Kernel, bool) {
	images, _ := filepath.Glob(filepath.Join(dir, "boot", "vmlinuz-*"))
	modules, _ := filepath.Glob(filepath.Join(dir, "lib", "modules", "*"))
	usr, _ := filepath.Glob(filepath.Join(dir, "usr", "lib", "modules", "*")) // Debian 13 and later
	modules = append(modules, usr...)
	if len(images) != 1 || len(modules) != 1 {
		return Kernel{}, false
	}
	return Kernel{Package: filepath.Base(dir), Image: images[0], Modules: modules[0]}, true
}

func newestKernel(base string) (Kernel, bool) {
	dirs, _ := filepath.Glob(filepath.Join(base, "linux-image-*"))
	slices.SortFunc(dirs, func(a, b string) int { return modTime(b).Compare(modTime(a)) })
	for _, dir := range dirs {
		if k, ok := cachedKernel(dir); ok {
			return k, true
		}
	}
	return Kernel{}, false
}

func modTime(path string) time.Time {
	fi, err := os.Stat(path)
	if err != nil {
		return time.Time{}
	}
	return fi.ModTime()
}

// lockDir makes the directory and locks it against other processes until
// unlock is called; the lock does not outlive its process.
func lockDir(ctx context.Context, dir string) (unlock func(), err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(dir, ".lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	t := time.NewTicker(50 * time.Millisecond)
	defer t.Stop()
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return func() { _ = f.Close() }, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) {
			_ = f.Close()
			return nil, err
		}
		select {
		case <-ctx.Done():
			_ = f.Close()
			return nil, ctx.Err()
		case <-t.C:
		}
	}
}

// command runs a program and gives its output, or an error with what it said.
func command(ctx context.Context, dir, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	cmd.WaitDelay = 5 * time.Second
	out, err := cmd.Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			err = fmt.Errorf("%w: %s", err, strings.TrimSpace(string(exit.Stderr)))
		}
		return "", fmt.Errorf("%s %s: %w", name, strings.Join(args, " "), err)
	}
	return string(out), nil
}
