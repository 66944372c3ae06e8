package virt

import (
	"context"

	lv "github.com/digitalocean/go-libvirt"
)

// SetAutostart says whether the host starts the VM when libvirt starts. libvirt
// does not carry this flag over in a migration.
func (h *Host) SetAutostart(ctx context.Context, uuid string, on bool) error {
	err := h.with(ctx, func(l *lv.Libvirt) error {
		d, err := lookup(l, uuid)
		if err != nil {
			return err
		}
		return l.DomainSetAutostart(d, boolInt(on))
	})
	return h.domainError(err, uuid, "set autostart of")
}
