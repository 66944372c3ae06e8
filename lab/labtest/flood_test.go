package labtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"drover/internal/record"
	"drover/lab"
)

// floodSize is how many connections there are at a time, as the attacker counts
// them, and floodFrom the number of addresses on each network that they come from.
const (
	floodSize = 10_000
	floodFrom = 40
)

// floodPlaces is how many connections two agents have places for that have proved
// nothing: 256 on each port, as api and stream have it.
const floodPlaces = 4 * 256

// maxGrowth is by how much an agent's memory may grow through a flood. 256 connections
// on each port can hold no more than some 60 KiB each while they do not get past TLS.
const maxGrowth = 64 << 20

// TestFloodOfHalfOpenConnections: HV03 opens 10,000 connections from 80 addresses to
// both ports of two hosts, while a VM moves between these: connections that begin
// TLS and go no further, and are opened again when they are closed.
func TestFloodOfHalfOpenConnections(t *testing.T) {
	s := startSite(t, lab.Options{Name: "gateflood"})
	vm := s.newVM(t, lab.HV01, "APP01", 101)
	quick := s.mustMove(t, vm, lab.HV01, lab.HV02)
	s.mustMove(t, vm, lab.HV02, lab.HV01, "--connections", "2")
	s.rate(t, slow) // on a slow link a move takes more memory
	s.mustMove(t, vm, lab.HV01, lab.HV02)
	s.mustMove(t, vm, lab.HV02, lab.HV01)
	before := map[string]int{}
	for _, h := range twoHosts {
		before[h] = s.peakMemory(t, h)
	}
	s.rate(t, slow/4) // the flood takes a while to rise, and the move would not end at this rate
	id := s.detach(t, vm, lab.HV01, lab.HV02)
	s.awaitTransfer(t, lab.HV01, id)
	f := s.flood(t, lab.HV03)
	if rec, err := s.show(t.Context(), lab.HV01, id); err != nil || rec.Phase.Over() {
		t.Fatalf("the move was over before the flood had begun: %s, %v", rec.Phase, err)
	}
	s.rate(t, 0)
	rec := s.awaitPhase(t, lab.HV01, id, 3*time.Minute, record.Done, record.Failed, record.Unknown)
	if rec.Phase != record.Done {
		t.Fatalf("the move under way: %s, %v", rec.Phase, rec.Error)
	}
	// Whoever comes now gets in too: the operator, and a move with all of its streams.
	rec = s.mustMove(t, vm, lab.HV02, lab.HV01, "--connections", "2")
	t.Logf("a move took %d ms in the flood, %d ms before it", rec.Summary.TotalMS, quick.Summary.TotalMS)
	for _, h := range twoHosts {
		turned := s.turnedOut(t, h)
		open := s.openFiles(t, h)
		t.Logf("%s: turned out %v, %d files open, peak memory %d MiB, was %d", h, turned, open, s.peakMemory(t, h)>>20, before[h]>>20)
		if open > 1000 {
			t.Errorf("droverd of %s has %d files open", h, open)
		}
		if grown := s.peakMemory(t, h) - before[h]; grown > maxGrowth {
			t.Errorf("droverd of %s has grown by %d MiB", h, grown>>20)
		}
	}
	f.end()
	t.Logf("%d connections were opened", f.opened)
	if f.left > floodPlaces {
		t.Errorf("%d connections that said nothing are open, no more than %d can be", f.left, floodPlaces)
	}
	if f.err != nil || f.opened < floodSize {
		t.Errorf("%d connections opened, %v", f.opened, f.err)
	}
	vm.verify(t)
	s.assertClean(t, vm, lab.HV02)
	s.assertTidy(t, lab.HV01)
}

// flooder keeps connections open from one member.
type flooder struct {
	targets []floodTarget
	end     func()
	opened  int // this and what follows: when end has returned
	left    int // of the last floodSize, those that the agents had not closed
	err     error
}

type floodTarget struct{ local, remote *net.TCPAddr }

// flood opens its connections, and when it returns they are open, and each is
// replaced by a new one in turn until end.
func (s *site) flood(t *testing.T, from string) *flooder {
	t.Helper()
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	limit.Cur, limit.Max = max(limit.Cur, floodSize+5000), max(limit.Max, floodSize+5000)
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	f := &flooder{}
	m := s.Member(from)
	for i := range floodFrom {
		for network, port := range map[lab.Network]int{lab.Migration: 6600, lab.Management: 6601} {
			address := net.ParseIP(m.Address(network)).To4()
			address[3] = byte(100 + i)
			s.run(t, from, "ip", "address", "add", address.String()+"/24", "dev", string(network))
			for _, h := range twoHosts {
				f.targets = append(f.targets, floodTarget{&net.TCPAddr{IP: address}, &net.TCPAddr{IP: net.ParseIP(s.Member(h).Address(network)), Port: port}})
			}
		}
	}
	slices.SortFunc(f.targets, func(a, b floodTarget) int {
		return strings.Compare(a.local.String()+a.remote.String(), b.local.String()+b.remote.String())
	})
	ctx, cancel := context.WithCancel(context.Background())
	filled, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		f.err = m.InNetwork(func() error { return f.run(ctx, filled) })
	}()
	f.end = sync.OnceFunc(func() { cancel(); <-done })
	t.Cleanup(f.end)
	select {
	case <-filled:
	case <-done:
		t.Fatal(f.err)
	case <-t.Context().Done():
		t.Fatal("the flood did not rise")
	}
	return f
}

// run opens connections as fast as it goes up to floodSize, then 200 a second.
func (f *flooder) run(ctx context.Context, filled chan struct{}) error {
	open := make([]net.Conn, floodSize)
	defer func() {
		for _, c := range open {
			if c != nil {
				c.Close()
			}
		}
	}()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for ; ; f.opened++ {
		if f.opened == floodSize {
			close(filled)
		}
		if f.opened >= floodSize {
			select {
			case <-ctx.Done():
				f.left = awaitClosed(open, floodPlaces, tick.C)
				return nil
			case <-tick.C:
			}
		}
		at := f.opened % floodSize
		if open[at] != nil {
			open[at].Close()
		}
		target := f.targets[f.opened%len(f.targets)]
		dialer := net.Dialer{LocalAddr: target.local, Timeout: 20 * time.Second}
		c, err := dialer.Dial("tcp4", target.remote.String())
		if err != nil {
			return fmt.Errorf("connection %d, %v to %v: %w", f.opened, target.local, target.remote, err)
		}
		// The beginning of a ClientHello; the agent may have closed already.
		if _, err := c.Write([]byte{22, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3}); err != nil && !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, syscall.EPIPE) {
			return err
		}
		open[at] = c
	}
}

// awaitClosed waits until no more than places connections are open, or for half a
// minute, and counts those that are: what waits in a port's queue is open as well
// until the agent has come to it.
func awaitClosed(conns []net.Conn, places int, tick <-chan time.Time) int {
	for deadline := time.Now().Add(30 * time.Second); ; <-tick {
		open := 0
		for _, c := range conns {
			if !closedByPeer(c) {
				open++
			}
		}
		if open <= places || time.Now().After(deadline) {
			return open
		}
	}
}

// closedByPeer is whether the other end has closed or reset a connection on which it
// has sent nothing. It does not wait.
func closedByPeer(c net.Conn) bool {
	raw, err := c.(*net.TCPConn).SyscallConn()
	if err != nil {
		return true
	}
	var n int
	var readErr error
	if err := raw.Control(func(fd uintptr) {
		n, _, readErr = syscall.Recvfrom(int(fd), make([]byte, 1), syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
	}); err != nil {
		return true
	}
	return n <= 0 && !errors.Is(readErr, syscall.EAGAIN) && !errors.Is(readErr, syscall.EINTR)
}

// agentPID is the number of a host's agent in its own namespace.
func (s *site) agentPID(t *testing.T, host string) int {
	t.Helper()
	services, err := s.Member(host).Services(t.Context())
	i := slices.IndexFunc(services, isAgent)
	if err != nil || i < 0 || !services[i].Running {
		t.Fatalf("no agent runs on %s: %+v, %v", host, services, err)
	}
	return services[i].PID
}

var peakLine = regexp.MustCompile(`(?m)^VmHWM:\s+(\d+) kB$`)

// peakMemory is the most that an agent ever had resident, in bytes.
func (s *site) peakMemory(t *testing.T, host string) int {
	t.Helper()
	b, err := os.ReadFile(s.Member(host).Path(fmt.Sprintf("/proc/%d/status", s.agentPID(t, host))))
	m := peakLine.FindSubmatch(b)
	if err != nil || m == nil {
		t.Fatalf("%v: %s", err, b)
	}
	n, err := strconv.Atoi(string(m[1]))
	if err != nil {
		t.Fatal(err)
	}
	return n << 10
}

func (s *site) openFiles(t *testing.T, host string) int {
	t.Helper()
	fds, err := os.ReadDir(s.Member(host).Path(fmt.Sprintf("/proc/%d/fd", s.agentPID(t, host))))
	if err != nil {
		t.Fatal(err)
	}
	return len(fds)
}

var turnedOutLine = regexp.MustCompile(`(?m)^drover_connections_turned_out_total\{connections="([a-z-]+)"\} (\S+)$`)

// turnedOut is how many connections an agent turned out, by what they were.
func (s *site) turnedOut(t *testing.T, host string) map[string]int {
	t.Helper()
	body, err := agentMetrics(t.Context(), s.Member(host))
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]int{}
	for _, m := range turnedOutLine.FindAllSubmatch(body, -1) {
		n, err := strconv.ParseFloat(string(m[2]), 64)
		if err != nil {
			t.Fatal(err)
		}
		found[string(m[1])] = int(n)
	}
	return found
}

// agentMetrics asks the agent on the host's socket.
func agentMetrics(ctx context.Context, m *lab.Member) ([]byte, error) {
	transport := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", m.Path("/run/drover/droverd.sock"))
	}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://localhost/metrics", nil)
	if err != nil {
		return nil, err
	}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	return io.ReadAll(resp.Body)
}
