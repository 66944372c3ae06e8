package labtest

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"drover/internal/guest"
	"drover/lab"
)

// teeDir is where the agents of this test say what passed their local sockets.
const teeDir = "/run/tee"

// flow is what one agent saw at one connection of QEMU's.
type flow struct {
	FromQEMU counted `json:"from_qemu"`
	ToQEMU   counted `json:"to_qemu"`
}

type counted struct {
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
}

// TestExactBytes: what QEMU writes at one end is what QEMU reads at the other,
// whatever was done to it on the way. Both ends are hashed between the agents and
// QEMU while a guest that changes its memory and its disk moves there and back.
func TestExactBytes(t *testing.T) {
	s := startSite(t, lab.Options{Name: "exact", Hosts: twoHosts})
	for _, host := range twoHosts {
		s.run(t, host, "mkdir", "-p", teeDir)
		if err := s.RestartAgent(t.Context(), host, "DROVERD_TEE="+teeDir); err != nil {
			t.Fatal(err)
		}
	}
	p := &ping{s, s.newVM(t, lab.HV01, "APP01", 101, func(o *lab.VMOptions) {
		p := guest.DefaultParams()
		p.Memory, p.Rewrite = 96<<20, 6<<20
		o.Params = &p
	}), hop{lab.HV01, lab.HV02}}
	for _, test := range []struct {
		name  string
		rate  uint64
		flags []string
		// folded: so little crosses the wire that not all of it can have gone as it was.
		folded bool
	}{
		{"slow link, one stream", 100_000_000, []string{"--performance", "Compression", "--connections", "1"}, true},
		{"slow link, four streams", 100_000_000, []string{"--performance", "Compression", "--connections", "4"}, true},
		{"no limit, two streams", 0, []string{"--performance", "Compression", "--connections", "2"}, false},
		{"carried as it is", 0, []string{"--performance", "TCPIP", "--connections", "2"}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			p.rate(t, test.rate)
			from, to := p.from, p.to
			for _, host := range twoHosts {
				p.run(t, host, "sh", "-c", "rm -f "+teeDir+"/*")
			}
			rec := p.pass(t, test.flags...)
			p.sameBytes(t, from, to)
			payload, wire := uint64(0), rec.Summary.WireBytes
			for _, stream := range rec.Summary.Streams {
				payload += stream.PayloadBytes
			}
			t.Logf("%d MiB of QEMU's, %d MiB on the wire", payload>>20, wire>>20)
			if test.folded && wire > payload*3/4 {
				t.Errorf("%d bytes on the wire for %d", wire, payload)
			}
			p.vm.verify(t)
		})
	}
}

// sameBytes waits for both ends of all connections, and holds them against each other.
func (s *site) sameBytes(t *testing.T, from, to string) {
	t.Helper()
	var source, destination map[string]flow
	eventually(t, 20*time.Second, func(context.Context) (err error) {
		if source, err = s.flows(from, ".source"); err != nil {
			return err
		}
		if destination, err = s.flows(to, ".destination"); err != nil {
			return err
		}
		a, b := slices.Sorted(maps.Keys(source)), slices.Sorted(maps.Keys(destination))
		if len(a) == 0 || !slices.Equal(a, b) {
			return fmt.Errorf("connections of %s: %v, of %s: %v", from, a, to, b)
		}
		return nil
	})
	for name, sent := range source {
		got := destination[name]
		t.Logf("%s: %d bytes there, %d back", name, got.ToQEMU.Bytes, sent.ToQEMU.Bytes)
		if sent.FromQEMU != got.ToQEMU {
			t.Errorf("%s: QEMU wrote %+v, QEMU was given %+v", name, sent.FromQEMU, got.ToQEMU)
		}
		if got.FromQEMU != sent.ToQEMU {
			t.Errorf("%s, backwards: QEMU wrote %+v, QEMU was given %+v", name, got.FromQEMU, sent.ToQEMU)
		}
	}
}

// flows reads what the agent of a host wrote of its connections.
func (s *site) flows(host, suffix string) (map[string]flow, error) {
	files, err := filepath.Glob(s.Member(host).Path(teeDir) + "/*" + suffix)
	if err != nil {
		return nil, err
	}
	all := map[string]flow{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		var f flow
		if err := json.Unmarshal(text, &f); err != nil {
			return nil, err
		}
		all[strings.TrimSuffix(filepath.Base(file), suffix)] = f
	}
	return all, nil
}
