package agent

import (
	"context"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"

	"drover/internal/api"
	"drover/internal/fault"
	"drover/internal/settings"
)

// Settings gives the host's live migration settings.
func (b *backend) Settings(context.Context) (settings.Settings, error) { return b.settings.get(), nil }

// ChangeSettings changes them; the keeper audits it.
func (b *backend) ChangeSettings(ctx context.Context, c api.Caller, ch settings.Change) (settings.Settings, error) {
	s, err := b.settings.change(ctx, c.Name(), ch)
	if err != nil {
		b.events.settingsRefused(c.Name(), err)
	}
	return s, err
}

// NetworkAdapters lists the host's network interfaces without loopback.
func (b *backend) NetworkAdapters(context.Context) ([]api.NetworkAdapter, error) {
	links, err := netlink.LinkList()
	if err != nil {
		return nil, fault.Wrap(err, fault.Internal, b.cfg.Host)
	}
	names := map[int]string{}
	for _, l := range links {
		names[l.Attrs().Index] = l.Attrs().Name
	}
	var listening []netip.Addr
	for _, a := range b.listener.Addrs() {
		listening = append(listening, a.Addr())
	}
	out := []api.NetworkAdapter{}
	for _, l := range links {
		if n := adapter(l, listening); n.Kind != "" {
			n.Bridge = names[l.Attrs().MasterIndex]
			out = append(out, n)
		}
	}
	return out, nil
}

// adapter describes a link; loopback has no Kind and is left out.
func adapter(l netlink.Link, listening []netip.Addr) api.NetworkAdapter {
	a := l.Attrs()
	if a.EncapType == "loopback" {
		return api.NetworkAdapter{}
	}
	n := api.NetworkAdapter{Name: a.Name, MAC: a.HardwareAddr.String(), Addresses: []netip.Prefix{}, MTU: a.MTU, Kind: l.Type(),
		Up: a.OperState == netlink.OperUp, SpeedMbps: linkSpeed(a.Name)}
	// An interface that went away meanwhile has no addresses, which is true.
	addresses, _ := netlink.AddrList(l, netlink.FAMILY_ALL)
	for _, have := range addresses {
		ip, ok := netip.AddrFromSlice(have.IP)
		if !ok {
			continue
		}
		ip = ip.Unmap()
		bits, _ := have.Mask.Size()
		n.Addresses = append(n.Addresses, netip.PrefixFrom(ip, bits))
		n.Migration = n.Migration || slices.Contains(listening, ip)
	}
	return n
}
