package guest

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
)

// BootFiles are what a hypervisor needs to start the guest.
type BootFiles struct {
	// Kernel and Initrd are absolute paths.
	Kernel, Initrd string
}

// CompileInit builds cmd/drover-guest, statically linked, into the file dst. It
// needs the Go tools and a working directory inside Drover's module.
func CompileInit(ctx context.Context, dst string) error {
	dst, err := filepath.Abs(dst)
	if err != nil {
		return fmt.Errorf("compile init: %w", err)
	}
	_, err = command(ctx, "", "env", "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64",
		"go", "build", "-trimpath", "-ldflags=-s -w", "-o", dst, "drover/cmd/drover-guest")
	if err != nil {
		return fmt.Errorf("compile init: %w", err)
	}
	return nil
}

// PrepareBoot fetches the kernel into cacheDir and builds an initramfs from the
// compiled init, and files if there are any, at dst, which it replaces as a whole.
func PrepareBoot(ctx context.Context, cacheDir, init, dst string, files Files) (BootFiles, error) {
	k, err := FetchKernel(ctx, cacheDir)
	if err != nil {
		return BootFiles{}, err
	}
	if dst, err = filepath.Abs(dst); err != nil {
		return BootFiles{}, fmt.Errorf("initramfs: %w", err)
	}
	f, err := os.CreateTemp(filepath.Dir(dst), ".initrd-")
	if err != nil {
		return BootFiles{}, fmt.Errorf("initramfs: %w", err)
	}
	defer os.Remove(f.Name())
	defer f.Close()
	if err := BuildInitramfs(f, init, k.Modules, GuestModules, files); err != nil {
		return BootFiles{}, err
	}
	if err := f.Chmod(0o644); err != nil {
		return BootFiles{}, fmt.Errorf("initramfs: %w", err)
	}
	if err := f.Close(); err != nil {
		return BootFiles{}, fmt.Errorf("initramfs: %w", err)
	}
	if err := os.Rename(f.Name(), dst); err != nil {
		return BootFiles{}, fmt.Errorf("initramfs: %w", err)
	}
	return BootFiles{Kernel: k.Image, Initrd: dst}, nil
}
