package cli

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
)

var update = flag.Bool("update", false, "write golden files and docs/errors.md anew")

// golden compares got with a file, or writes the file with -update.
func golden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s is stale; if the change is right: go test ./internal/cli -update\n%s", path, diff)
	}
}

// verbs are all commands of the tree, by their path.
func verbs() []*cobra.Command {
	var all []*cobra.Command
	var walk func(c *cobra.Command)
	walk = func(c *cobra.Command) {
		all = append(all, c)
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	walk(newRoot(newProgram(nil, &bytes.Buffer{}, &bytes.Buffer{})))
	return all
}

func TestHelpTexts(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range verbs() {
		name := strings.ReplaceAll(c.CommandPath(), " ", "-")
		seen[name+".golden"] = true
		t.Run(name, func(t *testing.T) {
			if c.Short == "" {
				t.Error("no short text")
			}
			var out, errs bytes.Buffer
			args := append(strings.Fields(c.CommandPath())[1:], "--help")
			if status := Run(t.Context(), args, nil, &out, &errs); status != 0 || errs.Len() > 0 {
				t.Fatalf("status %d, stderr %q", status, errs.String())
			}
			golden(t, filepath.Join("testdata", "help", name+".golden"), out.String())
		})
	}
	files, err := filepath.Glob("testdata/help/*.golden")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if !seen[filepath.Base(f)] {
			t.Errorf("%s is the help of no command", f)
		}
	}
}

func TestErrorsPageIsMadeFromTheRegistry(t *testing.T) {
	var b bytes.Buffer
	if err := writeErrorsMD(&b); err != nil {
		t.Fatal(err)
	}
	golden(t, "../../docs/errors.md", b.String())
}
