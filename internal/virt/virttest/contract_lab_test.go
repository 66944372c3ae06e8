package virttest

import (
	"context"
	"io"
	"net"
	"os"
	"sync"
	"testing"

	"drover/internal/fault"
	"drover/internal/virt"
	"drover/lab"
)

// realUUID is of a domain without an operating system: the contract is about
// libvirt, and a firmware that finds nothing to boot migrates as well.
const realUUID = "0a1b2c3d-0001-4002-8003-0000000000c1"

const realXML = `<domain type='qemu'><name>contract</name><uuid>` + realUUID + `</uuid><memory unit='MiB'>64</memory>
<os><type arch='x86_64' machine='pc'>hvm</type></os><cpu mode='custom'><model>qemu64</model></cpu>
<devices><controller type='usb' model='none'/></devices></domain>`

func TestRealHostsKeepTheContract(t *testing.T) {
	for _, rootfs := range []string{"machine", "trixie"} {
		t.Run(rootfs, func(t *testing.T) {
			l := lab.Start(t, lab.Options{Name: rootfs, Rootfs: rootfs, Hosts: []string{"HV01", "HV02"}, NoAgents: true})
			RunContract(t, func(t testing.TB) Pair { return realPair(t, l.Member("HV01"), l.Member("HV02")) })
		})
	}
}

func realHostOf(t testing.TB, m *lab.Member, name string) *virt.Host {
	for _, s := range virt.Sockets {
		if _, err := os.Stat(m.Path(s)); err == nil {
			return virt.New(virt.Config{Socket: m.Path(s), Name: name})
		}
	}
	t.Fatalf("%s has no libvirt socket", name)
	return nil
}

func realPair(t testing.TB, a, b *lab.Member) Pair {
	src, dst := realHostOf(t, a, "HV01"), realHostOf(t, b, "HV02")
	const socket = "/run/contract.sock"
	clean := func() {
		ctx := context.Background()
		for _, h := range []*virt.Host{src, dst} {
			for _, err := range []error{h.Destroy(ctx, realUUID), h.Undefine(ctx, realUUID, false)} {
				if err != nil && !fault.Is(err, fault.VMNotFound) {
					t.Logf("clean up: %v", err)
				}
			}
		}
		for _, m := range []*lab.Member{a, b} {
			_ = os.Remove(m.Path(socket))
		}
	}
	clean()
	t.Cleanup(clean)
	if _, err := src.Define(t.Context(), realXML); err != nil {
		t.Fatal(err)
	}
	if err := src.Start(t.Context(), realUUID); err != nil {
		t.Fatal(err)
	}
	return Pair{
		Source: Real(src), Destination: Real(dst),
		Params:  virt.MigrationParams{UUID: realUUID, Name: "contract", MigrateURI: "unix://" + socket},
		Connect: func(testing.TB) { relay(t, a.Path(socket), b.Path(socket)) },
	}
}

// relay carries connections from one socket to another until the test ends.
func relay(t testing.TB, from, to string) {
	ln, err := net.Listen("unix", from)
	if err != nil {
		t.Fatal(err)
	}
	var (
		wg    sync.WaitGroup
		mu    sync.Mutex
		conns []net.Conn
	)
	oneWay := func(dst, src net.Conn) {
		_, _ = io.Copy(dst, src)
		_ = dst.(*net.UnixConn).CloseWrite()
	}
	wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			d, err := net.Dial("unix", to)
			if err != nil {
				_ = c.Close()
				continue
			}
			mu.Lock()
			conns = append(conns, c, d)
			mu.Unlock()
			wg.Go(func() { oneWay(d, c) })
			wg.Go(func() { oneWay(c, d) })
		}
	})
	t.Cleanup(func() {
		_ = ln.Close()
		mu.Lock()
		for _, c := range conns {
			_ = c.Close()
		}
		mu.Unlock()
		wg.Wait()
	})
}
