package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"time"

	"golang.org/x/sys/unix"
)

// BaseDir holds one directory per lab. It has to be on a file system that supports O_DIRECT,
// because the disks of virtual machines are below it.
const BaseDir = "/var/lib/drover-lab"

// state is what lab.json says of a lab: enough to use it from another process, to tell whether it
// is still there, and to take it down.
type state struct {
	Name string `json:"name"`
	// BootID is the machine's at creation: after a restart of the machine nothing of the lab but
	// its files can be left.
	BootID  string    `json:"boot_id"`
	Created time.Time `json:"created"`
	// Owner is the process with which the lab is to end (a test), zero without one.
	Owner process `json:"owner"`
	// Complete is set at the end of a successful Up.
	Complete  bool   `json:"complete"`
	Rootfs    string `json:"rootfs"`
	Directory string `json:"directory"`
	Libvirt   string `json:"libvirt"`
	// LibvirtTCP is Options.LibvirtTCP.
	LibvirtTCP bool               `json:"libvirt_tcp,omitempty"`
	Assets     string             `json:"assets"`
	Agent      string             `json:"agent"`
	Unit       string             `json:"unit,omitempty"`
	Members    map[string]process `json:"members"`
	// GroupSIDs are the security identifiers of the role groups by name.
	GroupSIDs map[string]string `json:"group_sids"`
}

var validName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,30}$`)

// checkName refuses names that could leave BaseDir or make a socket path too long.
func checkName(name string) error {
	if !validName.MatchString(name) {
		return fmt.Errorf("lab name %q: use up to 31 lower-case letters, digits and dashes", name)
	}
	return nil
}

func stateDir(name string) string { return filepath.Join(BaseDir, name) }

func readState(name string) (*state, error) {
	raw, err := os.ReadFile(filepath.Join(stateDir(name), "lab.json"))
	if err != nil {
		return nil, err
	}
	var s state
	if err := json.Unmarshal(raw, &s); err != nil {
		return nil, fmt.Errorf("lab %s: %w", name, err)
	}
	return &s, nil
}

// write replaces lab.json in one step.
func (s *state) write() error {
	raw, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	path := filepath.Join(stateDir(s.Name), "lab.json")
	if err := os.WriteFile(path+".new", raw, 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// Condition says how much of a lab is there.
type Condition string

// Conditions of a lab.
const (
	Absent   Condition = "absent"   // nothing of it exists
	Running  Condition = "running"  // every member runs
	Stale    Condition = "stale"    // left behind by a crash or a restart of the machine
	Starting Condition = "starting" // being raised or taken down right now by another process
)

// condition judges a state read from disk. The caller holds the lab's lock, so a lab that is not
// complete is not being raised by anybody.
func (s *state) condition() Condition {
	boot, err := bootID()
	if err != nil || boot != s.BootID || !s.Complete {
		return Stale
	}
	if s.Owner.PID != 0 && !s.Owner.alive() {
		return Stale
	}
	for _, p := range s.Members {
		if !p.alive() {
			return Stale
		}
	}
	return Running
}

// lock serialises Up and Down of one name between processes.
func lock(ctx context.Context, name string) (unlock func(), err error) {
	return lockFile(ctx, lockPath(name), 2*time.Minute)
}

func lockPath(name string) string { return filepath.Join(BaseDir, "."+name+".lock") }

// lockFile waits for a lock. The lock file is removed when it is given back, so a lock taken on a
// file that is no longer the one in the directory is taken again.
func lockFile(ctx context.Context, path string, limit time.Duration) (unlock func(), err error) {
	err = until(ctx, limit, path+", which another process holds", func(context.Context) error {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		unlock, err = tryLock(path)
		return err
	})
	return unlock, err
}

var errLocked = errors.New("locked")

func tryLock(path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, errors.Join(errLocked, f.Close())
	}
	mine, err := f.Stat()
	current, statErr := os.Stat(path)
	if err != nil || statErr != nil || !os.SameFile(mine, current) {
		return nil, errors.Join(errLocked, f.Close())
	}
	return func() {
		_ = os.Remove(path)
		_ = f.Close()
		_ = os.Remove(filepath.Dir(path)) // succeeds when nothing else is in it
	}, nil
}

// Status describes a lab for people and tests.
type Status struct {
	Name      string
	Condition Condition
	Rootfs    string // of the hosts
	Directory string // of the domain controller: "machine" or "trixie"
	Created   time.Time
	Members   []MemberStatus
}

// MemberStatus describes one member.
type MemberStatus struct {
	Name      string
	Alive     bool
	PID       int // of its PID 1, in the machine's PID namespace
	Addresses map[Network]string
	Services  []ServiceStatus
}

// Inspect reports on a lab without changing it.
func Inspect(ctx context.Context, name string) (Status, error) {
	status := Status{Name: name, Condition: Absent}
	if err := checkName(name); err != nil {
		return status, err
	}
	s, err := readState(name)
	if errors.Is(err, fs.ErrNotExist) {
		return status, nil
	}
	if err != nil {
		return status, err
	}
	status.Condition, status.Rootfs, status.Directory, status.Created = s.condition(), s.Rootfs, s.Directory, s.Created
	if !s.Complete && beingRaised(name) {
		status.Condition = Starting
	}
	l := &Lab{state: s}
	for _, spec := range members {
		p, found := s.Members[spec.name]
		if !found {
			continue
		}
		m := MemberStatus{Name: spec.name, PID: p.PID, Alive: p.alive(), Addresses: map[Network]string{}}
		for _, n := range Networks {
			if a := spec.address(n); a != "" {
				m.Addresses[n] = a
			}
		}
		if m.Alive {
			m.Services, _ = l.Member(spec.name).Services(ctx)
		}
		status.Members = append(status.Members, m)
	}
	return status, nil
}

// beingRaised tells whether somebody holds the lab's lock.
func beingRaised(name string) bool {
	unlock, err := tryLock(lockPath(name))
	if err == nil {
		unlock()
	}
	return errors.Is(err, errLocked)
}

// List names the labs that have a directory, whatever their condition.
func List() ([]string, error) {
	entries, err := os.ReadDir(BaseDir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var names []string
	for _, e := range entries {
		if e.IsDir() && checkName(e.Name()) == nil {
			names = append(names, e.Name())
		}
	}
	return names, err
}
