package repotest

import (
	"go/ast"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const maxLines = 500

func TestFilesFitInAHead(t *testing.T) {
	for _, f := range load(t).files {
		if f.lines > maxLines && !f.generated {
			t.Errorf("%s has %d lines; above %d a file holds more than one subject: split it by subject", f.path, f.lines, maxLines)
		}
	}
}

// The words are put together here so that this file does not contain them.
var unfinished = regexp.MustCompile(`\b(TO` + `DO|FIX` + `ME|X` + `XX)\b|(?i:not imple` + `mented|unimple` + `mented)`)

func TestNothingIsUnfinishedByItsOwnWord(t *testing.T) {
	texts := load(t).texts
	for _, name := range slices.Sorted(maps.Keys(texts)) {
		for i, line := range strings.Split(texts[name], "\n") {
			if m := unfinished.FindString(line); m != "" && path.Base(name) != "go.sum" {
				t.Errorf("%s:%d: %q: finish it, or open an issue", name, i+1, m)
			}
		}
	}
}

// forbiddenCalls are calls that tests must not make, and why.
var forbiddenCalls = map[string]string{
	"time.Sleep": "it is either too short on a slow machine or too long everywhere: poll with a deadline",
	"t.Skip":     "a skipped test is a test that nobody misses: lab tests use the lab's Require",
	"t.Skipf":    "a skipped test is a test that nobody misses: lab tests use the lab's Require",
	"t.SkipNow":  "a skipped test is a test that nobody misses: lab tests use the lab's Require",
	"b.Skip":     "a benchmark that does not run measures nothing",
}

// failsInTheLab reports whether fn asks if DROVER_LAB makes its skip a failure.
func failsInTheLab(fn *ast.FuncDecl) (asks bool) {
	ast.Inspect(fn, func(n ast.Node) bool {
		if lit, ok := n.(*ast.BasicLit); ok && lit.Value == `"DROVER_LAB"` {
			asks = true
		}
		return !asks
	})
	return asks
}

func TestTestsNeitherSleepNorSkip(t *testing.T) {
	r := load(t)
	for _, f := range r.files {
		if !f.test {
			continue
		}
		ast.Inspect(f.syntax, func(n ast.Node) bool {
			if fn, ok := n.(*ast.FuncDecl); ok && failsInTheLab(fn) {
				return false
			}
			sel, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			if x, ok := sel.X.(*ast.Ident); ok {
				if reason := forbiddenCalls[x.Name+"."+sel.Sel.Name]; reason != "" {
					t.Errorf("%s: %s.%s: %s", r.fset.Position(n.Pos()), x.Name, sel.Sel.Name, reason)
				}
			}
			return true
		})
	}
}

func TestEveryPackageSaysWhatItIs(t *testing.T) {
	docs := map[string][]string{}
	for _, f := range load(t).files {
		if f.test {
			continue
		}
		if _, seen := docs[f.dir]; !seen {
			docs[f.dir] = nil
		}
		if d := f.syntax.Doc; d != nil && strings.TrimSpace(d.Text()) != "" {
			docs[f.dir] = append(docs[f.dir], f.path)
			if name := f.syntax.Name.Name; name != "main" && !strings.HasPrefix(d.Text(), "Package "+name+" ") {
				t.Errorf("%s: the package comment does not begin with \"Package %s\"", f.path, name)
			}
		}
	}
	for _, dir := range slices.Sorted(maps.Keys(docs)) {
		if len(docs[dir]) != 1 {
			t.Errorf("%s has %d package comments %v; one file says what the package is for", dir, len(docs[dir]), docs[dir])
		}
	}
}

var (
	mdLink    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	mdHeading = regexp.MustCompile(`(?m)^#+ +(.+?)\s*$`)
	mdFence   = regexp.MustCompile("(?s)```.*?```")
	notSlug   = regexp.MustCompile(`[^\p{L}\p{N}_\- ]`)
)

// anchors are the fragments that a renderer makes of a document's headings.
func anchors(text string) map[string]bool {
	out := map[string]bool{}
	for _, m := range mdHeading.FindAllStringSubmatch(text, -1) {
		out[strings.ReplaceAll(notSlug.ReplaceAllString(strings.ToLower(m[1]), ""), " ", "-")] = true
	}
	return out
}

func TestLinksInDocumentsResolve(t *testing.T) {
	r := load(t)
	for name, text := range r.texts {
		if !strings.HasSuffix(name, ".md") {
			continue
		}
		for _, m := range mdLink.FindAllStringSubmatch(mdFence.ReplaceAllString(text, ""), -1) {
			if strings.Contains(m[1], "://") || strings.HasPrefix(m[1], "mailto:") {
				continue
			}
			file, fragment, _ := strings.Cut(m[1], "#")
			target := name
			if file != "" {
				target = path.Join(path.Dir(name), file)
			}
			if _, err := os.Stat(filepath.Join(r.root, filepath.FromSlash(target))); err != nil {
				t.Errorf("%s: link %s: %s does not exist", name, m[1], target)
				continue
			}
			if fragment != "" && !anchors(r.texts[target])[fragment] {
				t.Errorf("%s: link %s: %s has no such heading", name, m[1], target)
			}
		}
	}
}

var namedDocument = regexp.MustCompile(`\b(docs|dist|lab)/[A-Za-z0-9._/-]+\.(md|json|yaml|service|txt)\b`)

// Comments and texts send readers to documents.
func TestNamedDocumentsExist(t *testing.T) {
	r := load(t)
	for name, text := range r.texts {
		for _, doc := range namedDocument.FindAllString(text, -1) {
			if _, err := os.Stat(filepath.Join(r.root, filepath.FromSlash(doc))); err != nil {
				t.Errorf("%s names %s, which does not exist", name, doc)
			}
		}
	}
}

// What is built tomorrow must be what was tested today.
func TestDependenciesArePinned(t *testing.T) {
	r := load(t)
	if regexp.MustCompile(`(?m)^\s*(replace|exclude)\b`).MatchString(r.texts["go.mod"]) {
		t.Error("go.mod replaces or excludes a module: a fresh clone or a dependent would build something else")
	}
	sums, err := os.ReadFile(filepath.Join(r.root, "go.sum"))
	if err != nil {
		t.Fatal(err)
	}
	requires := regexp.MustCompile(`(?m)^\t([^\s]+) (v[^\s]+)`).FindAllStringSubmatch(r.texts["go.mod"], -1)
	if len(requires) == 0 {
		t.Fatal("no requirement found in go.mod: the reader is broken")
	}
	for _, m := range requires {
		if !strings.Contains(string(sums), m[1]+" "+m[2]+"/go.mod h1:") {
			t.Errorf("%s %s is not in go.sum", m[1], m[2])
		}
	}
	latest := "@la" + "test"
	for name, text := range r.texts {
		if strings.Contains(text, latest) {
			t.Errorf("%s uses %s: name a version", name, latest)
		}
	}
}
