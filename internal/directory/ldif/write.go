package ldif

import (
	"bufio"
	"encoding/base64"
	"fmt"
	"io"
	"strings"

	"drover/internal/directory"
)

// Write writes records, each after its comments, and comments below the last. Lines
// are folded at 76 bytes and end in LF. A comment with a line break or an
// attribute's name that is none is an error, since it would be read as something
// else.
func Write(w io.Writer, records []Record, trailing ...string) error {
	b := &writer{w: bufio.NewWriter(w)}
	for i, r := range records {
		if i > 0 {
			b.line("")
		}
		b.comments(r.Comments)
		b.record(r)
	}
	if len(trailing) > 0 && len(records) > 0 {
		b.line("")
	}
	b.comments(trailing)
	if b.err != nil {
		return b.err
	}
	return b.w.Flush()
}

// writer keeps the first error; bufio keeps those of the file.
type writer struct {
	w   *bufio.Writer
	err error
}

func (b *writer) fail(format string, args ...any) {
	if b.err == nil {
		b.err = fmt.Errorf(format, args...)
	}
}

// line writes s and folds it. It is folded between bytes, so a comment is not: in
// it a character could be cut in two.
func (b *writer) line(s string) {
	for width := foldAt; len(s) > width; width = foldAt - 1 {
		b.w.WriteString(s[:width] + "\n ")
		s = s[width:]
	}
	b.w.WriteString(s + "\n")
}

func (b *writer) comments(lines []string) {
	for _, c := range lines {
		if strings.ContainsAny(c, "\r\n") {
			b.fail("a line break in the comment %q", c)
			return
		}
		if c != "" {
			c = " " + c
		}
		b.w.WriteString("#" + c + "\n")
	}
}

func (b *writer) value(name string, v []byte) {
	switch {
	case !safe(v):
		b.line(name + ":: " + base64.StdEncoding.EncodeToString(v))
	case len(v) == 0:
		b.line(name + ":")
	default:
		b.line(name + ": " + string(v))
	}
}

func (b *writer) record(r Record) {
	b.value("dn", []byte(r.DN))
	if r.Change != Content {
		b.line("changetype: " + string(r.Change))
	}
	switch r.Change {
	case Content, Add:
		for _, m := range r.Mods {
			b.values(m)
		}
	case Modify:
		for _, m := range r.Mods {
			switch m.Op {
			case directory.Add, directory.Delete, directory.Replace:
			default:
				b.fail("change of %s by %q", m.Attribute, m.Op)
			}
			b.line(string(m.Op) + ": " + m.Attribute)
			b.values(m)
			b.line("-")
		}
	case Delete:
		if len(r.Mods) > 0 {
			b.fail("attributes in the deletion of %s", r.DN)
		}
	default:
		b.fail("change type %q", r.Change)
	}
}

func (b *writer) values(m directory.Mod) {
	if !validAttribute(m.Attribute) {
		b.fail("%q is not the name of an attribute", m.Attribute)
	}
	for _, v := range m.Values {
		b.value(m.Attribute, v)
	}
}
