package fault

import "sort"

// Entry is what the registry knows about a code. Message, Cause and Hint are
// templates: {host} and the names of Args are filled in.
type Entry struct {
	Code    Code
	Class   Class
	HTTP    int // 0: the class decides
	Title   string
	Message string
	Cause   string // why it happens, for `drover explain`; may span sentences
	Hint    string // what to do, with a command
}

// Lookup finds the entry of code.
func Lookup(code Code) (Entry, bool) {
	e, ok := registry[code]
	return e, ok
}

// All lists every entry, by code.
func All() []Entry {
	out := make([]Entry, 0, len(registry))
	for _, e := range registry {
		out = append(out, e)
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Code < out[j].Code })
	return out
}

var registry = index(general, auth, hosts, machines, transfer, directoryCodes, findingCodes, settingsCodes, doctorCodes, networkCodes, alikeCodes)

func index(groups ...[]Entry) map[Code]Entry {
	m := make(map[Code]Entry)
	for _, g := range groups {
		for _, e := range g {
			if _, dup := m[e.Code]; dup {
				panic("fault: code registered twice: " + string(e.Code))
			}
			m[e.Code] = e
		}
	}
	return m
}
