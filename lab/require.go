package lab

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// Missing says what keeps this process from raising a lab with these options: not being root, or
// programs that are not installed. nil when nothing does.
func Missing(o Options) error {
	if os.Geteuid() != 0 {
		return errors.New("a lab needs root")
	}
	programs := map[string]string{
		"nsenter": "util-linux", "setpriv": "util-linux", "tc": "iproute2", "kinit": "krb5-user",
		"/usr/sbin/samba": "samba", "ldbmodify": "ldb-tools", "/usr/bin/python3": "python3-samba",
	}
	if o.Rootfs == rootfsTrixie {
		programs["debootstrap"] = "debootstrap"
	} else {
		programs["qemu-system-x86_64"] = "qemu-system-x86"
		programs["qemu-img"] = "qemu-utils"
		programs["virsh"] = "libvirt-clients"
		daemon := "/usr/sbin/libvirtd"
		if kind, err := chooseLibvirt(o.Libvirt, rootfsMachine); err == nil && kind == Modular {
			daemon = "/usr/sbin/virtqemud"
		}
		programs[daemon] = "libvirt-daemon-system"
	}
	var missing []string
	for program, pkg := range programs {
		if _, err := exec.LookPath(program); err != nil {
			missing = append(missing, fmt.Sprintf("%s (Debian package %s)", program, pkg))
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("not installed: %s; `make deps` installs what a lab needs", strings.Join(missing, ", "))
	}
	return nil
}
