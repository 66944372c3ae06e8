package wire

import (
	"fmt"
	"path"
	"regexp"
	"strings"
)

// MaxMappings is as many entries as each of the maps may have.
const MaxMappings = 64

var (
	networkName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.:@+-]{0,127}$`)
	modelName   = regexp.MustCompile(`^[A-Za-z0-9_.:+-]{1,128}$`)
)

// Check refuses what cannot be meant, in words for whoever wrote it. Whether the
// destination has what is named is another question.
func (m Mappings) Check() error {
	for what, entries := range map[string]map[string]string{"network": m.Networks, "storage": m.Storage, "disk": m.Disks} {
		if len(entries) > MaxMappings {
			return fmt.Errorf("%d mappings of a %s, more than %d", len(entries), what, MaxMappings)
		}
	}
	for from, to := range m.Networks {
		if !networkName.MatchString(from) || !networkName.MatchString(to) {
			return fmt.Errorf("the network mapping %.150q=%.150q, which is not of two names", from, to)
		}
	}
	for from, to := range m.Storage {
		if !directory(from) || !directory(to) {
			return fmt.Errorf("the storage mapping %.200q=%.200q, which is not of two absolute paths", from, to)
		}
	}
	for disk, to := range m.Disks {
		if disk == "" || len(disk) > maxPath || !directory(to) {
			return fmt.Errorf("the disk mapping %.200q=%.200q, whose end is not an absolute path", disk, to)
		}
	}
	if m.CPU != "" && !modelName.MatchString(m.CPU) {
		return fmt.Errorf("the CPU model %.150q", m.CPU)
	}
	return nil
}

const maxPath = 4096

func directory(p string) bool {
	return len(p) <= maxPath && path.IsAbs(p) && !strings.ContainsAny(p, "\x00\n")
}
