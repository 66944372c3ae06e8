package main

import (
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/spf13/cobra/doc"
)

var update = flag.Bool("update", false, "write the man pages anew")

// See internal/cli/man_test.go, which has the pages of drover.
func TestHelpTextsAsManPages(t *testing.T) {
	root := newCommand()
	root.DisableAutoGenTag = true
	dir := t.TempDir()
	date := time.Date(2026, time.November, 1, 0, 0, 0, 0, time.UTC)
	if err := doc.GenManTree(root, &doc.GenManHeader{Section: "8", Date: &date, Source: "Drover", Manual: "Drover"}, dir); err != nil {
		t.Fatal(err)
	}
	made, err := filepath.Glob(dir + "/*.8")
	if err != nil || len(made) == 0 {
		t.Fatalf("no pages: %v", err)
	}
	for _, file := range made {
		got, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		page := filepath.Join("../../docs/man", filepath.Base(file))
		if *update {
			if err := os.WriteFile(page, got, 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if want, err := os.ReadFile(page); err != nil || string(want) != string(got) {
			t.Errorf("%s is stale (%v); if the change is right: go generate ./internal/cli", page, err)
		}
	}
}
