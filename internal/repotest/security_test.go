package repotest

import (
	"go/ast"
	"path"
	"regexp"
	"strings"
	"testing"
)

// namedTest is how docs/security.md names a test: `package.TestName`, perhaps with a
// subtest after a slash.
var namedTest = regexp.MustCompile("`([a-z]+)\\.((?:Test|Fuzz)[A-Z][A-Za-z0-9_]*)(?:/[^`]*)?`")

// testsByPackage are the tests and fuzz targets, by the last part of their
// package's directory.
func testsByPackage(r *repository) map[string]bool {
	found := map[string]bool{}
	for _, f := range r.files {
		if !f.test {
			continue
		}
		for _, d := range f.syntax.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && (strings.HasPrefix(fn.Name.Name, "Test") || strings.HasPrefix(fn.Name.Name, "Fuzz")) {
				found[path.Base(f.dir)+"."+fn.Name.Name] = true
			}
		}
	}
	return found
}

// A defence whose test was renamed or removed is a claim that nothing holds up.
func TestSecurityPageNamesTestsThatExist(t *testing.T) {
	r := load(t)
	text := r.texts["docs/security.md"]
	tests := testsByPackage(r)
	named := 0
	for _, m := range namedTest.FindAllStringSubmatch(text, -1) {
		named++
		if !tests[m[1]+"."+m[2]] {
			t.Errorf("docs/security.md names %s.%s, which does not exist", m[1], m[2])
		}
	}
	if named < 50 {
		t.Errorf("only %d tests found on the page: the test looks for the wrong thing", named)
	}
	rows := 0
	for i, line := range strings.Split(text, "\n") {
		cells := strings.Split(strings.Trim(line, "| "), " | ")
		if !strings.HasPrefix(line, "|") || len(cells) != 4 || cells[3] == "test" || strings.HasPrefix(line, "|--") {
			continue
		}
		if rows++; !namedTest.MatchString(cells[3]) {
			t.Errorf("docs/security.md:%d: a defence without a test: %s", i+1, line)
		}
	}
	if rows < 20 {
		t.Errorf("only %d attacks found on the page", rows)
	}
}
