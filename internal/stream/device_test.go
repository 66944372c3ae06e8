package stream

import (
	"net/netip"
	"slices"
	"testing"

	"drover/internal/fault"
)

func TestAllAddrsAreThoseAnotherHostCanReach(t *testing.T) {
	all, err := AllAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range all {
		if a.IsLoopback() || a.IsLinkLocalUnicast() || a.IsMulticast() || a.IsUnspecified() || a.Is4In6() {
			t.Errorf("%s is among them", a)
		}
		if device := deviceOf(a); device.name == "" {
			t.Logf("%s is alone on its interface", a)
		}
	}
	have, err := Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range have {
		if !slices.Contains(all, p.Addr()) || p.Bits() < 0 {
			t.Errorf("%s", p)
		}
	}
}

func TestLoopbackAndForeignAddressesAreBoundToNoInterface(t *testing.T) {
	for _, a := range []string{"127.0.0.1", "::1", "203.0.113.77"} {
		if d := deviceOf(netip.MustParseAddr(a)); d.name != "" {
			t.Errorf("%s: %v", a, d)
		}
	}
}

func TestProbeTellsTheSourceAddress(t *testing.T) {
	e := newEnv(t, Timing{})
	o := e.opt
	o.Local = netip.MustParseAddr("127.0.0.7")
	if a, err := Probe(e.ctx, o, patience); err != nil || a != o.Local {
		t.Errorf("from %v, %v", a, err)
	}
	o.Local = netip.Addr{}
	if a, err := Probe(e.ctx, o, patience); err != nil || !a.IsLoopback() {
		t.Errorf("from %v, %v", a, err)
	}
	o.Remote = netip.AddrPortFrom(o.Remote.Addr(), 1)
	if _, err := Probe(e.ctx, o, patience); !fault.Is(err, fault.MigrationPort) {
		t.Errorf("nobody there: %v", err)
	}
}

func TestAddressThatIsNotAllowedGetsNoHandshake(t *testing.T) {
	e := newEnv(t, Timing{}, func(o *ListenOptions) { o.Allowed = func(a netip.Addr) bool { return !a.IsLoopback() } })
	if _, err := DialControl(e.ctx, e.opt); !fault.Is(err, fault.MigrationPort) {
		t.Errorf("control: %v", err)
	}
	if _, err := e.dial.DialData(e.ctx, e.opt, KindMemory, 0); !fault.Is(err, fault.MigrationPort) {
		t.Errorf("data: %v", err)
	}
}
