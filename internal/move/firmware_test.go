package move_test

import (
	"context"

	"drover/internal/fault"
)

// Backing: the fake's images are all of one file.
func (s storage) Backing(_ context.Context, p, _ string) (string, error) {
	if !s.Exists(p) {
		return "", fault.New(fault.StorageFailed, s.a.h.name, "path", p, "problem", "no such file")
	}
	return "", nil
}

func (s storage) ReadSmall(p string, _ int64) ([]byte, error) {
	d := s.a.h.filesOf(p)
	d.mu.Lock()
	defer d.mu.Unlock()
	return []byte(d.files[p]), nil
}

func (s storage) WriteNew(p string, content []byte, vm string) error {
	if err := s.Create(context.Background(), p, "raw", uint64(len(content)), vm); err != nil {
		return err
	}
	d := s.a.h.filesOf(p)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.files[p] = string(content)
	return nil
}
