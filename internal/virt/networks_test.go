package virt

import (
	"os"
	"path/filepath"
	"testing"
)

func TestBridgesAreThoseOfTheKernel(t *testing.T) {
	dir := t.TempDir()
	for _, d := range []string{"br0/bridge", "ovs0/upper_ovs-system", "eth0/queues"} {
		if err := os.MkdirAll(filepath.Join(dir, "net", d), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(filepath.Join(dir, "bridge"), 0o700); err != nil { // beside the class
		t.Fatal(err)
	}
	old := netClass
	t.Cleanup(func() { netClass = old })
	netClass = filepath.Join(dir, "net")
	for name, want := range map[string]bool{"br0": true, "ovs0": true, "eth0": false, "none": false, "": false, ".": false, "..": false, "../net/br0": false, "br0/": false} {
		if isBridge(name) != want {
			t.Errorf("isBridge(%q) = %v", name, !want)
		}
	}
	if isOpenVSwitch("br0") || !isOpenVSwitch("ovs0") {
		t.Error("a bridge of Open vSwitch and one of the kernel are told apart")
	}
}
