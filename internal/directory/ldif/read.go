package ldif

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"drover/internal/directory"
)

// Read reads all records, and the comments that follow the last. A "version: 1" in
// front is skipped. Errors name the line. More than MaxSize bytes are refused.
func Read(r io.Reader) (records []Record, trailing []string, err error) {
	b, err := io.ReadAll(io.LimitReader(r, MaxSize+1))
	if err != nil {
		return nil, nil, err
	}
	if len(b) > MaxSize {
		return nil, nil, fmt.Errorf("more than %d MiB", MaxSize>>20)
	}
	lines, err := unfold(string(b))
	if err != nil {
		return nil, nil, err
	}
	var comments []string
	for len(lines) > 0 {
		switch l := lines[0]; {
		case l.text == "":
			lines = lines[1:]
		case l.text[0] == '#':
			c, err := l.comment()
			if err != nil {
				return nil, nil, err
			}
			comments, lines = append(comments, c), lines[1:]
		case len(records) == 0 && isVersion(l.text):
			lines = lines[1:]
		default:
			var n int
			var rec Record
			if rec, n, err = parseRecord(lines); err != nil {
				return nil, nil, err
			}
			rec.Comments = append(comments, rec.Comments...)
			records, comments, lines = append(records, rec), nil, lines[n:]
		}
	}
	return records, comments, nil
}

func isVersion(line string) bool {
	v, found := strings.CutPrefix(line, "version:")
	return found && strings.Trim(v, " ") == "1"
}

// line is one line after unfolding, and where it began.
type line struct {
	text   string
	number int
}

func (l line) errorf(format string, args ...any) error {
	return fmt.Errorf("line %d: %w", l.number, fmt.Errorf(format, args...))
}

// comment is the text of a line that begins with "#".
func (l line) comment() (string, error) {
	c := strings.TrimPrefix(l.text[1:], " ")
	if strings.Contains(c, "\r") { // other programs end a line there
		return "", l.errorf("a carriage return in a comment")
	}
	return c, nil
}

// unfold joins lines with those that continue them, which begin with a blank.
func unfold(s string) ([]line, error) {
	var out []line
	var parts []string // of the line that is being put together
	join := func() {
		if len(parts) > 1 {
			out[len(out)-1].text = strings.Join(parts, "")
		}
		parts = nil
	}
	number := 0
	for text := range strings.SplitSeq(s, "\n") {
		number++
		text = strings.TrimSuffix(text, "\r")
		if rest, continues := strings.CutPrefix(text, " "); continues {
			if parts == nil {
				return nil, line{"", number}.errorf("it continues a line that is not there")
			}
			parts = append(parts, rest)
			continue
		}
		join()
		out = append(out, line{text, number})
		if text != "" {
			parts = []string{text}
		}
	}
	join()
	return out, nil
}

// parseRecord reads the record at the front of lines and says how many it takes. A
// comment may stand between its lines.
func parseRecord(lines []line) (Record, int, error) {
	var r Record
	var body []line
	n := 0
	for ; n < len(lines) && lines[n].text != ""; n++ {
		if lines[n].text[0] != '#' {
			body = append(body, lines[n])
			continue
		}
		c, err := lines[n].comment()
		if err != nil {
			return r, 0, err
		}
		r.Comments = append(r.Comments, c)
	}
	dn, err := expect(body[0], "dn")
	if err != nil {
		return r, 0, err
	}
	if !utf8.Valid(dn) {
		return r, 0, body[0].errorf("the distinguished name is not UTF-8")
	}
	r.DN = string(dn)
	first := body[0]
	body = body[1:]
	if len(body) > 0 {
		if name, _, _ := strings.Cut(body[0].text, ":"); strings.EqualFold(name, "changetype") {
			v, err := expect(body[0], "changetype")
			if err != nil {
				return r, 0, err
			}
			r.Change = ChangeType(strings.ToLower(string(v)))
			if r.Change == Content {
				return r, 0, body[0].errorf("a change type is missing")
			}
			first, body = body[0], body[1:]
		}
	}
	switch r.Change {
	case Content, Add:
		r.Mods, err = parseAttributes(body)
	case Modify:
		r.Mods, err = parseMods(body)
	case Delete:
		if len(body) > 0 {
			err = body[0].errorf("a deletion has no attributes")
		}
	default:
		err = first.errorf("change type %q is not known here", r.Change)
	}
	return r, n, err
}

// parseAttributes reads "name: value" lines; the values of one name that follow each
// other belong together.
func parseAttributes(body []line) ([]directory.Mod, error) {
	var mods []directory.Mod
	for _, l := range body {
		name, value, err := parseLine(l)
		if err != nil {
			return nil, err
		}
		if strings.EqualFold(name, "control") {
			return nil, l.errorf("controls are not read")
		}
		if n := len(mods); n > 0 && strings.EqualFold(mods[n-1].Attribute, name) {
			mods[n-1].Values = append(mods[n-1].Values, value)
			continue
		}
		mods = append(mods, directory.Mod{Op: directory.Add, Attribute: name, Values: [][]byte{value}})
	}
	return mods, nil
}

// parseMods reads groups of "OPERATION: name", "name: value"..., "-".
func parseMods(body []line) ([]directory.Mod, error) {
	var mods []directory.Mod
	for len(body) > 0 {
		l := body[0]
		op, attribute, err := parseLine(l)
		if err != nil {
			return nil, err
		}
		m := directory.Mod{Op: directory.Op(strings.ToLower(op)), Attribute: string(attribute)}
		switch m.Op {
		case directory.Add, directory.Delete, directory.Replace:
		default:
			return nil, l.errorf("%q is not a change to an attribute", op)
		}
		if !validAttribute(m.Attribute) {
			return nil, l.errorf("%q is not the name of an attribute", m.Attribute)
		}
		body = body[1:]
		for ; len(body) > 0 && body[0].text != "-"; body = body[1:] {
			v, err := expect(body[0], m.Attribute)
			if err != nil {
				return nil, err
			}
			m.Values = append(m.Values, v)
		}
		if len(body) == 0 {
			return nil, l.errorf("the change does not end in \"-\"")
		}
		mods, body = append(mods, m), body[1:]
	}
	return mods, nil
}

func expect(l line, name string) ([]byte, error) {
	got, v, err := parseLine(l)
	if err != nil {
		return nil, err
	}
	if !strings.EqualFold(got, name) {
		return nil, l.errorf("%q where %q is expected", got, name)
	}
	return v, nil
}

var errURL = errors.New("values from URLs are not read")

func parseLine(l line) (name string, value []byte, err error) {
	name, rest, found := strings.Cut(l.text, ":")
	if !found {
		return "", nil, l.errorf("there is no \":\"")
	}
	if !validAttribute(name) {
		return "", nil, l.errorf("%q is not the name of an attribute", name)
	}
	switch {
	case strings.HasPrefix(rest, ":"):
		value, err = base64.StdEncoding.DecodeString(strings.Trim(rest[1:], " "))
		if err != nil {
			return "", nil, l.errorf("%w", err)
		}
	case strings.HasPrefix(rest, "<"):
		return "", nil, l.errorf("%w", errURL)
	default:
		value = []byte(strings.TrimLeft(rest, " "))
	}
	return name, value, nil
}
