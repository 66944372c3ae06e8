package agent

import (
	"os"
	"path/filepath"
	"testing"
)

// sysfs makes interfaces: each has files, of which lower_X and device are there for being
// there.
func sysfs(t *testing.T, interfaces map[string]map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, files := range interfaces {
		dir := filepath.Join(root, name)
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		for file, text := range files {
			if err := os.WriteFile(filepath.Join(dir, file), []byte(text+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	return root
}

func TestSpeedIsThatOfTheHardwareBeneath(t *testing.T) {
	root := sysfs(t, map[string]map[string]string{
		"eth0":   {"device": "", "speed": "1000"},
		"eth1":   {"device": "", "speed": "10000"},
		"down":   {"device": "", "speed": "-1"},
		"silent": {"device": ""},
		"odd":    {"device": "", "speed": "fast"},
		"veth0":  {"speed": "10000"},
		"tap0":   {"speed": "10000"},
		"br0":    {"speed": "10000", "lower_eth0": "", "lower_tap0": "", "lower_veth0": ""},
		"br1":    {"speed": "10000", "lower_tap0": ""},
		"bond0":  {"bonding": "", "speed": "11000", "lower_eth0": "", "lower_eth1": ""},
		"bond1":  {"bonding": "", "speed": "-1", "lower_eth0": "", "lower_eth1": ""},
		"eth1.7": {"speed": "10000", "lower_eth1": ""},
		"br2":    {"lower_bond0": ""},
		"loop":   {"lower_loop": ""},
	})
	for name, want := range map[string]int{"eth0": 1000, "down": 0, "silent": 0, "odd": 0, "veth0": 0, "br0": 1000, "br1": 0, "bond0": 11000,
		"bond1": 11000, "eth1.7": 10000, "br2": 11000, "loop": 0, "none": 0} {
		if got := speedBelow(root, name, maxDepth); got != want {
			t.Errorf("%s runs at %d, want %d", name, got, want)
		}
	}
}
