package settings

import (
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strconv"

	"drover/internal/fault"
)

// Apply gives the settings after ch, with the next revision if that makes a
// difference; s is not changed. A change that does not fit is refused as a whole
// with settings-invalid, one that was decided on other settings with
// settings-changed. host is for the message.
func (s Settings) Apply(host string, ch Change) (Settings, error) {
	if ch.IfRevision != nil && *ch.IfRevision != s.Revision {
		return Settings{}, fault.New(fault.SettingsChanged, host, "have", strconv.FormatInt(s.Revision, 10), "want", strconv.FormatInt(*ch.IfRevision, 10))
	}
	next := s
	ch.values(&next)
	var err error
	if next.Networks, err = ch.networks(s.Networks); err != nil {
		return Settings{}, invalid(host, "networks", err)
	}
	if err := next.Validate(host); err != nil {
		return Settings{}, err
	}
	sortNetworks(next.Networks)
	if len(Diff(s, next)) > 0 {
		next.Revision++
	}
	return next, nil
}

// values sets what is one value each: all but the networks.
func (ch Change) values(s *Settings) {
	set(&s.Incoming, ch.Incoming)
	set(&s.Outgoing, ch.Outgoing)
	set(&s.MaximumMigrations, ch.MaximumMigrations)
	set(&s.MaximumStorageMigrations, ch.MaximumStorageMigrations)
	set(&s.Authentication, ch.Authentication)
	set(&s.Performance, ch.Performance)
	set(&s.AnyNetwork, ch.AnyNetwork)
	set(&s.Bandwidth, ch.Bandwidth)
	set(&s.Encryption, ch.Encryption)
	set(&s.CompressionCores, ch.CompressionCores)
}

func set[T any](to, from *T) {
	if from != nil {
		*to = *from
	}
}

// networks are those of a host that had these, after the change; a new slice.
func (ch Change) networks(had []Network) ([]Network, error) {
	out := append([]Network{}, had...)
	if ch.Networks != nil {
		if len(ch.AddNetworks) > 0 || len(ch.RemoveNetworks) > 0 {
			return nil, fmt.Errorf("a list that replaces all networks leaves none to add or remove")
		}
		return append([]Network{}, *ch.Networks...), nil
	}
	for _, p := range ch.RemoveNetworks {
		i := slices.IndexFunc(out, func(n Network) bool { return n.Subnet == p })
		if i < 0 {
			if err := checkSubnet(p); err != nil {
				return nil, err
			}
			return nil, fmt.Errorf("%s is no migration network of the host; it has %s", p, listed(had))
		}
		out = slices.Delete(out, i, i+1)
	}
	added := map[netip.Prefix]bool{}
	for _, n := range ch.AddNetworks {
		if added[n.Subnet] {
			return nil, fmt.Errorf("network %s is there twice", n.Subnet)
		}
		added[n.Subnet] = true
		if i := slices.IndexFunc(out, func(o Network) bool { return o.Subnet == n.Subnet }); i >= 0 {
			out[i] = n
			continue
		}
		out = append(out, n)
	}
	return out, nil
}

// Empty tells whether the change changes nothing on any host.
func (ch Change) Empty() bool {
	ch.IfRevision = nil
	return reflect.ValueOf(ch).IsZero()
}

// Change sets all of s, whatever a host has now.
func (s Settings) Change() Change {
	networks := append([]Network{}, s.Networks...)
	return Change{Incoming: &s.Incoming, Outgoing: &s.Outgoing, MaximumMigrations: &s.MaximumMigrations, MaximumStorageMigrations: &s.MaximumStorageMigrations,
		Authentication: &s.Authentication, Performance: &s.Performance, AnyNetwork: &s.AnyNetwork, Networks: &networks, Bandwidth: &s.Bandwidth, Encryption: &s.Encryption, CompressionCores: &s.CompressionCores}
}

// Validate refuses settings that no host may have, with settings-invalid.
func (s Settings) Validate(host string) error {
	if setting, err := s.check(); err != nil {
		return invalid(host, setting, err)
	}
	return nil
}

// check names the first setting that cannot be as it is.
func (s Settings) check() (setting string, err error) {
	for _, c := range []struct {
		setting string
		err     error
	}{
		{"maximum_migrations", checkLimit(s.MaximumMigrations)},
		{"maximum_storage_migrations", checkLimit(s.MaximumStorageMigrations)},
		{"authentication_type", known(s.Authentication, ParseAuthentication)},
		{"performance_option", known(s.Performance, ParsePerformance)},
		{"networks", checkNetworks(s.Networks)},
		{"bandwidth_limit", s.Bandwidth.Check()},
		{"encryption", known(s.Encryption, ParseEncryption)},
		{"compression_cores", s.CompressionCores.Check()},
	} {
		if c.err != nil {
			return c.setting, c.err
		}
	}
	return "", nil
}

func checkLimit(n int) error {
	if n < 0 || n > maxMigrations {
		return fmt.Errorf("%d is not from 0 to %d", n, maxMigrations)
	}
	return nil
}

// known refuses everything but the one spelling that is kept.
func known[T ~string](v T, parse func(string) (T, error)) error {
	canonical, err := parse(string(v))
	if err == nil && canonical != v {
		err = fmt.Errorf("%q is to be written %s", string(v), string(canonical))
	}
	return err
}

func invalid(host, setting string, err error) error {
	return fault.New(fault.SettingsInvalid, host, "setting", setting, "problem", err.Error())
}
