package lab

import (
	"context"
	"fmt"
	"os/exec"
	"strconv"
	"strings"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// handles gives netlink access to a process's network namespace. close must be called.
type handles struct {
	ns netns.NsHandle
	*netlink.Handle
}

func openNetwork(p process) (*handles, error) {
	ns, err := netns.GetFromPid(p.PID)
	if err != nil {
		return nil, fmt.Errorf("network namespace of process %d: %w", p.PID, err)
	}
	h, err := netlink.NewHandleAt(ns, unix.NETLINK_ROUTE)
	if err != nil {
		_ = ns.Close()
		return nil, fmt.Errorf("netlink in process %d: %w", p.PID, err)
	}
	return &handles{ns, h}, nil
}

func (h *handles) close() {
	h.Close()
	_ = h.ns.Close()
}

// addBridge creates a bridge and sets it up.
func (h *handles) addBridge(name string) error {
	attributes := netlink.NewLinkAttrs()
	attributes.Name = name
	bridge := &netlink.Bridge{LinkAttrs: attributes}
	if err := h.LinkAdd(bridge); err != nil {
		return fmt.Errorf("add bridge %s: %w", name, err)
	}
	return h.up(name)
}

// up sets an interface up.
func (h *handles) up(name string) error {
	link, err := h.LinkByName(name)
	if err != nil {
		return fmt.Errorf("interface %s: %w", name, err)
	}
	return h.LinkSetUp(link)
}

// enslave attaches an interface to a bridge and sets it up.
func (h *handles) enslave(name, bridge string) error {
	link, err := h.LinkByName(name)
	if err != nil {
		return fmt.Errorf("interface %s: %w", name, err)
	}
	master, err := h.LinkByName(bridge)
	if err != nil {
		return fmt.Errorf("bridge %s: %w", bridge, err)
	}
	if err := h.LinkSetMaster(link, master); err != nil {
		return fmt.Errorf("attach %s to %s: %w", name, bridge, err)
	}
	return h.LinkSetUp(link)
}

// fabricBridge is the bridge in the fabric that stands for a network's switch.
func fabricBridge(n Network) string { return "sw-" + string(n) }

// fabricPort is the switch's end of a member's cable.
func fabricPort(member string, n Network) string { return strings.ToLower(member) + "-" + string(n) }

// buildFabric creates the switches.
func buildFabric(fabric process) error {
	h, err := openNetwork(fabric)
	if err != nil {
		return err
	}
	defer h.close()
	for _, n := range Networks {
		if err := h.addBridge(fabricBridge(n)); err != nil {
			return err
		}
	}
	return nil
}

// plugIn connects a member to the switches of its networks.
func plugIn(fabric, member process, s spec) error {
	f, err := openNetwork(fabric)
	if err != nil {
		return err
	}
	defer f.close()
	m, err := openNetwork(member)
	if err != nil {
		return err
	}
	defer m.close()
	if err := m.up("lo"); err != nil {
		return err
	}
	for _, n := range Networks {
		if _, attached := s.addresses[n]; !attached {
			continue
		}
		if err := plug(f, m, s, n); err != nil {
			return fmt.Errorf("%s, network %s: %w", s.name, n, err)
		}
	}
	return nil
}

// plug lays one cable: a veth pair from the switch into the member.
func plug(f, m *handles, s spec, n Network) error {
	port := fabricPort(s.name, n)
	attributes := netlink.NewLinkAttrs()
	attributes.Name = port
	pair := &netlink.Veth{LinkAttrs: attributes, PeerName: string(n), PeerNamespace: netlink.NsFd(int(m.ns))}
	if err := f.LinkAdd(pair); err != nil {
		return fmt.Errorf("add veth: %w", err)
	}
	if err := f.enslave(port, fabricBridge(n)); err != nil {
		return err
	}
	if n == Guest && s.role == roleHost {
		if err := m.addBridge(GuestBridge); err != nil {
			return err
		}
		return m.enslave(string(n), GuestBridge)
	}
	link, err := m.LinkByName(string(n))
	if err != nil {
		return err
	}
	if a := s.address(n); a != "" {
		address, err := netlink.ParseAddr(a + "/24")
		if err != nil {
			return err
		}
		if err := m.AddrAdd(link, address); err != nil {
			return fmt.Errorf("address %s: %w", a, err)
		}
	}
	return m.LinkSetUp(link)
}

// ParseRate reads a rate such as "1gbit", "100mbit" or "2500000" and gives bits per second.
func ParseRate(s string) (uint64, error) {
	units := []struct {
		suffix string
		factor uint64
	}{{"gbit", 1e9}, {"mbit", 1e6}, {"kbit", 1e3}, {"bit", 1}, {"", 1}}
	for _, u := range units {
		digits, found := strings.CutSuffix(s, u.suffix)
		if !found {
			continue
		}
		v, err := strconv.ParseUint(digits, 10, 32)
		if err != nil || v == 0 {
			break
		}
		return v * u.factor, nil
	}
	return 0, fmt.Errorf("rate %q: use a whole number with kbit, mbit or gbit", s)
}

// SetRate limits every cable of a network to so many bits per second in each direction; 0 takes
// the limit off. Safe at any time; packets in a queue that is replaced are lost.
func (l *Lab) SetRate(ctx context.Context, n Network, bitsPerSecond uint64) error {
	fabric := l.Member(fabricName)
	for _, s := range members {
		m := l.Member(s.name)
		if _, attached := s.addresses[n]; m == nil || !attached {
			continue
		}
		if err := shape(ctx, fabric.process, fabricPort(s.name, n), bitsPerSecond); err != nil {
			return err
		}
		if err := shape(ctx, m.process, string(n), bitsPerSecond); err != nil {
			return err
		}
	}
	return nil
}

// shape puts a token bucket on an interface's output. The machine's tc does it, because the
// member's root may have none.
func shape(ctx context.Context, p process, device string, bitsPerSecond uint64) error {
	args := []string{"-t", strconv.Itoa(p.PID), "-n", "--", "tc", "qdisc"}
	if bitsPerSecond == 0 {
		args = append(args, "delete", "dev", device, "root")
	} else {
		// Ten milliseconds' worth, but never less than one full GSO packet.
		burst := max(bitsPerSecond/8/100, 128<<10)
		args = append(args, "replace", "dev", device, "root", "tbf",
			"rate", fmt.Sprintf("%dbit", bitsPerSecond), "burst", strconv.FormatUint(burst, 10), "latency", "50ms")
	}
	out, err := exec.CommandContext(ctx, "nsenter", args...).CombinedOutput()
	// Taking off a limit that is not there is what was asked for.
	if err != nil && bitsPerSecond == 0 && strings.Contains(string(out), "Cannot delete qdisc with handle of zero") {
		return nil
	}
	if err != nil {
		return fmt.Errorf("limit %s to %d bit/s: %w: %s", device, bitsPerSecond, err, strings.TrimSpace(string(out)))
	}
	return nil
}

// LinkDown pulls a member's cable at the switch: the member sees its carrier go.
func (l *Lab) LinkDown(member string, n Network) error { return l.setPort(member, n, false) }

// LinkUp plugs the cable in again.
func (l *Lab) LinkUp(member string, n Network) error { return l.setPort(member, n, true) }

func (l *Lab) setPort(member string, n Network, up bool) error {
	h, err := openNetwork(l.Member(fabricName).process)
	if err != nil {
		return err
	}
	defer h.close()
	link, err := h.LinkByName(fabricPort(member, n))
	if err != nil {
		return fmt.Errorf("%s has no cable to network %s: %w", member, n, err)
	}
	if up {
		return h.LinkSetUp(link)
	}
	return h.LinkSetDown(link)
}

// Deafen loses, without a word, all packets of a network on their way to a member; those that it
// sends arrive. A limit of the network's rate is taken off.
func (l *Lab) Deafen(ctx context.Context, member string, n Network) error {
	// A bucket that is smaller than any packet: the kernel may lack netem and filters.
	return l.atPort(ctx, member, n, "replace", "tbf", "rate", "8kbit", "burst", "10", "limit", "1000")
}

// Undeafen ends Deafen. Safe when the member was not deaf.
func (l *Lab) Undeafen(ctx context.Context, member string, n Network) error {
	err := l.atPort(ctx, member, n, "delete")
	if err != nil && strings.Contains(err.Error(), "Cannot delete qdisc with handle of zero") {
		return nil
	}
	return err
}

// atPort changes what queues at the switch's end of a member's cable.
func (l *Lab) atPort(ctx context.Context, member string, n Network, op string, queue ...string) error {
	port := fabricPort(member, n)
	args := []string{"-t", strconv.Itoa(l.Member(fabricName).process.PID), "-n", "--", "tc", "qdisc", op, "dev", port, "root"}
	if out, err := exec.CommandContext(ctx, "nsenter", append(args, queue...)...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w: %s", op, port, err, strings.TrimSpace(string(out)))
	}
	return nil
}

// SetSendRate limits what one member sends in a network; 0 takes the limit off.
func (l *Lab) SetSendRate(ctx context.Context, member string, n Network, bitsPerSecond uint64) error {
	m := l.Member(member)
	if m == nil {
		return fmt.Errorf("the lab has no member %s", member)
	}
	return shape(ctx, m.process, string(n), bitsPerSecond)
}
