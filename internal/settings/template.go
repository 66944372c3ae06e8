package settings

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"drover/internal/config"
)

// template is the document that hosts are built from: the settings without the
// revision, which belongs to one host. What is absent stays as it is.
type template struct {
	Incoming                 *bool              `yaml:"incoming_enabled"`
	Outgoing                 *bool              `yaml:"outgoing_enabled"`
	MaximumMigrations        *int               `yaml:"maximum_migrations"`
	MaximumStorageMigrations *int               `yaml:"maximum_storage_migrations"`
	Authentication           *Authentication    `yaml:"authentication_type"`
	Performance              *Performance       `yaml:"performance_option"`
	AnyNetwork               *bool              `yaml:"use_any_network"`
	Networks                 *[]templateNetwork `yaml:"networks"`
	Bandwidth                *templateRate      `yaml:"bandwidth_limit"`
	Encryption               *Encryption        `yaml:"encryption"`
	CompressionCores         *templateCores     `yaml:"compression_cores"`
}

type templateNetwork struct {
	Subnet    templateSubnet `yaml:"subnet"`
	Priority  int            `yaml:"priority"`
	Bandwidth templateRate   `yaml:"bandwidth_limit"`
}

type templateSubnet struct{ Network }

// UnmarshalYAML reads a CIDR or an address.
func (t *templateSubnet) UnmarshalYAML(b []byte) (err error) {
	t.Subnet, err = ParseSubnet(scalar(b))
	return err
}

type templateRate Rate

// UnmarshalYAML reads 500M, none, or a number of bits per second.
func (t *templateRate) UnmarshalYAML(b []byte) error {
	r, err := ParseRate(scalar(b))
	*t = templateRate(r)
	return err
}

type templateCores Cores

// UnmarshalYAML reads auto or a number.
func (t *templateCores) UnmarshalYAML(b []byte) error {
	c, err := ParseCores(scalar(b))
	*t = templateCores(c)
	return err
}

func scalar(b []byte) string {
	return strings.Trim(strings.TrimSpace(string(b)), `"'`)
}

// MaxTemplate bounds what is read as a template, in bytes.
const MaxTemplate = 1 << 20

// ParseTemplate reads what Template wrote, YAML or its JSON form, into the change
// that brings a host there: what is absent stays as it is, the networks that are
// listed replace all. An unknown key, a wrong value and an empty document are errors.
func ParseTemplate(b []byte) (Change, error) {
	if len(b) > MaxTemplate {
		return Change{}, fmt.Errorf("is longer than %d bytes", MaxTemplate)
	}
	var t template
	if err := config.Strict(b, &t); err != nil {
		return Change{}, err
	}
	if err := valued(b); err != nil {
		return Change{}, err
	}
	ch := Change{Incoming: t.Incoming, Outgoing: t.Outgoing, MaximumMigrations: t.MaximumMigrations, MaximumStorageMigrations: t.MaximumStorageMigrations,
		Authentication: t.Authentication, Performance: t.Performance, AnyNetwork: t.AnyNetwork, Bandwidth: (*Rate)(t.Bandwidth), Encryption: t.Encryption, CompressionCores: (*Cores)(t.CompressionCores)}
	if t.Networks != nil {
		list := []Network{}
		for _, n := range *t.Networks {
			list = append(list, Network{n.Subnet.Subnet, n.Priority, Rate(n.Bandwidth)})
		}
		ch.Networks = &list
	}
	if ch.Empty() {
		return Change{}, errors.New("has no settings")
	}
	checked := Default()
	ch.values(&checked)
	if ch.Networks != nil {
		checked.Networks = *ch.Networks
	}
	if setting, err := checked.check(); err != nil {
		return Change{}, fmt.Errorf("%s: %w", setting, err)
	}
	return ch, nil
}

// valued refuses a key without a value: "networks:" whose list was taken out looks
// like no networks, and would leave those that there are. It refuses parts of numbers
// as well, which the library cuts off.
func valued(b []byte) error {
	keys := map[string]any{}
	if err := config.Strict(b, &keys); err != nil {
		return err
	}
	for _, k := range slices.Sorted(maps.Keys(keys)) {
		switch v := keys[k].(type) {
		case nil:
			return fmt.Errorf("%s has no value; take the key out to leave it as it is (networks: [] is no networks)", k)
		case []any:
			for _, n := range v {
				members, _ := n.(map[string]any)
				if p, ok := members["priority"].(float64); ok {
					return fmt.Errorf("%s: priority %v is no whole number", k, p)
				}
			}
		case float64:
			if k != "bandwidth_limit" {
				return fmt.Errorf("%s: %v is no whole number", k, v)
			}
		}
	}
	return nil
}

// TemplateJSON is the template for programs; ParseTemplate reads its JSON too.
func (s Settings) TemplateJSON() any {
	type network struct {
		Subnet    string `json:"subnet"`
		Priority  int    `json:"priority"`
		Bandwidth string `json:"bandwidth_limit"`
	}
	networks := []network{}
	for _, n := range s.Networks {
		networks = append(networks, network{n.Subnet.String(), n.Priority, n.Bandwidth.String()})
	}
	return struct {
		Incoming                 bool           `json:"incoming_enabled"`
		Outgoing                 bool           `json:"outgoing_enabled"`
		MaximumMigrations        int            `json:"maximum_migrations"`
		MaximumStorageMigrations int            `json:"maximum_storage_migrations"`
		Authentication           Authentication `json:"authentication_type"`
		Performance              Performance    `json:"performance_option"`
		AnyNetwork               bool           `json:"use_any_network"`
		Networks                 []network      `json:"networks"`
		Bandwidth                string         `json:"bandwidth_limit"`
		Encryption               Encryption     `json:"encryption"`
		CompressionCores         string         `json:"compression_cores"`
	}{s.Incoming, s.Outgoing, s.MaximumMigrations, s.MaximumStorageMigrations, s.Authentication, s.Performance, s.AnyNetwork, networks, s.Bandwidth.String(), s.Encryption, s.CompressionCores.String()}
}

// templateNotes say what a key takes, above it.
var templateNotes = map[string]string{
	"incoming_enabled":           "live migration: whether the host accepts VMs, and whether VMs may leave it",
	"maximum_migrations":         "simultaneous moves, incoming and outgoing together; a move over the limit waits",
	"authentication_type":        "Kerberos or CredSSP (not available yet)",
	"performance_option":         "TCPIP, Compression or SMB (not available yet)",
	"use_any_network":            "true: every network may carry migrations, and the list only orders them",
	"networks":                   "CIDR or address; lower priority first, equal ones together; bandwidth_limit as below",
	"bandwidth_limit":            "of all migrations, each direction by itself, in bits per second: 500M, 1G, none",
	"encryption":                 "Required, Allowed or Off; a move is unencrypted only where both hosts say Off",
	"compression_cores":          "processors that may compress at a time, for all moves from the host together: a number, or auto",
	"maximum_storage_migrations": "",
}

// Template writes the settings as commented YAML that ParseTemplate reads back.
func (s Settings) Template() []byte {
	var b bytes.Buffer
	for _, v := range s.Values() {
		if note := templateNotes[v.Setting]; note != "" {
			fmt.Fprintf(&b, "# %s\n", note)
		}
		switch v.Setting {
		case "incoming_enabled", "outgoing_enabled", "use_any_network":
			fmt.Fprintf(&b, "%s: %t\n", v.Setting, v.Value == "on")
		case "networks":
			writeNetworks(&b, s.Networks)
		default:
			fmt.Fprintf(&b, "%s: %s\n", v.Setting, v.Value)
		}
	}
	return b.Bytes()
}

func writeNetworks(b *bytes.Buffer, list []Network) {
	if len(list) == 0 {
		b.WriteString("networks: []\n")
		return
	}
	b.WriteString("networks:\n")
	for _, n := range list {
		fmt.Fprintf(b, "  - subnet: %s\n    priority: %d\n", quoted(n.Subnet.String()), n.Priority)
		if n.Bandwidth != 0 {
			fmt.Fprintf(b, "    bandwidth_limit: %s\n", n.Bandwidth)
		}
	}
}

// quoted keeps the colons of IPv6 out of YAML's way.
func quoted(s string) string {
	if strings.Contains(s, ":") {
		return `"` + s + `"`
	}
	return s
}
