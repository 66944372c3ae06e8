package repotest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// module is the module's path, the first part of every import of our own.
const module = "drover"

// goFile is one parsed Go file of the repository.
type goFile struct {
	path      string // slash-separated, below the root
	dir       string // its package: "internal/move", "." for the root
	test      bool
	generated bool
	lines     int
	imports   []string
	syntax    *ast.File
}

// repository is the work tree as the tests see it.
type repository struct {
	root  string
	fset  *token.FileSet
	files []goFile
	texts map[string]string // every text file that a person edits, Go included
}

// skipDirs are not ours to judge: history, build output, and inputs of tests.
var skipDirs = map[string]bool{".git": true, "build": true, "testdata": true, "vendor": true}

var generatedMark = regexp.MustCompile(`(?m)^// Code generated .* DO NOT EDIT\.$`)

// load reads the repository that holds this package.
func load(t *testing.T) *repository {
	t.Helper()
	r := &repository{root: findRoot(t), fset: token.NewFileSet(), texts: map[string]string{}}
	err := filepath.WalkDir(r.root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(r.root, p)
		if err != nil {
			return err
		}
		if d.IsDir() {
			if skipDirs[d.Name()] {
				return fs.SkipDir
			}
			return nil
		}
		return r.add(filepath.ToSlash(rel), p)
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(r.files) == 0 {
		t.Fatalf("no Go file found under %s: the tests would pass on nothing", r.root)
	}
	return r
}

func findRoot(t *testing.T) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for ; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		if dir == filepath.Dir(dir) {
			t.Fatal("no go.mod above this package")
		}
	}
}

var textName = regexp.MustCompile(`(\.(go|md|sh|yaml|yml|service|conf|py|mod|json|txt|mk)|(^|/)(Makefile|run))$`)

func (r *repository) add(rel, abs string) error {
	if !textName.MatchString(rel) {
		return nil
	}
	b, err := os.ReadFile(abs)
	if err != nil {
		return err
	}
	r.texts[rel] = string(b)
	if !strings.HasSuffix(rel, ".go") {
		return nil
	}
	syntax, err := parser.ParseFile(r.fset, rel, b, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	f := goFile{path: rel, dir: path.Dir(rel), test: strings.HasSuffix(rel, "_test.go"),
		generated: generatedMark.Match(b), lines: strings.Count(string(b), "\n"), syntax: syntax}
	for _, i := range syntax.Imports {
		p, err := strconv.Unquote(i.Path.Value)
		if err != nil {
			return err
		}
		f.imports = append(f.imports, p)
	}
	r.files = append(r.files, f)
	return nil
}
