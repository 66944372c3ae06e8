package storage

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"drover/internal/fault"
)

// Roots are the directories that disk images may lie under.
type Roots struct {
	host string
	dirs []string
	// Hidden begins the names of directories below the roots in which no disk may lie;
	// "" is none.
	Hidden string
}

// NewRoots makes Roots of absolute directories. host is for faults. The
// directories need not exist yet.
func NewRoots(host string, dirs []string) (Roots, error) {
	r := Roots{host: host}
	for _, d := range dirs {
		if !filepath.IsAbs(d) || filepath.Clean(d) == "/" {
			return Roots{}, fault.New(fault.StoragePathOutside, host, "path", d, "roots", "absolute directories other than /")
		}
		r.dirs = append(r.dirs, filepath.Clean(d))
	}
	return r, nil
}

// Dirs are the roots, first as configured, then with symbolic links resolved
// where that differs: what Resolve gives lies under one of the latter.
func (r Roots) Dirs() []string {
	out := append([]string(nil), r.dirs...)
	for _, d := range r.dirs {
		if real, err := evalExisting(d); err == nil && real != d {
			out = append(out, real)
		}
	}
	return out
}

// Resolve gives the real path of a file that exists or is to be made: absolute,
// clean, every symbolic link followed. It refuses what lies under no root and
// a root itself (storage-path-outside).
func (r Roots) Resolve(path string) (string, error) {
	if !filepath.IsAbs(path) || strings.ContainsRune(path, 0) {
		return "", r.outside(path, nil)
	}
	real, err := evalExisting(filepath.Clean(path))
	if err != nil {
		return "", r.outside(path, err)
	}
	if r.Hidden != "" && strings.Contains(real+"/", "/"+r.Hidden) {
		return "", r.outside(path, errors.New("that directory is Drover's own"))
	}
	for _, d := range r.dirs {
		root, err := evalExisting(d)
		if err == nil && strings.HasPrefix(real, strings.TrimSuffix(root, "/")+"/") {
			return real, nil
		}
	}
	return "", r.outside(path, nil)
}

func (r Roots) outside(path string, cause error) error {
	roots := strings.Join(r.dirs, ", ")
	if roots == "" {
		roots = "none are configured"
	}
	return fault.Wrap(cause, fault.StoragePathOutside, r.host, "path", path, "roots", roots)
}

// evalExisting follows symbolic links in the part of a clean path that exists.
// A dangling link is an error: what is made through it would lie elsewhere.
func evalExisting(path string) (string, error) {
	real, err := filepath.EvalSymlinks(path)
	if err == nil {
		return real, nil
	}
	if !errors.Is(err, fs.ErrNotExist) || path == "/" {
		return "", err
	}
	if _, lerr := os.Lstat(path); lerr == nil {
		return "", err
	}
	dir, err := evalExisting(filepath.Dir(path))
	if err != nil {
		return "", err
	}
	return filepath.Join(dir, filepath.Base(path)), nil
}
