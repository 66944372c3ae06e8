package move

import (
	"net/netip"
	"strings"
	"time"

	"drover/internal/spn"
	"drover/internal/wire"
)

// maxStood bounds what a source may claim: for longer no guest stands still.
const maxStood = 24 * time.Hour

// stoodMS is what is believed of the source's word.
func stoodMS(h wire.Handover) int64 { return min(max(h.StoodMS, 0), maxStood.Milliseconds()) }

// summarise fills in what the destination can tell of a move that succeeded. Only
// for how long the guest had stood still before the handover is the source's word.
func (d *destination) summarise(handed time.Time, req wire.Handover) {
	proofs := d.conn.Streams()
	caller := d.conn.Caller()
	now := d.m.opt.Now()
	sum := Summary{
		TotalMS: now.Sub(d.rec.Created).Milliseconds(), WireBytes: wireBytes(proofs), Streams: proofs, Network: d.networks(proofs),
		Operator: caller.Principal, DelegatedBy: caller.DelegatedBy, SignIn: caller.SignIn,
		Encrypted: allEncrypted(proofs), MemoryBytes: payload(proofs, StreamMemory), DiskBytes: payload(proofs, StreamDisk),
	}
	if d.seeds != nil {
		sum.SeedBytes = d.seeds.Taken()
	}
	if d.offer.Kind == wire.Live {
		sum.BlackoutMS = stoodMS(req) + now.Sub(handed).Milliseconds()
	}
	// What the tickets are for was checked by their class; the host is this one.
	sum.DelegatedService = spn.Migration + "/" + d.m.opt.Host
	if caller.Storage && d.open.IncludeStorage {
		sum.StorageService = spn.Storage + "/" + d.m.opt.Host
	}
	d.update(func(rec *Record, _ *private) { rec.Summary = &sum })
}

// networks names this host's migration networks on which the streams came, by the
// sockets' addresses; an address in none of them by itself.
func (d *destination) networks(proofs []StreamProof) string {
	var out []string
	for _, p := range proofs {
		local, err := netip.ParseAddrPort(p.Local)
		if err != nil {
			continue
		}
		name := local.Addr().Unmap().String()
		for _, n := range d.m.opt.Settings().Networks {
			if n.Subnet.Contains(local.Addr().Unmap()) {
				name = n.Subnet.String()
				break
			}
		}
		if !strings.Contains(", "+strings.Join(out, ", ")+",", ", "+name+",") {
			out = append(out, name)
		}
	}
	return strings.Join(out, ", ")
}
