package virt

import (
	"testing"

	lv "github.com/digitalocean/go-libvirt"
)

// busy is a libvirt of which somebody asks something just now: who does not wait for
// that gets no sizes.
type busy struct{ waited int }

func (b *busy) ConnectGetAllDomainStats(doms []lv.Domain, _, flags uint32) ([]lv.DomainStatsRecord, error) {
	rec := lv.DomainStatsRecord{Dom: doms[0]}
	if flags&uint32(lv.ConnectGetAllDomainsStatsNowait) == 0 {
		b.waited++
		rec.Params = []lv.TypedParam{
			{Field: "block.count", Value: *lv.NewTypedParamValueUint(1)}, stringParam("block.0.name", "vda"),
			{Field: "block.0.capacity", Value: *lv.NewTypedParamValueUllong(64 << 20)}, {Field: "block.0.allocation", Value: *lv.NewTypedParamValueUllong(4096)},
		}
	}
	return []lv.DomainStatsRecord{rec}, nil
}

func TestSizesAreWaitedForWithoutAJob(t *testing.T) {
	disks := func() []Disk {
		return []Disk{{Target: "vda", Path: "/srv/vms/a.qcow2"}, {Target: "sda", Device: "cdrom"}}
	}
	b, got := &busy{}, disks()
	fillSizes(b, lv.Domain{}, got, true)
	if got[0].VirtualBytes != 64<<20 || got[0].AllocatedBytes != 4096 || b.waited != 1 {
		t.Errorf("%+v, waited %d times", got, b.waited)
	}
	got = disks()
	if fillSizes(b, lv.Domain{}, got, false); got[0].VirtualBytes != 0 || b.waited != 1 {
		t.Errorf("with a job: %+v, waited %d times", got, b.waited)
	}
}
