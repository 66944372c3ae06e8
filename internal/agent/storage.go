package agent

import (
	"context"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"

	"drover/internal/config"
	"drover/internal/seed"
	"drover/internal/storage"
	"drover/internal/wire"
)

// diskStore is storage as the state machine wants it: one host's image files,
// under its configured roots, with what incoming moves were promised.
type diskStore struct {
	files storage.Files
	roots storage.Roots
	first string // where disks go whose place on the source is no place here
	book  *storage.Book
	seeds *seed.Shelf
}

func newDiskStore(cfg *config.Config, log *slog.Logger) (diskStore, error) {
	roots, err := storage.NewRoots(cfg.Host, cfg.Storage.Roots)
	if err != nil {
		return diskStore{}, err
	}
	roots.Hidden = seed.DirPrefix
	files := storage.Files{Host: cfg.Host}
	book := storage.NewBook(files)
	seeds := seed.Open(seed.Options{Host: cfg.Host, Dirs: roots.Dirs(), MaxAge: time.Duration(*cfg.Storage.Seeds.MaxAge),
		MaxBytes: uint64(*cfg.Storage.Seeds.MaxSize), MinBytes: 1 << 20, Log: log})
	book.Spare = seeds
	return diskStore{files: files, roots: roots, first: cfg.Storage.Roots[0], book: book, seeds: seeds}, nil
}

// Place puts a disk where it lay on the source if that is below a root here,
// else into the first root; with dir, into dir.
func (s diskStore) Place(dir, sourcePath string) (string, error) {
	if dir != "" {
		return s.roots.Resolve(filepath.Join(dir, filepath.Base(sourcePath)))
	}
	if p, err := s.roots.Resolve(sourcePath); err == nil {
		return p, nil
	}
	return s.roots.Resolve(filepath.Join(s.first, filepath.Base(sourcePath)))
}

// IsDir says nothing of what is not below the roots.
func (s diskStore) IsDir(path string) bool {
	if _, err := s.roots.Resolve(filepath.Join(path, "disk")); err != nil {
		return false
	}
	fi, err := os.Stat(path)
	return err == nil && fi.IsDir()
}

// Exists is true in doubt: nothing is ever written over.
func (s diskStore) Exists(path string) bool {
	_, err := os.Lstat(path)
	return !os.IsNotExist(err)
}

func (s diskStore) WriteProbe(diskPath string) (wire.Probe, func(), error) {
	p, cleanup, err := s.files.WriteProbe(filepath.Dir(diskPath), strings.ToLower(ulid.Make().String()), diskPath)
	if err != nil {
		return wire.Probe{}, nil, err
	}
	w := wire.Probe{Name: p.Name, Nonce: p.Nonce}
	for _, f := range p.Files {
		w.Files = append(w.Files, wire.FileID(f))
	}
	return w, func() { _ = cleanup() }, nil
}

// SeesProbe looks only below this host's roots.
func (s diskStore) SeesProbe(diskPath string, w wire.Probe) bool {
	if p, err := s.roots.Resolve(diskPath); err != nil || p != diskPath || len(w.Files) != 1 || w.Files[0].Name != filepath.Base(diskPath) {
		return false
	}
	return s.files.SeesProbe(filepath.Dir(diskPath), storage.Probe{Name: w.Name, Nonce: w.Nonce, Files: []storage.FileID{storage.FileID(w.Files[0])}})
}

func (s diskStore) Reserve(vm string, memory, memoryAvailable uint64, files map[string]uint64) (func(), error) {
	var needs []storage.Need
	for path, n := range files {
		needs = append(needs, storage.Need{Path: path, Bytes: n})
	}
	disks, err := s.book.ReserveDisks(vm, needs)
	if err != nil {
		return nil, err
	}
	mem, err := s.book.ReserveMemory(vm, memory, memoryAvailable)
	if err != nil {
		disks()
		return nil, err
	}
	return counted(func() { disks(); mem() }), nil
}

func (s diskStore) Create(ctx context.Context, path, format string, virtualBytes uint64, vm string) error {
	if err := s.book.MakeRoom(vm, path); err != nil {
		return err
	}
	_, err := s.files.Create(ctx, path, format, virtualBytes, vm)
	return err
}

func (s diskStore) Backing(ctx context.Context, path, format string) (string, error) {
	img, err := s.files.Inspect(ctx, path, format)
	if err == nil && img.DataFile != "" {
		return img.DataFile, nil
	}
	return img.Backing, err
}

func (s diskStore) ReadSmall(path string, limit int64) ([]byte, error) {
	return s.files.ReadSmall(path, limit)
}

func (s diskStore) WriteNew(path string, content []byte, vm string) error {
	_, err := s.files.WriteNew(path, content, vm)
	return err
}

func (s diskStore) Remove(path string) error { return s.files.Remove(path) }

func (s diskStore) Discard(path string) error { return s.files.Discard(path) }

func (s diskStore) Serve(ctx context.Context, path, format, socket string) (io.Closer, error) {
	return s.files.ServeImage(ctx, path, format, socket)
}

func (s diskStore) Push(ctx context.Context, path, format, socket string, progress func(done, total uint64)) error {
	return s.files.PushImage(ctx, path, format, socket, progress)
}
