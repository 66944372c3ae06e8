package repotest

import (
	"go/ast"
	"path"
	"testing"
)

// productCalls are selectors that the product must not use, and why.
var productCalls = map[string]string{
	"slog.Default": "loggers are passed in, so that a line has the move it belongs to",
	"slog.Debug":   "loggers are passed in, so that a line has the move it belongs to",
	"slog.Info":    "loggers are passed in, so that a line has the move it belongs to",
	"slog.Warn":    "loggers are passed in, so that a line has the move it belongs to",
	"slog.Error":   "loggers are passed in, so that a line has the move it belongs to",
	"log.Print":    "loggers are passed in, so that a line has the move it belongs to",
	"log.Printf":   "loggers are passed in, so that a line has the move it belongs to",
	"log.Fatal":    "nothing but main ends a process: deferred undoing would not run",
	"log.Fatalf":   "nothing but main ends a process: deferred undoing would not run",
	"os.Exit":      "nothing but main ends a process: deferred undoing would not run",
}

func TestProductUsesNoBackDoors(t *testing.T) {
	r := load(t)
	for _, f := range r.files {
		if _, b := isBeside(f.dir); b || f.test {
			continue
		}
		isMain := f.syntax.Name.Name == "main" && path.Base(f.path) == "main.go"
		ast.Inspect(f.syntax, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.SelectorExpr:
				x, ok := n.X.(*ast.Ident)
				if !ok {
					return true
				}
				name := x.Name + "." + n.Sel.Name
				if reason := productCalls[name]; reason != "" && !(isMain && name == "os.Exit") {
					t.Errorf("%s: %s: %s", r.fset.Position(n.Pos()), name, reason)
				}
			case *ast.TypeAssertExpr:
				if x, ok := n.X.(*ast.Ident); ok && x.Name == "err" {
					t.Errorf("%s: a type assertion on an error: a wrapped error would not be recognised; use errors.As", r.fset.Position(n.Pos()))
				}
			}
			return true
		})
	}
}
