package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
)

// Process is a program that runs in a member.
type Process struct {
	PID  int // in the machine's PID namespace
	Argv []string
}

// Processes lists what runs in the member, without its PID 1.
func (m *Member) Processes() ([]Process, error) {
	pids, err := processIDs()
	if err != nil {
		return nil, err
	}
	own, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/pid", m.process.PID))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", m.Name, err)
	}
	var found []Process
	for _, pid := range pids {
		ns, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/pid", pid))
		if err != nil || ns != own || pid == m.process.PID {
			continue
		}
		raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		if err != nil || len(raw) == 0 { // it has ended
			continue
		}
		found = append(found, Process{PID: pid, Argv: strings.Split(strings.TrimRight(string(raw), "\x00"), "\x00")})
	}
	return found, nil
}

// KillMember ends a member as a power failure does: its cables first, so that nobody hears of the
// end, then every process at once. The lab cannot have it back; it is stale from now on, and Down
// removes it as ever.
func (l *Lab) KillMember(ctx context.Context, name string) error {
	m := l.Member(name)
	if m == nil {
		return fmt.Errorf("the lab has no member %s", name)
	}
	var errs []error
	for _, n := range Networks {
		if _, attached := m.spec.addresses[n]; attached {
			errs = append(errs, l.LinkDown(name, n))
		}
	}
	return errors.Join(append(errs, m.process.kill(ctx))...)
}
