package guest

import (
	"bytes"
	"context"
	"debug/elf"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// GuestModules is what the guest needs of a kernel that has virtio and the
// power button as modules. Their dependencies are found in the modules
// themselves.
var GuestModules = []string{"virtio_pci", "virtio_blk", "virtio_net", "button", "evdev"}

// module is one kernel module, ready for finit_module.
type module struct {
	name  string
	image []byte // decompressed
	needs []string
}

// loadModules reads the named modules and what they depend on below dir, in an
// order in which each comes after what it needs. A name without a file is an
// error: distributions that build it into the kernel have it in the file
// modules.builtin of the same directory, and then it is left out.
func loadModules(dir string, names []string) ([]module, error) {
	files, err := moduleFiles(dir)
	if err != nil {
		return nil, err
	}
	builtin, err := os.ReadFile(filepath.Join(dir, "modules.builtin"))
	if err != nil && !os.IsNotExist(err) {
		return nil, fmt.Errorf("read list of built-in modules: %w", err)
	}
	l := moduleLoader{files: files, builtin: moduleNames(string(builtin)), done: make(map[string]bool)}
	for _, name := range names {
		if err := l.add(name); err != nil {
			return nil, err
		}
	}
	return l.order, nil
}

type moduleLoader struct {
	files   map[string]string
	builtin map[string]bool
	done    map[string]bool
	order   []module
}

func (l *moduleLoader) add(name string) error {
	name = moduleName(name)
	if l.done[name] || l.builtin[name] {
		return nil
	}
	l.done[name] = true
	path, ok := l.files[name]
	if !ok {
		return fmt.Errorf("kernel module %s: no such file", name)
	}
	m, err := readModule(name, path)
	if err != nil {
		return fmt.Errorf("kernel module %s: %w", name, err)
	}
	for _, need := range m.needs {
		if err := l.add(need); err != nil {
			return fmt.Errorf("%s needs: %w", name, err)
		}
	}
	l.order = append(l.order, m)
	return nil
}

// moduleName is the form in which modules name each other: the file may have
// "-" where the module has "_".
func moduleName(file string) string {
	base, _, _ := strings.Cut(filepath.Base(file), ".ko")
	return strings.ReplaceAll(base, "-", "_")
}

func moduleNames(list string) map[string]bool {
	names := make(map[string]bool)
	for _, line := range strings.Fields(list) {
		names[moduleName(line)] = true
	}
	return names
}

func moduleFiles(dir string) (map[string]string, error) {
	files := make(map[string]string)
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && strings.Contains(d.Name(), ".ko") {
			files[moduleName(path)] = path
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("find kernel modules: %w", err)
	}
	return files, nil
}

func readModule(name, path string) (module, error) {
	image, err := readDecompressed(path)
	if err != nil {
		return module{}, err
	}
	f, err := elf.NewFile(bytes.NewReader(image))
	if err != nil {
		return module{}, fmt.Errorf("%s: %w", path, err)
	}
	section := f.Section(".modinfo")
	if section == nil {
		return module{}, fmt.Errorf("%s has no .modinfo", path)
	}
	info, err := section.Data()
	if err != nil {
		return module{}, fmt.Errorf("%s: %w", path, err)
	}
	m := module{name: name, image: image}
	for _, field := range strings.Split(string(info), "\x00") {
		if needs, ok := strings.CutPrefix(field, "depends="); ok && needs != "" {
			m.needs = strings.Split(needs, ",")
		}
	}
	return m, nil
}

// readDecompressed uses the tool of the compression: Debian 13 has its modules
// as .ko.xz, and dpkg makes sure that xz is there.
func readDecompressed(path string) ([]byte, error) {
	tool := map[string]string{".xz": "xz", ".zst": "zstd", ".gz": "gzip"}[filepath.Ext(path)]
	if tool == "" {
		return os.ReadFile(path)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, tool, "-dc", path).Output()
	if err != nil {
		return nil, fmt.Errorf("decompress %s: %w", path, err)
	}
	return out, nil
}
