package labtest

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"drover/lab"
	"drover/lab/census"
)

// TestTwentyMoves moves one VM back and forth, back over parallel connections. The first pair of moves fills what
// is meant to stay: idle connections of the API's clients, Kerberos tickets,
// SQLite's connections, libvirt's worker threads and its sockets. From then on
// nothing may grow.
func TestTwentyMoves(t *testing.T) {
	s := startSite(t, lab.Options{Name: "soak", Hosts: twoHosts})
	vm := s.newVM(t, lab.HV01, "APP01", 101)
	pair := func() {
		s.mustMove(t, vm, lab.HV01, lab.HV02)
		s.mustMove(t, vm, lab.HV02, lab.HV01, "--connections", "2")
	}
	pair()
	before := s.restingCensus(t)
	for range 10 {
		pair()
		if err := vm.watch.Snapshot().Sound(); err != nil {
			s.diagnose(t, vm)
			t.Fatal(err)
		}
	}
	vm.verify(t)
	for _, h := range twoHosts { // whose umask hides nothing
		s.assertStatePrivate(t, h)
	}
	s.assertTidy(t, lab.HV01)
	s.assertClean(t, vm, lab.HV02)
	// What ends by itself, such as idle connections, has a while to do so.
	eventually(t, 30*time.Second, func(ctx context.Context) error {
		after, err := census.Take(ctx, s.Lab)
		if err != nil {
			return err
		}
		if grown := before.Growth(after); len(grown) > 0 {
			return fmt.Errorf("more than before the 20 moves:\n%s", strings.Join(grown, "\n"))
		}
		return nil
	})
}

// restingCensus waits until nothing comes or goes.
func (s *site) restingCensus(t *testing.T) census.Census {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	c, err := census.Resting(ctx, s.Lab)
	if err != nil {
		t.Fatal(err)
	}
	return c
}
