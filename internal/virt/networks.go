package virt

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"

	lv "github.com/digitalocean/go-libvirt"

	"drover/internal/fault"
	"drover/internal/virt/admit"
)

// netClass is where the kernel lists network devices; a bridge has a
// directory of that name below its own.
var netClass = "/sys/class/net"

// below reports whether a network device has something by that name. A name that
// could lead elsewhere is no device's.
func below(device, what string) bool {
	if device == "" || device == ".." || device == "." || strings.ContainsAny(device, "/\x00") {
		return false
	}
	_, err := os.Lstat(filepath.Join(netClass, device, what))
	return err == nil
}

func isBridge(name string) bool { return below(name, "bridge") || isOpenVSwitch(name) }

func isOpenVSwitch(name string) bool { return below(name, "upper_ovs-system") }

// Attachments finds what each name stands for on this host: libvirt's network of
// that name, else a bridge, which need not exist.
func (h *Host) Attachments(ctx context.Context, names map[string]string) (map[string]admit.Attachment, error) {
	if len(names) == 0 {
		return nil, nil
	}
	out := map[string]admit.Attachment{}
	err := h.with(ctx, func(l *lv.Libvirt) error {
		for from, name := range names {
			_, err := l.NetworkLookupByName(name)
			if lostConnection(err) {
				return err
			}
			out[from] = admit.Attachment{Name: name, Network: err == nil, OpenVSwitch: err != nil && isOpenVSwitch(name)}
		}
		return nil
	})
	return out, err
}

func (h *Host) checkNetworks(l *lv.Libvirt, a *admit.Admitted) (found []error, err error) {
	listed := map[bool]string{} // asked for once, however many are missing
	missing := func(cause error, kind, name string) {
		bridges := kind == "bridge"
		if listed[bridges] == "" {
			listed[bridges] = orNone(strings.Join(available(l, bridges), ", "))
		}
		found = append(found, fault.Wrap(cause, fault.NetworkMissing, h.name, "vm", a.Name, "kind", kind, "name", name,
			"available", listed[bridges]))
	}
	for _, b := range a.Bridges {
		if !isBridge(b) {
			missing(nil, "bridge", b)
		}
	}
	for _, n := range a.Networks {
		net, err := l.NetworkLookupByName(n)
		if err == nil {
			active, err := l.NetworkIsActive(net)
			if err != nil {
				return nil, err
			}
			if active == 0 {
				missing(nil, "active network", n)
			}
			continue
		}
		if lostConnection(err) {
			return nil, err
		}
		// No such network, or no network driver at all.
		missing(err, "network", n)
	}
	return found, nil
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}

// maxAvailable is as many networks as a fault names.
const maxAvailable = 16

// available lists what a VM could be attached to here, for the choice of another:
// bridges and libvirt's active networks, those of the kind that is missing first.
// A bridge that belongs to a network goes by the network's name.
func available(l *lv.Libvirt, bridgesFirst bool) []string {
	var networks, bridges, taken []string
	if nets, _, err := l.ConnectListAllNetworks(1, lv.ConnectListNetworksActive); err == nil {
		for _, n := range nets {
			networks = append(networks, n.Name)
			if b, err := l.NetworkGetBridgeName(n); err == nil {
				taken = append(taken, b)
			}
		}
	}
	if devices, err := os.ReadDir(netClass); err == nil {
		for _, d := range devices {
			if isBridge(d.Name()) && !slices.Contains(taken, d.Name()) && !slices.Contains(networks, d.Name()) {
				bridges = append(bridges, d.Name())
			}
		}
	}
	slices.Sort(networks)
	slices.Sort(bridges)
	all := append(networks, bridges...)
	if bridgesFirst {
		all = append(bridges, networks...)
	}
	return all[:min(len(all), maxAvailable)]
}
