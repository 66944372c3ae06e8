package virt

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"drover/internal/fault"
	"drover/internal/virt/admit"
)

// kernel is what a host's kernel tells of itself, for one test.
func kernel(t *testing.T, files map[string]string) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		p := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	oldDevices, oldPages, oldInfo := sysDevices, hugePages, memInfo
	t.Cleanup(func() { sysDevices, hugePages, memInfo = oldDevices, oldPages, oldInfo })
	sysDevices, hugePages, memInfo = filepath.Join(dir, "system"), filepath.Join(dir, "hugepages"), filepath.Join(dir, "meminfo")
}

func TestWhatAVMIsBoundToMustBeThere(t *testing.T) {
	kernel(t, map[string]string{"system/cpu/online": "0-3,6\n", "system/node/online": "0\n", "hugepages/hugepages-2048kB/free_hugepages": "100\n",
		"meminfo": "MemTotal: 1 kB\nHugepagesize:       2048 kB\n"})
	h := New(Config{Name: "HV02"})
	for name, c := range map[string]struct {
		a       admit.Admitted
		offline bool
		code    fault.Code
		arg     [2]string
	}{
		"nothing":               {admit.Admitted{}, false, "", [2]string{}},
		"CPUs that are there":   {admit.Admitted{CPUSets: []string{"0-3,^2", "6"}}, false, "", [2]string{}},
		"CPUs that are not":     {admit.Admitted{CPUSets: []string{"0-5", "5"}}, false, fault.HostCPUMissing, [2]string{"cpus", "4,5"}},
		"CPUs out of bounds":    {admit.Admitted{CPUSets: []string{"0-99999999"}}, false, fault.HostCPUMissing, [2]string{"cpus", "0-99999999"}},
		"no set":                {admit.Admitted{CPUSets: []string{"-,^"}}, false, fault.HostCPUMissing, [2]string{"cpus", "-,^"}},
		"node":                  {admit.Admitted{NUMANodes: []string{"0"}}, false, "", [2]string{}},
		"node that is missing":  {admit.Admitted{NUMANodes: []string{"0-1"}}, false, fault.NUMANodeMissing, [2]string{"nodes", "1"}},
		"pages enough":          {admit.Admitted{HugePages: []uint64{2 << 20}, MemoryBytes: 200 << 20}, false, "", [2]string{}},
		"pages too few":         {admit.Admitted{HugePages: []uint64{2 << 20}, MemoryBytes: 201 << 20}, false, fault.HugePagesMissing, [2]string{"free", "200 MiB"}},
		"pages of the default":  {admit.Admitted{HugePages: []uint64{0}, MemoryBytes: 200 << 20}, false, "", [2]string{}},
		"default, too few":      {admit.Admitted{HugePages: []uint64{0}, MemoryBytes: 201 << 20}, false, fault.HugePagesMissing, [2]string{"size", "the default size"}},
		"too few, but shut off": {admit.Admitted{HugePages: []uint64{2 << 20}, MemoryBytes: 201 << 20}, true, "", [2]string{}},
		"no such pages":         {admit.Admitted{HugePages: []uint64{1 << 30}}, true, fault.HugePagesMissing, [2]string{"size", "1.0 GiB"}},
	} {
		t.Run(name, func(t *testing.T) {
			found := h.checkPlaces(&c.a, c.offline)
			if c.code == "" {
				if len(found) > 0 {
					t.Error(found)
				}
				return
			}
			if len(found) != 1 || !fault.Is(found[0], c.code) || fault.From(found[0]).Args[c.arg[0]] != c.arg[1] {
				t.Errorf("found %v, want %s with %v", found, c.code, c.arg)
			}
		})
	}
}

func TestAHostileSetIsNotReadForLong(t *testing.T) {
	kernel(t, map[string]string{"system/cpu/online": "0-3\n"})
	long := strings.TrimSuffix(strings.Repeat("0-16383,", 125), ",")
	if _, ok := parseSet(long); ok {
		t.Error("read to its end")
	}
	sets := make([]string, 1000)
	for i := range sets {
		sets[i] = fmt.Sprintf("%s,%d", long, i)
	}
	if lacks, _ := missingFrom(sets, "cpu/online"); strings.Count(lacks, long) != maxAvailable {
		t.Errorf("names %d sets", strings.Count(lacks, long))
	}
	if found := New(Config{Name: "HV02"}).checkPlaces(&admit.Admitted{HugePages: make([]uint64, 1000)}, true); len(found) > maxSizes {
		t.Errorf("%d objections to huge pages", len(found))
	}
}

func TestAHostThatDoesNotTellIsNotBlamed(t *testing.T) {
	kernel(t, nil)
	if found := New(Config{Name: "HV02"}).checkPlaces(&admit.Admitted{CPUSets: []string{"7"}, NUMANodes: []string{"3"}}, false); len(found) > 0 {
		t.Error(found)
	}
}

func TestAKernelWithoutHugePagesHasNone(t *testing.T) {
	kernel(t, map[string]string{"meminfo": "MemTotal: 1 kB\n"})
	if found := New(Config{Name: "HV02"}).checkPlaces(&admit.Admitted{HugePages: []uint64{0}}, true); len(found) != 1 || !fault.Is(found[0], fault.HugePagesMissing) {
		t.Error(found)
	}
}
