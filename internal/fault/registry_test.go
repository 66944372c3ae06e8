package fault

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

// constants reads the Code constants from the source, which reflection cannot list.
func constants(t *testing.T) map[string]Code {
	t.Helper()
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]Code{}
	for _, name := range files {
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			v, ok := n.(*ast.ValueSpec)
			if !ok {
				return true
			}
			if id, ok := v.Type.(*ast.Ident); !ok || id.Name != "Code" {
				return true
			}
			for i, ident := range v.Names {
				s, err := strconv.Unquote(v.Values[i].(*ast.BasicLit).Value)
				if err != nil {
					t.Fatal(err)
				}
				out[ident.Name] = Code(s)
			}
			return true
		})
	}
	return out
}

func TestEveryConstantIsRegisteredAndViceVersa(t *testing.T) {
	consts := constants(t)
	if len(consts) < 50 {
		t.Fatalf("found only %d constants: the reader of the source is broken", len(consts))
	}
	declared := map[Code]string{}
	for name, code := range consts {
		if other, dup := declared[code]; dup {
			t.Errorf("%s and %s are both %q", name, other, code)
		}
		declared[code] = name
		if _, ok := Lookup(code); !ok {
			t.Errorf("%s (%q) is not in the registry", name, code)
		}
	}
	for _, e := range All() {
		if declared[e.Code] == "" {
			t.Errorf("%q is registered and has no constant", e.Code)
		}
	}
}

var (
	codeForm    = regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*$`)
	place       = regexp.MustCompile(`\{[^}]*\}`)
	placeForm   = regexp.MustCompile(`^\{[a-z_]+\}$`)
	command     = regexp.MustCompile("`[^`]+`")
	imperative  = regexp.MustCompile(`^(add|connect|correct|free|get|list|look|map|run|set|start|stop|update|use|wait|the cause says why)\b`)
	properNames = map[string]bool{"VM": true, "VMs": true, "DNS": true}
)

func TestEntriesReadAlike(t *testing.T) {
	for _, e := range All() {
		t.Run(string(e.Code), func(t *testing.T) {
			if !codeForm.MatchString(string(e.Code)) {
				t.Error("the code is not lower-kebab-case")
			}
			for what, s := range map[string]string{"title": e.Title, "message": e.Message, "cause": e.Cause, "hint": e.Hint} {
				if strings.TrimSpace(s) != s || s == "" {
					t.Errorf("%s is empty or has blanks around it: %q", what, s)
				}
				if strings.Count(s, "`")%2 != 0 {
					t.Errorf("%s: a backtick is open: %q", what, s)
				}
				for _, p := range place.FindAllString(s, -1) {
					if !placeForm.MatchString(p) {
						t.Errorf("%s: %s is not a place to fill", what, p)
					}
				}
			}
			checkSentences(t, e)
			if e.HTTP != 0 && (e.HTTP < 400 || e.HTTP > 599) {
				t.Errorf("HTTP status %d is no error", e.HTTP)
			}
		})
	}
}

func checkSentences(t *testing.T, e Entry) {
	t.Helper()
	first, _ := utf8.DecodeRuneInString(e.Message)
	word, _, _ := strings.Cut(e.Message, " ")
	if unicode.IsUpper(first) && !properNames[word] {
		t.Errorf("the message starts with a capital and not with a name: %q", e.Message)
	}
	if strings.HasSuffix(e.Message, ".") || strings.HasSuffix(e.Hint, ".") {
		t.Error("message and hint go on in somebody else's line: no full stop")
	}
	if !strings.HasSuffix(e.Cause, ".") {
		t.Errorf("the cause is not a sentence: %q", e.Cause)
	}
	if !command.MatchString(e.Hint) && !imperative.MatchString(e.Hint) {
		t.Errorf("the hint has neither a command in backticks nor a step to take: %q", e.Hint)
	}
	if strings.Contains(e.Cause, "{") {
		t.Errorf("the cause has a place to fill, and nothing fills it: %q", e.Cause)
	}
}
