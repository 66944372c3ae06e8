package labtest

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"drover/lab"
)

// census counts what a host has, by kind. Two censuses of a host at rest with
// the same VMs are the same, whatever happened in between.
type census map[string]int

// TestTwentyMoves moves one VM back and forth, back over parallel connections. The first pair of moves fills what
// is meant to stay: idle connections of the API's clients, Kerberos tickets,
// SQLite's connections, libvirt's worker threads and its sockets. From then on
// nothing may grow.
func TestTwentyMoves(t *testing.T) {
	s := startSite(t, lab.Options{Name: "soak", Hosts: twoHosts})
	vm := s.newVM(t, lab.HV01, "APP01", 101)
	pair := func() {
		s.mustMove(t, vm, lab.HV01, lab.HV02)
		s.mustMove(t, vm, lab.HV02, lab.HV01, "--connections", "2")
	}
	pair()
	before := s.restingCensus(t)
	for range 10 {
		pair()
		if err := vm.watch.Snapshot().Sound(); err != nil {
			s.diagnose(t, vm)
			t.Fatal(err)
		}
	}
	vm.verify(t)
	s.assertTidy(t, lab.HV01)
	s.assertClean(t, vm, lab.HV02)
	// What ends by itself, such as idle connections, has a while to do so.
	eventually(t, 30*time.Second, func(ctx context.Context) error {
		after, err := s.takeCensus(ctx)
		if err != nil {
			return err
		}
		if grown := before.growth(after); len(grown) > 0 {
			return fmt.Errorf("more than before the 20 moves:\n%s", strings.Join(grown, "\n"))
		}
		return nil
	})
}

// restingCensus waits until two in a row are the same.
func (s *site) restingCensus(t *testing.T) (c census) {
	t.Helper()
	eventually(t, 20*time.Second, func(ctx context.Context) error {
		last := c
		var err error
		if c, err = s.takeCensus(ctx); err == nil && !maps.Equal(c, last) {
			err = fmt.Errorf("the hosts do not come to rest: %v", last.growth(c))
		}
		return err
	})
	return c
}

// slack is by how much a count may grow, because the Go runtime, SQLite's pool
// and libvirt's have no fixed number; 20 moves that each leaked one would be far
// beyond it.
func slack(kind string) int {
	switch {
	case strings.HasSuffix(kind, "goroutines"):
		return 4
	case strings.Contains(kind, "droverd has open"), strings.Contains(kind, "libvirtd has open"), strings.Contains(kind, " socket: "):
		return 2
	}
	return 0
}

func (c census) growth(after census) (grown []string) {
	for _, k := range slices.Sorted(maps.Keys(after)) {
		if after[k] > c[k]+slack(k) {
			grown = append(grown, fmt.Sprintf("%d, was %d: %s", after[k], c[k], k))
		}
	}
	return grown
}

func (s *site) takeCensus(ctx context.Context) (census, error) {
	c := census{}
	for _, m := range s.Hosts() {
		if err := s.count(ctx, m, c); err != nil {
			return nil, err
		}
	}
	return c, nil
}

var numbers = regexp.MustCompile(`\d+`)

// count adds what a host has. Where a name has numbers in it that differ each
// time, they are left out.
func (s *site) count(ctx context.Context, m *lab.Member, c census) error {
	add := func(kind string, names ...string) {
		for _, n := range names {
			c[m.Name+" "+kind+": "+n]++
		}
	}
	domains, err := s.Virsh(ctx, m.Name, "list", "--all")
	if err != nil {
		return err
	}
	for _, line := range strings.Split(domains, "\n") {
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
		"file":                    {"find", "/srv/vms", "/run/drover", "/run/libvirt/qemu", "/var/lib/libvirt/qemu", "/tmp", "-mindepth", "1"},
	} {
		out, err := m.Run(ctx, argv...)
		if err != nil {
			return err
		}
		for _, line := range strings.Split(strings.TrimSpace(out), "\n") {
			// The kernel remembers each TCP connection for a minute after its end;
			// nobody has it open.
			if f := strings.Fields(line); len(f) > 0 && !(kind == "socket" && f[1] == "TIME-WAIT") {
				add(kind, censusName(kind, f))
			}
		}
	}
	if err := s.countProcesses(ctx, m, add); err != nil {
		return err
	}
	n, err := goroutines(ctx, m)
	c[m.Name+" goroutines"] = n
	return err
}

func censusName(kind string, f []string) string {
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
func (s *site) countProcesses(ctx context.Context, m *lab.Member, add func(string, ...string)) error {
	out, err := m.Run(ctx, "ps", "-e", "-o", "pid=,comm=")
	if err != nil {
		return err
	}
	for _, line := range strings.Split(strings.TrimSpace(out), "\n") {
		f := strings.Fields(line)
		if len(f) < 2 || f[1] == "ps" {
			continue
		}
		add("process", f[1])
		program := ""
		switch {
		case strings.HasPrefix(f[1], "droverd"):
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

// goroutines asks the agent's own metrics, on the host's socket.
func goroutines(ctx context.Context, m *lab.Member) (int, error) {
	transport := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", m.Path("/run/drover/droverd.sock"))
	}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://localhost/metrics", nil)
	if err != nil {
		return 0, err
	}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err
	}
	found := regexp.MustCompile(`(?m)^go_goroutines (\d+)$`).FindSubmatch(body)
	if found == nil {
		return 0, fmt.Errorf("%s: /metrics has no go_goroutines: status %d", m.Name, resp.StatusCode)
	}
	return strconv.Atoi(string(found[1]))
}
