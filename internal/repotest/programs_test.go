package repotest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// startedPrograms are all that the product starts, by the package that may. A path or
// a name reaches them as one argument, after "--" or an option with "=".
var startedPrograms = map[string][]string{"internal/storage": {"qemu-img", "qemu-nbd"}}

// starters are the calls that start a program, and where its name stands in them.
var starters = map[string]int{"exec.Command": 0, "exec.CommandContext": 1}

// backStarters start programs past the rule.
var backStarters = []string{"os.StartProcess", "syscall.ForkExec", "syscall.StartProcess", "syscall.Exec", "unix.Exec", "exec.LookPath"}

// startsPrograms lists what a file of the product starts that it may not.
func startsPrograms(fset *token.FileSet, dir string, syntax *ast.File) (out []string) {
	breach := func(n ast.Node, what string) {
		out = append(out, fset.Position(n.Pos()).String()+": "+what+"; because: a program that is chosen at run time, or a shell, can be made to do what a peer writes")
	}
	called := map[ast.Expr]bool{}
	ast.Inspect(syntax, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.CallExpr:
			at, ok := starters[selector(n.Fun)]
			if !ok {
				return true
			}
			called[n.Fun] = true
			name := ""
			if lit, isLit := n.Args[at].(*ast.BasicLit); isLit {
				name, _ = strconv.Unquote(lit.Value)
			}
			if !slices.Contains(startedPrograms[dir], name) {
				breach(n, "starts "+strconv.Quote(name))
			}
		case *ast.SelectorExpr:
			name := selector(n)
			if _, ok := starters[name]; ok && !called[n] {
				breach(n, name+" as a value")
			}
			if slices.Contains(backStarters, name) {
				breach(n, name)
			}
		case *ast.CompositeLit:
			if selector(n.Type) == "exec.Cmd" {
				breach(n, "an exec.Cmd made by hand")
			}
		}
		return true
	})
	return out
}

func selector(e ast.Expr) string {
	s, ok := e.(*ast.SelectorExpr)
	if !ok {
		return ""
	}
	x, ok := s.X.(*ast.Ident)
	if !ok {
		return ""
	}
	return x.Name + "." + s.Sel.Name
}

func TestTheProductStartsFixedProgramsOnly(t *testing.T) {
	r := load(t)
	found := 0
	for _, f := range r.files {
		if _, b := isBeside(f.dir); b || f.test || strings.HasPrefix(f.path, "cmd/drover-lab/") {
			continue
		}
		for _, i := range f.syntax.Imports {
			if i.Name != nil && (i.Path.Value == `"os/exec"` || i.Path.Value == `"syscall"`) {
				t.Errorf("%s: %s under another name: the test does not see its calls", f.path, i.Path.Value)
			}
			if i.Path.Value == `"os/exec"` {
				found++
			}
		}
		for _, b := range startsPrograms(r.fset, f.dir, f.syntax) {
			t.Error(b)
		}
	}
	if found == 0 {
		t.Error("nothing starts a program: the test looks for the wrong thing")
	}
}

// The checker itself.
func TestProgramCheckerFindsEachBreach(t *testing.T) {
	for _, c := range []struct {
		code string
		ok   bool
	}{
		{`exec.CommandContext(ctx, "qemu-img", args...)`, true},
		{`exec.Command("qemu-nbd", "--", path)`, true},
		{`exec.Command("sh", "-c", "qemu-img "+path)`, false},
		{`exec.Command(name)`, false},
		{`exec.CommandContext(ctx, dir+"/qemu-img")`, false},
		{`run(exec.Command)`, false},
		{`&exec.Cmd{Path: name}`, false},
		{`syscall.ForkExec(name, nil, nil)`, false},
	} {
		fset := token.NewFileSet()
		f, err := parser.ParseFile(fset, "x.go", "package x\nvar _ = "+c.code, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		if got := startsPrograms(fset, "internal/storage", f); (len(got) == 0) != c.ok {
			t.Errorf("%s: %v", c.code, got)
		}
		if got := startsPrograms(fset, path.Join("internal", "agent"), f); len(got) == 0 {
			t.Errorf("%s is allowed everywhere", c.code)
		}
	}
}
