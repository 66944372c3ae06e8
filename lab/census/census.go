package census

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"drover/lab"
)

// Census counts, by host and kind: "HV01 file: /srv/vms/APP#-#.qcow#".
type Census map[string]int

// Take counts what all hosts of a lab have.
func Take(ctx context.Context, l *lab.Lab) (Census, error) {
	c := Census{}
	for _, m := range l.Hosts() {
		if err := c.count(ctx, l, m); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// Resting takes censuses until of two in a row neither has more than the other, or ctx
// ends.
func Resting(ctx context.Context, l *lab.Lab) (Census, error) {
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	var last Census
	for {
		c, err := Take(ctx, l)
		if err == nil && last != nil && len(last.Growth(c)) == 0 && len(c.Growth(last)) == 0 {
			return c, nil
		}
		select {
		case <-ctx.Done():
			return c, fmt.Errorf("the hosts do not come to rest: %v, %v: %w", last.Growth(c), err, ctx.Err())
		case <-tick.C:
		}
		if last = c; err != nil {
			last = nil
		}
	}
}

// Slack is by how much a count may grow, because the Go runtime, SQLite's pool
// and libvirt's have no fixed number; 20 moves that each leaked one would be far
// beyond it.
func Slack(kind string) int {
	switch {
	case strings.HasSuffix(kind, "goroutines"):
		return 4
	case strings.Contains(kind, "droverd has open"), strings.Contains(kind, "libvirtd has open"), strings.Contains(kind, " socket: "):
		return 2
	}
	return 0
}

// Growth says what a later census has more of, beyond Slack.
func (c Census) Growth(after Census) (grown []string) {
	for _, k := range slices.Sorted(maps.Keys(after)) {
		if after[k] > c[k]+Slack(k) {
			grown = append(grown, fmt.Sprintf("%d, was %d: %s", after[k], c[k], k))
		}
	}
	return grown
}

var numbers = regexp.MustCompile(`\d+`)

// count adds what a host has. Where a name has numbers in it that differ each
// time, they are left out.
func (c Census) count(ctx context.Context, l *lab.Lab, m *lab.Member) error {
	add := func(kind string, names ...string) {
		for _, n := range names {
			c[m.Name+" "+kind+": "+n]++
		}
	}
	domains, err := l.Virsh(ctx, m.Name, "list", "--all")
	if err != nil {
		return err
	}
	for line := range strings.Lines(domains) {
		if f := strings.Fields(line); len(f) > 1 {
			add("domain", strings.Join(f[1:], " "))
		}
	}
	for kind, argv := range map[string][]string{
		"storage pool":            {"virsh", "-q", "pool-list", "--all"},
		"secret":                  {"virsh", "-q", "secret-list"},
		"named network namespace": {"ip", "netns", "list"},
		"namespace":               {"lsns", "-n", "-o", "TYPE"},
		"interface":               {"ip", "-br", "link"},
		"socket":                  {"ss", "-H", "-a", "-t", "-u", "-x"},
		"mount":                   {"cat", "/proc/mounts"},
		"file": {"find", lab.VMDir, lab.SharedDir, lab.AgentDir, "/run/drover", "/run/libvirt/qemu", "/var/lib/libvirt/qemu", "/tmp",
			"-mindepth", "1"},
	} {
		out, err := m.Run(ctx, argv...)
		if err != nil {
			return err
		}
		for line := range strings.Lines(out) {
			// The kernel remembers each TCP connection for a minute after its end;
			// nobody has it open.
			if f := strings.Fields(line); len(f) > 0 && (kind != "socket" || f[1] != "TIME-WAIT") {
				add(kind, name(kind, f))
			}
		}
	}
	if err := countProcesses(ctx, m, add); err != nil {
		return err
	}
	a, err := AgentOf(ctx, m)
	c[m.Name+" goroutines"] = a.Goroutines
	return err
}

func name(kind string, f []string) string {
	switch kind {
	case "interface":
		return numbers.ReplaceAllString(f[0], "#")
	case "mount":
		return f[1]
	case "socket": // protocol, state, and a listener's address
		if f[1] == "LISTEN" && f[0] != "u_str" {
			return strings.Join([]string{f[0], f[1], f[4]}, " ")
		}
		return f[0] + " " + f[1]
	}
	return numbers.ReplaceAllString(f[0], "#")
}

// countProcesses counts programs, and what droverd and libvirtd have open.
func countProcesses(ctx context.Context, m *lab.Member, add func(string, ...string)) error {
	out, err := m.Run(ctx, "ps", "-e", "-o", "pid=,comm=")
	if err != nil {
		return err
	}
	for line := range strings.Lines(out) {
		f := strings.Fields(line)
		if len(f) < 2 || f[1] == "ps" {
			continue
		}
		add("process", f[1])
		program := ""
		switch {
		case isAgent(f[1]):
			program = "droverd"
		case f[1] == "libvirtd" || f[1] == "virtqemud":
			program = "libvirtd"
		default:
			continue
		}
		open, err := filepath.Glob(m.Path("/proc/" + f[0] + "/fd/*"))
		if err != nil {
			return err
		}
		for _, fd := range open {
			if target, err := os.Readlink(fd); err == nil {
				add(program+" has open", numbers.ReplaceAllString(target, "#"))
			}
		}
	}
	return nil
}

// isAgent knows droverd, also as it is built for tests, by the name that the kernel gives.
func isAgent(command string) bool { return strings.HasPrefix(command, "droverd") }
