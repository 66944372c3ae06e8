package guest

import (
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/cavaliergopher/cpio"
)

// ModuleList is the file of the initramfs that names the modules beside it, one
// file name a line, in the order in which /init is to load them.
const ModuleList = "modules/order"

// BuildInitramfs writes an initramfs (cpio newc, not compressed: an emulated
// processor unpacks slower than it copies) of init as /init and the named
// modules of modulesDir (lib/modules/VERSION of a kernel) with all they need.
// With files (not zero) it has FilesDir too. The same input gives the same bytes.
func BuildInitramfs(w io.Writer, init, modulesDir string, modules []string, files Files) error {
	program, err := os.ReadFile(init)
	if err != nil {
		return fmt.Errorf("initramfs: read init: %w", err)
	}
	mods, err := loadModules(modulesDir, modules)
	if err != nil {
		return fmt.Errorf("initramfs: %w", err)
	}
	a := archive{w: cpio.NewWriter(w)}
	for _, dir := range []string{"dev", "proc", "sys", "modules"} {
		a.dir(dir)
	}
	a.file("init", 0o755, program)
	var order strings.Builder
	for _, m := range mods {
		a.file("modules/"+m.name+".ko", 0o644, m.image)
		order.WriteString(m.name + ".ko\n")
	}
	a.file(ModuleList, 0o644, []byte(order.String()))
	if len(files.Text) > 0 {
		a.dir(FilesDir)
		parts := files.parts()
		for _, name := range slices.Sorted(maps.Keys(parts)) {
			a.file(FilesDir+"/"+name, 0o644, *parts[name])
		}
	}
	if err := a.close(); err != nil {
		return fmt.Errorf("initramfs: %w", err)
	}
	return nil
}

// archive keeps the first error, so that its users need not.
type archive struct {
	w     *cpio.Writer
	inode int64
	err   error
}

func (a *archive) dir(name string) {
	a.put(&cpio.Header{Name: name, Mode: cpio.TypeDir | 0o755, Links: 2}, nil)
}

func (a *archive) file(name string, perm cpio.FileMode, data []byte) {
	a.put(&cpio.Header{Name: name, Mode: cpio.TypeReg | perm, Links: 1, Size: int64(len(data))}, data)
}

func (a *archive) put(h *cpio.Header, data []byte) {
	if a.err != nil {
		return
	}
	a.inode++
	h.Inode = a.inode
	if a.err = a.w.WriteHeader(h); a.err == nil && len(data) > 0 {
		_, a.err = a.w.Write(data)
	}
}

func (a *archive) close() error {
	if a.err != nil {
		return a.err
	}
	return a.w.Close()
}

// BootMarker is in the first line that /init prints: the kernel has booted.
const BootMarker = "init runs"
