package lab

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"drover/internal/guest"
)

// CacheDir keeps what is downloaded once and used by every lab.
const CacheDir = "/var/cache/drover-lab"

// PrepareGuest puts the test guest's kernel and initramfs, made around the guest's init that was
// built as bin/drover-guest, into the directory guest of an assets directory (see
// Options.Assets). Members see it as GuestDir.
func PrepareGuest(ctx context.Context, assets string) (guest.BootFiles, error) {
	dir := filepath.Join(assets, "guest")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return guest.BootFiles{}, err
	}
	init := filepath.Join(assets, "bin", "drover-guest")
	boot, err := guest.PrepareBoot(ctx, CacheDir, init, filepath.Join(dir, "initrd.img"), guest.Files{})
	if err != nil {
		return guest.BootFiles{}, err
	}
	files, err := guest.CollectFiles(guest.MachineRoots(), guest.GuestFiles)
	if err != nil {
		return guest.BootFiles{}, fmt.Errorf("content of the guest: %w", err)
	}
	if _, err := guest.PrepareBoot(ctx, CacheDir, init, filepath.Join(dir, FilesInitrd), files); err != nil {
		return guest.BootFiles{}, err
	}
	kernel := filepath.Join(dir, "vmlinuz")
	if err := replaceByCopy(boot.Kernel, kernel); err != nil {
		return guest.BootFiles{}, fmt.Errorf("kernel of the guest: %w", err)
	}
	return GuestBootFiles(), nil
}

// FilesInitrd is the initramfs of guests whose memory is made of real files
// (guest.Params.Files), in GuestDir; it is ten times the size of the other.
const FilesInitrd = "initrd-files.img"

// GuestBootFiles are the guest's kernel and initramfs as the hosts see them.
func GuestBootFiles() guest.BootFiles {
	return guest.BootFiles{Kernel: GuestDir + "/vmlinuz", Initrd: GuestDir + "/initrd.img"}
}

// replaceByCopy copies a file in such a way that a reader of the old one is not disturbed.
func replaceByCopy(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()
	out, err := os.CreateTemp(filepath.Dir(to), ".new-")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(out.Name()) }()
	defer func() { _ = out.Close() }()
	if _, err := io.Copy(out, in); err != nil {
		return err
	}
	if err := out.Chmod(0o644); err != nil {
		return err
	}
	if err := out.Close(); err != nil {
		return err
	}
	return os.Rename(out.Name(), to)
}
