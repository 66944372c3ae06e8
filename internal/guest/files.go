package guest

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/cavaliergopher/cpio"
	"github.com/cespare/xxhash/v2"
)

// Files is the content of real files, by what it is, each one file after the
// other. Log is made up, for a build machine's own logs are nobody's business.
type Files struct{ Text, Code, Log, Packed []byte }

// FilesDir is the directory of the initramfs with one file for each part.
const FilesDir = "files"

// FilesSizes is how much to collect, in bytes; GuestFiles what a guest carries.
// The content is long beside the windows of codecs, so that its repetition in a
// larger memory is not what they find.
type FilesSizes struct{ Text, Code, Log, Packed int }

// GuestFiles is what the initramfs of a guest with Params.Files carries.
var GuestFiles = FilesSizes{Text: 16 << 20, Code: 24 << 20, Log: 4 << 20}

// filePart is the most that is taken of one file, so that a few large ones do not
// make up everything.
const filePart = 1 << 20

// CollectFiles reads programs and libraries (ELF), text and compressed files
// below the roots (those that are there), in an order that is random but the same
// for the same names. Less than asked for is not an error; no text or code at all is.
func CollectFiles(roots []string, want FilesSizes) (Files, error) {
	var got Files
	paths := listFiles(roots)
	buf := make([]byte, filePart)
	for _, path := range paths {
		if len(got.Text) >= want.Text && len(got.Code) >= want.Code && len(got.Packed) >= want.Packed {
			break
		}
		data := readPart(path, buf)
		part, limit := got.part(data, want)
		if part != nil {
			*part = append(*part, data[:min(len(data), limit-len(*part))]...)
		}
	}
	if want.Text > 0 && len(got.Text) == 0 || want.Code > 0 && len(got.Code) == 0 {
		return got, fmt.Errorf("no text or no programs in %v", roots)
	}
	got.Log = logLines(want.Log)
	return got, nil
}

// MachineRoots are the directories of any Debian machine that have all kinds of
// content, and dirs beside them.
func MachineRoots(dirs ...string) []string {
	return append([]string{"/usr/bin", "/usr/lib", "/usr/share", "/usr/include"}, dirs...)
}

func listFiles(roots []string) []string {
	type entry struct {
		hash uint64
		path string
	}
	var all []entry
	for _, root := range roots {
		// What cannot be read is not content.
		_ = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.Type().IsRegular() {
				all = append(all, entry{xxhash.Sum64String(path), path})
			}
			return nil
		})
	}
	slices.SortFunc(all, func(a, b entry) int { return cmp.Compare(a.hash, b.hash) })
	paths := make([]string, len(all))
	for i, e := range all {
		paths[i] = e.path
	}
	return paths
}

func readPart(path string, buf []byte) []byte {
	f, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer f.Close()
	n, err := io.ReadFull(f, buf)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return nil
	}
	return buf[:n]
}

// part is where the content of a file belongs and how much of it is wanted, nil
// for none.
func (f *Files) part(data []byte, want FilesSizes) (*[]byte, int) {
	switch {
	case len(data) < 1024:
		return nil, 0
	case bytes.HasPrefix(data, []byte("\x7fELF")):
		return &f.Code, max(want.Code, len(f.Code))
	case isPacked(data):
		return &f.Packed, max(want.Packed, len(f.Packed))
	case bytes.IndexByte(data, 0) < 0:
		return &f.Text, max(want.Text, len(f.Text))
	}
	return nil, 0
}

func isPacked(data []byte) bool {
	for _, magic := range []string{"\x1f\x8b", "\xfd7zXZ\x00", "\x28\xb5\x2f\xfd", "\x89PNG", "PK\x03\x04", "\xff\xd8\xff", "BZh"} {
		if bytes.HasPrefix(data, []byte(magic)) {
			return true
		}
	}
	return false
}

// logLines is size bytes of what services of a small company log.
func logLines(size int) []byte {
	rng := splitmix(20261121)
	var b bytes.Buffer
	for at := int64(0); b.Len() < size; at += int64(rng.below(1 << 21)) {
		second, micro := at/1_000_000, at%1_000_000
		fmt.Fprintf(&b, "2026-11-%02dT%02d:%02d:%02d.%06d+01:00 srv%02d ", 1+second/86400%30, second/3600%24, second/60%60, second%60, micro, 1+rng.below(4))
		client := fmt.Sprintf("10.%d.%d.%d", rng.below(4), rng.below(16), rng.below(250))
		switch rng.below(8) {
		case 0:
			fmt.Fprintf(&b, "sshd[%d]: Accepted publickey for deploy from %s port %d ssh2: ED25519 SHA256:%016x%08x\n", rng.below(32768), client, 32768+rng.below(28000), rng.next(), uint32(rng.next()))
		case 1:
			fmt.Fprintf(&b, "CRON[%d]: (root) CMD (/usr/lib/app/rotate --keep %d)\n", rng.below(32768), rng.below(30))
		case 2:
			fmt.Fprintf(&b, "postgres[%d]: [%d-1] LOG:  duration: %d.%03d ms  statement: SELECT id, name, price FROM items WHERE customer = %d ORDER BY created DESC LIMIT 50\n", 700+rng.below(40), rng.below(9000), rng.below(400), rng.below(1000), rng.below(1<<20))
		case 3:
			fmt.Fprintf(&b, "kernel: [%d.%06d] IN=eth0 OUT= SRC=%s DST=10.0.0.4 LEN=%d TTL=64 ID=%d PROTO=TCP SPT=%d DPT=443 SYN\n", second, micro, client, 40+rng.below(1400), rng.below(65536), 1024+rng.below(64000))
		default:
			fmt.Fprintf(&b, "nginx[%d]: %s \"GET /api/v1/orders/%d?page=%d HTTP/1.1\" %d %d 0.%03d \"Mozilla/5.0 (X11; Linux x86_64; rv:140.0)\"\n", 1100+rng.below(8), client, rng.below(1<<20), rng.below(40), []int{200, 200, 200, 304, 404, 500}[rng.below(6)], rng.below(1<<16), rng.below(1000))
		}
	}
	return b.Bytes()[:size]
}

// parts are the files of FilesDir.
func (f *Files) parts() map[string]*[]byte {
	return map[string]*[]byte{"text": &f.Text, "code": &f.Code, "log": &f.Log}
}

// ReadFiles reads from an initramfs what BuildInitramfs put there.
func ReadFiles(initrd string) (Files, error) {
	var files Files
	in, err := os.Open(initrd)
	if err != nil {
		return files, fmt.Errorf("files of the guest: %w", err)
	}
	defer in.Close()
	found := 0
	for r := cpio.NewReader(in); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return files, fmt.Errorf("files of the guest: %s: %w", initrd, err)
		}
		dir, name := filepath.Split(h.Name)
		part := files.parts()[name]
		if filepath.Clean(dir) != FilesDir || part == nil {
			continue
		}
		if *part, err = io.ReadAll(r); err != nil {
			return files, fmt.Errorf("files of the guest: %s: %w", initrd, err)
		}
		found++
	}
	if found != len(files.parts()) {
		return files, fmt.Errorf("files of the guest: %s has %d of %d parts", initrd, found, len(files.parts()))
	}
	return files, nil
}
