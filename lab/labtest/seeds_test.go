package labtest

import (
	"context"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"drover/internal/api"
	"drover/internal/config"
	"drover/internal/fault"
	"drover/internal/record"
	"drover/internal/seed"
	"drover/lab"
)

// seedGiBEnv makes the disk of TestSeeds larger than the 1 GiB that it has, and the
// VM stay away for seedAway before it moves back.
const seedGiBEnv, seedAway = "DROVER_SEED_GIB", 5 * time.Minute

// seeding is a VM with a disk of data that do not compress, and its way.
type seeding struct {
	*site
	vm     *machine
	full   uint64 // bytes of data on the disk
	wanted string // digest of what the guest does not write to
	away   time.Duration
}

// TestSeeds: a copy that failed is continued, the way home is cheap, and what was
// kept is not believed. The guest checks its memory and disk after each.
func TestSeeds(t *testing.T) {
	s := &seeding{site: startSite(t, lab.Options{Name: "seeds", Hosts: twoHosts, Rootfs: "trixie"})}
	gib := 1
	if v := os.Getenv(seedGiBEnv); v != "" {
		n, err := strconv.Atoi(v)
		if err != nil {
			t.Fatal(err)
		}
		gib, s.away = n, seedAway
	}
	for _, host := range twoHosts {
		s.run(t, host, "mkdir", "-p", teeDir)
		s.keepSeeds(t, host)
		if err := s.RestartAgent(t.Context(), host, "DROVERD_TEE="+teeDir); err != nil {
			t.Fatal(err)
		}
	}
	s.fill(t, gib)
	for _, c := range []struct {
		name string
		test func(*testing.T)
	}{
		{"cut", s.testSeedsCut}, {"back", s.testSeedsBack}, {"changed by hand", s.testSeedsChanged},
		{"a ledger that lies", s.testSeedsLie}, {"purge", s.testSeedsPurge}, {"shut off", s.testSeedsShutOff},
	} {
		if !t.Run(c.name, c.test) {
			s.diagnose(t, s.vm)
			return // the rest would start from a state that nobody checked
		}
	}
}

// keepSeeds makes an agent keep seeds as it does by default, from its next start on.
func (s *site) keepSeeds(t *testing.T, host string) {
	t.Helper()
	if err := s.ConfigureAgent(host, func(c *config.Config) { c.Storage.Seeds = config.Seeds{} }); err != nil {
		t.Fatal(err)
	}
}

// guestMiB at the beginning of the disk are the guest's: it appends a record of 4 KiB twenty times
// a second, 80 KiB. Behind them are the data.
const guestMiB = 256

// fill defines the VM.
func (s *seeding) fill(t *testing.T, gib int) {
	t.Helper()
	o := smallVM("SEED01", 120)
	o.Disks = []lab.VMDisk{{Format: "raw", MiB: gib << 10}}
	vm, err := s.DefineVM(t.Context(), lab.HV01, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.RemoveVM(context.Background(), vm) })
	s.vm = &machine{VM: vm}
	d := vm.Disks[0]
	s.run(t, lab.HV01, "sh", "-c", `dd if=/dev/urandom of="$1" bs=1M seek="$2" count="$3" conv=notrunc status=none`, "-", d.Path, strconv.Itoa(guestMiB), strconv.Itoa(d.MiB-guestMiB))
	s.full, s.wanted = uint64(s.allocated(t, lab.HV01, d.Path)), s.data(t, lab.HV01)
	s.virsh(t, lab.HV01, "start", vm.Name)
	s.observe(t, s.vm)
}

// data is a digest of what the guest does not write to.
func (s *seeding) data(t *testing.T, host string) string {
	t.Helper()
	return s.run(t, host, "sh", "-c", `tail -c +"$2" "$1" | sha256sum`, "-", s.vm.Disks[0].Path, strconv.Itoa(guestMiB<<20+1))
}

// seeds lists those of a host.
func (s *site) seeds(ctx context.Context, host string) (out []api.Seed, err error) {
	err = s.DroverJSON(ctx, lab.UserOperator, &out, "storage", "seeds", "list", "--host", host)
	return out, err
}

// awaitSeeds waits until a host has so many seeds, and has read them all.
func (s *site) awaitSeeds(t *testing.T, host, kind string, want int) (out []api.Seed) {
	t.Helper()
	eventually(t, 5*time.Minute, func(ctx context.Context) (err error) {
		if out, err = s.seeds(ctx, host); err != nil {
			return err
		}
		if len(out) != want {
			return fmt.Errorf("%d seeds on %s, want %d", len(out), host, want)
		}
		for _, o := range out {
			if o.Content == 0 || o.Kind != kind {
				return fmt.Errorf("seed %+v", o)
			}
		}
		return nil
	})
	return out
}

// hop moves the VM and holds what arrived against what was there. It gives the part
// of the disk's data that crossed the wire.
func (s *seeding) hop(t *testing.T, from, to string, flags ...string) float64 {
	t.Helper()
	for _, host := range twoHosts {
		s.run(t, host, "sh", "-c", "rm -f "+teeDir+"/*")
	}
	id := s.detach(t, s.vm, from, to, flags...)
	rec := s.awaitPhase(t, from, id, 20*time.Minute, record.Done, record.Failed)
	if rec.Phase != record.Done {
		t.Fatalf("move from %s to %s: %v", from, to, rec.Error)
	}
	s.sameBytes(t, from, to)
	s.vm.verify(t)
	if got := s.data(t, to); got != s.wanted {
		t.Fatalf("the disk on %s has other content: %s, want %s", to, got, s.wanted)
	}
	s.assertClean(t, s.vm, from)
	var wire uint64
	for _, st := range rec.Summary.Streams {
		if st.Kind == "disk" {
			wire += st.WireBytes
		}
	}
	part := float64(wire) / float64(s.full)
	t.Logf("%s to %s: %d of %d MiB on the wire, %.1f %%", from, to, wire>>20, s.full>>20, 100*part)
	return part
}

func (s *seeding) testSeedsCut(t *testing.T) {
	s.rate(t, 400_000_000)
	id := s.detach(t, s.vm, lab.HV01, lab.HV02)
	file := s.Member(lab.HV02).Path(s.vm.Disks[0].Path)
	arrived := uint64(0)
	eventually(t, 10*time.Minute, func(ctx context.Context) error {
		var st syscall.Stat_t
		if err := syscall.Stat(file, &st); err != nil {
			return err
		}
		if arrived = uint64(st.Blocks) * 512; arrived < s.full*3/4 {
			return fmt.Errorf("%d of %d bytes arrived", arrived, s.full)
		}
		return nil
	})
	if err := s.LinkDown(lab.HV02, lab.Migration); err != nil {
		t.Fatal(err)
	}
	t.Logf("cut at %.1f %%", 100*float64(arrived)/float64(s.full))
	rec := s.awaitPhase(t, lab.HV01, id, 5*time.Minute, record.Failed, record.Done)
	if rec.Phase != record.Failed {
		t.Fatal("the move ended before the cut")
	}
	s.awaitPhase(t, lab.HV02, id, 5*time.Minute, record.Failed)
	if err := s.LinkUp(lab.HV02, lab.Migration); err != nil {
		t.Fatal(err)
	}
	s.rate(t, 0)
	s.assertBeats(t, s.vm)
	s.assertClean(t, s.vm, lab.HV02)
	s.awaitSeeds(t, lab.HV02, seed.FailedCopy, 1)
	if part := s.hop(t, lab.HV01, lab.HV02); part > 0.30 {
		t.Errorf("the second try sent %.1f %% of the disk, want 30 %% at most", 100*part)
	}
	s.awaitSeeds(t, lab.HV02, "", 0) // there is the disk
}

func (s *seeding) testSeedsBack(t *testing.T) {
	seeds := s.awaitSeeds(t, lab.HV01, seed.MovedAway, 1)
	if mode := s.run(t, lab.HV01, "stat", "-c", "%a %u %g", seeds[0].File, path.Dir(seeds[0].File)); mode != "600 0 0\n700 0 0" {
		t.Errorf("modes and owners of the seed and its directory: %q", mode)
	}
	begun := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), s.away+time.Minute)
	defer cancel()
	for time.Since(begun) < s.away { // the guest writes meanwhile
		s.assertBeats(t, s.vm)
		if ctx.Err() != nil {
			t.Fatal(ctx.Err())
		}
	}
	if part := s.hop(t, lab.HV02, lab.HV01); part > 0.10 {
		t.Errorf("the way back sent %.1f %% of the disk, want 10 %% at most", 100*part)
	}
}

// damage writes over 64 MiB of a seed.
func (s *seeding) damage(t *testing.T, host string, o api.Seed) {
	t.Helper()
	s.run(t, host, "sh", "-c", `dd if=/dev/urandom of="$1" bs=1M seek=300 count=64 conv=notrunc status=none`, "-", o.File)
}

func (s *seeding) testSeedsChanged(t *testing.T) {
	seeds := s.awaitSeeds(t, lab.HV02, seed.MovedAway, 1)
	s.damage(t, lab.HV02, seeds[0])
	part := s.hop(t, lab.HV01, lab.HV02, "--performance", "TCPIP")
	if least := float64(60<<20) / float64(s.full); part < least || part > least+0.10 {
		t.Errorf("%.1f %% of the disk were sent, where 64 MiB of the seed were changed", 100*part)
	}
}

// testSeedsLie: the ledger says that the file is as it was, and it is not.
func (s *seeding) testSeedsLie(t *testing.T) {
	seeds := s.awaitSeeds(t, lab.HV01, seed.MovedAway, 1)
	s.damage(t, lab.HV01, seeds[0])
	m := s.Member(lab.HV01)
	file := m.Path(strings.TrimSuffix(seeds[0].File, ".disk") + ".ledger")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	ledger, err := seed.Decode(text)
	if err != nil {
		t.Fatal(err)
	}
	var st syscall.Stat_t
	if err := syscall.Stat(m.Path(seeds[0].File), &st); err != nil {
		t.Fatal(err)
	}
	ledger.Stamp.Changed, ledger.Stamp.Wrote = st.Ctim.Nano(), st.Mtim.Nano()
	if err := os.WriteFile(file, ledger.Encode(), 0o600); err != nil {
		t.Fatal(err)
	}
	rec, r := s.move(t, s.vm, lab.HV02, lab.HV01)
	if rec.Phase != record.Failed || rec.Error == nil || rec.Error.Code != fault.SeedDamaged {
		t.Fatalf("phase %s, %v\n%s", rec.Phase, rec.Error, r.Stderr)
	}
	s.assertBeats(t, s.vm)
	s.vm.verify(t)
	s.assertClean(t, s.vm, lab.HV01)
	for _, left := range s.awaitSeeds(t, lab.HV01, seed.FailedCopy, 1) {
		if left.ID == seeds[0].ID {
			t.Errorf("the damaged seed is still there: %+v", left)
		}
	}
	s.hop(t, lab.HV02, lab.HV01)
}

func (s *seeding) testSeedsPurge(t *testing.T) {
	seeds := s.awaitSeeds(t, lab.HV02, seed.MovedAway, 1)
	s.signIn(t, lab.UserViewer)
	if _, err := s.Drover(t.Context(), lab.UserViewer, "storage", "seeds", "list", "--host", lab.HV02); err != nil {
		t.Error(err)
	}
	s.refused(t, lab.UserViewer, refusal{fault.RoleMissing, 4, []string{"HV02"}}, "storage", "seeds", "purge", "--host", lab.HV02)
	if r := s.drover(t, "storage", "seeds", "purge", "--host", lab.HV02, "--vm", "SEED01"); r.Status != 0 || !strings.Contains(r.Stdout, "1 seed") {
		t.Errorf("%+v", r)
	}
	s.awaitSeeds(t, lab.HV02, "", 0)
	if s.exists(t, lab.HV02, filepath.Dir(seeds[0].File)) {
		t.Error("the directory of the seeds is still there")
	}
	if part := s.hop(t, lab.HV01, lab.HV02); part < 0.9 {
		t.Errorf("%.1f %% of the disk were sent, and nothing of it was there", 100*part)
	}
}

// testSeedsShutOff: a qcow2 image of a VM that is shut off. Its copy ends with the
// destination's agent.
func (s *seeding) testSeedsShutOff(t *testing.T) {
	vm := s.define(t, lab.HV01, "SEED02", lab.VMDisk{Format: "qcow2", MiB: 256})
	d := vm.Disks[0]
	s.run(t, lab.HV01, "sh", "-c", `head -c 200M /dev/urandom > /srv/random && qemu-io -f qcow2 -c "write -s /srv/random 0 200M" "$1" && rm /srv/random`, "-", d.Path)
	content := s.content(t, lab.HV01, d.Path, d.Format)
	s.rate(t, 200_000_000)
	id := s.detach(t, &machine{VM: vm}, lab.HV01, lab.HV02)
	eventually(t, 5*time.Minute, func(context.Context) error {
		var st syscall.Stat_t
		err := syscall.Stat(s.Member(lab.HV02).Path(d.Path), &st)
		if err == nil && st.Blocks*512 < 120<<20 {
			err = fmt.Errorf("%d bytes arrived", st.Blocks*512)
		}
		return err
	})
	if err := s.KillAgent(t.Context(), lab.HV02); err != nil {
		t.Fatal(err)
	}
	s.awaitPhase(t, lab.HV01, id, time.Minute, record.Failed)
	if err := s.StartAgent(t.Context(), lab.HV02); err != nil {
		t.Fatal(err)
	}
	s.rate(t, 0)
	// That of the VM which has gone there and come back is one too.
	eventually(t, time.Minute, func(ctx context.Context) error {
		seeds, err := s.seeds(ctx, lab.HV02)
		for _, o := range seeds {
			if o.VM == "SEED02" && o.Kind == seed.FailedCopy && o.Content > 0 {
				return err
			}
		}
		return fmt.Errorf("no seed among %+v (%v)", seeds, err)
	})
	for _, h := range []struct {
		hop
		most uint64
	}{{hop{lab.HV01, lab.HV02}, 100 << 20}, {hop{lab.HV02, lab.HV01}, 4 << 20}} {
		rec := s.moveOff(t, vm, h.from, h.to)
		if got := s.content(t, h.to, d.Path, d.Format); got != content {
			t.Fatalf("other content on %s", h.to)
		}
		t.Logf("%s to %s: %d KiB", h.from, h.to, rec.Summary.WireBytes>>10)
		if rec.Summary.WireBytes > h.most {
			t.Errorf("%d bytes on the wire, want %d at most", rec.Summary.WireBytes, h.most)
		}
	}
}
