// Package config is droverd's one configuration file, drover.yaml: its types,
// defaults, strict reading and validation. An unknown key is an error.
package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/goccy/go-yaml"

	"drover/internal/fault"
)

// DefaultPath is where droverd looks for its configuration.
const DefaultPath = "/etc/drover/drover.yaml"

// The ports of the agent: the management API, and migration (agents only).
const (
	APIPort       = 6601
	MigrationPort = 6600
)

// Config is drover.yaml. The zero value of each field means its default, which
// Default gives and docs/drover.yaml.md lists.
type Config struct {
	// Host is the name by which other hosts and service names know this one,
	// e.g. HV01. Default: the machine's host name up to the first dot, upper case.
	Host string `yaml:"host,omitempty"`
	// StateDir holds the journal (drover.db) and the TLS identity.
	StateDir string `yaml:"state_dir,omitempty"`
	// RunDir holds the local socket and the sockets that QEMU connects to. Its
	// path is short because a Unix socket's path is limited to 107 bytes. It
	// must be the same on every host.
	RunDir   string   `yaml:"run_dir,omitempty"`
	API      API      `yaml:"api,omitempty"`
	Kerberos Kerberos `yaml:"kerberos,omitempty"`
	Libvirt  Libvirt  `yaml:"libvirt,omitempty"`
	Storage  Storage  `yaml:"storage,omitempty"`
	// Roles gives each role to groups and users: SIDs (S-1-5-21-...) of the
	// directory, or local groups as "local:NAME" for the unix socket.
	Roles Roles `yaml:"roles,omitempty"`
	// LocalUsers maps a local user of the unix socket to the Kerberos principal
	// that it stands for. An unmapped user can look, and cannot move.
	LocalUsers map[string]string `yaml:"local_users,omitempty"`
	// ShutdownTimeout is how long SIGTERM waits for running moves.
	ShutdownTimeout Duration `yaml:"shutdown_timeout,omitempty"`
	Log             Log      `yaml:"log,omitempty"`
	Events          Events   `yaml:"events,omitempty"`
}

// API is where the management API listens.
type API struct {
	// Listen are addresses with port; default every address, port 6601.
	Listen []string `yaml:"listen,omitempty"`
	// Socket is the local unix socket; default RunDir/droverd.sock.
	Socket string `yaml:"socket,omitempty"`
}

// Kerberos says whose key the agent uses.
type Kerberos struct {
	Keytab   string `yaml:"keytab,omitempty"`    // default /etc/krb5.keytab
	Krb5Conf string `yaml:"krb5_conf,omitempty"` // default /etc/krb5.conf
	// Account is the computer account; default: HOST$ with Host's short name.
	Account string `yaml:"account,omitempty"`
}

// Libvirt says where the local libvirt listens.
type Libvirt struct {
	// Socket; default: virtqemud's socket if it exists, else libvirtd's.
	Socket string `yaml:"socket,omitempty"`
}

// Storage limits where a destination writes.
type Storage struct {
	// Roots are the directories under which disks of incoming VMs may lie.
	Roots []string `yaml:"roots,omitempty"`
	// BootRoots are the directories from which an incoming VM may take kernel
	// and initrd of a direct kernel boot. Default none.
	BootRoots []string `yaml:"boot_roots,omitempty"`
	Seeds     Seeds    `yaml:"seeds,omitempty"`
}

// Seeds bounds what is kept of disks after a move, so that the next one sends less;
// 0 of either keeps nothing.
type Seeds struct {
	MaxAge  *Duration `yaml:"max_age,omitempty"`  // default 24h
	MaxSize *Size     `yaml:"max_size,omitempty"` // default 100GiB, all together
}

func (s Seeds) validate() error {
	if age := time.Duration(*s.MaxAge); age < 0 || age > 365*24*time.Hour {
		return fmt.Errorf("storage.seeds.max_age: %s is not between 0s and 8760h", age)
	}
	return nil
}

// Size is a number of bytes, written as "100GiB"; 0 needs no unit.
type Size uint64

// String is a short form, such as "100 GiB".
func (s Size) String() string { return humanize.IBytes(uint64(s)) }

// MarshalYAML writes "100 GiB", or the bytes where that is not exact.
func (s Size) MarshalYAML() (any, error) {
	if text := s.String(); sizeOf(text) == s {
		return text, nil
	}
	return strconv.FormatUint(uint64(s), 10) + "B", nil
}

func sizeOf(text string) Size {
	n, _ := humanize.ParseBytes(text)
	return Size(n)
}

// UnmarshalYAML reads "100GiB", "1.5TiB" or "0".
func (s *Size) UnmarshalYAML(b []byte) error {
	var text string
	if err := yaml.Unmarshal(b, &text); err != nil {
		return err
	}
	n, err := humanize.ParseBytes(text)
	if err != nil || n > 1<<60 {
		return fmt.Errorf("%q is not a size such as 100GiB", text)
	}
	*s = Size(n)
	return nil
}

// Roles lists who has which role on this host.
type Roles struct {
	Viewer        []string `yaml:"viewer,omitempty"`
	Operator      []string `yaml:"operator,omitempty"`
	Administrator []string `yaml:"administrator,omitempty"`
}

// Log says how much is logged: debug, info, warn or error.
type Log struct {
	Level  string `yaml:"level,omitempty"`
	Format string `yaml:"format,omitempty"` // text or json
}

// Events bounds the event log. It is trimmed now and then, so that for a while it
// may hold a little more.
type Events struct {
	MaxAge     Duration `yaml:"max_age,omitempty"`
	MaxEntries int      `yaml:"max_entries,omitempty"`
}

func (e Events) validate() error {
	if age := time.Duration(e.MaxAge); age < time.Hour || age > 10*365*24*time.Hour {
		return fmt.Errorf("events.max_age: %s is not between 1h and 87600h", age)
	}
	if e.MaxEntries < 1000 || e.MaxEntries > 10_000_000 {
		return fmt.Errorf("events.max_entries: %d is not between 1000 and 10000000", e.MaxEntries)
	}
	return nil
}

// Duration is a time.Duration written as "30s" or "5m".
type Duration time.Duration

// MarshalYAML writes "1m30s".
func (d Duration) MarshalYAML() (any, error) { return time.Duration(d).String(), nil }

// UnmarshalYAML reads "90s" or "1m30s".
func (d *Duration) UnmarshalYAML(b []byte) error {
	var s string
	if err := yaml.Unmarshal(b, &s); err != nil {
		return err
	}
	v, err := time.ParseDuration(s)
	if err != nil {
		return fmt.Errorf("%q is not a duration such as 30s or 5m", s)
	}
	*d = Duration(v)
	return nil
}

// Load reads, completes and validates a file. Every failure is a
// "config-invalid" fault that names the file and, where it has one, the line.
func Load(path string) (*Config, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fault.Wrap(err, fault.ConfigInvalid, "", "file", path, "problem", "cannot be read")
	}
	c, err := Parse(b)
	if err != nil {
		return nil, fault.New(fault.ConfigInvalid, "", "file", path, "problem", err.Error())
	}
	return c, nil
}

// Parse reads YAML strictly, fills in defaults and validates.
func Parse(b []byte) (*Config, error) {
	c, err := decode(b)
	if err != nil {
		return nil, err
	}
	if err := c.complete(); err != nil {
		return nil, err
	}
	return c, c.validate()
}

func decode(b []byte) (*Config, error) {
	c := new(Config)
	err := Strict(b, c)
	if err != nil && hasMigration(b) {
		err = errors.New("migration: is no longer set in this file, but while droverd runs, with `drover host set`; remove the section and see `drover host set --help`")
	}
	return c, err
}

// hasMigration finds the section that files of Drover 0.3 and before had.
func hasMigration(b []byte) (has bool) {
	defer func() { _ = recover() }() // see Strict
	var old struct {
		Migration any `yaml:"migration"`
	}
	return yaml.Unmarshal(b, &old) == nil && old.Migration != nil
}

// Strict reads one YAML document into what into points to: an unknown or repeated
// key is an error, which tells line and column, and so is a second document, of
// which nothing would come to be. An empty document changes nothing.
// go-yaml 1.19.2 panics on some malformed input (testdata/fuzz has one); to whoever
// edits the file that is an error like any other.
func Strict(b []byte, into any) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("is not YAML that can be read: %v", p)
		}
	}()
	dec := yaml.NewDecoder(bytes.NewReader(b), yaml.Strict(), yaml.DisallowUnknownField())
	if err := dec.Decode(into); err != nil && !errors.Is(err, io.EOF) {
		return errors.New(yaml.FormatError(err, false, true))
	}
	for {
		var more any
		switch err := dec.Decode(&more); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil || more != nil:
			return errors.New("has more than one document (---), and only the first would be read")
		}
	}
}

var hostName = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?(\.[A-Za-z0-9-]+)*$`)
var principal = regexp.MustCompile(`^[^@/\s]+@[A-Z0-9.-]+$`)
var roleEntry = regexp.MustCompile(`^(S-1-[0-9]+(-[0-9]+)+|local:[a-z_][a-z0-9_-]*)$`)

func (c *Config) validate() error {
	if !hostName.MatchString(c.Host) {
		return fmt.Errorf("host: %q is not a host name", c.Host)
	}
	for name, path := range map[string]string{"state_dir": c.StateDir, "run_dir": c.RunDir, "kerberos.keytab": c.Kerberos.Keytab, "kerberos.krb5_conf": c.Kerberos.Krb5Conf, "api.socket": c.API.Socket} {
		if !filepath.IsAbs(path) {
			return fmt.Errorf("%s: %q is not an absolute path", name, path)
		}
	}
	if len(c.RunDir) > 40 {
		return fmt.Errorf("run_dir: %q is longer than 40 bytes; socket paths below it would not fit", c.RunDir)
	}
	for _, a := range c.API.Listen {
		if _, err := netip.ParseAddrPort(a); err != nil {
			return fmt.Errorf("api.listen: %q is not ADDRESS:PORT", a)
		}
	}
	for _, r := range append(append([]string{}, c.Storage.Roots...), c.Storage.BootRoots...) {
		if !filepath.IsAbs(r) || filepath.Clean(r) != r || r == "/" {
			return fmt.Errorf("storage: %q is not a clean absolute directory below /", r)
		}
	}
	for _, list := range [][]string{c.Roles.Viewer, c.Roles.Operator, c.Roles.Administrator} {
		for _, e := range list {
			if !roleEntry.MatchString(e) {
				return fmt.Errorf("roles: %q is neither a SID (S-1-5-21-...) nor local:GROUP", e)
			}
		}
	}
	for u, p := range c.LocalUsers {
		if !principal.MatchString(p) {
			return fmt.Errorf("local_users.%s: %q is not USER@REALM", u, p)
		}
	}
	if c.ShutdownTimeout < 0 {
		return errors.New("shutdown_timeout: must not be negative")
	}
	return errors.Join(c.Log.validate(), c.Events.validate(), c.Storage.Seeds.validate())
}
