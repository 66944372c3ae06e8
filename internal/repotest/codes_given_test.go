package repotest

import (
	"go/ast"
	"maps"
	"slices"
	"testing"
)

// A code that nothing gives is a promise in the documentation that is not kept.
func TestEveryCodeIsGivenSomewhere(t *testing.T) {
	r := load(t)
	unused := codeConstants(r)
	for _, f := range r.files {
		if f.test || f.dir == faultDir {
			continue
		}
		ast.Inspect(f.syntax, func(n ast.Node) bool {
			if e, ok := n.(ast.Expr); ok {
				delete(unused, faultName(e))
			}
			return true
		})
	}
	delete(unused, "Internal") // fault.From gives it to what has no code
	delete(unused, "Cancelled")
	delete(unused, "Deadline")
	for _, name := range slices.Sorted(maps.Keys(unused)) {
		t.Errorf("fault.%s (%q) is in the registry and no code gives it", name, unused[name])
	}
}
