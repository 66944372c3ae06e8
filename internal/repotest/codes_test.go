package repotest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"drover/internal/fault"
)

const faultDir = "internal/fault"

// codeConstants gives the names of the Code constants with their codes, from
// the source.
func codeConstants(r *repository) map[string]fault.Code {
	out := map[string]fault.Code{}
	for _, f := range r.files {
		if f.dir != faultDir || f.test {
			continue
		}
		ast.Inspect(f.syntax, func(n ast.Node) bool {
			v, ok := n.(*ast.ValueSpec)
			if !ok {
				return true
			}
			if id, ok := v.Type.(*ast.Ident); !ok || id.Name != "Code" || len(v.Values) != len(v.Names) {
				return true
			}
			for i, name := range v.Names {
				if lit, ok := v.Values[i].(*ast.BasicLit); ok {
					s, _ := strconv.Unquote(lit.Value)
					out[name.Name] = fault.Code(s)
				}
			}
			return true
		})
	}
	return out
}

// faultName gives X of an expression fault.X, "" for anything else.
func faultName(e ast.Expr) string {
	sel, ok := e.(*ast.SelectorExpr)
	if !ok {
		return ""
	}
	if x, ok := sel.X.(*ast.Ident); !ok || x.Name != "fault" {
		return ""
	}
	return sel.Sel.Name
}

var place = regexp.MustCompile(`\{([a-z_]+)\}`)

// places are the {name}s of message and hint, without those that are optional:
// {host} is a field of its own.
func places(e fault.Entry) map[string]bool {
	out := map[string]bool{}
	for _, m := range place.FindAllStringSubmatch(e.Message+e.Hint, -1) {
		out[m[1]] = true
	}
	delete(out, "host")
	return out
}

// callProblems checks the calls of fault.New and fault.Wrap in f: the arguments
// must fill every place of the code's message and hint, and no others. Calls
// whose code or names are not literal cannot be checked and are left alone.
func callProblems(fset *token.FileSet, f *ast.File, codes map[string]fault.Code) (out []string) {
	ast.Inspect(f, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok || call.Ellipsis.IsValid() {
			return true
		}
		args := call.Args
		switch faultName(call.Fun) {
		case "New":
		case "Wrap":
			if len(args) == 0 {
				return true
			}
			args = args[1:]
		default:
			return true
		}
		if len(args) < 2 {
			return true
		}
		code, ok := codes[faultName(args[0])]
		if !ok {
			return true
		}
		entry, _ := fault.Lookup(code)
		if p := argumentProblem(entry, args[2:]); p != "" {
			out = append(out, fset.Position(call.Pos()).String()+": "+string(code)+": "+p)
		}
		return true
	})
	return out
}

func argumentProblem(entry fault.Entry, kv []ast.Expr) string {
	if len(kv)%2 != 0 {
		return "an odd number of arguments"
	}
	missing := places(entry)
	want := maps.Clone(missing)
	for i := 0; i < len(kv); i += 2 {
		lit, ok := kv[i].(*ast.BasicLit)
		if !ok || lit.Kind != token.STRING {
			return ""
		}
		name, _ := strconv.Unquote(lit.Value)
		if !want[name] && !strings.Contains(entry.Message+entry.Hint, "{"+name+"}") {
			return "argument " + strconv.Quote(name) + " appears in neither message nor hint"
		}
		delete(missing, name)
	}
	if len(missing) > 0 {
		return "nothing fills " + strings.Join(slices.Sorted(maps.Keys(missing)), ", ")
	}
	return ""
}

// An operator who reads "{principal}" in a hint has been let down.
func TestEveryFaultFillsItsMessageAndHint(t *testing.T) {
	r := load(t)
	codes := codeConstants(r)
	for _, f := range r.files {
		if f.test || f.dir == faultDir {
			continue
		}
		for _, p := range callProblems(r.fset, f.syntax, codes) {
			t.Error(p)
		}
	}
}

func TestCallCheckerFindsEachMistake(t *testing.T) {
	codes := map[string]fault.Code{"VMMoving": fault.VMMoving}
	for _, tc := range []struct{ call, want string }{
		{`fault.New(fault.VMMoving, h, "vm", vm, "move", id)`, ""},
		{`fault.Wrap(err, fault.VMMoving, h, "vm", vm, "move", id)`, ""},
		{`fault.New(fault.VMMoving, h, "vm", vm)`, "nothing fills move"},
		{`fault.Wrap(err, fault.VMMoving, h, "vm", vm)`, "nothing fills move"},
		{`fault.New(fault.VMMoving, h, "vm", vm, "move", id, "vn", vm)`, `argument "vn"`},
		{`fault.New(fault.VMMoving, h, "vm")`, "odd number"},
		{`fault.New(fault.VMMoving, h, args...)`, ""},
		{`fault.New(code, h, "vm", vm)`, ""},
	} {
		fset := token.NewFileSet()
		f, err := parser.ParseFile(fset, "x.go", "package x\nvar _ = "+tc.call, 0)
		if err != nil {
			t.Fatal(err)
		}
		got := strings.Join(callProblems(fset, f, codes), "\n")
		if tc.want == "" && got != "" || !strings.Contains(got, tc.want) {
			t.Errorf("%s: got %q, want %q", tc.call, got, tc.want)
		}
	}
}
