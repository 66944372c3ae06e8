package bench

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"drover/lab"
)

// Kinds of program whose CPU time is counted, by the names of their processes; a
// process belongs to the kind of the one that started it otherwise.
const (
	kindQEMU    = "qemu"
	kindLibvirt = "libvirt"
	kindAgents  = "agents"
)

var kindOf = map[string]string{"qemu-system-x86": kindQEMU, "libvirtd": kindLibvirt, "droverd": kindAgents}

// userHZ is the unit of CPU times in /proc, the same on every Linux.
const userHZ = 100

// meter counts the CPU time of all hosts' programs by kind in control groups, which
// also have that of processes that have ended. Where there are none to be had, CPU
// times are below 0.
type meter struct {
	hosts []*lab.Member
	root  string // of our groups, "" without
	v2    bool

	mu    sync.Mutex
	moved float64 // CPU seconds of QEMUs before they were taken out of libvirt's group
	stop  context.CancelFunc
	done  chan struct{}
}

// newMeter makes the groups and puts the hosts' programs into them, and every QEMU
// that starts from now on. Close it.
func newMeter(l *lab.Lab) (*meter, error) {
	m := &meter{hosts: l.Hosts(), done: make(chan struct{})}
	for dir, v2 := range map[string]bool{"/sys/fs/cgroup/cpuacct": false, "/sys/fs/cgroup": true} {
		file := map[bool]string{false: "cpuacct.usage", true: "cgroup.controllers"}[v2]
		if _, err := os.Stat(filepath.Join(dir, file)); err == nil {
			m.root, m.v2 = filepath.Join(dir, "drover-bench-"+l.Name()), v2
		}
	}
	for kind := range kinds() {
		if m.root == "" {
			break
		}
		if err := os.MkdirAll(m.group(kind), 0o755); err != nil {
			m.root = "" // as in a container that may not
		}
	}
	if err := m.place(); err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(context.Background())
	m.stop = stop
	go m.follow(ctx)
	return m, nil
}

func kinds() map[string]bool {
	return map[string]bool{kindQEMU: true, kindLibvirt: true, kindAgents: true}
}

func (m *meter) group(kind string) string { return filepath.Join(m.root, kind) }

// place puts every program that is to be counted into its group.
func (m *meter) place() error {
	for _, h := range m.hosts {
		for _, pid := range children(h.PID()) {
			if err := m.put(pid, kindOf[command(pid)]); err != nil {
				return err
			}
		}
	}
	return nil
}

func (m *meter) put(pid int, kind string) error {
	if kind == "" || m.root == "" {
		return nil
	}
	err := os.WriteFile(filepath.Join(m.group(kind), "cgroup.procs"), []byte(strconv.Itoa(pid)), 0o644)
	if err != nil && command(pid) != "" {
		return fmt.Errorf("process %d into group %s: %w", pid, kind, err)
	}
	return nil // it has ended
}

// follow takes QEMUs that libvirt has started out of its group.
func (m *meter) follow(ctx context.Context) {
	defer close(m.done)
	t := time.NewTicker(25 * time.Millisecond)
	defer t.Stop()
	for m.root != "" {
		for _, pid := range pids(filepath.Join(m.group(kindLibvirt), "cgroup.procs")) {
			if kindOf[command(pid)] != kindQEMU {
				continue
			}
			used := cpuOf(pid)
			if m.put(pid, kindQEMU) == nil {
				m.mu.Lock()
				m.moved += used
				m.mu.Unlock()
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
	}
}

// cpu are CPU seconds since the meter was made, by kind; below 0 without groups.
type cpu struct{ qemu, libvirt, agents float64 }

func (m *meter) cpu() cpu {
	if m.root == "" {
		return cpu{-1, -1, -1}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return cpu{m.usage(kindQEMU) + m.moved, m.usage(kindLibvirt) - m.moved, m.usage(kindAgents)}
}

func (m *meter) usage(kind string) float64 {
	if !m.v2 {
		raw, err := os.ReadFile(filepath.Join(m.group(kind), "cpuacct.usage"))
		if err != nil {
			return 0
		}
		ns, _ := strconv.ParseInt(strings.TrimSpace(string(raw)), 10, 64)
		return float64(ns) / 1e9
	}
	raw, err := os.ReadFile(filepath.Join(m.group(kind), "cpu.stat"))
	if err != nil {
		return 0
	}
	return float64(field(string(raw), "usage_usec")) / 1e6
}

// since is what was used after before was read.
func (c cpu) since(before cpu) cpu {
	if c.qemu < 0 {
		return c
	}
	return cpu{c.qemu - before.qemu, c.libvirt - before.libvirt, c.agents - before.agents}
}

// agents are the processes of the hosts' agents.
func (m *meter) agents() (found []int) {
	for _, h := range m.hosts {
		for _, pid := range children(h.PID()) {
			if kindOf[command(pid)] == kindAgents {
				found = append(found, pid)
			}
		}
	}
	return found
}

// resetPeaks has the kernel forget how much memory the agents once had.
func (m *meter) resetPeaks() error {
	for _, pid := range m.agents() {
		if err := os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", pid), []byte("5"), 0); err != nil {
			return err
		}
	}
	return nil
}

// peak is the larger of the agents' peaks of resident memory, in bytes.
func (m *meter) peak() int64 {
	peak := int64(-1)
	for _, pid := range m.agents() {
		peak = max(peak, residentPeak(pid))
	}
	return peak
}

func residentPeak(pid int) int64 {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return -1
	}
	return field(string(raw), "VmHWM:") << 10
}

// Close gives the groups up; what still runs goes back to the machine's.
func (m *meter) Close() error {
	m.stop()
	<-m.done
	if m.root == "" {
		return nil
	}
	var errs error
	for kind := range kinds() {
		for _, pid := range pids(filepath.Join(m.group(kind), "cgroup.procs")) {
			_ = os.WriteFile(filepath.Join(filepath.Dir(m.root), "cgroup.procs"), []byte(strconv.Itoa(pid)), 0o644)
		}
		errs = errors.Join(errs, remove(m.group(kind)))
	}
	return errors.Join(errs, remove(m.root))
}

func remove(dir string) error {
	if err := os.Remove(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// wire are the bytes that the hosts have sent on the network between them.
func wire(hosts []*lab.Member) (int64, error) {
	var sum int64
	for _, h := range hosts {
		c, err := h.Counters(lab.Migration)
		if err != nil {
			return 0, err
		}
		sum += int64(c.Sent)
	}
	return sum, nil
}

// children are the processes whose parent is the given one.
func children(parent int) (found []int) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if f := statFields(pid); f != nil && f[1] == strconv.Itoa(parent) {
			found = append(found, pid)
		}
	}
	return found
}

// statFields are those of proc(5) stat from the state on, nil when it has ended.
func statFields(pid int) []string {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return nil
	}
	fields := strings.Fields(string(raw)[strings.LastIndexByte(string(raw), ')')+1:])
	if len(fields) < 20 {
		return nil
	}
	return fields
}

// cpuOf are the CPU seconds that a process has used so far.
func cpuOf(pid int) float64 {
	f := statFields(pid)
	if f == nil {
		return 0
	}
	user, _ := strconv.ParseFloat(f[11], 64)
	system, _ := strconv.ParseFloat(f[12], 64)
	return (user + system) / userHZ
}

func command(pid int) string {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(raw))
}

func pids(file string) (found []int) {
	raw, err := os.ReadFile(file)
	if err != nil {
		return nil
	}
	for _, word := range strings.Fields(string(raw)) {
		if pid, err := strconv.Atoi(word); err == nil {
			found = append(found, pid)
		}
	}
	return found
}

// field is the number behind a name at the beginning of a line, -1 without.
func field(text, name string) int64 {
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) >= 2 && f[0] == name {
			if v, err := strconv.ParseInt(f[1], 10, 64); err == nil {
				return v
			}
		}
	}
	return -1
}
