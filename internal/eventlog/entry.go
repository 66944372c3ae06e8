package eventlog

import (
	"encoding/json"
	"fmt"
	"reflect"
	"regexp"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/dustin/go-humanize"

	"drover/internal/fault"
	"drover/internal/settings"
)

// About says whom and what an event concerns; empty members concern nobody.
type About struct {
	VM, Move, Actor string
	Code            fault.Code
}

// Data are an event's figures by name: strings, numbers, booleans, and lists of
// strings or of settings.Difference. Empty strings and lists are left out.
type Data map[string]any

// What an entry may hold. Part of it comes from other hosts.
const (
	maxText = 2048 // bytes of one text
	maxList = 64   // items of one list
	maxData = 32 << 10
)

// New makes an entry without Seq. That the kind is registered, and has the members
// of data, is what Check is for.
func New(id ID, at time.Time, about About, data Data) Entry {
	k := registry[id]
	clean := Data{}
	for name, v := range data {
		if v, ok := tidy(v); ok {
			clean[name] = v
		}
	}
	e := Entry{Time: at.UTC(), ID: id, Name: k.Name, Level: k.Level, Code: about.Code,
		VM: text(about.VM), Move: text(about.Move), Actor: text(about.Actor)}
	e.Message = k.message(e, clean)
	if len(clean) > 0 {
		b, err := json.Marshal(clean)
		if err != nil || len(b) > maxData {
			b = []byte(`{"left_out":"the figures are too long to be kept"}`)
		}
		e.Data = b
	}
	return e
}

// Check reports what is wrong with an entry's data by the registry.
func Check(id ID, data Data) error {
	k, ok := registry[id]
	if !ok {
		return fmt.Errorf("event %d is not registered", id)
	}
	for name := range data {
		if _, ok := k.member(name); !ok {
			return fmt.Errorf("event %d (%s) has no member %s", id, k.Name, name)
		}
	}
	return nil
}

func (k Kind) member(name string) (Member, bool) {
	for _, m := range k.Data {
		if m.Name == name {
			return m, true
		}
	}
	return Member{}, false
}

// tidy bounds a value and says whether there is one.
func tidy(v any) (any, bool) {
	switch v := v.(type) {
	case nil:
		return nil, false
	case []string:
		var out []string
		for _, s := range v[:min(len(v), maxList)] {
			out = append(out, text(s))
		}
		if more := len(v) - len(out); more > 0 {
			out = append(out, fmt.Sprintf("and %d more", more))
		}
		return out, len(out) > 0
	case []settings.Difference:
		var out []settings.Difference
		for _, c := range v[:min(len(v), maxList)] {
			out = append(out, settings.Difference{Setting: text(c.Setting), From: text(c.From), To: text(c.To)})
		}
		return out, len(out) > 0
	}
	if r := reflect.ValueOf(v); r.Kind() == reflect.String {
		s := text(r.String())
		return s, s != ""
	}
	return v, true
}

// text is one line of bounded length: what other hosts say ends up in terminals
// and in the journal.
func text(s string) string {
	s = strings.Map(func(r rune) rune {
		if r != ' ' && (unicode.IsSpace(r) || !unicode.IsPrint(r)) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
	s = strings.TrimSpace(s)
	if len(s) <= maxText {
		return s
	}
	cut := maxText
	for cut > 0 && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + "..."
}

var (
	bracket = regexp.MustCompile(`\[[^\]]*\]`)
	place   = regexp.MustCompile(`\{[a-z_]+\}`)
)

// message fills the kind's template.
func (k Kind) message(e Entry, data Data) string {
	whole := true
	fill := func(tmpl string) string {
		return place.ReplaceAllStringFunc(tmpl, func(p string) string {
			s, ok := k.value(p[1:len(p)-1], e, data)
			if whole = whole && ok; !ok {
				return "(unknown)"
			}
			return s
		})
	}
	// Brackets first: what is filled in may hold some.
	var b strings.Builder
	rest := k.Message
	for rest != "" {
		at := bracket.FindStringIndex(rest)
		if at == nil {
			at = []int{len(rest), len(rest)}
		}
		b.WriteString(fill(rest[:at[0]]))
		if at[0] < at[1] {
			whole = true
			if part := fill(rest[at[0]+1 : at[1]-1]); whole {
				b.WriteString(part)
			}
		}
		rest = rest[at[1]:]
	}
	return b.String()
}

func (k Kind) value(name string, e Entry, data Data) (string, bool) {
	switch name {
	case "vm":
		return e.VM, e.VM != ""
	case "move":
		return e.Move, e.Move != ""
	case "actor":
		return e.Actor, e.Actor != ""
	case "code":
		return string(e.Code), e.Code != ""
	}
	v, ok := data[name]
	if !ok {
		return "", false
	}
	m, _ := k.member(name)
	return show(m.Unit, v), true
}

// show gives a value as a message has it.
func show(u Unit, v any) string {
	switch v := v.(type) {
	case []string:
		return strings.Join(v, ", ")
	case []settings.Difference:
		var parts []string
		for _, c := range v {
			parts = append(parts, fmt.Sprintf("%s from %s to %s", c.Setting, orNone(c.From), orNone(c.To)))
		}
		return strings.Join(parts, ", ")
	}
	r := reflect.ValueOf(v)
	if !r.CanInt() && !r.CanUint() {
		return fmt.Sprint(v)
	}
	var n float64
	if r.CanInt() {
		n = float64(r.Int())
	} else {
		n = float64(r.Uint())
	}
	switch u {
	case Bytes:
		return humanize.IBytes(uint64(max(n, 0)))
	case Rate:
		return humanize.IBytes(uint64(max(n, 0))) + "/s"
	case Milliseconds:
		if n < 1000 {
			return fmt.Sprintf("%.0f ms", n)
		}
		return fmt.Sprintf("%.1f s", n/1000)
	case Seconds:
		return fmt.Sprintf("%.0f s", n)
	}
	return fmt.Sprint(v)
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}
