package admit

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// Limits of an offered document.
const (
	// MaxBytes bounds a definition; libvirt's own are some 10 KiB.
	MaxBytes = 1 << 20
	maxDepth = 64
	maxNodes = 20000
)

// node is an element without namespace.
type node struct {
	name  string
	attrs []attr
	kids  []*node
	text  string
}

type attr struct{ name, value string }

func (n *node) attr(name string) string {
	for _, a := range n.attrs {
		if a.name == name {
			return a.value
		}
	}
	return ""
}

func (n *node) has(name string) bool {
	for _, a := range n.attrs {
		if a.name == name {
			return true
		}
	}
	return false
}

func (n *node) set(name, value string) {
	for i := range n.attrs {
		if n.attrs[i].name == name {
			n.attrs[i].value = value
			return
		}
	}
	n.attrs = append(n.attrs, attr{name, value})
}

func (n *node) unset(name string) {
	kept := n.attrs[:0]
	for _, a := range n.attrs {
		if a.name != name {
			kept = append(kept, a)
		}
	}
	n.attrs = kept
}

// kid gives the first child of that name, nil without one. It is safe on nil.
func (n *node) kid(name string) *node {
	if n == nil {
		return nil
	}
	for _, k := range n.kids {
		if k.name == name {
			return k
		}
	}
	return nil
}

func (n *node) all(name string) []*node {
	var out []*node
	if n == nil {
		return out
	}
	for _, k := range n.kids {
		if k.name == name {
			out = append(out, k)
		}
	}
	return out
}

func (n *node) remove(drop func(*node) bool) {
	kept := n.kids[:0]
	for _, k := range n.kids {
		if !drop(k) {
			kept = append(kept, k)
		}
	}
	n.kids = kept
}

func (n *node) removeAll(name string) {
	n.remove(func(k *node) bool { return k.name == name })
}

// qemuNamespace is where libvirt has what it hands to QEMU unread.
const qemuNamespace = "http://libvirt.org/schemas/domain/qemu/1.0"

// namespace is why an attribute with one, or that declares one, is not taken.
func namespace(a xml.Attr, n *node) error {
	if a.Value == qemuNamespace {
		return &refused{fmt.Sprintf("namespace %s of <%s> (<%s:commandline> and the like)", a.Name.Local, n.name, a.Name.Local)}
	}
	return &invalid{fmt.Sprintf("namespace attribute %s on %s", a.Name.Local, n.name)}
}

// invalid is a document that cannot be read at all.
type invalid struct{ problem string }

func (e *invalid) Error() string { return e.problem }

// parse reads one document. Namespaces are refused except below <metadata>,
// which is dropped whole. Document types, processing instructions, entities
// beyond XML's five, text between elements and doubled attributes are refused.
func parse(b []byte) (*node, error) {
	if len(b) > MaxBytes {
		return nil, &invalid{fmt.Sprintf("%d bytes, limit %d", len(b), MaxBytes)}
	}
	if !utf8.Valid(b) {
		return nil, &invalid{"not UTF-8"}
	}
	d := xml.NewDecoder(bytes.NewReader(b))
	p := parser{d: d}
	for {
		t, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, &invalid{err.Error()}
		}
		if err := p.token(t); err != nil {
			return nil, err
		}
	}
	if p.root == nil {
		return nil, &invalid{"no element"}
	}
	return p.root, nil
}

type parser struct {
	d     *xml.Decoder
	root  *node
	stack []*node
	nodes int
}

func (p *parser) token(t xml.Token) error {
	switch t := t.(type) {
	case xml.StartElement:
		return p.start(t)
	case xml.EndElement:
		top := p.stack[len(p.stack)-1]
		p.stack = p.stack[:len(p.stack)-1]
		if len(top.kids) > 0 {
			if strings.TrimSpace(top.text) != "" {
				return &invalid{"text between elements in " + top.name}
			}
			top.text = ""
		}
	case xml.CharData:
		if len(p.stack) == 0 {
			if len(bytes.TrimSpace(t)) > 0 {
				return &invalid{"text outside the document"}
			}
			return nil
		}
		p.stack[len(p.stack)-1].text += string(t)
	case xml.Comment:
	default:
		return &invalid{"document type or processing instruction"}
	}
	return nil
}

func (p *parser) start(t xml.StartElement) error {
	if p.nodes++; p.nodes > maxNodes {
		return &invalid{"too many elements"}
	}
	if len(p.stack) >= maxDepth {
		return &invalid{"elements nested too deep"}
	}
	if t.Name.Space != "" {
		return &invalid{fmt.Sprintf("element %s of namespace %s", t.Name.Local, t.Name.Space)}
	}
	n := &node{name: t.Name.Local}
	for _, a := range t.Attr {
		if a.Name.Space != "" || a.Name.Local == "xmlns" {
			return namespace(a, n)
		}
		if n.has(a.Name.Local) {
			return &invalid{fmt.Sprintf("attribute %s twice on %s", a.Name.Local, n.name)}
		}
		n.attrs = append(n.attrs, attr{a.Name.Local, a.Value})
	}
	if len(p.stack) == 0 {
		if p.root != nil {
			return &invalid{"more than one document"}
		}
		p.root = n
	} else {
		top := p.stack[len(p.stack)-1]
		top.kids = append(top.kids, n)
	}
	if n.name == "metadata" {
		// Foreign namespaces are legal here and nothing in it is for libvirt.
		return p.skip()
	}
	p.stack = append(p.stack, n)
	return nil
}

// skip reads past the element just opened, with the same limits.
func (p *parser) skip() error {
	for depth := 1; depth > 0; {
		t, err := p.d.Token()
		if err != nil {
			return &invalid{err.Error()}
		}
		switch t.(type) {
		case xml.StartElement:
			depth++
			if p.nodes++; p.nodes > maxNodes || len(p.stack)+depth > maxDepth {
				return &invalid{"too many elements or nested too deep in metadata"}
			}
		case xml.EndElement:
			depth--
		case xml.ProcInst, xml.Directive:
			return &invalid{"document type or processing instruction"}
		}
	}
	return nil
}

// write serialises the tree; the result parses to the same tree.
func (n *node) write() string {
	var b bytes.Buffer
	n.writeTo(&b, 0)
	return b.String()
}

func (n *node) writeTo(b *bytes.Buffer, depth int) {
	indent := strings.Repeat("  ", depth)
	b.WriteString(indent + "<" + n.name)
	for _, a := range n.attrs {
		b.WriteString(" " + a.name + `="`)
		_ = xml.EscapeText(b, []byte(a.value))
		b.WriteString(`"`)
	}
	switch {
	case len(n.kids) > 0:
		b.WriteString(">\n")
		for _, k := range n.kids {
			k.writeTo(b, depth+1)
		}
		b.WriteString(indent + "</" + n.name + ">\n")
	case n.text != "":
		b.WriteString(">")
		_ = xml.EscapeText(b, []byte(n.text))
		b.WriteString("</" + n.name + ">\n")
	default:
		b.WriteString("/>\n")
	}
}
