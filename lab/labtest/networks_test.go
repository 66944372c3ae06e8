package labtest

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"drover/internal/record"
	"drover/internal/settings"
	"drover/lab"
)

// netOf is a network of the lab as a setting has it.
func netOf(n lab.Network) netip.Prefix { return netip.MustParsePrefix(n.Subnet()) }

// networks makes a setting of networks: the priority of each.
func networks(of map[netip.Prefix]int) settings.Change {
	list := []settings.Network{}
	for s, priority := range of {
		list = append(list, settings.Network{Subnet: s, Priority: priority})
	}
	return settings.Change{Networks: &list}
}

// tally captures port 6600 of a host's interface until ended.
func (s *site) tally(t *testing.T, host string, n lab.Network) *lab.Capture {
	t.Helper()
	c, err := s.Capture(host, n, migrationPort)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func ended(t *testing.T, c *lab.Capture) lab.Traffic {
	t.Helper()
	seen, err := c.End()
	if err != nil {
		t.Fatal(err)
	}
	return seen
}

// carried gives the streams of a move by the subnet that both of their ends are in.
func carried(t *testing.T, rec record.Record, subnets ...netip.Prefix) map[netip.Prefix][]record.StreamProof {
	t.Helper()
	out := map[netip.Prefix][]record.StreamProof{}
	if rec.Summary == nil {
		t.Fatal("no summary")
	}
	for _, p := range rec.Summary.Streams {
		local, err := netip.ParseAddrPort(p.Local)
		remote, err2 := netip.ParseAddrPort(p.Remote)
		i := slices.IndexFunc(subnets, func(s netip.Prefix) bool { return s.Contains(local.Addr()) && s.Contains(remote.Addr()) })
		if err := errors.Join(err, err2); err != nil || i < 0 {
			t.Errorf("a stream from %s to %s, not on %v: %v", p.Local, p.Remote, subnets, err)
			continue
		}
		out[subnets[i]] = append(out[subnets[i]], p)
	}
	return out
}

// ping is two hosts and a VM that goes to and fro between them.
type ping struct {
	*site
	vm *machine
	hop
}

// pass moves the VM to the other host.
func (p *ping) pass(t *testing.T, flags ...string) record.Record {
	t.Helper()
	rec := p.mustMove(t, p.vm, p.from, p.to, flags...)
	p.turn()
	return rec
}

func (p *ping) turn() { p.hop = hop{p.to, p.from} }

// both changes the settings of both hosts for one test.
func (p *ping) both(t *testing.T, ch settings.Change) {
	t.Helper()
	for _, host := range twoHosts {
		p.set(t, host, ch)
	}
}

// TestMigrationNetworks moves a VM between hosts that share two migration networks.
func TestMigrationNetworks(t *testing.T) {
	s := startSite(t, lab.Options{Name: "networks", Hosts: twoHosts})
	p := &ping{s, s.newVM(t, lab.HV01, "APP01", 101), hop{lab.HV01, lab.HV02}}
	forbidden := []*lab.Capture{s.tally(t, lab.HV01, lab.Management), s.tally(t, lab.HV02, lab.Management)}
	t.Run("the first in priority carries a move", p.testFirst)
	t.Run("the second does when the first is down", p.testSecond)
	t.Run("equal ones carry a move together", p.testTogether)
	t.Run("IPv6", p.testIPv6)
	t.Run("the only link goes down in the middle", func(t *testing.T) {
		p.testDownInTheMiddle(t, map[netip.Prefix]int{netOf(lab.Migration2): 0})
	})
	t.Run("one of two links goes down in the middle", func(t *testing.T) {
		p.testDownInTheMiddle(t, map[netip.Prefix]int{netOf(lab.Migration): 0, netOf(lab.Migration2): 0})
	})
	for i, c := range forbidden {
		if seen := ended(t, c); seen.Packets > 0 {
			t.Errorf("%d packets of port 6600 on the management network of %s", seen.Packets, twoHosts[i])
		}
	}
	t.Run("the port is bound to migration networks only", p.testBound)
	t.Run("any network", p.testAnyNetwork)
	t.Run("addresses come and go", p.testAddresses)
}

func (p *ping) testFirst(t *testing.T) {
	first, second := netOf(lab.Migration2), netOf(lab.Migration)
	p.both(t, networks(map[netip.Prefix]int{first: 1, second: 5}))
	used, unused := p.tally(t, p.to, lab.Migration2), p.tally(t, p.to, lab.Migration)
	rec := p.pass(t)
	if r := rec.Plan.Networks; len(r) != 1 || r[0].Subnet != first || r[0].Priority != 1 {
		t.Errorf("the plan has the networks %+v", r)
	}
	carried(t, rec, first)
	if rec.Summary.Network != first.String() {
		t.Errorf("the summary says %s", rec.Summary.Network)
	}
	if seen := ended(t, used); seen.Received < rec.Summary.WireBytes/2 {
		t.Errorf("%d bytes on the first network, of %d", seen.Received, rec.Summary.WireBytes)
	}
	if seen := ended(t, unused); seen.Packets > 0 {
		t.Errorf("%d packets of port 6600 on the second network", seen.Packets)
	}
	p.vm.verify(t)
}

// pull pulls a cable until the test ends; the function that it gives plugs it in
// again earlier.
func (s *site) pull(t *testing.T, host string, n lab.Network) (plug func()) {
	t.Helper()
	if err := s.LinkDown(host, n); err != nil {
		t.Fatal(err)
	}
	plug = func() {
		if err := s.LinkUp(host, n); err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(plug)
	return plug
}

func (p *ping) testSecond(t *testing.T) {
	first, second := netOf(lab.Migration2), netOf(lab.Migration)
	p.both(t, networks(map[netip.Prefix]int{first: 1, second: 5}))
	for _, host := range twoHosts {
		t.Run("at "+host, func(t *testing.T) {
			p.pull(t, host, lab.Migration2)
			rec := p.pass(t)
			carried(t, rec, second)
			if r := rec.Plan.Networks; len(r) != 1 || r[0].Subnet != second {
				t.Errorf("the plan has the networks %+v", r)
			}
			if o := rec.Plan.Passed; len(o) != 1 || o[0].Subnet != first || o[0].Reason == "" {
				t.Errorf("the plan has passed over %+v", o)
			} else {
				t.Logf("passed over: %s", o[0].Reason)
			}
		})
	}
	p.vm.verify(t)
}

func (p *ping) testTogether(t *testing.T) {
	one, other := netOf(lab.Migration), netOf(lab.Migration2)
	p.both(t, networks(map[netip.Prefix]int{one: 3, other: 3}))
	captures := map[netip.Prefix]*lab.Capture{one: p.tally(t, p.to, lab.Migration), other: p.tally(t, p.to, lab.Migration2)}
	rec := p.pass(t, "--connections", "4")
	if r := rec.Plan.Networks; len(r) != 2 || r[0].Subnet == r[1].Subnet {
		t.Errorf("the plan has the networks %+v", r)
	}
	streams := carried(t, rec, one, other)
	for n, c := range captures {
		var memory int
		var wire uint64
		for _, p := range streams[n] {
			wire += p.WireBytes
			if p.Kind == "memory" {
				memory++
			}
		}
		seen := ended(t, c)
		if both := seen.Sent + seen.Received; memory < 2 || seen.Received < 1<<20 || both < wire*95/100 || both > wire*105/100 {
			t.Errorf("%s: %d memory streams, %d bytes by the summary, %d seen", n, memory, wire, both)
		}
		if !strings.Contains(rec.Summary.Network, n.String()) {
			t.Errorf("the summary has the network %q, without %s", rec.Summary.Network, n)
		}
	}
	p.vm.verify(t)
}

func (p *ping) testIPv6(t *testing.T) {
	six := netip.MustParsePrefix("fd00:20::/64")
	for i, host := range twoHosts {
		address := fmt.Sprintf("fd00:20::%d/64", i+1)
		p.run(t, host, "ip", "address", "add", address, "dev", "mig2", "nodad")
		t.Cleanup(func() {
			if _, err := p.Member(host).Run(context.Background(), "ip", "address", "delete", address, "dev", "mig2"); err != nil {
				t.Error(err)
			}
		})
	}
	p.both(t, networks(map[netip.Prefix]int{six: 0, netOf(lab.Migration): 1}))
	c := p.tally(t, p.to, lab.Migration2)
	rec := p.pass(t)
	carried(t, rec, six)
	if seen := ended(t, c); seen.Received < rec.Summary.WireBytes/2 {
		t.Errorf("%d bytes seen, of %d", seen.Received, rec.Summary.WireBytes)
	}
	p.vm.verify(t)
}

// testDownInTheMiddle pulls a cable under a running transfer. The move may fail or
// go on, and the VM runs on at one host, whole; the other has nothing of it.
func (p *ping) testDownInTheMiddle(t *testing.T, of map[netip.Prefix]int) {
	p.both(t, networks(of))
	for _, n := range []lab.Network{lab.Migration, lab.Migration2} {
		if err := p.SetRate(t.Context(), n, slow); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := p.SetRate(context.Background(), n, 0); err != nil {
				t.Error(err)
			}
		})
	}
	id := p.detach(t, p.vm, p.from, p.to, "--connections", "2", "--performance", "TCPIP")
	p.awaitTransfer(t, p.from, id)
	plug := p.pull(t, p.to, lab.Migration2)
	rec := p.awaitPhase(t, p.from, id, 3*time.Minute, record.Done, record.Failed, record.Unknown)
	plug()
	end := p.awaitPhase(t, p.from, id, time.Minute, record.Done, record.Failed)
	t.Logf("phase %s and then %s: %v", rec.Phase, end.Phase, end.Error)
	// A destination that lost its source has nothing that would hurry it.
	p.awaitPhase(t, p.to, id, 2*time.Minute, record.Done, record.Failed, record.Cancelled)
	want := p.from
	if end.Phase == record.Done {
		want = p.to
	}
	p.settled(t, p.vm, p.hop, id, want)
	if end.Phase == record.Done {
		p.turn()
	}
	p.assertBeats(t, p.vm)
}

// listens are the addresses on which a host takes connections to port 6600, as the
// kernel has it.
func (s *site) listens(t *testing.T, host string) (addresses []netip.Addr) {
	t.Helper()
	for _, table := range []string{"tcp", "tcp6"} {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/%s", s.Member(host).PID(), table))
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			f := strings.Fields(line)
			const listening = "0A"
			if len(f) < 4 || f[3] != listening {
				continue
			}
			address, port, _ := strings.Cut(f[1], ":")
			if port != fmt.Sprintf("%04X", migrationPort) {
				continue
			}
			b, err := hex.DecodeString(address)
			if err != nil {
				t.Fatal(err)
			}
			for i := 0; i < len(b); i += 4 { // words in the machine's order
				binary.BigEndian.PutUint32(b[i:], binary.NativeEndian.Uint32(b[i:]))
			}
			a, _ := netip.AddrFromSlice(b)
			addresses = append(addresses, a)
		}
	}
	slices.SortFunc(addresses, netip.Addr.Compare)
	return addresses
}

func (s *site) awaitListens(t *testing.T, host string, want ...netip.Addr) {
	t.Helper()
	slices.SortFunc(want, netip.Addr.Compare)
	eventually(t, 10*time.Second, func(context.Context) error {
		if got := s.listens(t, host); !slices.Equal(got, want) {
			return fmt.Errorf("%s listens on %v, want %v", host, got, want)
		}
		return nil
	})
}

func (s *site) address(host string, n lab.Network) netip.Addr {
	return netip.MustParseAddr(s.Member(host).Address(n))
}

// knock connects from HV01 to HV02's port 6600.
func (s *site) knock(t *testing.T, to netip.Addr) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	c, err := s.Member(lab.HV01).Dial(ctx, "tcp", netip.AddrPortFrom(to, migrationPort).String())
	if err == nil {
		_ = c.Close()
	}
	return err
}

func (p *ping) testBound(t *testing.T) {
	first, second, management := p.address(lab.HV02, lab.Migration), p.address(lab.HV02, lab.Migration2), p.address(lab.HV02, lab.Management)
	p.set(t, lab.HV02, networks(map[netip.Prefix]int{netOf(lab.Migration): 0, netOf(lab.Migration2): 1}))
	p.awaitListens(t, lab.HV02, first, second)
	if err := errors.Join(p.knock(t, first), p.knock(t, second)); err != nil {
		t.Error(err)
	}
	if err := p.knock(t, management); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("the management address: %v", err)
	}
	t.Run("and follows the settings", func(t *testing.T) {
		p.set(t, lab.HV02, settings.Change{RemoveNetworks: []netip.Prefix{netOf(lab.Migration)}})
		p.awaitListens(t, lab.HV02, second)
		if err := p.knock(t, first); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("an address of a network that was removed: %v", err)
		}
		p.set(t, lab.HV02, settings.Change{Networks: &[]settings.Network{{Subnet: netip.PrefixFrom(first, 32)}}})
		p.awaitListens(t, lab.HV02, first)
		none := false
		p.set(t, lab.HV02, settings.Change{Incoming: &none})
		if err := p.knock(t, management); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("the management address: %v", err)
		}
	})
}

// testAnyNetwork: every address of the host takes migrations, that of management
// too.
func (p *ping) testAnyNetwork(t *testing.T) {
	on := true
	ch := networks(nil)
	ch.AnyNetwork = &on
	p.both(t, ch)
	eventually(t, 10*time.Second, func(context.Context) error {
		return errors.Join(p.knock(t, p.address(lab.HV02, lab.Migration)), p.knock(t, p.address(lab.HV02, lab.Migration2)), p.knock(t, p.address(lab.HV02, lab.Management)))
	})
	rec := p.pass(t)
	carried(t, rec, netOf(lab.Migration), netOf(lab.Migration2), netOf(lab.Management))
	off := false
	ch = networks(map[netip.Prefix]int{netOf(lab.Migration): 0})
	ch.AnyNetwork = &off
	p.set(t, lab.HV02, ch)
	p.awaitListens(t, lab.HV02, p.address(lab.HV02, lab.Migration))
	if err := p.knock(t, p.address(lab.HV02, lab.Management)); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("the management address, when any network is off again: %v", err)
	}
}

func (p *ping) testAddresses(t *testing.T) {
	p.set(t, lab.HV02, networks(map[netip.Prefix]int{netOf(lab.Migration): 0}))
	has := p.address(lab.HV02, lab.Migration)
	p.awaitListens(t, lab.HV02, has)
	more := netip.MustParseAddr("192.168.10.99")
	p.run(t, lab.HV02, "ip", "address", "add", more.String()+"/24", "dev", "mig")
	p.awaitListens(t, lab.HV02, has, more)
	if err := p.knock(t, more); err != nil {
		t.Error(err)
	}
	p.run(t, lab.HV02, "ip", "address", "delete", more.String()+"/24", "dev", "mig")
	p.awaitListens(t, lab.HV02, has)
	// One that is in no migration network is left alone.
	p.run(t, lab.HV02, "ip", "address", "add", "172.16.0.2/24", "dev", "mig")
	p.run(t, lab.HV02, "ip", "address", "add", more.String()+"/24", "dev", "mig")
	p.awaitListens(t, lab.HV02, has, more)
	p.run(t, lab.HV02, "ip", "address", "delete", "172.16.0.2/24", "dev", "mig")
	p.run(t, lab.HV02, "ip", "address", "delete", more.String()+"/24", "dev", "mig")
	p.awaitListens(t, lab.HV02, has)
}
