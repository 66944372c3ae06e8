package cmdlet

import (
	"errors"
	"fmt"
	"slices"
	"sort"
	"strconv"
	"strings"
)

// ErrHelp means that the words ask for help.
var ErrHelp = errors.New("help is asked for")

// Call is a command line that was understood.
type Call struct {
	Cmdlet *Cmdlet
	// Own are options of drover itself, "--host HV01", as they were given.
	Own    []string
	Shape  Shape
	values map[string][]string // by the parameter's name
}

// Options tells of an option of drover (without its dashes) whether there is one
// and whether a value follows it.
type Options func(name string) (known, takesValue bool)

// Bind reads the words that follow a cmdlet's name. Errors are for whoever typed them.
func Bind(c *Cmdlet, words []string, own Options) (*Call, error) {
	call := &Call{Cmdlet: c, values: map[string][]string{}}
	if slices.ContainsFunc(words, func(w string) bool { return w == "-?" || w == "/?" || w == "--help" || w == "-h" }) {
		return call, ErrHelp
	}
	words, err := call.takeOwn(words, own)
	if err != nil {
		return nil, err
	}
	if c.Tool != nil {
		if c.Verb, err = c.Tool(words); err != nil {
			return nil, err
		}
		return call, nil
	}
	words = joined(words)
	var stages []string
	if i := slices.Index(words, "|"); i >= 0 {
		words, stages = words[:i], words[i+1:]
		if len(stages) == 0 {
			return nil, errors.New(`nothing follows the "|"`)
		}
	}
	if err := call.bind(words); err != nil {
		return nil, err
	}
	return call, call.pipe(stages)
}

// takeOwn sets drover's own options apart, which may also follow a "|".
func (call *Call) takeOwn(words []string, own Options) (rest []string, err error) {
	for i := 0; i < len(words); i++ {
		w := words[i]
		name, long := strings.CutPrefix(w, "--")
		name, _, withValue := strings.Cut(name, "=")
		switch {
		case w == "-o" || strings.HasPrefix(w, "-o="):
			name, withValue = "output", w != "-o"
		case !long || w == "--":
			rest = append(rest, w)
			continue
		}
		known, takesValue := own(name)
		if !known {
			return nil, fmt.Errorf("drover has no option --%s here", name)
		}
		call.Own = append(call.Own, w)
		if takesValue && !withValue {
			if i++; i == len(words) {
				return nil, fmt.Errorf("the value of --%s is missing", name)
			}
			call.Own = append(call.Own, words[i])
		}
	}
	return rest, nil
}

func (call *Call) bind(words []string) error {
	var loose, lacking []string
	for i := 0; i < len(words); i++ {
		name, value, withValue, ok := parameterWord(words[i])
		if words[i] == "--" {
			loose = append(loose, words[i+1:]...)
			break
		}
		if !ok {
			loose = append(loose, words[i])
			continue
		}
		p, err := call.Cmdlet.find(name)
		if err != nil {
			return err
		}
		switch {
		case p.Absent != "":
			return fmt.Errorf("-%s: %s", p.Name, p.Absent)
		case call.Has(p.Name):
			return fmt.Errorf("-%s is given twice", p.Name)
		case p.Kind == Switch && !withValue:
			value = "$true"
		case withValue && value != "":
		case i+1 < len(words) && words[i+1] != "" && isValue(words[i+1]):
			i++
			value = words[i]
		default:
			lacking = append(lacking, "-"+p.Name)
			if p.Kind == Bool || p.Kind == Switch {
				return fmt.Errorf("the value of -%s is missing; a shell replaces $true and $false by nothing, so write true or false, or quote them: '$true'", p.Name)
			}
			if i+1 < len(words) && words[i+1] == "" {
				i++
			}
			call.values[p.Name] = nil
			continue
		}
		if err := call.set(p, value); err != nil {
			return err
		}
	}
	if len(lacking) > 0 {
		return fmt.Errorf("the value of %s is missing", and(lacking))
	}
	if err := call.place(loose); err != nil {
		return err
	}
	return call.complete()
}

// place gives the words without a name to the parameters that have a position.
func (call *Call) place(loose []string) error {
	var free []*Parameter
	for i := range call.Cmdlet.Parameters {
		if p := &call.Cmdlet.Parameters[i]; p.Position > 0 && !call.Has(p.Name) {
			free = append(free, p)
		}
	}
	sort.SliceStable(free, func(i, j int) bool { return free[i].Position < free[j].Position })
	for i, w := range loose {
		if i >= len(free) {
			return fmt.Errorf("no parameter is left for %q", w)
		}
		if err := call.set(free[i], w); err != nil {
			return err
		}
	}
	return nil
}

func (call *Call) complete() error {
	var lacking []string
	for _, p := range call.Cmdlet.Parameters {
		if p.Required && !call.Has(p.Name) {
			lacking = append(lacking, "-"+p.Name)
		}
	}
	if len(lacking) > 0 {
		return fmt.Errorf("%s needs %s", call.Cmdlet.Name, and(lacking))
	}
	return nil
}

func and(words []string) string {
	if n := len(words); n > 1 {
		return strings.Join(words[:n-1], ", ") + " and " + words[n-1]
	}
	return strings.Join(words, "")
}

// find is PowerShell's rule: an exact name or alias, else the one parameter of which
// it is the beginning.
func (c *Cmdlet) find(name string) (*Parameter, error) {
	var begun []*Parameter
	for i := range c.Parameters {
		p := &c.Parameters[i]
		for _, n := range append([]string{p.Name}, p.Aliases...) {
			if strings.EqualFold(n, name) {
				return p, nil
			}
			if len(n) > len(name) && strings.EqualFold(n[:len(name)], name) && !slices.Contains(begun, p) {
				begun = append(begun, p)
			}
		}
	}
	if len(begun) == 1 {
		return begun[0], nil
	}
	if len(begun) == 0 {
		return nil, fmt.Errorf("%s has no parameter -%s; it has %s", c.Name, name, and(c.usable()))
	}
	var names []string
	for _, p := range begun {
		names = append(names, "-"+p.Name)
	}
	return nil, fmt.Errorf("-%s is ambiguous: it may be %s", name, strings.Join(names, ", "))
}

func (c *Cmdlet) usable() (names []string) {
	for _, p := range c.Parameters {
		if p.Absent == "" && !strings.HasPrefix(p.Help, "(PowerShell) ") {
			names = append(names, "-"+p.Name)
		}
	}
	return names
}

func (call *Call) set(p *Parameter, value string) error {
	values := []string{value}
	switch p.Kind {
	case List:
		list, err := elements(value)
		if err != nil {
			return fmt.Errorf("-%s: %w", p.Name, err)
		}
		values = list
	case Number:
		if _, err := strconv.ParseUint(value, 10, 31); err != nil {
			return fmt.Errorf("-%s %q is not a number from 0 to 2147483647", p.Name, value)
		}
	case Bool, Switch:
		on, ok := truth(value)
		if !ok {
			return fmt.Errorf("-%s %q is neither $true nor $false", p.Name, value)
		}
		values = []string{strconv.FormatBool(on)}
	}
	call.values[p.Name] = values
	return nil
}

// truth reads $true, as PowerShell and the shells that replace it hand it over.
func truth(s string) (on, ok bool) {
	switch strings.ToLower(strings.TrimPrefix(s, "$")) {
	case "true", "1":
		return true, true
	case "false", "0":
		return false, true
	}
	return false, false
}

// Has reports whether the parameter was given.
func (call *Call) Has(name string) bool {
	_, ok := call.values[name]
	return ok
}

// Text is a parameter's value, "" when it was not given.
func (call *Call) Text(name string) string {
	if v := call.values[name]; len(v) > 0 {
		return v[0]
	}
	return ""
}

// List are a parameter's values.
func (call *Call) List(name string) []string { return call.values[name] }

// On reports whether a switch is set, or the value is $true.
func (call *Call) On(name string) bool { return call.Text(name) == "true" }

// Number is a parameter's number, 0 when it was not given.
func (call *Call) Number(name string) int {
	n, _ := strconv.Atoi(call.Text(name)) // checked when it was set
	return n
}
