package lab

import (
	_ "embed"
	"errors"
	"os"
	"path/filepath"
)

//go:embed confine.py
var confine string

// Confined is the command that runs argv on a host with the rights that Options.Unit leaves the
// agent. The lab's storage is what an administrator would add as ReadWritePaths=.
func (l *Lab) Confined(host string, argv ...string) ([]string, error) {
	m, err := l.host(host)
	if err != nil {
		return nil, err
	}
	unit, err := os.ReadFile(l.state.Unit)
	if err != nil {
		return nil, err
	}
	const script, copied = "/etc/drover/confine.py", "/etc/drover/droverd.service"
	if err := os.MkdirAll(m.Path(filepath.Dir(script)), 0o755); err != nil {
		return nil, err
	}
	if err := errors.Join(os.WriteFile(m.Path(script), []byte(confine), 0o644), os.WriteFile(m.Path(copied), unit, 0o644)); err != nil {
		return nil, err
	}
	return append([]string{"/usr/bin/python3", script, copied, "--rw", VMDir, "--rw", SharedDir, "--"}, argv...), nil
}
