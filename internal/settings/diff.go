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
	return []Value{
		{"incoming_enabled", Switch(s.Incoming)},
		{"outgoing_enabled", Switch(s.Outgoing)},
		{"maximum_migrations", strconv.Itoa(s.MaximumMigrations)},
		{"maximum_storage_migrations", strconv.Itoa(s.MaximumStorageMigrations)},
		{"authentication_type", string(s.Authentication)},
		{"performance_option", string(s.Performance)},
		{"use_any_network", Switch(s.AnyNetwork)},
		{"networks", listed(s.Networks)},
		{"bandwidth_limit", s.Bandwidth.String()},
		{"encryption", string(s.Encryption)},
		{"compression_cores", s.CompressionCores.String()},
	}
}

func listed(networks []Network) string {
	if len(networks) == 0 {
		return "none"
	}
	var out []string
	for _, n := range networks {
		out = append(out, n.String())
	}
	return strings.Join(out, " ")
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
