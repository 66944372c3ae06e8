package guest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// enterNetwork moves the calling goroutine's thread into a network namespace of
// its own with a bridge that has two taps. What the goroutine starts and opens
// from now on is in there; the namespace ends with the last of it.
func enterNetwork(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		required(t, errors.New("a network namespace needs root"))
	}
	runtime.LockOSThread() // never unlocked: the thread ends with the test
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		required(t, fmt.Errorf("network namespace: %w", err))
	}
	for _, line := range []string{
		"link set lo up", "link add br0 type bridge", "addr add 10.99.0.1/24 broadcast + dev br0", "link set br0 up",
		"tuntap add tap0 mode tap", "link set tap0 master br0 up",
		"tuntap add tap1 mode tap", "link set tap1 master br0 up",
	} {
		if out, err := exec.CommandContext(t.Context(), "ip", strings.Fields(line)...).CombinedOutput(); err != nil {
			required(t, fmt.Errorf("ip %s: %w: %s", line, err, out))
		}
	}
}

// One observer on the bridge hears the guest before, during and after its
// migration, and hears both copies when the source is started again.
func TestObserverOnABridge(t *testing.T) {
	boot := requireBoot(t)
	enterNetwork(t)
	conn, err := net.ListenPacket("udp4", "10.99.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	target := &net.UDPAddr{IP: net.IPv4(10, 99, 0, 255), Port: Port}
	o := NewObserver(conn, ObserverConfig{Target: target, Interval: 5 * time.Millisecond, Name: "APP01"})
	stop := background(t, o.Run)
	t.Cleanup(func() { stop(); _ = conn.Close() })

	p := testParams()
	p.Addr = netip.MustParsePrefix("10.99.0.101/24")
	// Without locks the source can be brought back, as it must never be.
	disk := testDisk(t) + ",file.locking=off"
	tap := func(n int) []string {
		return []string{"-netdev", fmt.Sprintf("tap,id=n0,ifname=tap%d,script=no,downscript=no", n)}
	}
	src := startVM(t, boot, p, disk, tap(0)...)
	src.wait(o, bootLimit, "one pass", func(s Status) bool { return s.Memory.Passes > 0 })
	o.ResetGaps()
	src.wait(o, bootLimit, "reset", func(s Status) bool { return s.RequestGapNs > 0 && s.RequestGapNs < int64(time.Second) })

	begin := time.Now()
	dst := migrate(t, src, boot, p, disk, tap(1)...)
	if _, err := o.VerifyNow(deadline(t, bootLimit)); err != nil {
		t.Fatal(err)
	}
	snap := o.Snapshot()
	t.Logf("blackout %s seen from outside, %s between requests seen from inside, %s by the guest's clock",
		snap.Blackout, time.Duration(snap.Last.RequestGapNs), time.Duration(snap.Last.Clock.MonotonicGapNs))
	if err := snap.Sound(); err != nil {
		t.Errorf("after migration: %v", err)
	}
	t.Logf("%d requests waited at the destination and were answered again", snap.Repeats)
	if snap.Blackout < 5*time.Millisecond || snap.BlackoutEnd.Before(begin) {
		t.Errorf("no blackout was seen: %+v", snap)
	}

	src.execute("cont", nil, nil)
	ctx, cancel := context.WithTimeout(t.Context(), bootLimit)
	defer cancel()
	if _, err := o.Wait(ctx, func(Status) bool { return o.Snapshot().Doubles > 0 }); err != nil {
		t.Fatalf("two copies: %v", err)
	}
	t.Logf("two copies: %s", o.Snapshot().FirstDouble)
	src.stop()
	dst.stop()
}
