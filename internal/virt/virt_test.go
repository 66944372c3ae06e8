package virt

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	lv "github.com/digitalocean/go-libvirt"
	"go.uber.org/goleak"
	"libvirt.org/go/libvirtxml"

	"drover/internal/fault"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestMissingSocketIsHypervisorDown(t *testing.T) {
	h := New(Config{Socket: filepath.Join(t.TempDir(), "none"), Name: "HV01"})
	if err := h.Ping(t.Context()); !fault.Is(err, fault.HypervisorDown) {
		t.Errorf("ping: %v", err)
	}
	if _, err := h.Domain(t.Context(), "APP01"); !fault.Is(err, fault.HypervisorDown) {
		t.Errorf("domain: %v", err)
	}
}

// silent is a libvirt that accepts connections and answers nothing; connected
// gets each connection.
func silent(t *testing.T) (socket string, connected <-chan net.Conn) {
	t.Helper()
	socket = filepath.Join(t.TempDir(), "s")
	ln, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	conns, done := make(chan net.Conn, 16), make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := ln.Accept()
			if err != nil {
				close(conns)
				return
			}
			conns <- c
		}
	}()
	t.Cleanup(func() {
		_ = ln.Close()
		<-done
		for c := range conns {
			_ = c.Close()
		}
	})
	return socket, conns
}

func TestHungLibvirtIsAbandoned(t *testing.T) {
	socket, _ := silent(t)
	h := New(Config{Socket: socket, Name: "HV01", CallTimeout: 50 * time.Millisecond})
	begin := time.Now()
	if _, err := h.Facts(t.Context()); !fault.Is(err, fault.HypervisorDown) {
		t.Errorf("got %v", err)
	}
	if d := time.Since(begin); d > 5*time.Second {
		t.Errorf("took %s", d)
	}
}

func TestCallerCancelsHungCall(t *testing.T) {
	socket, connected := silent(t)
	h := New(Config{Socket: socket, Name: "HV01", CallTimeout: time.Minute})
	why := errors.New("operator cancelled")
	ctx, cancel := context.WithCancelCause(t.Context())
	go func() {
		c := <-connected
		cancel(why)
		_, _ = c.Read(make([]byte, 1<<16))
		_ = c.Close()
	}()
	if err := h.Ping(ctx); !errors.Is(err, why) {
		t.Errorf("got %v", err)
	}
}

func TestLibvirtThatDiesDuringCallIsHypervisorDown(t *testing.T) {
	socket, connected := silent(t)
	h := New(Config{Socket: socket, Name: "HV01", CallTimeout: time.Minute})
	go func() { _ = (<-connected).Close() }()
	if err := h.Ping(t.Context()); !fault.Is(err, fault.HypervisorDown) {
		t.Errorf("got %v", err)
	}
}

func TestLibvirtErrorsKeepTheirCode(t *testing.T) {
	h := New(Config{Name: "HV01"})
	noDomain := h.mapError(t.Context(), lv.Error{Code: uint32(lv.ErrNoDomain), Message: "Domain not found"})
	if err := h.domainError(noDomain, "APP01", "look up"); !fault.Is(err, fault.VMNotFound) {
		t.Errorf("no domain: %v", err)
	}
	var e *Error
	err := h.domainError(h.mapError(t.Context(), lv.Error{Code: 55, Message: "not running"}), "APP01", "suspend")
	if !errors.As(err, &e) || e.Code != 55 || fault.From(err).Code != fault.Internal {
		t.Errorf("operation invalid: %v", err)
	}
}

func TestUUIDsAreRead(t *testing.T) {
	const s = "0a1b2c3d-0001-4002-8003-00000000000f"
	u, ok := parseUUID(s)
	if !ok || formatUUID(u) != s {
		t.Errorf("%v %s", ok, formatUUID(u))
	}
	for _, bad := range []string{"", "APP01", s + "0", "0a1b2c3d-0001-4002-8003-00000000000g", "0a1b2c3d00001-4002-8003-00000000000f", "0a1b2c3d-0001-4002-8003-0000000000+f"} {
		if _, ok := parseUUID(bad); ok {
			t.Errorf("%q was read", bad)
		}
	}
}

func TestJobStatsAreInBytes(t *testing.T) {
	ull := func(f string, v uint64) lv.TypedParam {
		return lv.TypedParam{Field: f, Value: *lv.NewTypedParamValueUllong(v)}
	}
	s := jobStats(int32(lv.DomainJobUnbounded), []lv.TypedParam{
		ull("memory_total", 1<<30), ull("memory_dirty_rate", 10), ull("memory_page_size", 4096), ull("downtime", 25),
		ull("memory_iteration", 3), ull("disk_remaining", 7), {Field: "operation", Value: *lv.NewTypedParamValueInt(5)},
	})
	if !s.Active || s.MemoryTotal != 1<<30 || s.DirtyRate != 40960 || s.Downtime != 25*time.Millisecond || s.Iteration != 3 || s.DiskRemaining != 7 {
		t.Errorf("%+v", s)
	}
	if jobStats(int32(lv.DomainJobNone), nil).Active {
		t.Error("no job counts as active")
	}
}

func TestMigrationFlagsFollowParams(t *testing.T) {
	plain := MigrationParams{}.flags()
	for name, c := range map[string]struct {
		p    MigrationParams
		flag lv.DomainMigrateFlags
	}{
		"disks": {MigrationParams{CopyDisks: []string{"vda"}}, lv.MigrateNonSharedDisk}, "multifd": {MigrationParams{Connections: 2}, lv.MigrateParallel},
		"paused": {MigrationParams{Paused: true}, lv.MigratePaused}, "shared": {MigrationParams{UnsafeShared: true}, lv.MigrateUnsafe},
	} {
		if plain&c.flag != 0 || c.p.flags()&c.flag == 0 {
			t.Errorf("%s: %b, plain %b", name, c.p.flags(), plain)
		}
	}
	const always = lv.MigrateLive | lv.MigratePersistDest | lv.MigrateUndefineSource | lv.MigrateChangeProtection
	if plain&always != always || plain&(lv.MigratePeer2peer|lv.MigrateTunnelled) != 0 {
		t.Errorf("plain: %b", plain)
	}
}

func TestDefinitionIsRead(t *testing.T) {
	b, err := os.ReadFile("admit/testdata/q35.xml")
	if err != nil {
		t.Fatal(err)
	}
	var def libvirtxml.Domain
	if err := def.Unmarshal(string(b)); err != nil {
		t.Fatal(err)
	}
	var d Domain
	if err := fillDefinition(&d, &def); err != nil {
		t.Fatal(err)
	}
	if d.MemoryBytes != 2<<30 || d.VCPUs != 2 || d.Machine != "pc-q35-7.2" || d.NVRAM != "/var/lib/libvirt/qemu/nvram/APP01_VARS.fd" {
		t.Errorf("%+v", d)
	}
	if len(d.Disks) != 2 || d.Disks[0].Path != "/var/lib/libvirt/images/app01.qcow2" || d.Disks[0].Backing != "" || d.Disks[0].Format != "qcow2" ||
		d.Disks[1].Device != "cdrom" || d.Disks[1].Type != "" || d.Disks[1].Path != "" || !d.Disks[1].ReadOnly {
		t.Errorf("disks %+v", d.Disks)
	}
	if len(d.Networks) != 2 || d.Networks[0].Name != "br0" || d.Networks[1].Kind != "network" {
		t.Errorf("networks %+v", d.Networks)
	}
	chain := convertDisk(&libvirtxml.DomainDisk{BackingStore: &libvirtxml.DomainDiskBackingStore{
		Format: &libvirtxml.DomainDiskFormat{Type: "raw"}, Source: &libvirtxml.DomainDiskSource{File: &libvirtxml.DomainDiskSourceFile{File: "/base"}}}})
	if chain.Backing != "/base" {
		t.Errorf("backing file %q", chain.Backing)
	}
}

func TestOversizedCookieIsRefused(t *testing.T) {
	if checkCookie(make([]byte, MaxCookie)) != nil || checkCookie(make([]byte, MaxCookie+1)) == nil {
		t.Error("limit is not kept")
	}
}

// TestSamplesComeFromMemoryOnly: between its parts lie registers of devices.
func TestSamplesComeFromMemoryOnly(t *testing.T) {
	const mib, gib = uint64(1 << 20), uint64(1 << 30)
	for _, memory := range []uint64{64 * mib, 256 * mib, 2 * gib, 3 * gib, 5 * gib, 512 * gib} {
		high := 0
		for _, at := range samplePlaces(memory, MaxMemorySample/pageBytes, memory) {
			low := at >= mib && at+samplePiece <= min(memory, 2*gib)-16*mib
			above := at >= 4*gib && at+samplePiece <= memory+gib/2 && at < 256*gib
			if !low && !above || at%samplePiece != 0 {
				t.Errorf("with %d MiB: reads at %#x", memory/mib, at)
			}
			if above {
				high++
			}
		}
		if (high > 0) != (memory > 4*gib) {
			t.Errorf("with %d MiB: %d places above 4 GiB", memory/mib, high)
		}
	}
	if n := len(samplePlaces(gib, 1<<30, 1)); n != MaxMemorySample/samplePiece {
		t.Errorf("%d places at most", n)
	}
	if n := len(samplePlaces(16*mib, 1024, 1)); n != 0 {
		t.Errorf("%d places in a guest that is too small", n)
	}
}
