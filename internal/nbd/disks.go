package nbd

import (
	"encoding/binary"
	"sync"
)

// Disks are the disks that one server has, by the names of their exports: each is
// new and all zeros, and only one client will write to it, over its first connection.
// The zero Disks are ready to be used, by several connections at a time.
type Disks struct {
	mu   sync.Mutex
	seen map[string]bool
}

// mostDisks and mostName bound what is remembered. A disk beyond counts as seen.
const (
	mostDisks = 1024
	mostName  = 4096
)

// first tells whether an export is written to for the first time.
func (d *Disks) first(name string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.seen[name] || len(d.seen) >= mostDisks {
		return false
	}
	if d.seen == nil {
		d.seen = map[string]bool{}
	}
	d.seen[name] = true
	return true
}

// exportName is the name in the data of NBD_OPT_GO.
func exportName(data []byte) (name string, ok bool) {
	if len(data) < 4 {
		return "", false
	}
	n := binary.BigEndian.Uint32(data)
	if n > mostName || int(n) > len(data)-4 {
		return "", false
	}
	return string(data[4 : 4+n]), true
}
