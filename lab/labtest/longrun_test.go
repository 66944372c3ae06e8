package labtest

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"drover/lab"
	"drover/lab/soak/drive"
)

// TestLongRunInTheLab is the beginning of a long run: every VM out and home, then some
// moves with faults, always the same. On Debian 13, as the long run: the QEMU of
// Debian 12 now and then loses pages over several connections when it emulates.
func TestLongRunInTheLab(t *testing.T) {
	lab.Require(t)
	out := filepath.Join(t.TempDir(), "soak.json")
	r, err := drive.Run(t.Context(), drive.Options{
		Lab: lab.Options{Name: fmt.Sprintf("longrun%d", os.Getpid()), Rootfs: cmp.Or(os.Getenv(rootfsEnv), "trixie")}, Seed: 6, Moves: 11, Limit: 5 * time.Minute,
		Out: out, Stderr: t.Output(),
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range r.Broken {
		t.Errorf("%s (%s)", b, r.Replay(b.Step))
	}
	if !r.Sound() {
		t.Errorf("it has grown: %v, %+v", r.Grown, r.Growth)
	}
	if r.Moves < 8 || r.Copies != 1 || r.Heartbeats == 0 {
		t.Errorf("%d moves, at most %d copies of a VM in %d heartbeats", r.Moves, r.Copies, r.Heartbeats)
	}
	if _, err := os.Stat(out); err != nil {
		t.Error(err)
	}
}
