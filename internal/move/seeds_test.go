package move_test

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"drover/internal/fault"
	"drover/internal/move"
	"drover/internal/seed"
	"drover/internal/virt"
	"drover/internal/wire"
)

// kept is what a host's seeds are in these tests: nothing is kept unless a test says so.
type kept struct {
	keep    bool
	origins []seed.Origin
	spent   []string
	shelf   *seed.Shelf // that lends
	taken   int         // blocks that came to the streams
	refers  int         // blocks that the source was told of
	unread  bool        // the files are still being read
}

// shelf are the seeds of a host as an agent has them.
type shelf struct{ a *agent }

func (s shelf) locked(f func(*kept)) {
	s.a.h.mu.Lock()
	defer s.a.h.mu.Unlock()
	f(&s.a.h.kept)
}

func (s shelf) Keep(p string, o seed.Origin) (ok bool) {
	if s.a.gate() != nil {
		return false
	}
	s.locked(func(k *kept) {
		if ok = k.keep; ok {
			o.Path = p
			k.origins = append(k.origins, o)
		}
	})
	if ok && o.Kind != seed.Retained {
		_ = storage(s).Remove(p)
	}
	return ok
}

func (s shelf) Content(uuid, host string) (bytes uint64, some bool) {
	s.locked(func(k *kept) {
		if k.shelf != nil {
			bytes, some = k.shelf.Content(uuid, host)
		}
	})
	return bytes, some
}

func (s shelf) Lend(ctx context.Context, uuid, host string) *seed.Set {
	var from *seed.Shelf
	var unread bool
	s.locked(func(k *kept) { from, unread = k.shelf, k.unread })
	if unread {
		<-ctx.Done()
		return nil
	}
	return from.Lend(ctx, uuid, host)
}

func (s shelf) Spent(uuid, _ string) {
	s.locked(func(k *kept) { k.spent = append(k.spent, uuid) })
}

func (s *session) Refer(x *seed.Index) { shelf{s.a}.locked(func(k *kept) { k.refers = x.Len() }) }
func (i *inbound) Take(set *seed.Set)  { shelf{i.a}.locked(func(k *kept) { k.taken = set.Len() }) }

// seeded is a host that keeps seeds, with one of so many blocks for moves from HV01.
func (h *host) seeded(t *testing.T, blocks int) *seed.Shelf {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	data := make([]byte, blocks*seed.BlockSize)
	r := rand.NewChaCha8([32]byte{1})
	_, _ = r.Read(data)
	file := filepath.Join(dir, "app01.qcow2")
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	s := seed.Open(seed.Options{Host: h.name, Dirs: []string{dir}, MaxAge: time.Hour, MaxBytes: 1 << 30, Log: slog.New(slog.DiscardHandler)})
	t.Cleanup(s.Close)
	if !s.Keep(file, seed.Origin{VM: vmName, UUID: vmUUID, Host: "HV01", Kind: seed.FailedCopy}) {
		t.Fatal("not kept")
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.kept = kept{keep: true, shelf: s}
	return s
}

func (h *host) keeps() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.kept.keep = true
}

func (h *host) seeds() kept {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.kept
}

func wantSeed(t *testing.T, h *host, id, from, kind string) {
	t.Helper()
	want := []seed.Origin{{VM: vmName, UUID: vmUUID, Host: from, Move: id, Path: disk, Kind: kind}}
	if got := h.seeds().origins; !slices.Equal(got, want) {
		t.Errorf("%s keeps %+v, want %+v", h.name, got, want)
	}
	if slices.Contains(h.disks.list(), disk) {
		t.Errorf("%s still has %s", h.name, disk)
	}
}

func TestACopyThatFailedIsKept(t *testing.T) {
	_, src, dst := pair(t, vm())
	dst.keeps()
	src.onceAt(move.Source, move.Transfer, func(*agent) error { return errors.New("cut") })
	id := src.current().begin(t, request())
	dst.over(t, id)
	src.over(t, id)
	wantSeed(t, dst, id, "HV01", seed.FailedCopy)
	if got := dst.seeds().spent; len(got) > 0 {
		t.Errorf("spent by a move that failed: %v", got)
	}
}

func TestACopyThatAKilledAgentLeftIsKept(t *testing.T) {
	_, src, dst := pair(t, vm())
	dst.keeps()
	hit := make(chan struct{})
	dst.onceAt(move.Destination, move.Transfer, func(a *agent) error {
		a.crash()
		close(hit)
		return a.gate()
	})
	id := src.current().begin(t, request())
	<-hit
	src.over(t, id)
	dst.at(nil)
	dst.restart()
	dst.over(t, id)
	wantSeed(t, dst, id, "HV01", seed.FailedCopy)
}

func TestTheDiskOfAVMThatMovedAwayIsKept(t *testing.T) {
	w, src, dst := pair(t, vm())
	src.keeps()
	id := src.current().begin(t, request())
	wantCode(t, src.over(t, id), move.Done)
	wantCode(t, dst.over(t, id), move.Done)
	wantSeed(t, src, id, "HV02", seed.MovedAway)
	w.runsOnlyOn(t, dst, src)
	for _, h := range []*host{src, dst} {
		if got := h.seeds().spent; !slices.Equal(got, []string{vmUUID}) {
			t.Errorf("%s: spent %v", h.name, got)
		}
	}
}

// What stays is for the host that the ticket was for, whatever that one says it is.
func TestADestinationDoesNotChooseWhoseASeedIs(t *testing.T) {
	w, src, dst := pair(t, vm())
	src.keeps()
	w.forge("destination", wire.KindOpened, wire.Opened{Session: make([]byte, 16), Secret: make([]byte, 32),
		Facts: wire.HostFacts{Host: "HV03", UUID: "u", Incoming: true}}, nil)
	id := src.current().begin(t, request())
	wantCode(t, src.over(t, id), move.Done)
	dst.over(t, id)
	wantSeed(t, src, id, "HV02", seed.MovedAway)
}

func TestUEFIVariablesAreNeverKept(t *testing.T) {
	d := vm()
	d.State, d.NVRAM = virt.Shutoff, "/vms/app01.fd"
	_, src, dst := pair(t, d)
	src.disks.put(d.NVRAM, "variables")
	src.keeps()
	id := src.current().begin(t, request())
	wantCode(t, src.over(t, id), move.Done)
	dst.over(t, id)
	wantSeed(t, src, id, "HV02", seed.MovedAway)
	if slices.Contains(src.disks.list(), d.NVRAM) {
		t.Error("the variables are still there")
	}
}

func TestTheSourceHearsWhatTheDestinationHas(t *testing.T) {
	w, src, dst := pair(t, vm())
	shelf := dst.seeded(t, 7)
	id := src.current().begin(t, request())
	rec := src.over(t, id)
	wantCode(t, rec, move.Done)
	w.runsOnlyOn(t, dst, src)
	if s, d := src.seeds().refers, dst.seeds().taken; s != 7 || d != 7 {
		t.Errorf("the source refers to %d blocks, the destination takes %d", s, d)
	}
	dst.over(t, id)
	eventually(t, "the seed is given back", func() bool { return !shelf.List()[0].InUse })
}

// The source gives up on a destination that says nothing: a seed that is read for
// longer than that must not end the move.
func TestAMoveGoesOnWithoutASeedThatIsStillRead(t *testing.T) {
	w, src, dst := pair(t, vm())
	dst.seeded(t, 3)
	dst.mu.Lock()
	dst.kept.unread = true
	dst.mu.Unlock()
	w.with(func(o *move.Options) { o.AgreeTimeout = 4 * time.Second })
	id := src.current().begin(t, request())
	wantCode(t, src.over(t, id), move.Done)
	if s, d := src.seeds().refers, dst.seeds().taken; s != 0 || d != 0 {
		t.Errorf("the source refers to %d blocks, the destination takes %d", s, d)
	}
	dst.over(t, id)
	w.runsOnlyOn(t, dst, src)
}

func TestASourceBelievesNoListOfSeeds(t *testing.T) {
	for name, list := range map[string]wire.SeedList{
		"more than there may be": {Total: seed.MostBlocks + 1, Sums: make([]byte, seed.SumSize)},
		"more than there are":    {Total: 1, Sums: make([]byte, 2*seed.SumSize)},
		"half a hash":            {Total: 2, Sums: make([]byte, 24)},
		"never the rest":         {Total: 2},
		"fewer than none":        {Total: -1, Sums: make([]byte, seed.SumSize)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, src, dst := pair(t, vm())
			dst.seeded(t, 2)
			w.forge("destination", wire.KindSeedList, list, nil)
			id := src.current().begin(t, request())
			wantCode(t, src.over(t, id), move.Failed, fault.ProtocolError)
			dst.over(t, id)
			w.runsOnlyOn(t, src, dst)
		})
	}
}

func TestADestinationThatDrawsItsSeedsOutIsGivenUp(t *testing.T) {
	w, src, dst := pair(t, vm())
	dst.seeded(t, 2)
	w.with(func(o *move.Options) { o.AgreeTimeout = time.Second })
	w.forge("destination", wire.KindSeedList, wire.SeedList{Total: seed.MostBlocks, Sums: make([]byte, seed.SumSize)}, nil)
	id := src.current().begin(t, request())
	wantCode(t, src.over(t, id), move.Failed, fault.PeerSilent)
	dst.over(t, id)
	w.runsOnlyOn(t, src, dst)
}

func TestADestinationAnswersAboutSeedsOnlyInTurn(t *testing.T) {
	for name, c := range map[string]struct {
		before func(*peer)
		from   []int
	}{
		"before prepare": {(*peer).offers, []int{0}},
		"in the middle":  {(*peer).prepares, []int{5}},
		"again":          {(*peer).prepares, []int{0, 0}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, h, p := hostile(t)
			h.seeded(t, 3)
			c.before(p)
			var err error
			for _, from := range c.from {
				_, err = call[wire.SeedList](p, wire.KindSeeds, wire.Seeds{From: from}, wire.KindSeedList)
			}
			wantFault(t, err, fault.ProtocolError)
			wantCode(t, h.over(t, moveID), move.Failed, fault.ProtocolError)
		})
	}
}

// Another host learns nothing, also when it asks for what it was not offered.
func TestSeedsAreForTheHostThatHasTheContent(t *testing.T) {
	w := newWorld(t, "HV02")
	h := w.host("HV02")
	h.seeded(t, 3)
	c := delegated()
	c.DelegatedBy = "HV03$@LAB"
	p := w.peer(t, h, c)
	p.opens()
	admitted, err := call[wire.Admitted](p, wire.KindOffer, offer(), wire.KindAdmitted)
	p.must(err)
	_, err = call[wire.Prepared](p, wire.KindPrepare, wire.Prepare{Cookie: []byte("begin"), XML: definition(vm())}, wire.KindPrepared)
	p.must(err)
	list, err := call[wire.SeedList](p, wire.KindSeeds, wire.Seeds{}, wire.KindSeedList)
	p.must(err)
	if admitted.Seeds || admitted.SeedBytes > 0 || list.Total > 0 || len(list.Sums) > 0 {
		t.Errorf("%+v, %+v", admitted, list)
	}
}
