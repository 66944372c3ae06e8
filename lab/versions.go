package lab

import (
	"context"
	"os"
	"runtime"
	"strconv"
	"strings"

	"drover/internal/version"
)

// Versions says what measurements and runs in this lab depend on: qemu and libvirt of the first
// host, drover, kernel, go, cores, cpu, rootfs, and the machine's load.
func (l *Lab) Versions(ctx context.Context) (map[string]string, error) {
	m := l.Hosts()[0]
	qemu, err := m.Run(ctx, "qemu-system-x86_64", "--version")
	if err != nil {
		return nil, err
	}
	libvirt, err := m.Run(ctx, "libvirtd", "--version")
	if err != nil {
		return nil, err
	}
	return map[string]string{
		"qemu":    strings.TrimPrefix(firstLine(qemu), "QEMU emulator version "),
		"libvirt": strings.TrimPrefix(firstLine(libvirt), "libvirtd (libvirt) "),
		"drover":  version.String(),
		"kernel":  firstLine(readable("/proc/sys/kernel/osrelease")),
		"go":      runtime.Version(),
		"cores":   strconv.Itoa(runtime.NumCPU()),
		"cpu":     cpuModel(readable("/proc/cpuinfo")),
		"rootfs":  l.Rootfs(),
		"load":    firstLine(readable("/proc/loadavg")),
	}, nil
}

// readable is the content of a file of the machine, "" of one that cannot be read.
func readable(path string) string {
	raw, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	return string(raw)
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return strings.TrimSpace(line)
}

func cpuModel(cpuinfo string) string {
	for line := range strings.Lines(cpuinfo) {
		if name, value, _ := strings.Cut(line, ":"); strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}
