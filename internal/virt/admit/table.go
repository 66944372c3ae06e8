package admit

import (
	_ "embed"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
)

//go:embed domain.table
var domainTable string

//go:embed cookie.table
var cookieTable string

var (
	domainRules = mustTable("domain.table", domainTable)
	cookieRules = mustTable("cookie.table", cookieTable)
)

// kinds are the @names of the tables. Every value passes printable as well.
var kinds = map[string]func(string) bool{
	"@uint":     pattern(`[0-9]{1,19}`),
	"@int":      pattern(`-?[0-9]{1,19}`),
	"@num":      pattern(`0[xX][0-9a-fA-F]{1,16}|[0-9]{1,19}`),
	"@ports":    pattern(`(0[xX][0-9a-fA-F]{1,4}|[0-9]{1,5})(\.[0-9]{1,3}){0,7}`),
	"@uuid":     pattern(`[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}`),
	"@mac":      pattern(`([0-9a-fA-F]{2}:){5}[0-9a-fA-F]{2}`),
	"@cpuset":   pattern(`[0-9,^-]{1,1000}`),
	"@token":    pattern(`[A-Za-z0-9_.:+-]{1,128}`),
	"@timezone": pattern(`[A-Za-z0-9_+-]{1,40}(/[A-Za-z0-9_+-]{1,40}){0,2}`),
	"@ifname":   pattern(`[A-Za-z0-9_][A-Za-z0-9_.:-]{0,14}`),
	"@netname":  pattern(`[A-Za-z0-9_][A-Za-z0-9_.:@+-]{0,127}`),
	"@rng":      pattern(`|/dev/urandom|/dev/random`),
	"@text":     func(s string) bool { return len(s) <= 8192 },
	"@name":     validName,
	"@path":     validPath,
	"@optpath":  func(s string) bool { return s == "" || validPath(s) },
}

func pattern(p string) func(string) bool {
	return regexp.MustCompile(`^(?:` + p + `)$`).MatchString
}

// validName is a VM's name, which also becomes a file's name on this host.
func validName(s string) bool {
	return s != "" && len(s) <= 128 && !strings.ContainsAny(s, "/\\\n\t") && !strings.HasPrefix(s, ".") &&
		!strings.HasPrefix(s, "-") && strings.TrimSpace(s) == s
}

// validPath is absolute and already clean, so that no later cleaning changes
// what was compared with the roots.
func validPath(s string) bool {
	return len(s) <= 4096 && strings.HasPrefix(s, "/") && path.Clean(s) == s && !strings.ContainsAny(s, "\n\t")
}

// printable refuses control characters, which have no place in any value.
func printable(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return (r < ' ' && r != '\n' && r != '\t') || r == 0x7f })
}

// rule is one line of a table.
type rule struct {
	drop    bool
	text    func(string) bool // nil: no text
	attrs   map[string]func(string) bool
	dropped []string // attributes
}

func mustTable(name, table string) map[string]*rule {
	rules := make(map[string]*rule)
	for i, line := range strings.Split(table, "\n") {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		f := strings.Fields(line)
		r, err := parseRule(f)
		if _, twice := rules[f[0]]; twice && err == nil {
			err = fmt.Errorf("%s stands twice", f[0])
		}
		if err != nil {
			panic(fmt.Sprintf("admit: %s:%d: %v", name, i+1, err))
		}
		rules[f[0]] = r
	}
	return rules
}

func parseRule(f []string) (*rule, error) {
	if len(f) < 2 {
		return nil, fmt.Errorf("a line needs a path and a text kind")
	}
	r := &rule{attrs: make(map[string]func(string) bool)}
	switch f[1] {
	case "drop":
		r.drop = true
	case "-":
	default:
		k, err := kindOf(f[1])
		if err != nil {
			return nil, err
		}
		r.text = k
	}
	for _, a := range f[2:] {
		if d, ok := strings.CutPrefix(a, "-"); ok {
			r.dropped = append(r.dropped, d)
			continue
		}
		name, kind, ok := strings.Cut(a, "=")
		if !ok {
			return nil, fmt.Errorf("attribute %q has no kind", a)
		}
		k, err := kindOf(kind)
		if err != nil {
			return nil, err
		}
		r.attrs[name] = k
	}
	return r, nil
}

func kindOf(s string) (func(string) bool, error) {
	if strings.HasPrefix(s, "@") {
		k, ok := kinds[s]
		if !ok {
			return nil, fmt.Errorf("unknown kind %s", s)
		}
		return k, nil
	}
	values := strings.Split(s, "|")
	return func(v string) bool { return slices.Contains(values, v) }, nil
}

// find gives the rule for an element below the path of its parent. "*" stands
// for one element: of any parent, or as any child.
func find(rules map[string]*rule, at string) *rule {
	if r := rules[at]; r != nil {
		return r
	}
	dir, base := path.Split(at)
	dir = strings.TrimSuffix(dir, "/")
	if r := rules[dir+"/*"]; r != nil {
		return r
	}
	up, _ := path.Split(dir)
	return rules[up+"*/"+base]
}

// refused is an element, attribute or value that is not in the table.
type refused struct{ what string }

func (e *refused) Error() string { return e.what }

// check walks the tree along the table and removes what the table drops,
// adding its paths to *dropped.
func check(rules map[string]*rule, n *node, at string, dropped *[]string) error {
	r := find(rules, at)
	if r == nil {
		return &refused{"<" + at + ">"}
	}
	if err := checkAttrs(r, n, at); err != nil {
		return err
	}
	if err := checkText(r, n, at); err != nil {
		return err
	}
	kept := n.kids[:0]
	for _, k := range n.kids {
		below := at + "/" + k.name
		if kr := find(rules, below); kr != nil && kr.drop {
			*dropped = append(*dropped, below)
			continue
		}
		if err := check(rules, k, below, dropped); err != nil {
			return err
		}
		kept = append(kept, k)
	}
	n.kids = kept
	return nil
}

func checkAttrs(r *rule, n *node, at string) error {
	for _, d := range r.dropped {
		n.unset(d)
	}
	for _, a := range n.attrs {
		k, ok := r.attrs[a.name]
		if !ok {
			return &refused{fmt.Sprintf("attribute %s of <%s>", a.name, at)}
		}
		if !k(a.value) || !printable(a.value) {
			return &refused{fmt.Sprintf("%s=%q of <%s>", a.name, shorten(a.value), at)}
		}
	}
	return nil
}

func checkText(r *rule, n *node, at string) error {
	if len(n.kids) > 0 {
		n.text = ""
		return nil
	}
	if r.text == nil {
		if strings.TrimSpace(n.text) != "" {
			return &refused{fmt.Sprintf("text in <%s>", at)}
		}
		n.text = ""
		return nil
	}
	if !r.text(n.text) || !printable(n.text) {
		return &refused{fmt.Sprintf("%q in <%s>", shorten(n.text), at)}
	}
	return nil
}

func shorten(s string) string {
	if len(s) > 80 {
		return strings.ToValidUTF8(s[:80], "") + "..."
	}
	return s
}
