// Package cmdlet reads the command lines of Hyper-V's administrators: the cmdlets
// of PowerShell that concern hosts, virtual machines and live migration, and
// setspn and klist. It says what each takes and which verb of drover does the same;
// it does nothing itself.
package cmdlet

import "strings"

// Kind is what a parameter takes.
type Kind int

// The kinds. A Switch takes no value, or one after a colon.
const (
	Text   Kind = iota // one value
	List               // values with commas between
	Number             // not negative
	Bool               // $true or $false
	Switch
)

// Parameter of a cmdlet.
type Parameter struct {
	Name     string
	Aliases  []string
	Kind     Kind
	Position int // counted from 1; 0 is by name only
	Required bool
	Help     string
	// Absent says why the parameter, which the cmdlet has on Windows, cannot be
	// used here; "" for those that can.
	Absent string
}

// Cmdlet is one command of PowerShell or Windows.
type Cmdlet struct {
	Name    string
	Aliases []string
	Short   string
	// Native are the verbs of drover that do the same, for help.
	Native     string
	Examples   []string
	Parameters []Parameter
	// Verb is the verb that carries a cmdlet out whose output is that verb's; nil
	// where objects with Properties are shown.
	Verb []string
	// Properties are those of the objects that come out; Shown those of the table.
	Properties, Shown []string
	// Open says that there may be other properties, which parameters ask for.
	Open bool
	// Tool reads the words of a command that is not PowerShell's; the result are
	// arguments for drover.
	Tool func(words []string) ([]string, error)
	// Instead tells what to use for a cmdlet that drover does not carry out.
	Instead *Instead
}

// Instead of a cmdlet.
type Instead struct {
	Why     string // it is not carried out
	Command string // of drover, to be used in its place
}

// All are the cmdlets, in the order of help.
func All() []*Cmdlet { return all }

// Lookup finds a cmdlet by its name or alias, in upper or lower case.
func Lookup(name string) (*Cmdlet, bool) {
	for _, c := range all {
		if c.called(name) {
			return c, true
		}
	}
	return nil, false
}

func (c *Cmdlet) called(name string) bool {
	if strings.EqualFold(c.Name, name) {
		return true
	}
	for _, a := range c.Aliases {
		if strings.EqualFold(a, name) {
			return true
		}
	}
	return false
}

// Near are cmdlets whose verb or noun is that of a name which is none.
func Near(name string) (near []string) {
	verb, noun, ok := strings.Cut(strings.ToLower(name), "-")
	if !ok || verb == "" || noun == "" {
		return nil
	}
	for _, c := range all {
		v, n, _ := strings.Cut(strings.ToLower(c.Name), "-")
		if n == noun || v == verb && (strings.HasPrefix(n, noun) || strings.HasPrefix(noun, n)) {
			near = append(near, c.Name)
		}
	}
	return near
}
