package storage

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"syscall"
	"time"
)

// Probe proves that two hosts see the same directory: a file with random
// content that the one wrote and the other must be able to read.
type Probe struct {
	// Name is the file's name in the directory, Nonce its content.
	Name, Nonce string
	// Files are the disks in that directory which the writer means.
	Files []FileID
}

// FileID identifies a file within a directory that was proved to be the same.
type FileID struct {
	// Name is the base name.
	Name string
	// Inode is st_ino, which hosts that share a file system agree on.
	Inode uint64
	// Bytes is the length; an image in use may have grown since.
	Bytes int64
}

var probeName = regexp.MustCompile(`^\.drover-probe-[A-Za-z0-9]{1,64}$`)

// WriteProbe writes a probe beside files, which must all lie in dir. cleanup
// removes it and is safe twice.
func (f Files) WriteProbe(dir, id string, files ...string) (p Probe, cleanup func() error, err error) {
	var nonce [32]byte
	if _, err := rand.Read(nonce[:]); err != nil {
		return Probe{}, nil, fmt.Errorf("make a nonce: %w", err)
	}
	p = Probe{Name: ".drover-probe-" + id, Nonce: hex.EncodeToString(nonce[:])}
	if !probeName.MatchString(p.Name) {
		return Probe{}, nil, fmt.Errorf("probe id %q", id)
	}
	for _, name := range files {
		if filepath.Dir(name) != filepath.Clean(dir) {
			return Probe{}, nil, fmt.Errorf("%s does not lie in %s", name, dir)
		}
		fi, err := identify(name)
		if err != nil {
			return Probe{}, nil, f.failed(name, err)
		}
		p.Files = append(p.Files, fi)
	}
	f.removeStaleProbes(dir)
	path := filepath.Join(dir, p.Name)
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return Probe{}, nil, f.failed(path, err)
	}
	cleanup = func() error {
		if err := f.Remove(path); err != nil {
			return err
		}
		return nil
	}
	_, err = file.WriteString(p.Nonce)
	// A network file system shows the content to others after a sync.
	if err = errors.Join(err, file.Sync(), file.Close()); err != nil {
		return Probe{}, nil, errors.Join(f.failed(path, err), cleanup())
	}
	return p, cleanup, nil
}

// staleProbe is far more than a probe lives: the time in which a destination
// answers an offer.
const staleProbe = time.Hour

// removeStaleProbes removes what an agent left that was killed over an offer, of
// this host or of another that shares the directory.
func (f Files) removeStaleProbes(dir string) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	for _, e := range entries {
		if !probeName.MatchString(e.Name()) {
			continue
		}
		if fi, err := e.Info(); err == nil && fi.Mode().IsRegular() && time.Since(fi.ModTime()) > staleProbe {
			_ = f.Remove(filepath.Join(dir, e.Name())) // the next move tries again
		}
	}
}

func identify(path string) (FileID, error) {
	fi, err := os.Lstat(path)
	if err != nil {
		return FileID{}, err
	}
	if !fi.Mode().IsRegular() {
		return FileID{}, fmt.Errorf("not a regular file (%s)", fi.Mode().Type())
	}
	return FileID{Name: filepath.Base(path), Inode: fi.Sys().(*syscall.Stat_t).Ino, Bytes: fi.Size()}, nil
}

// SeesProbe reports whether dir, on this host, holds the probe and the very
// files it names. Any doubt is false: a wrong "true" would leave a disk behind.
// The probe comes from another host; nothing but yes or no goes back.
func (f Files) SeesProbe(dir string, p Probe) bool {
	if !probeName.MatchString(p.Name) || len(p.Nonce) != 64 {
		return false
	}
	file, err := os.OpenFile(filepath.Join(dir, p.Name), os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return false
	}
	defer file.Close()
	fi, err := file.Stat()
	if err != nil || !fi.Mode().IsRegular() {
		return false
	}
	got, err := io.ReadAll(io.LimitReader(file, 65))
	if err != nil || subtle.ConstantTimeCompare(got, []byte(p.Nonce)) != 1 {
		return false
	}
	for _, want := range p.Files {
		if want.Name != filepath.Base(want.Name) || want.Name == "." || want.Name == ".." {
			return false
		}
		have, err := identify(filepath.Join(dir, want.Name))
		if err != nil || have.Inode != want.Inode || have.Bytes < want.Bytes {
			return false
		}
	}
	return true
}
