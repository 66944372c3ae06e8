package storage

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"drover/internal/fault"
)

// A link that is planted between check and use leads nothing of a move elsewhere:
// each case is a use, after the directory of the image, which was checked, became a
// link to somewhere else with a file of the same name.
func TestLinksThatArePlantedLeadNowhere(t *testing.T) {
	ctx, f := testContext(t), Files{Host: "HV02"}
	create := func(path string) (func() error, error) { return f.Create(ctx, path, Raw, 1<<20, "APP01") }
	for name, use := range map[string]struct {
		there bool // the file was made before the link came
		do    func(path string, undo func() error) error
	}{
		"create raw": {false, func(path string, _ func() error) error { _, err := create(path + "2"); return err }},
		"create qcow2": {false, func(path string, _ func() error) error {
			_, err := f.Create(ctx, path+"2", QCOW2, 1<<20, "APP01")
			return err
		}},
		"create in a directory to be made": {false, func(path string, _ func() error) error {
			_, err := create(filepath.Join(filepath.Dir(path), "new", "d.img"))
			return err
		}},
		"write variables": {false, func(path string, _ func() error) error {
			_, err := f.WriteNew(path+"2", []byte("x"), "APP01")
			return err
		}},
		"discard": {true, func(path string, _ func() error) error { return f.Discard(path) }},
		"undo":    {true, func(_ string, undo func() error) error { _ = undo(); return errLink }},
		"serve": {true, func(path string, _ func() error) error {
			s, err := f.ServeImage(ctx, path, Raw, filepath.Join(t.TempDir(), "s"))
			if err == nil {
				err = s.Close()
			}
			return err
		}},
	} {
		for _, level := range []string{"dir", "dir/deep"} {
			t.Run(name+" below "+level, func(t *testing.T) {
				base, err := filepath.EvalSymlinks(t.TempDir())
				must(t, err)
				root, elsewhere := filepath.Join(base, "root"), filepath.Join(base, "etc")
				dir := filepath.Join(root, "dir/deep")
				path := filepath.Join(dir, "d.img")
				other := filepath.Join(elsewhere, strings.TrimPrefix(path, filepath.Join(root, level)))
				must(t, os.MkdirAll(filepath.Dir(other), 0o755))
				must(t, os.WriteFile(other, []byte("another's"), 0o600))
				must(t, os.MkdirAll(dir, 0o755))
				var undo func() error
				if use.there {
					undo, err = create(path)
					must(t, err)
				}
				must(t, os.Rename(filepath.Join(root, level), filepath.Join(root, "aside")))
				must(t, os.Symlink(elsewhere, filepath.Join(root, level)))
				err = use.do(path, undo)
				if err != errLink && (!fault.Is(err, fault.StorageFailed) || !strings.Contains(err.Error(), errLink.Error())) {
					t.Errorf("got %v", err)
				}
				if b, err := os.ReadFile(other); err != nil || string(b) != "another's" {
					t.Errorf("the file elsewhere: %q, %v", b, err)
				}
				left, err := os.ReadDir(filepath.Dir(other))
				if err != nil || len(left) != 1 {
					t.Errorf("elsewhere are %v, %v", left, err)
				}
			})
		}
	}
}

func TestDiscardTakesWhatIsThere(t *testing.T) {
	f, dir := Files{Host: "HV02"}, t.TempDir()
	path := filepath.Join(dir, "d.img")
	must(t, os.WriteFile(path, nil, 0o600))
	must(t, f.Discard(path))
	must(t, f.Discard(path))
	must(t, f.Discard(filepath.Join(dir, "no/such/d.img")))
	must(t, os.Symlink("/dev/null", path))
	for _, bad := range []string{path, dir, "relative", dir + "/../x", "/"} {
		if err := f.Discard(bad); !fault.Is(err, fault.StorageFailed) {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

func FuzzResolve(f *testing.F) {
	for _, s := range []string{"a/x.qcow2", "../etc/passwd", "out/f", "a/../../x", "/etc/shadow", "in/./x", "\x00", "a//b", strings.Repeat("a/", 3000), "\u202ex"} {
		f.Add(s)
	}
	base, err := filepath.EvalSymlinks(f.TempDir())
	if err != nil {
		f.Fatal(err)
	}
	root, outside := filepath.Join(base, "vm"), filepath.Join(base, "secret")
	for _, dir := range []string{filepath.Join(root, "a"), outside} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			f.Fatal(err)
		}
	}
	for link, to := range map[string]string{"out": outside, "in": filepath.Join(root, "a"), "up": ".."} {
		if err := os.Symlink(to, filepath.Join(root, link)); err != nil {
			f.Fatal(err)
		}
	}
	r, err := NewRoots("HV02", []string{root})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, name string) {
		for _, path := range []string{name, root + "/" + name} {
			got, err := r.Resolve(path)
			if err != nil {
				continue
			}
			if !strings.HasPrefix(got, root+"/") || filepath.Clean(got) != got {
				t.Fatalf("%q became %q", path, got)
			}
			if again, err := r.Resolve(got); err != nil || again != got {
				t.Fatalf("%q became %q, then %q, %v", path, got, again, err)
			}
			if p, err := reach(got, false); err == nil {
				p.close()
			} else if strings.Contains(err.Error(), errLink.Error()) {
				t.Fatalf("%q became %q, which leads over a link", path, got)
			}
		}
	})
}
