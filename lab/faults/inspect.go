package faults

import (
	"context"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"drover/internal/api"
	"drover/lab"
)

// Leftovers are what a host has and should not.
type Leftovers struct {
	// Ours are Drover's: unfinished moves, domains, files, sockets, connections,
	// processes, rules of the firewall.
	Ours []string `json:"ours,omitempty"`
	// Forgotten are files in libvirt's own directories of VMs that libvirt does not
	// have any more: it has forgotten them, and Drover was never told of them.
	Forgotten []string `json:"forgotten,omitempty"`
}

// Baseline is what a host had before anything moved.
type Baseline struct{ seen map[string]bool }

// inventory prints one line for each thing that a move could leave behind.
const inventory = `
find /run /tmp /var/tmp /srv/vms /srv/shared /var/lib/libvirt /etc/libvirt /var/lib/drover -xdev ! -type d ! -path '/run/drover-hold/*' -printf 'file %p\n' 2>/dev/null
find /srv/vms /var/lib/drover ! -type d -printf 'file %p\n' 2>/dev/null
find /run/drover /var/lib/libvirt /run/libvirt -mindepth 1 -type d ! -path /run/drover/m -printf 'file %p\n' 2>/dev/null
ss -xlH 2>/dev/null | awk '$5 ~ "^/" {print "unix socket " $5}'
ss -tlnH 2>/dev/null | awk '{print "listening on " $4}'
ss -tnH state established '( sport = :6600 or dport = :6600 )' 2>/dev/null | awk '{print "connection " $3 " " $4}'
iptables -S 2>/dev/null | sed 's/^/firewall /'
ip -o route 2>/dev/null | sed 's/^/route /'
`

func take(ctx context.Context, l *lab.Lab, host string) ([]string, error) {
	out, err := l.Member(host).Run(ctx, "sh", "-c", inventory+"true")
	if err != nil {
		return nil, err
	}
	lines := strings.Split(strings.TrimSpace(out), "\n")
	slices.Sort(lines)
	return slices.Compact(lines), nil
}

// TakeBaseline is to be called when the agent of a host runs and nothing has moved yet.
func TakeBaseline(ctx context.Context, l *lab.Lab, host string) (Baseline, error) {
	lines, err := take(ctx, l, host)
	b := Baseline{seen: map[string]bool{}}
	for _, line := range lines {
		b.seen[line] = true
	}
	return b, err
}

// AllowShared takes disks of a VM that all hosts see as a part of the baseline.
func (b Baseline) AllowShared(vm *lab.VM) {
	for _, d := range vm.Disks {
		if strings.HasPrefix(d.Path, lab.SharedDir+"/") {
			b.seen["file "+d.Path] = true
		}
	}
}

// Inspect lists what a host has beyond its baseline, when residents are the VMs that
// live there. Something that goes away by itself may be there still: ask again.
func Inspect(ctx context.Context, l *lab.Lab, host string, b Baseline, residents ...*lab.VM) (Leftovers, error) {
	var left Leftovers
	if err := unfinished(ctx, l, host, &left); err != nil {
		return left, err
	}
	if n, err := os.ReadFile(reservedFile(l, host)); err == nil && string(n) != "0" {
		left.Ours = append(left.Ours, fmt.Sprintf("%s reservations of memory and disk space", n))
	}
	ids, err := domains(ctx, l, host)
	if err != nil {
		return left, err
	}
	lives := map[string]*lab.VM{}
	for _, vm := range residents {
		lives[vm.Name] = vm
	}
	for name := range ids {
		if lives[name] == nil {
			left.Ours = append(left.Ours, "domain "+name)
		}
	}
	if err := strayProcesses(l, host, lives, &left); err != nil {
		return left, err
	}
	lines, err := take(ctx, l, host)
	for _, line := range lines {
		if !b.seen[line] && !belongs(line, ids, lives) {
			left.add(line)
		}
	}
	return left, err
}

func unfinished(ctx context.Context, l *lab.Lab, host string, left *Leftovers) error {
	c, err := l.Local(host)
	if err != nil {
		return err
	}
	defer c.Close()
	active, err := c.Moves(ctx, api.MoveFilter{Active: true})
	for _, r := range active {
		left.Ours = append(left.Ours, fmt.Sprintf("unfinished move %s (%s, %s)", r.ID, r.Role, r.Phase))
	}
	return err
}

// domains gives the numbers of libvirt's domains by name, "-" for one that is shut off.
func domains(ctx context.Context, l *lab.Lab, host string) (map[string]string, error) {
	out, err := l.Virsh(ctx, host, "list", "--all")
	found := map[string]string{}
	for line := range strings.Lines(out) {
		if f := strings.Fields(line); len(f) >= 3 {
			found[f[1]] = f[0]
		}
	}
	return found, err
}

func strayProcesses(l *lab.Lab, host string, lives map[string]*lab.VM, left *Leftovers) error {
	processes, err := l.Member(host).Processes()
	if err != nil {
		return err
	}
	seen := map[string]bool{}
	for _, p := range processes {
		name := filepath.Base(p.Argv[0])
		switch {
		case isQEMU(p):
			vm := guestOf(p)
			if lives[vm] == nil || seen[vm] {
				left.Ours = append(left.Ours, fmt.Sprintf("process %s of %s", name, vm))
			}
			seen[vm] = true
		case strings.HasPrefix(name, "qemu-"):
			left.Ours = append(left.Ours, "process "+strings.Join(p.Argv, " "))
		}
	}
	return nil
}

// guestOf is the VM of a QEMU that libvirt has started.
func guestOf(p lab.Process) string {
	_, rest, _ := strings.Cut(strings.Join(p.Argv, " "), "-name guest=")
	name, _, _ := strings.Cut(rest, ",")
	return name
}

// belongs tells whether something is of a VM that lives here, in the life that it has now.
func belongs(line string, ids map[string]string, lives map[string]*lab.VM) bool {
	for name, vm := range lives {
		if slices.ContainsFunc(vm.Disks, func(d lab.VMDisk) bool { return line == "file "+d.Path }) {
			return true
		}
		if !strings.Contains(line, name) || strings.HasPrefix(line, "file "+lab.VMDir) {
			continue
		}
		if m := runDirectory.FindStringSubmatch(line); m == nil || m[1] == ids[name] {
			return true
		}
	}
	return false
}

// runDirectory is libvirt's of one life of a domain.
var runDirectory = regexp.MustCompile(`/domain-(\d+)-`)

// libvirtDirs are libvirt's own; what is in nvram is the VM's.
var libvirtDirs = []string{"/run/libvirt/", "/var/lib/libvirt/", "/etc/libvirt/"}

func (left *Leftovers) add(line string) {
	_, p, _ := strings.Cut(line, "/")
	p = "/" + p
	own := slices.ContainsFunc(libvirtDirs, func(dir string) bool { return strings.HasPrefix(p, dir) })
	if own && path.Dir(p) != "/var/lib/libvirt/qemu/nvram" {
		left.Forgotten = append(left.Forgotten, line)
		return
	}
	left.Ours = append(left.Ours, line)
}
