package cli

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"drover/internal/doctor"
	"drover/internal/finding"
)

// A page replaces what was there, whole and readable by its owner alone.
func TestPageTakesThePlaceOfAnOldOne(t *testing.T) {
	dir := t.TempDir()
	other, link := filepath.Join(dir, "other"), filepath.Join(dir, "link.html")
	if err := os.WriteFile(other, []byte("old"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(other, link); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{link, other} {
		var out, errs bytes.Buffer
		p, _ := examined(&out, &errs, someReport())
		if status := p.run(t.Context(), []string{"doctor", "HV01", "--report", path}); status != finding.Error.ExitStatus() {
			t.Errorf("%s: status %d, %s", path, status, errs.String())
		}
		raw, err := os.ReadFile(path)
		info, lerr := os.Lstat(path)
		if err != nil || lerr != nil || !strings.HasSuffix(strings.TrimSpace(string(raw)), "</html>") || info.Mode() != 0o600 {
			t.Errorf("%s: %v %v, %v", path, err, lerr, info)
		}
		if path == link {
			if raw, _ := os.ReadFile(other); string(raw) != "old" {
				t.Errorf("the link was followed")
			}
		}
	}
	if left, _ := os.ReadDir(dir); len(left) != 2 {
		t.Errorf("left over: %v", left)
	}
}

func TestPageThatCannotBeWritten(t *testing.T) {
	dir := t.TempDir()
	var out, errs bytes.Buffer
	// Known before: nothing is looked at.
	for _, path := range []string{dir, filepath.Join(dir, "none", "page.html")} {
		p, asked := examined(&out, &errs, someReport())
		if status := p.run(t.Context(), []string{"doctor", "HV01", "--report", path}); status != 2 || len(*asked) > 0 || out.Len() > 0 {
			t.Errorf("%s: status %d, looked %d times", path, status, len(*asked))
		}
	}
	// Known after: the result is there all the same, and nothing is left over.
	p, _ := examined(&out, &errs, someReport())
	gone := filepath.Join(dir, "gone")
	if err := os.Mkdir(gone, 0o700); err != nil {
		t.Fatal(err)
	}
	p.examine = func(context.Context, directoryFlags, doctor.Question) (doctor.Report, error) {
		return someReport(), os.RemoveAll(gone)
	}
	if status := p.run(t.Context(), []string{"doctor", "HV01", "--report", filepath.Join(gone, "page.html")}); status != 2 || !strings.Contains(out.String(), "HV01 may not act for operators") || !strings.Contains(errs.String(), "cannot be written") {
		t.Errorf("status %d\n%s\n%s", status, out.String(), errs.String())
	}
	// Nor is anything when nothing was found out.
	p.examine = func(context.Context, directoryFlags, doctor.Question) (doctor.Report, error) {
		return doctor.Report{}, context.Canceled
	}
	_ = p.run(t.Context(), []string{"doctor", "HV01", "--report", filepath.Join(dir, "page.html")})
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Errorf("left over: %v", left)
	}
}

func TestPageToADevice(t *testing.T) {
	var out, errs bytes.Buffer
	p, _ := examined(&out, &errs, someReport())
	if status := p.run(t.Context(), []string{"doctor", "HV01", "--report", os.DevNull}); status != finding.Error.ExitStatus() {
		t.Errorf("status %d, %s", status, errs.String())
	}
	if info, err := os.Stat(os.DevNull); err != nil || info.Mode().IsRegular() {
		t.Errorf("%v, %v", info, err)
	}
}
