package settings

import (
	"strconv"
	"strings"
)

// Value is one setting in words of the command line.
type Value struct {
	Setting string `json:"setting" doc:"as the API calls it, e.g. maximum_migrations"`
	Value   string `json:"value"`
}

// Values lists all settings, always in the same order; the revision is none.
func (s Settings) Values() []Value {
	networks := make([]string, 0, len(s.Networks))
	for _, n := range s.Networks {
		networks = append(networks, n.String())
	}
	list := "none"
	if len(networks) > 0 {
		list = strings.Join(networks, " ")
	}
	return []Value{
		{"incoming_enabled", Switch(s.Incoming)},
		{"outgoing_enabled", Switch(s.Outgoing)},
		{"maximum_migrations", strconv.Itoa(s.MaximumMigrations)},
		{"maximum_storage_migrations", strconv.Itoa(s.MaximumStorageMigrations)},
		{"authentication_type", string(s.Authentication)},
		{"performance_option", string(s.Performance)},
		{"use_any_network", Switch(s.AnyNetwork)},
		{"networks", list},
		{"bandwidth_limit", s.Bandwidth.String()},
		{"encryption", string(s.Encryption)},
	}
}

// Diff lists what differs from a to b, in the order of Values; the revision is no
// setting.
func Diff(a, b Settings) []Difference {
	out := []Difference{}
	from, to := a.Values(), b.Values()
	for i := range from {
		if from[i] != to[i] {
			out = append(out, Difference{from[i].Setting, from[i].Value, to[i].Value})
		}
	}
	return out
}
