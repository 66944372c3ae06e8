package census

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"drover/lab"
)

// Agent is what one process of droverd takes, by its own metrics.
type Agent struct {
	// Start tells one process from the next.
	Start      string
	RSS        int64 // bytes
	Heap       int64 // bytes in use, garbage that was not collected yet too
	Goroutines int
	OpenFiles  int
}

// agentSocket is where a host's agent listens for local users.
const agentSocket = "/run/drover/droverd.sock"

// AgentOf asks the agent's own metrics, on the host's socket.
func AgentOf(ctx context.Context, m *lab.Member) (Agent, error) {
	transport := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", m.Path(agentSocket))
	}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://localhost/metrics", nil)
	if err != nil {
		return Agent{}, err
	}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return Agent{}, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return Agent{}, fmt.Errorf("%s: /metrics: status %d", m.Name, resp.StatusCode)
	}
	a, err := readMetrics(resp.Body)
	if err != nil {
		return a, fmt.Errorf("%s: /metrics: %w", m.Name, err)
	}
	return a, nil
}

func readMetrics(r io.Reader) (Agent, error) {
	found := map[string]string{}
	for s := bufio.NewScanner(r); s.Scan(); {
		if name, value, ok := strings.Cut(s.Text(), " "); ok && !strings.HasPrefix(name, "#") {
			found[name] = value
		}
	}
	number := func(name string) (int64, error) {
		v, err := strconv.ParseFloat(found[name], 64)
		if err != nil {
			return 0, fmt.Errorf("%s: %w", name, err)
		}
		return int64(v), nil
	}
	var a Agent
	var err error
	a.Start = found["process_start_time_seconds"]
	if a.RSS, err = number("process_resident_memory_bytes"); err != nil {
		return a, err
	}
	if a.Heap, err = number("go_memstats_heap_inuse_bytes"); err != nil {
		return a, err
	}
	for name, into := range map[string]*int{"go_goroutines": &a.Goroutines, "process_open_fds": &a.OpenFiles} {
		v, err := number(name)
		if err != nil {
			return a, err
		}
		*into = int(v)
	}
	return a, nil
}

// Size is what a directory of a host holds: regular files and their bytes.
type Size struct {
	Files int
	Bytes int64
}

// SizeOf adds up a directory of a host. What goes away meanwhile does not count.
func SizeOf(m *lab.Member, dir string) (Size, error) {
	var s Size
	err := filepath.WalkDir(m.Path(dir), func(_ string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return ignoreGone(err)
		}
		info, err := e.Info()
		if err != nil {
			return ignoreGone(err)
		}
		s.Files, s.Bytes = s.Files+1, s.Bytes+info.Size()
		return nil
	})
	return s, err
}

func ignoreGone(err error) error {
	if os.IsNotExist(err) {
		return nil
	}
	return err
}
