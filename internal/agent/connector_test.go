package agent

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"drover/internal/api"
	"drover/internal/fault"
	"drover/internal/settings"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestNetworkIsTheFirstThatBothHave(t *testing.T) {
	loop4, other := netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("203.0.113.0/24")
	c := &connector{host: "HV01", settings: on(other, loop4)}
	ns, err := c.choose("HV02", api.MigrationInfo{Addresses: []netip.AddrPort{
		netip.MustParseAddrPort("198.51.100.7:6600"), netip.MustParseAddrPort("203.0.113.9:6600"), netip.MustParseAddrPort("127.0.0.9:6600")}})
	if err != nil {
		t.Fatal(err)
	}
	n := ns[0]
	// This machine has no address in the first network, so the second it is.
	if n.Subnet != loop4 || n.Destination != netip.MustParseAddr("127.0.0.9") || !loop4.Contains(n.Source) {
		t.Errorf("chose %+v", n)
	}
}

func TestNoCommonNetworkNamesWhatEachHas(t *testing.T) {
	c := &connector{host: "HV01", settings: on(netip.MustParsePrefix("127.0.0.0/8"))}
	_, err := c.choose("HV02", api.MigrationInfo{Settings: on(netip.MustParsePrefix("203.0.113.0/24"))(),
		Addresses: []netip.AddrPort{netip.MustParseAddrPort("203.0.113.9:6600")}})
	f := fault.From(err)
	if f == nil || f.Code != fault.NoCommonNetwork || f.Args["source_networks"] != "127.0.0.0/8" || f.Args["destination_networks"] != "203.0.113.0/24" {
		t.Fatalf("got %v", err)
	}
}

func TestClocksMayDifferByFiveMinutes(t *testing.T) {
	now := time.Date(2026, 11, 20, 22, 0, 0, 0, time.UTC)
	c := &connector{host: "HV01", now: func() time.Time { return now }}
	for _, d := range []time.Duration{0, 4 * time.Minute, -5 * time.Minute} {
		if err := c.checkClock("HV02", now.Add(d)); err != nil {
			t.Errorf("%v: %v", d, err)
		}
	}
	for _, d := range []time.Duration{6 * time.Minute, -10 * time.Minute} {
		if err := c.checkClock("HV02", now.Add(d)); !fault.Is(err, fault.ClockSkew) || fault.From(err).Args["peer"] != "HV02" {
			t.Errorf("%v: %v", d, err)
		}
	}
}

func TestLeftOutIsWhatAnOperatorWouldMiss(t *testing.T) {
	got := leftOut([]string{"domain/devices/emulator", "domain/metadata", "domain/seclabel", "domain/devices/serial/log"})
	if want := []string{"domain/metadata", "domain/devices/serial/log"}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestRelaysWaitForTheirOwnAndTakeNoMoreAfterwards(t *testing.T) {
	var r relays
	r.init()
	began := make(chan struct{})
	ended := false
	r.own(func(ctx context.Context) { close(began); <-ctx.Done(); ended = true })
	<-began
	r.failed(errors.New("first"))
	r.failed(errors.New("second"))
	r.failed(context.Canceled)
	r.close()
	r.close()
	if !ended {
		t.Error("close did not wait")
	}
	if err := r.failure(); err == nil || !strings.Contains(err.Error(), "first") {
		t.Errorf("failure %v, want the first", err)
	}
	if r.own(func(context.Context) { t.Error("ran after close") }) {
		t.Error("own said yes after close")
	}
}

func TestRelaysThatNobodyOpenedClose(t *testing.T) {
	var r relays
	r.close()
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	if r.own(func(context.Context) {}) {
		t.Error("own after close")
	}
}

// on are settings with these networks.
func on(networks ...netip.Prefix) func() settings.Settings {
	s := settings.Default()
	for i, n := range networks {
		s.Networks = append(s.Networks, settings.Network{Subnet: n, Priority: i})
	}
	return func() settings.Settings { return s }
}
