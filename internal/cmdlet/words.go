package cmdlet

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode"
)

// Words are the words of a command line of PowerShell. A "|" is a word of its own;
// arrays and hash tables, @(...) and @{...}, are one word each, as written; what
// follows "#" is left out.
func Words(line string) ([]string, error) {
	l := lexer{rest: []rune(line)}
	for {
		word, ok, err := l.next()
		if err != nil {
			return nil, err
		}
		if !ok {
			return l.words, nil
		}
		l.words = append(l.words, word)
	}
}

type lexer struct {
	rest  []rune
	words []string
}

func (l *lexer) next() (string, bool, error) {
	for len(l.rest) > 0 && unicode.IsSpace(l.rest[0]) {
		l.rest = l.rest[1:]
	}
	switch {
	case len(l.rest) == 0, l.rest[0] == '#':
		return "", false, nil
	case l.rest[0] == '|':
		l.rest = l.rest[1:]
		return "|", true, nil
	}
	var b strings.Builder
	for len(l.rest) > 0 {
		r := l.rest[0]
		switch {
		case unicode.IsSpace(r), r == '|':
			return b.String(), true, nil
		case r == ';':
			return "", false, errors.New(`";" separates commands, and drover takes one at a time`)
		case r == '`' && len(l.rest) > 1:
			b.WriteRune(l.rest[1])
			l.rest = l.rest[2:]
		case isSingle(r), isDouble(r):
			n, err := l.quoted(&b)
			if err != nil {
				return "", false, err
			}
			l.rest = l.rest[n:]
		case strings.ContainsRune("({", r):
			n, err := l.nested()
			if err != nil {
				return "", false, err
			}
			b.WriteString(string(l.rest[:n]))
			l.rest = l.rest[n:]
		default:
			b.WriteRune(r)
			l.rest = l.rest[1:]
		}
	}
	return b.String(), true, nil
}

// PowerShell takes typographic quotation marks for quotation marks.
func isSingle(r rune) bool { return strings.ContainsRune("'\u2018\u2019\u201a\u201b", r) }
func isDouble(r rune) bool { return strings.ContainsRune("\"\u201c\u201d\u201e", r) }

// quoted writes what is between quotation marks and tells how many characters that
// were. A doubled mark stands for itself.
func (l *lexer) quoted(b *strings.Builder) (int, error) {
	same := isSingle
	if isDouble(l.rest[0]) {
		same = isDouble
	}
	for i := 1; i < len(l.rest); i++ {
		r := l.rest[i]
		switch {
		case same(r) && i+1 < len(l.rest) && same(l.rest[i+1]):
			b.WriteRune(r)
			i++
		case same(r):
			return i + 1, nil
		case r == '`' && isDouble(l.rest[0]) && i+1 < len(l.rest):
			i++
			b.WriteRune(l.rest[i])
		default:
			b.WriteRune(r)
		}
	}
	return 0, fmt.Errorf("the quotation mark %c is not closed", l.rest[0])
}

// nested tells how long what a bracket opens is, up to the one that closes it.
func (l *lexer) nested() (int, error) {
	depth := 0
	for i := 0; i < len(l.rest); i++ {
		switch r := l.rest[i]; {
		case isSingle(r), isDouble(r):
			inner := lexer{rest: l.rest[i:]}
			n, err := inner.quoted(&strings.Builder{})
			if err != nil {
				return 0, err
			}
			i += n - 1
		case strings.ContainsRune("({", r):
			depth++
		case strings.ContainsRune(")}", r):
			if depth--; depth == 0 {
				return i + 1, nil
			}
		}
	}
	return 0, fmt.Errorf("the bracket %c is not closed", l.rest[0])
}

// prompt is what documents print before a command.
var prompt = regexp.MustCompile(`^\s*PS [A-Za-z]:\\[^>]*>\s*`)

// Expand makes words of arguments that a shell handed over as one, because they
// stood between quotation marks: a whole command line that begins with a cmdlet, or
// what begins with "|". Other arguments stay as they are, and so do all of a line that
// begins with no cmdlet.
func Expand(args []string) ([]string, error) {
	if len(args) == 0 || !beginsWithCmdlet(prompt.ReplaceAllString(args[0], "")) {
		return args, nil
	}
	var out []string
	for i, a := range args {
		line := prompt.ReplaceAllString(a, "")
		whole := i == 0 && (line != a || strings.ContainsAny(strings.TrimSpace(line), " \t|\u00a0")) && beginsWithCmdlet(line)
		if !whole && !strings.HasPrefix(strings.TrimSpace(a), "|") {
			out = append(out, a)
			continue
		}
		words, err := Words(line)
		if err != nil {
			return nil, err
		}
		out = append(out, words...)
	}
	return out, nil
}

func beginsWithCmdlet(line string) bool {
	word := strings.FieldsFunc(line, func(r rune) bool { return unicode.IsSpace(r) || r == '|' })
	if len(word) == 0 {
		return false
	}
	_, ok := Lookup(word[0])
	return ok
}

// dashes begin a parameter: the typographic ones as well, because documents have
// them and PowerShell takes them.
const dashes = "-\u2013\u2014\u2015"

// parameterWord splits "-Name" or "-Name:value". A dash before a digit is a number.
func parameterWord(word string) (name, value string, withValue, ok bool) {
	r := []rune(word)
	if len(r) < 2 || !strings.ContainsRune(dashes, r[0]) || !unicode.IsLetter(r[1]) && r[1] != '?' && r[1] != '_' {
		return "", "", false, false
	}
	name, value, withValue = strings.Cut(string(r[1:]), ":")
	return name, value, withValue, true
}

// joined puts lists together that have blanks around their commas.
func joined(words []string) []string {
	var out []string
	open := false // the list goes on
	for _, w := range words {
		if _, value, _, p := parameterWord(w); w == "|" || p {
			open = strings.HasSuffix(value, ",")
			out = append(out, w)
			continue
		}
		if n := len(out); n > 0 && (open || strings.HasPrefix(w, ",")) && isValue(out[n-1]) {
			out[n-1] += w
		} else {
			out = append(out, w)
		}
		open = strings.HasSuffix(w, ",")
	}
	return out
}

func isValue(word string) bool {
	_, value, withValue, p := parameterWord(word)
	return word != "|" && (!p || withValue && value != "")
}

// elements splits a list at its commas, those inside brackets and quotation marks
// excepted.
func elements(list string) ([]string, error) {
	var out []string
	var b strings.Builder
	depth, quote := 0, rune(0)
	for _, r := range list {
		switch {
		case quote != 0:
			if r == quote {
				quote = 0
			}
		case depth > 0 && (r == '"' || r == '\''):
			quote = r
		case strings.ContainsRune("({", r):
			depth++
		case strings.ContainsRune(")}", r):
			depth--
		case r == ',' && depth == 0:
			out = append(out, strings.TrimSpace(b.String()))
			b.Reset()
			continue
		}
		b.WriteRune(r)
	}
	out = append(out, strings.TrimSpace(b.String()))
	if slices.Contains(out, "") {
		return nil, fmt.Errorf("the list %q has an empty element", list)
	}
	return out, nil
}
