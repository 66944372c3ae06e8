package cmdlet

import (
	"bytes"
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"strings"
)

// Form is how objects are shown.
type Form string

// The forms; "" is the cmdlet's own.
const (
	AsList  Form = "list"
	AsTable Form = "table"
	AsJSON  Form = "json"
)

// Shape is what the words after "|" make of a cmdlet's objects.
type Shape struct {
	Form Form
	// Picks are lists of properties, each a choice of what the one before left; "*"
	// and "?" stand for any characters and any one.
	Picks [][]string
	// First and Last are how many objects remain; 0 is all.
	First, Last int
	// Expand is the property of which only the values are shown.
	Expand string
}

var (
	selectObject = &Cmdlet{Name: "Select-Object", Aliases: []string{"Select"}, Parameters: []Parameter{
		{Name: "Property", Kind: List, Position: 1}, {Name: "First", Kind: Number}, {Name: "Last", Kind: Number}, {Name: "ExpandProperty"},
	}}
	formatList = &Cmdlet{Name: "Format-List", Aliases: []string{"fl"}, Parameters: []Parameter{
		{Name: "Property", Kind: List, Position: 1}, {Name: "Force", Kind: Switch},
	}}
	formatTable = &Cmdlet{Name: "Format-Table", Aliases: []string{"ft"}, Parameters: []Parameter{
		{Name: "Property", Kind: List, Position: 1}, {Name: "AutoSize", Kind: Switch}, {Name: "Wrap", Kind: Switch}, {Name: "Force", Kind: Switch},
	}}
	convertToJSON = &Cmdlet{Name: "ConvertTo-Json", Parameters: []Parameter{
		{Name: "Depth", Kind: Number}, {Name: "Compress", Kind: Switch},
	}}
)

// pipe reads the commands after the first "|", and what -Format and -Select say.
func (call *Call) pipe(words []string) error {
	if picks := call.List("Select"); picks != nil {
		call.Shape.pick(picks)
	}
	for len(words) > 0 {
		stage := words
		if i := slices.Index(words, "|"); i >= 0 {
			stage, words = words[:i], words[i+1:]
			if len(words) == 0 {
				return fmt.Errorf(`nothing follows the last "|"`)
			}
		} else {
			words = nil
		}
		if err := call.Shape.stage(stage); err != nil {
			return err
		}
	}
	switch f := strings.ToLower(call.Text("Format")); f {
	case "":
	case "list", "table", "json":
		call.Shape.Form = Form(f)
	default:
		return fmt.Errorf("-Format %q is none of List, Table, Json", f)
	}
	if call.Cmdlet.Properties == nil && (call.Shape.Picks != nil || call.Shape.Form != "" && call.Shape.Form != AsJSON || call.Shape.Expand != "") {
		return fmt.Errorf("the result of %s is not an object; only ConvertTo-Json may follow it", call.Cmdlet.Name)
	}
	if call.Cmdlet.Open || call.Cmdlet.Properties == nil {
		return nil
	}
	_, err := call.Shape.Choose(call.Cmdlet.Properties)
	return err
}

func (s *Shape) stage(words []string) error {
	if len(words) == 0 {
		return fmt.Errorf(`nothing stands between "|" and "|"`)
	}
	for _, c := range []*Cmdlet{selectObject, formatList, formatTable, convertToJSON} {
		if !c.called(words[0]) {
			continue
		}
		call := &Call{Cmdlet: c, values: map[string][]string{}}
		if err := call.bind(joined(words[1:])); err != nil {
			return fmt.Errorf("after %q: %w", "|", err)
		}
		if picks := call.List("Property"); picks != nil {
			s.pick(picks)
		}
		switch c {
		case selectObject:
			s.First, s.Last, s.Expand = call.Number("First"), call.Number("Last"), call.Text("ExpandProperty")
		case formatList:
			s.Form = AsList
		case formatTable:
			s.Form = AsTable
		case convertToJSON:
			s.Form = AsJSON
		}
		return nil
	}
	return fmt.Errorf(`%q cannot follow "|" here: drover has no pipeline, only Select-Object, Format-List, Format-Table and ConvertTo-Json; for more use -o json and jq`, words[0])
}

func (s *Shape) pick(patterns []string) { s.Picks = append(s.Picks, patterns) }

// Choose gives those of the properties that the picks leave, in their order. A name
// that is no property is an error; a pattern may match none.
func (s *Shape) Choose(properties []string) ([]string, error) {
	left := properties
	for _, patterns := range s.Picks {
		var next []string
		for _, p := range patterns {
			found := matching(p, left)
			if len(found) == 0 && !strings.ContainsAny(p, "*?") {
				return nil, fmt.Errorf("there is no property %s; there are %s", p, and(properties))
			}
			for _, f := range found {
				if !slices.Contains(next, f) {
					next = append(next, f)
				}
			}
		}
		left = next
	}
	if s.Expand != "" && len(matching(s.Expand, left)) != 1 {
		return nil, fmt.Errorf("there is no property %s; there are %s", s.Expand, and(left))
	}
	return left, nil
}

func matching(pattern string, names []string) (found []string) {
	for _, n := range names {
		if Like(pattern, n) {
			found = append(found, n)
		}
	}
	return found
}

// wildcards are those of PowerShell that are used here; other characters that mean
// something to path.Match stand for themselves.
var wildcards = strings.NewReplacer(`\`, `\\`, `[`, `\[`, `/`, "\x00")

// Like compares with a pattern of "*" and "?", in upper or lower case.
func Like(pattern, name string) bool {
	ok, err := path.Match(wildcards.Replace(strings.ToLower(pattern)), strings.ReplaceAll(strings.ToLower(name), "/", "\x00"))
	return ok && err == nil
}

// Cut leaves the first or last of n objects: those from, up to and without to.
func (s *Shape) Cut(n int) (from, to int) {
	switch {
	case s.First > 0:
		return 0, min(s.First, n)
	case s.Last > 0:
		return max(0, n-s.Last), n
	}
	return 0, n
}

// Property of an object. The value is a string, a number, a bool, a time or a list of
// strings; nil is none.
type Property struct {
	Name  string
	Value any
}

// Object is what a cmdlet puts out.
type Object []Property

// Names are the object's properties.
func (o Object) Names() (names []string) {
	for _, p := range o {
		names = append(names, p.Name)
	}
	return names
}

// Get is a property's value, nil when there is none of that name.
func (o Object) Get(name string) any {
	for _, p := range o {
		if strings.EqualFold(p.Name, name) {
			return p.Value
		}
	}
	return nil
}

// Only is the object with these properties.
func (o Object) Only(names []string) Object {
	out := make(Object, 0, len(names))
	for _, n := range names {
		out = append(out, Property{n, o.Get(n)})
	}
	return out
}

// MarshalJSON keeps the order of the properties.
func (o Object) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, p := range o {
		if i > 0 {
			b.WriteByte(',')
		}
		name, err := json.Marshal(p.Name)
		if err != nil {
			return nil, err
		}
		value, err := json.Marshal(p.Value)
		if err != nil {
			return nil, err
		}
		b.Write(name)
		b.WriteByte(':')
		b.Write(value)
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}
