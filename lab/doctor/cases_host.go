package doctor

import (
	"bytes"
	"context"
	"encoding/binary"
	"strings"
	"syscall"
	"time"

	"drover/internal/fault"
	"drover/lab"
)

// otherAgent is the same agent by another version, which `make doctor-matrix` builds.
const otherAgent = "droverd-other"

func agents() []Case {
	start := func(ctx context.Context, w *World) error { return w.StartAgent(ctx, lab.HV02) }
	stop := func(ctx context.Context, w *World) error { _, err := w.StopAgent(ctx, lab.HV02); return err }
	const bin = lab.AssetsDir + "/bin/"
	return []Case{
		{Name: "agents: of different versions", Want: fault.VersionsDiffer, On: lab.HV02,
			Break:   all(stop, command(lab.HV02, "mount", "--bind", bin+otherAgent, bin+lab.DefaultAgent), start),
			Restore: all(stop, command(lab.HV02, "umount", bin+lab.DefaultAgent), start), Person: "which version is to be installed, an administrator decides"},
	}
}

const noSystemd = "the lab's hosts have no systemd"

// machines are faults of the machine that a host is, and of its libvirt.
func machines() []Case {
	start := func(ctx context.Context, w *World) error { return w.StartLibvirt(ctx, lab.HV02) }
	stop := func(ctx context.Context, w *World) error { return w.StopLibvirt(ctx, lab.HV02, syscall.SIGKILL) }
	const full = "mount -t tmpfs -o size=4m tmpfs %[1]s && (cat /dev/zero > %[1]s/ballast || true)"
	const plain = "mount --bind %[1]s %[1]s && mount -o remount,bind,ro %[1]s"
	return []Case{
		{Name: "host: libvirt is down", Want: fault.HypervisorDown, On: lab.HV02, Break: stop, Restore: start, Person: noSystemd},
		{Name: "host: storage is not mounted", Want: fault.StorageRootUnusable, On: lab.HV02, Break: command(lab.HV02, "mount", "-t", "tmpfs", "tmpfs", "/srv"),
			Restore: command(lab.HV02, "umount", "/srv"), Person: "what was mounted there, an administrator knows"},
		{Name: "host: storage is read-only", Want: fault.StorageRootUnusable, On: lab.HV02, Break: shell(lab.HV02, plain, lab.VMDir),
			Restore: command(lab.HV02, "umount", lab.VMDir), Person: "why the kernel made it so, an administrator finds out"},
		{Name: "host: storage is full", Want: fault.StorageRootFull, On: lab.HV02, Break: shell(lab.HV02, full, lab.VMDir),
			Restore: command(lab.HV02, "umount", lab.VMDir), Person: "what can go, an administrator knows"},
		{Name: "host: UUID of another one", Want: fault.HostsCloned, On: lab.HV02, Break: all(borrow("/etc/libvirt/libvirtd.conf"), borrow("/etc/libvirt/virtqemud.conf"), stop, start),
			Restore: all(giveBack("/etc/libvirt/libvirtd.conf"), giveBack("/etc/libvirt/virtqemud.conf"), stop, start), Person: noSystemd},
		{Name: "host: machine id of another one", Want: fault.HostsCloned, On: lab.HV02, Break: borrow("/etc/machine-id"), Restore: giveBack("/etc/machine-id"), Person: noSystemd},
		{Name: "host: in another time zone", Want: fault.TimeZonesDiffer, On: lab.HV02,
			Break: func(ctx context.Context, w *World) error {
				cmd := w.Member(lab.HV02).Command(ctx, "sh", "-c", "mv /etc/localtime /etc/localtime.lab; cat > /etc/localtime")
				cmd.Stdin = bytes.NewReader(zoneFile(9 * time.Hour))
				return cmd.Run()
			},
			Restore: shell(lab.HV02, "rm /etc/localtime; mv /etc/localtime.lab /etc/localtime || true"), Person: noSystemd},
	}
}

// borrow gives HV02 a file of HV01, in place of its own.
func borrow(path string) func(context.Context, *World) error {
	return func(ctx context.Context, w *World) error {
		text, err := w.Member(lab.HV01).Run(ctx, "cat", path)
		if err != nil {
			return err
		}
		if err := w.run(ctx, lab.HV02, "cp", path, path+".lab"); err != nil {
			return err
		}
		cmd := w.Member(lab.HV02).Command(ctx, "sh", "-c", "cat > "+path)
		cmd.Stdin = strings.NewReader(text)
		return cmd.Run()
	}
}

func giveBack(path string) func(context.Context, *World) error {
	return shell(lab.HV02, "cat %[1]s.lab > %[1]s", path)
}

// zoneFile is a time zone without summer time, in the form of tzfile(5): a header with
// one type, no transitions, and a name of four bytes.
func zoneFile(east time.Duration) []byte {
	b := append([]byte("TZif"), make([]byte, 16)...)
	for _, n := range []uint32{0, 0, 0, 0, 1, 4} { // UT, standard, leap, transitions, types, characters
		b = binary.BigEndian.AppendUint32(b, n)
	}
	b = binary.BigEndian.AppendUint32(b, uint32(east/time.Second))
	return append(append(b, 0, 0), "LAB\x00"...)
}
