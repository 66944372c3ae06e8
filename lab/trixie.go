package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"
)

// What members' file systems can be based on.
const (
	rootfsMachine = "machine" // the machine's own packages
	rootfsTrixie  = "trixie"  // Debian 13, by debootstrap
)

// TrixieRoot is where the Debian 13 root is kept between labs.
const TrixieRoot = CacheDir + "/trixie"

// trixiePackages is what members need beside debootstrap's minimum.
var trixiePackages = []string{
	// hosts
	"qemu-system-x86", "qemu-utils", "ovmf", "libvirt-daemon-system", "libvirt-daemon-driver-qemu",
	"libvirt-clients", "krb5-user", "iproute2", "procps",
	// the domain controller
	"samba", "samba-ad-dc", "samba-ad-provision", "python3-samba", "samba-dsdb-modules", "samba-vfs-modules",
	"ldb-tools", "libfaketime",
	// a machine that joins
	"adcli", "ldap-utils", "libsasl2-modules-gssapi-mit",
}

// trixieStamp, in a root, lists the packages that the root was made for.
const trixieStamp = "/etc/drover-lab-packages"

// trixieIsCurrent tells whether root was made for the packages that this program wants.
func trixieIsCurrent(root string) bool {
	stamp, err := os.ReadFile(root + trixieStamp)
	return err == nil && string(stamp) == trixieStampContent()
}

func trixieStampContent() string { return strings.Join(trixiePackages, "\n") + "\n" }

// needsTrixie tells whether a member of the lab stands on the Debian 13 root.
func (o Options) needsTrixie() bool { return o.Rootfs == rootfsTrixie || o.Directory == rootfsTrixie }

// trixieUser names a running lab that stands on the Debian 13 root, "" when there is none.
func trixieUser() (string, error) {
	names, err := List()
	for _, name := range names {
		s, err := readState(name)
		if err != nil || s.condition() != Running {
			continue
		}
		if s.Rootfs == rootfsTrixie || s.Directory == rootfsTrixie {
			return name, nil
		}
	}
	return "", err
}

// ensureTrixie makes the Debian 13 root unless it is there, which takes a minute and the
// network. One that was made for other packages is replaced, unless a lab stands on it.
func ensureTrixie(ctx context.Context, progress func(string, ...any)) error {
	// Several labs may ask at once.
	unlock, err := lockFile(ctx, TrixieRoot+".lock", 15*time.Minute)
	if err != nil {
		return err
	}
	defer unlock()
	if trixieIsCurrent(TrixieRoot) {
		return nil
	}
	if user, err := trixieUser(); err != nil || user != "" {
		return errors.Join(err, fmt.Errorf("%s lacks packages and lab %q stands on it: take that down first", TrixieRoot, user))
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
	if err := os.WriteFile(unfinished+trixieStamp, []byte(trixieStampContent()), 0o644); err != nil {
		return err
	}
	if err := os.RemoveAll(TrixieRoot); err != nil {
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
