package bench

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"

	"drover/internal/version"
	"drover/lab"
)

// environment notes what the figures depend on, and which ways are not to be had.
func (b *bench) environment(ctx context.Context) error {
	m := b.lab.Member(lab.HV01)
	qemu, err := m.Run(ctx, "qemu-system-x86_64", "--version")
	if err != nil {
		return err
	}
	libvirt, err := m.Run(ctx, "libvirtd", "--version")
	if err != nil {
		return err
	}
	now := map[string]string{
		"qemu":    strings.TrimPrefix(firstLine(qemu), "QEMU emulator version "),
		"libvirt": strings.TrimPrefix(firstLine(libvirt), "libvirtd (libvirt) "),
		"drover":  version.String(),
		"kernel":  firstLine(read("/proc/sys/kernel/osrelease")),
		"go":      runtime.Version(),
		"cores":   strconv.Itoa(runtime.NumCPU()),
		"cpu":     cpuModel(read("/proc/cpuinfo")),
		"rootfs":  b.lab.Rootfs(),
		"load":    firstLine(read("/proc/loadavg")),
	}
	if old := b.report.Versions; old != nil {
		for _, key := range []string{"qemu", "libvirt", "cores", "rootfs"} {
			if old[key] != now[key] {
				return fmt.Errorf("%s was measured with %s %s, not %s: write to another file", b.Out, key, old[key], now[key])
			}
		}
		if old["drover"] != now["drover"] {
			b.say("%s has samples of Drover %s; this is %s", b.Out, old["drover"], now["drover"])
		}
	}
	b.report.Versions = now
	for _, w := range b.plan.ways {
		if have := versionNumber(now["libvirt"]); have < w.since {
			b.report.Unavailable[w.Name] = fmt.Sprintf("libvirt %s does not have it, %d.%d does", now["libvirt"], w.since/1e6, w.since/1e3%1e3)
			b.say("%s is left out: %s", w.Name, b.report.Unavailable[w.Name])
		}
	}
	return b.write()
}

// versionNumber of "9.0.0" is 9000000, as libvirt counts; 0 of something else.
func versionNumber(s string) int {
	parts := strings.SplitN(strings.TrimSpace(s), ".", 3)
	if len(parts) != 3 {
		return 0
	}
	n := 0
	for _, p := range parts {
		v, err := strconv.Atoi(p)
		if err != nil {
			return 0
		}
		n = n*1000 + v
	}
	return n
}

func read(path string) string {
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
