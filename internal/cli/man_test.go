package cli

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/spf13/cobra/doc"
)

// The pages are made by a test and not by drover, which would otherwise carry the
// library that makes them to every host. So it is also this test that
// `go generate ./internal/cli` calls.
//
//go:generate go test -run TestHelpTextsAsManPages -update .
//go:generate go test -run TestHelpTextsAsManPages ../../cmd/droverd -update

// TestHelpTextsAsManPages is called like TestHelpTexts, so that -run TestHelpTexts
// renews both.
func TestHelpTextsAsManPages(t *testing.T) {
	root := newRoot(newProgram(nil, nil, nil))
	root.InitDefaultCompletionCmd()
	root.DisableAutoGenTag = true
	dir := t.TempDir()
	// One date for all and for good: pages change when the texts do.
	date := time.Date(2026, time.November, 1, 0, 0, 0, 0, time.UTC)
	if err := doc.GenManTree(root, &doc.GenManHeader{Section: "1", Date: &date, Source: "Drover", Manual: "Drover"}, dir); err != nil {
		t.Fatal(err)
	}
	made, err := filepath.Glob(dir + "/*.1")
	if err != nil || len(made) == 0 {
		t.Fatalf("no pages: %v", err)
	}
	const pages = "../../docs/man"
	current := map[string]bool{}
	for _, file := range made {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		current[filepath.Base(file)] = true
		golden(t, filepath.Join(pages, filepath.Base(file)), string(text))
	}
	there, err := filepath.Glob(pages + "/*.1")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range there {
		if current[filepath.Base(file)] {
			continue
		}
		if !*update {
			t.Errorf("%s is the page of no verb", file)
		} else if err := os.Remove(file); err != nil {
			t.Error(err)
		}
	}
}
