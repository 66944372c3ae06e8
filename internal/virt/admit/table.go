package admit

import (
	_ "embed"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"drover/internal/wire"
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
	"@name":     wire.ValidName,
	"@count":    below(1024),
	"@small":    below(1 << 20),
	"@pool":     pattern(`-1|[0-9]{1,4}`),
	"@addr":     pattern(`0[xX]0{0,6}[0-3]?[0-9a-fA-F]{1,2}|[0-9]{1,3}`),
	"@path":     validPath,
	"@optpath":  func(s string) bool { return s == "" || validPath(s) },
}

func pattern(p string) func(string) bool {
	return regexp.MustCompile(`^(?:` + p + `)$`).MatchString
}

// below is a number that the host makes so many of, or so much of, whatever the guest
// needs.
func below(most int) func(string) bool {
	return func(s string) bool {
		n, err := strconv.ParseUint(s, 10, 31)
		return err == nil && n <= uint64(most)
	}
}

// validPath is absolute and already clean, so that no later cleaning changes
// what was compared with the roots.
func validPath(s string) bool {
	return len(s) <= 4096 && strings.HasPrefix(s, "/") && path.Clean(s) == s && !strings.ContainsAny(s, "\n\t")
}

// printable refuses control characters, which have no place in any value.
func printable(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return unicode.IsControl(r) && r != '\n' && r != '\t' })
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

// walk goes along the table, takes out of the tree what the table drops, and
// also what it refuses: nothing that is not in the table is left for those who
// look at the tree afterwards, even where the objections are only collected.
type walk struct {
	rules   map[string]*rule
	dropped []string
	refused []error
}

// maxRefused is how many objections are collected; a definition has no more that
// somebody would read.
const maxRefused = 64

func (w *walk) refuse(what string) {
	if len(w.refused) < maxRefused {
		w.refused = append(w.refused, &refused{what})
	}
}

// check walks the tree along the table and removes what the table drops, adding
// its paths to *dropped. Its error is the first objection.
func check(rules map[string]*rule, n *node, at string, dropped *[]string) error {
	w := walk{rules: rules}
	w.element(n, at)
	*dropped = append(*dropped, w.dropped...)
	if len(w.refused) > 0 {
		return w.refused[0]
	}
	return nil
}

// element reports whether n itself may be there.
func (w *walk) element(n *node, at string) bool {
	r := find(w.rules, at)
	if r == nil {
		w.refuse("<" + at + ">")
		return false
	}
	w.attributes(r, n, at)
	w.text(r, n, at)
	kept := n.kids[:0]
	for _, k := range n.kids {
		below := at + "/" + k.name
		if kr := find(w.rules, below); kr != nil && kr.drop {
			w.dropped = append(w.dropped, below)
			continue
		}
		if w.element(k, below) {
			kept = append(kept, k)
		}
	}
	n.kids = kept
	return true
}

func (w *walk) attributes(r *rule, n *node, at string) {
	for _, d := range r.dropped {
		n.unset(d)
	}
	kept := n.attrs[:0]
	for _, a := range n.attrs {
		switch k, ok := r.attrs[a.name]; {
		case !ok:
			w.refuse(fmt.Sprintf("attribute %s of <%s>", a.name, at))
		case !k(a.value) || !printable(a.value):
			w.refuse(fmt.Sprintf("%s=%q of <%s>", a.name, shorten(a.value), at))
		default:
			kept = append(kept, a)
		}
	}
	n.attrs = kept
}

func (w *walk) text(r *rule, n *node, at string) {
	switch {
	case len(n.kids) > 0:
		n.text = ""
	case r.text == nil:
		if strings.TrimSpace(n.text) != "" {
			w.refuse(fmt.Sprintf("text in <%s>", at))
		}
		n.text = ""
	case !r.text(n.text) || !printable(n.text):
		w.refuse(fmt.Sprintf("%q in <%s>", shorten(n.text), at))
		n.text = ""
	}
}

func shorten(s string) string {
	if len(s) > 80 {
		return strings.ToValidUTF8(s[:80], "") + "..."
	}
	return s
}
