package guest

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cavaliergopher/cpio"
)

// testModules is a copy of some modules of the real kernel, changed by each.
func testModules(t *testing.T, names []string, each func(path string)) string {
	t.Helper()
	boot := requireBoot(t)
	k, ok := cachedKernel(filepath.Dir(filepath.Dir(boot.Kernel)))
	if !ok {
		t.Fatalf("no kernel beside %s", boot.Kernel)
	}
	mods, err := loadModules(k.Modules, names)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for _, m := range mods {
		path := filepath.Join(dir, m.name+".ko")
		if err := os.WriteFile(path, m.image, 0o644); err != nil {
			t.Fatal(err)
		}
		each(path)
	}
	return dir
}

func modulePlaces(mods []module) map[string]int {
	places := make(map[string]int)
	for i, m := range mods {
		places[m.name] = i
	}
	return places
}

func TestModulesComeAfterWhatTheyNeed(t *testing.T) {
	dir := testModules(t, GuestModules, func(string) {})
	mods, err := loadModules(dir, GuestModules)
	if err != nil {
		t.Fatal(err)
	}
	place := modulePlaces(mods)
	for _, name := range GuestModules {
		if _, ok := place[name]; !ok {
			t.Errorf("%s is missing", name)
		}
	}
	needs := 0
	for _, m := range mods {
		for _, need := range m.needs {
			needs++
			if before, ok := place[moduleName(need)]; !ok || before >= place[m.name] {
				t.Errorf("%s at %d needs %s at %d (%v)", m.name, place[m.name], need, before, ok)
			}
		}
	}
	if needs < 5 {
		t.Errorf("only %d dependencies were found", needs)
	}
}

// Debian 13 compresses its modules.
func TestCompressedModulesAreTheSame(t *testing.T) {
	plain := testModules(t, []string{"virtio_net"}, func(string) {})
	packed := testModules(t, []string{"virtio_net"}, func(path string) {
		if out, err := exec.CommandContext(t.Context(), "xz", "-0", path).CombinedOutput(); err != nil {
			t.Fatalf("xz: %v: %s", err, out)
		}
	})
	want, err := loadModules(plain, []string{"virtio_net"})
	if err != nil {
		t.Fatal(err)
	}
	got, err := loadModules(packed, []string{"virtio-net"})
	if err != nil {
		t.Fatal(err)
	}
	same := func(a, b module) bool { return a.name == b.name && bytes.Equal(a.image, b.image) }
	if !slices.EqualFunc(want, got, same) {
		t.Errorf("%d modules became %d, or others", len(want), len(got))
	}
}

func TestMissingAndBuiltinModules(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "modules.builtin"), []byte("kernel/drivers/block/virtio-blk.ko\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if mods, err := loadModules(dir, []string{"virtio_blk"}); err != nil || len(mods) != 0 {
		t.Errorf("built in: %d modules, %v", len(mods), err)
	}
	if _, err := loadModules(dir, []string{"virtio_net"}); err == nil || !strings.Contains(err.Error(), "virtio_net") {
		t.Errorf("missing: %v", err)
	}
}

func TestInitramfsHoldsInit(t *testing.T) {
	dir := t.TempDir()
	program := filepath.Join(dir, "prog")
	if err := os.WriteFile(program, []byte("the program"), 0o600); err != nil {
		t.Fatal(err)
	}
	var a, b bytes.Buffer
	if err := errors.Join(BuildInitramfs(&a, program, dir, nil, Files{}), BuildInitramfs(&b, program, dir, nil, Files{})); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(a.Bytes(), b.Bytes()) {
		t.Error("two builds differ")
	}
	found := make(map[string]cpio.FileMode)
	for r := cpio.NewReader(&a); ; {
		h, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		found[h.Name] = h.Mode
		if body, _ := io.ReadAll(r); h.Name == "init" && string(body) != "the program" {
			t.Errorf("init is %q", body)
		}
	}
	if found["init"] != cpio.TypeReg|0o755 || !found["proc"].IsDir() || found[ModuleList] == 0 {
		t.Errorf("found %v", found)
	}
	if err := BuildInitramfs(&b, filepath.Join(dir, "none"), dir, nil, Files{}); err == nil {
		t.Error("no init, no error")
	}
}
