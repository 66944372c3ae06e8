package guest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// required ends a test whose prerequisite is missing: as a failure where
// DROVER_LAB=1 says that everything must be there.
func required(t *testing.T, err error) {
	t.Helper()
	switch {
	case err == nil:
	case os.Getenv("DROVER_LAB") == "1":
		t.Fatalf("DROVER_LAB=1, but: %v", err)
	default:
		t.Skipf("%v", err)
	}
}

// bootFiles are made once for all tests of the process.
var bootFiles = sync.OnceValues(func() (BootFiles, error) {
	if testing.Short() {
		return BootFiles{}, fmt.Errorf("-short: no guest is booted")
	}
	for _, tool := range []string{"qemu-system-x86_64", "dpkg-deb", "apt-get"} {
		if _, err := exec.LookPath(tool); err != nil {
			return BootFiles{}, err
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	cache := testCache()
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return BootFiles{}, err
	}
	init := filepath.Join(cache, "init-"+strconv.Itoa(os.Getpid()))
	defer os.Remove(init)
	if err := CompileInit(ctx, init); err != nil {
		return BootFiles{}, err
	}
	return PrepareBoot(ctx, cache, init, filepath.Join(cache, "initrd-test"), Files{})
})

func testCache() string {
	base, err := os.UserCacheDir()
	if err != nil {
		base = os.TempDir()
	}
	return filepath.Join(base, "drover")
}

func requireBoot(t *testing.T) BootFiles {
	t.Helper()
	boot, err := bootFiles()
	required(t, err)
	return boot
}

// vm is a guest in an emulator of its own, with user mode networking: its
// heartbeat is on a port of the loopback address.
type vm struct {
	t       *testing.T
	cmd     *exec.Cmd
	qmp     string
	addr    *net.UDPAddr
	console string
	stop    func()
	done    chan struct{} // closed when the emulator has ended, after err is set
	err     error
}

func testParams() Params {
	p := DefaultParams()
	p.Name = "APP01"
	p.Addr = netip.MustParsePrefix("10.0.2.15/24")
	p.Memory = 100 << 20
	return p
}

// freePort is a UDP port that was free a moment ago.
func freePort(t *testing.T) *net.UDPAddr {
	t.Helper()
	conn, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	return conn.LocalAddr().(*net.UDPAddr)
}

func startVM(t *testing.T, boot BootFiles, p Params, disk string, more ...string) *vm {
	t.Helper()
	dir, err := os.MkdirTemp("", "drover-vm-") // short: socket paths are limited
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	v := &vm{t: t, done: make(chan struct{}), qmp: filepath.Join(dir, "qmp"), console: filepath.Join(dir, "console"), addr: freePort(t)}
	args := append([]string{
		"-machine", "pc,accel=tcg", "-cpu", "qemu64", "-m", "256", "-nodefaults", "-no-user-config", "-display", "none",
		"-no-reboot", "-serial", "file:" + v.console, "-qmp", "unix:" + v.qmp + ",server=on,wait=off",
		"-kernel", boot.Kernel, "-initrd", boot.Initrd, "-append", p.Cmdline(),
		"-drive", "file=" + disk + ",format=raw,if=none,id=d0,cache=none,aio=threads", "-device", "virtio-blk-pci,drive=d0",
		"-device", "virtio-net-pci,netdev=n0,romfile=",
	}, more...)
	if !slices.Contains(more, "-netdev") {
		args = append(args, "-netdev", fmt.Sprintf("user,id=n0,hostfwd=udp:%s-:%d", v.addr, Port))
	}
	var stderr bytes.Buffer
	ctx, cancel := context.WithCancel(context.Background())
	v.cmd = exec.CommandContext(ctx, "qemu-system-x86_64", args...)
	v.cmd.Stderr = &stderr
	v.cmd.WaitDelay = 5 * time.Second
	if err := v.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		v.err = v.cmd.Wait()
		close(v.done)
	}()
	v.stop = sync.OnceFunc(func() {
		cancel()
		<-v.done
		if t.Failed() {
			text, _ := os.ReadFile(v.console)
			t.Logf("console:\n%s\nQEMU: %s", text, stderr.String())
		}
	})
	t.Cleanup(v.stop)
	return v
}

// exited waits for the emulator to end by itself.
func (v *vm) exited(limit time.Duration) error {
	select {
	case <-v.done:
		return v.err
	case <-time.After(limit):
		return fmt.Errorf("still there after %s", limit)
	}
}

// observe watches the guest until the test ends.
func (v *vm) observe() *Observer {
	v.t.Helper()
	conn, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		v.t.Fatal(err)
	}
	o := NewObserver(conn, ObserverConfig{Target: v.addr, Interval: 10 * time.Millisecond, Name: "APP01"})
	stop := background(v.t, o.Run)
	v.t.Cleanup(func() { stop(); _ = conn.Close() })
	return o
}

func (v *vm) wait(o *Observer, limit time.Duration, what string, ok func(Status) bool) Status {
	v.t.Helper()
	ctx, cancel := context.WithTimeout(v.t.Context(), limit)
	defer cancel()
	s, err := o.Wait(ctx, ok)
	if err != nil {
		v.t.Fatalf("%s: %v", what, err)
	}
	return s
}

// execute runs one QMP command on a connection of its own.
func (v *vm) execute(command string, arguments, result any) {
	v.t.Helper()
	var conn net.Conn
	err := pollUntil(v.t.Context(), 10*time.Second, func() (err error) {
		conn, err = net.DialTimeout("unix", v.qmp, time.Second)
		return err
	})
	if err != nil {
		v.t.Fatalf("QMP: %v", err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	dec, enc := json.NewDecoder(conn), json.NewEncoder(conn)
	for _, c := range []map[string]any{{"execute": "qmp_capabilities"}, {"execute": command, "arguments": arguments}} {
		if c["arguments"] == nil {
			delete(c, "arguments")
		}
		if err := enc.Encode(c); err != nil {
			v.t.Fatalf("QMP %s: %v", command, err)
		}
		raw, err := qmpReturn(dec)
		if err == nil && c["execute"] == command && result != nil {
			err = json.Unmarshal(raw, result)
		}
		if err != nil {
			v.t.Fatalf("QMP %s: %v", command, err)
		}
	}
}

// qmpReturn skips the greeting and events.
func qmpReturn(dec *json.Decoder) (json.RawMessage, error) {
	for {
		var m struct {
			Return json.RawMessage `json:"return"`
			Error  json.RawMessage `json:"error"`
		}
		if err := dec.Decode(&m); err != nil {
			return nil, err
		}
		if m.Error != nil {
			return nil, fmt.Errorf("%s", m.Error)
		}
		if m.Return != nil {
			return m.Return, nil
		}
	}
}

// pollUntil repeats f until it gives nil, or gives its last error.
func pollUntil(ctx context.Context, limit time.Duration, f func() error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	t := time.NewTicker(20 * time.Millisecond)
	defer t.Stop()
	for {
		err := f()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", ctx.Err(), err)
		case <-t.C:
		}
	}
}

// cpuTime is what the process has used, from /proc/PID/stat.
func cpuTime(t *testing.T, pid int) time.Duration {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(b), ") ")
	fields := strings.Fields(rest)
	user, _ := strconv.Atoi(fields[11])
	system, _ := strconv.Atoi(fields[12])
	return time.Duration(user+system) * 10 * time.Millisecond // USER_HZ is 100
}
