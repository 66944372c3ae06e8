package bench

import (
	"context"
	"fmt"
	"strconv"
	"strings"
)

// environment notes what the figures depend on, and which ways are not to be had.
func (b *bench) environment(ctx context.Context) error {
	now, err := b.lab.Versions(ctx)
	if err != nil {
		return err
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
