package eventlog

import "sort"

// Kind is what the registry knows of a number.
type Kind struct {
	ID    ID
	Name  string // lower-kebab-case, as stable as the number
	Level Level
	Title string
	// Message is a template: {vm}, {move}, {actor}, {code} and the names of Data
	// are filled in, each in its unit. What stands in [brackets] is left out when
	// one of its members has no value.
	Message string
	Says    string // when it is written and what to make of it
	// Windows is the number for the same thing in the log
	// Microsoft-Windows-Hyper-V-VMMS-Admin, 0 if none is known for sure.
	Windows int
	Data    []Member
}

// Unit says how a number is shown in a message; in Data it is always plain.
type Unit string

// The units of members.
const (
	None         Unit = ""
	Milliseconds Unit = "milliseconds"
	Seconds      Unit = "seconds"
	Bytes        Unit = "bytes"
	Rate         Unit = "bytes per second"
)

// Member is one of a kind's data.
type Member struct {
	Name, Meaning string
	Unit          Unit
}

// Lookup finds the kind with this number.
func Lookup(id ID) (Kind, bool) {
	k, ok := registry[id]
	return k, ok
}

// All lists every kind, by number.
func All() []Kind {
	out := make([]Kind, 0, len(registry))
	for _, k := range registry {
		out = append(out, k)
	}
	sort.Slice(out, func(i, j int) bool { return out[i].ID < out[j].ID })
	return out
}

var registry = index(hostKinds, sourceKinds, destinationKinds, refusalKinds, settingsKinds, delegationKinds, limitKinds, networkKinds, journalKinds)

func index(groups ...[]Kind) map[ID]Kind {
	m := map[ID]Kind{}
	for _, g := range groups {
		for _, k := range g {
			if _, dup := m[k.ID]; dup {
				panic("eventlog: number registered twice: " + k.Name)
			}
			m[k.ID] = k
		}
	}
	return m
}

// with joins lists of members.
func with(lists ...[]Member) (out []Member) {
	for _, l := range lists {
		out = append(out, l...)
	}
	return out
}
