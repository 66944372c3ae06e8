package lab

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
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
	"libvirt-clients", "krb5-user", "iproute2", "procps",
}

// ensureTrixie makes the Debian 13 root unless it is there, which takes a minute and the network.
func ensureTrixie(ctx context.Context, progress func(string, ...any)) error {
	// Several labs may ask at once.
	unlock, err := lockFile(ctx, TrixieRoot+".lock", 15*time.Minute)
	if err != nil {
		return err
	}
	defer unlock()
	if exists(TrixieRoot) {
		return nil
	}
	progress("making a Debian 13 root in %s (once)", TrixieRoot)
	unfinished := TrixieRoot + ".unfinished"
	if err := os.RemoveAll(unfinished); err != nil {
		return err
	}
	if err := quietly(ctx, "debootstrap", "--variant=minbase", "trixie", unfinished, "http://deb.debian.org/debian"); err != nil {
		return err
	}
	// debootstrap's own --include does not get packages that depend on one another in steps into
	// the right order; apt does.
	install := fmt.Sprintf(installScript, unfinished, strings.Join(trixiePackages, " "))
	if err := quietly(ctx, "unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-ceu", install); err != nil {
		return err
	}
	return os.Rename(unfinished, TrixieRoot)
}

// installScript runs in mount and PID namespaces of its own, so that nothing that a package
// starts or mounts survives it.
const installScript = `
root=%s
mount -t proc proc "$root/proc"
mount --bind /dev "$root/dev"
cp -L /etc/resolv.conf "$root/etc/resolv.conf"
printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
chmod 755 "$root/usr/sbin/policy-rc.d"
export DEBIAN_FRONTEND=noninteractive
chroot "$root" apt-get update -qq
chroot "$root" apt-get install -y -qq --no-install-recommends %s </dev/null
chroot "$root" apt-get clean
`

// quietly runs a command; only an error shows what it wrote.
func quietly(ctx context.Context, argv ...string) error {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Run(); err != nil {
		lines := strings.Split(strings.TrimSpace(output.String()), "\n")
		return fmt.Errorf("%s: %w: %s", argv[0], err, strings.Join(lines[max(0, len(lines)-8):], "\n"))
	}
	return nil
}
