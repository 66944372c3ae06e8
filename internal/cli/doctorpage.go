package cli

import (
	"os"
	"path/filepath"

	"drover/internal/doctor"
)

// pageFile is where the page of --report goes: a file beside its place, that takes the
// place when it is whole. A device or a pipe is written to as it is.
type pageFile struct {
	path string
	f    *os.File
	temp bool
}

// openPage makes the file before anything is looked at, so that nobody waits for a page
// that cannot be written; nil without a path.
func openPage(path string) (*pageFile, error) {
	if path == "" {
		return nil, nil
	}
	to := &pageFile{path: path}
	refused := func(reason string) error { return misuse("--report %s cannot be written: %s", path, reason) }
	there, err := os.Stat(path)
	switch {
	case err == nil && there.IsDir():
		return nil, refused("it is a directory")
	case err == nil && !there.Mode().IsRegular():
		to.f, err = os.OpenFile(path, os.O_WRONLY, 0)
	default:
		to.temp = true
		to.f, err = os.CreateTemp(filepath.Dir(path), ".drover-report-*") // readable by nobody else
	}
	if err != nil {
		return nil, refused(openReason(err))
	}
	return to, nil
}

// save writes the page to its place.
func (to *pageFile) save(r *doctor.Report) error {
	if to == nil {
		return nil
	}
	err := writeHTML(to.f, r)
	if cerr := to.f.Close(); err == nil {
		err = cerr
	}
	if err == nil && to.temp {
		if err = os.Rename(to.f.Name(), to.path); err == nil {
			to.temp = false
		}
	}
	if err != nil {
		return misuse("--report %s cannot be written: %s", to.path, openReason(err))
	}
	return nil
}

// discard leaves nothing behind of a page that was not saved.
func (to *pageFile) discard() {
	if to == nil {
		return
	}
	_ = to.f.Close()
	if to.temp {
		_ = os.Remove(to.f.Name())
	}
}
