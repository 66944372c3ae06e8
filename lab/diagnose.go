package lab

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Diagnose says what libvirt and QEMU on every host know of its guests, the
// processors' registers twice: a guest that gives no sign of life stands still, goes
// round in circles or waits.
func (l *Lab) Diagnose(ctx context.Context) string {
	var b strings.Builder
	ask := func(host string, args ...string) string {
		out, err := l.Virsh(ctx, host, args...)
		if err != nil {
			out = err.Error()
		}
		fmt.Fprintf(&b, "%s# virsh %s\n%s\n\n", host, strings.Join(args, " "), out)
		return out
	}
	for _, m := range l.Hosts() {
		ask(m.Name, "list", "--all")
		for _, vm := range strings.Fields(ask(m.Name, "list", "--name", "--state-running")) {
			ask(m.Name, "domstate", vm, "--reason")
			ask(m.Name, "domjobinfo", vm, "--completed", "--keep-completed")
			for _, what := range []string{"info status", "info registers", "info registers", "info network"} {
				ask(m.Name, "qemu-monitor-command", vm, "--hmp", what)
			}
		}
	}
	return b.String()
}

// SaveLogs copies the logs of all members into a directory that is not there yet, and
// adds Diagnose as guests.txt.
func (l *Lab) SaveLogs(ctx context.Context, to string) error {
	if err := os.CopyFS(to, os.DirFS(filepath.Join(l.Dir(), "logs"))); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(to, "guests.txt"), []byte(l.Diagnose(ctx)), 0o600)
}
