package lab

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// What hosts' file systems can be based on.
const (
	rootfsMachine = "machine" // the machine's own packages
	rootfsTrixie  = "trixie"  // Debian 13, by debootstrap
)

// TrixieRoot is where the Debian 13 root is kept between labs.
const TrixieRoot = CacheDir + "/trixie"

// trixiePackages is what a host needs beside debootstrap's minimum.
var trixiePackages = []string{
	"qemu-system-x86", "qemu-utils", "ovmf", "libvirt-daemon-system", "libvirt-daemon-driver-qemu",
	"libvirt-daemon-log", "libvirt-clients", "krb5-user", "iproute2",
}

// trixieRoot makes the Debian 13 root unless it is there, which takes a minute and the network.
func trixieRoot(ctx context.Context, progress func(string, ...any)) (string, error) {
	// Several hosts ask at once, and so may several labs.
	unlock, err := lockFile(ctx, TrixieRoot+".lock", 15*time.Minute)
	if err != nil {
		return "", err
	}
	defer unlock()
	if exists(TrixieRoot) {
		return TrixieRoot, nil
	}
	progress("making a Debian 13 root in %s (once)", TrixieRoot)
	unfinished := TrixieRoot + ".unfinished"
	if err := os.RemoveAll(unfinished); err != nil {
		return "", err
	}
	cmd := exec.CommandContext(ctx, "debootstrap", "--variant=minbase",
		"--include="+strings.Join(trixiePackages, ","), "trixie", unfinished, "http://deb.debian.org/debian")
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Run(); err != nil {
		lines := strings.Split(strings.TrimSpace(output.String()), "\n")
		return "", fmt.Errorf("debootstrap: %w: %s", err, strings.Join(lines[max(0, len(lines)-5):], "\n"))
	}
	// Packages are not needed any more, and would be half of it.
	archives, err := filepath.Glob(unfinished + "/var/cache/apt/archives/*.deb")
	if err != nil {
		return "", err
	}
	for _, a := range archives {
		if err := os.Remove(a); err != nil {
			return "", err
		}
	}
	return TrixieRoot, os.Rename(unfinished, TrixieRoot)
}
