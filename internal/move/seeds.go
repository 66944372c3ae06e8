package move

import (
	"context"
	"fmt"
	"strings"

	"github.com/dustin/go-humanize"

	"drover/internal/fault"
	"drover/internal/seed"
	"drover/internal/wire"
)

// Seeds keep what is left of disks, so that the next copy does not begin anew.
type Seeds interface {
	// Keep makes the file of a disk that no VM has any more a seed. When it does not,
	// the file is where it was.
	Keep(path string, o seed.Origin) (kept bool)
	// Content is how much of a VM there is for moves from a host, and whether there is
	// any, which may still have to be read.
	Content(uuid, host string) (bytes uint64, some bool)
	// Lend gives that to a move, what there is of it when ctx ends, nil when there is
	// nothing; the Set is to be closed.
	Lend(ctx context.Context, uuid, host string) *seed.Set
	// Spent drops the seeds of a VM, but those that the move left.
	Spent(uuid, move string)
}

// retire makes a file that was a disk's, or UEFI variables, none any more: it is gone
// from its place after this.
func (r *run) retire(path, host, kind string) error {
	switch {
	case r.keep(path, host, kind):
		return nil
	case kind == seed.FailedCopy:
		return r.m.opt.Storage.Discard(path)
	}
	return r.m.opt.Storage.Remove(path)
}

func (r *run) keep(path, host, kind string) bool {
	return r.m.opt.Seeds != nil && path != r.priv.NVRAM &&
		r.m.opt.Seeds.Keep(path, seed.Origin{VM: r.rec.VM, UUID: r.rec.UUID, Host: host, Move: r.rec.ID, Kind: kind})
}

// spent drops what was a seed for the way that the VM has gone now.
func (r *run) spent() {
	if r.m.opt.Seeds != nil && !r.rec.Request.DryRun {
		r.m.opt.Seeds.Spent(r.rec.UUID, r.rec.ID)
	}
}

// shortHost makes the name of a host, or its account, the one by which seeds know it.
func shortHost(name string) string {
	name, _, _ = strings.Cut(name, "@")
	name, _, _ = strings.Cut(strings.TrimSuffix(name, "$"), ".")
	return strings.ToUpper(name)
}

// seedsHere is what the destination can give to this move.
func (d *destination) seedsHere(disks []wire.AdmittedDisk) (bytes uint64, some bool) {
	if d.m.opt.Seeds == nil || !copies(disks) {
		return 0, false
	}
	return d.m.opt.Seeds.Content(d.rec.UUID, shortHost(d.conn.Caller().DelegatedBy))
}

func copies(disks []wire.AdmittedDisk) bool {
	for _, a := range disks {
		if a.Action == wire.Copy {
			return true
		}
	}
	return false
}

// lend tells the source which blocks are here. From the first answer that has
// any, the disk streams that are opened have references in them.
func (d *destination) lend(ctx context.Context, env wire.Envelope) error {
	var req wire.Seeds
	if err := wire.Unseal(env, wire.KindSeeds, d.m.opt.Host, d.rec.Peer, &req); err != nil {
		return err
	}
	if d.record().Phase != Transfer || d.lent != (req.From > 0) || d.lent && d.seeds == nil {
		return d.broken("a question about seeds out of turn")
	}
	if !d.lent {
		d.lent = true
		if _, some := d.seedsHere(d.disks); some {
			// The source has to hear in time that it does without.
			soon, cancel := context.WithTimeout(ctx, d.m.opt.AgreeTimeout/2)
			d.seeds = d.m.opt.Seeds.Lend(soon, d.rec.UUID, shortHost(d.conn.Caller().DelegatedBy))
			cancel()
		}
		if d.seeds == nil {
			return reply(ctx, d.conn, wire.KindSeedList, wire.SeedList{})
		}
		set := d.seeds
		d.acquired("seeds", func(context.Context) error { set.Close(); return nil })
		d.log.Info("the source may refer to what is here", "blocks", set.Len())
		d.conn.Take(set)
	}
	return reply(ctx, d.conn, wire.KindSeedList, wire.SeedList{Total: d.seeds.Len(), Sums: d.seeds.Sums(req.From, wire.SeedSums)})
}

// refer asks which blocks the destination has, so that they need not be sent. All its
// answers together have the time of one: it decides how many there are.
func (s *source) refer(ctx context.Context) error {
	if !s.seeds {
		return nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, s.m.opt.AgreeTimeout, s.m.silent(s.req.Destination, s.m.opt.AgreeTimeout))
	defer cancel()
	var sums []byte
	for {
		var list wire.SeedList
		if err := s.call(ctx, wire.KindSeeds, wire.Seeds{From: len(sums) / seed.SumSize}, wire.KindSeedList, &list); err != nil {
			return err
		}
		if list.Total == 0 && len(sums) == 0 {
			return nil
		}
		sums = append(sums, list.Sums...)
		have := len(sums) / seed.SumSize
		if have > list.Total || len(list.Sums) == 0 { // else it would never end
			return fault.New(fault.ProtocolError, s.m.opt.Host, "peer", s.req.Destination, "problem",
				fmt.Sprintf("a list of seeds with %d blocks of %d", have, list.Total))
		}
		if have == list.Total {
			break
		}
	}
	s.index = seed.NewIndex(sums)
	s.log.Info("the destination has blocks of the disks", "blocks", s.index.Len())
	s.session.Refer(s.index)
	return nil
}

// seedNote says in the plan that not all has to be sent.
func seedNote(a wire.Admitted) []string {
	switch {
	case !a.Seeds:
		return nil
	case a.SeedBytes == 0:
		return []string{"the destination has part of the disks from before, which is not sent again"}
	}
	return []string{fmt.Sprintf("the destination has up to %s of the disks from before, which is not sent again", humanize.IBytes(a.SeedBytes))}
}

// holder is the host that has what this one had of the VM (source): by the name that
// its ticket was for, not by what it calls itself.
func (r *run) holder() string { return shortHost(r.rec.Peer) }
