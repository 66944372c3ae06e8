package nbd

import (
	"encoding/binary"
	"sync"
	"sync/atomic"
)

// Disks are the disks that one server has, by the names of their exports: each is
// new and all zeros, and is written to by clients that come through Sparse only. A
// disk that a second connection comes to is fresh to neither from then on, as
// neither knows what the other writes.
// The zero Disks are ready to be used, by several connections at a time.
type Disks struct {
	mu   sync.Mutex
	seen map[string]*atomic.Bool // whether there was one connection only
}

// mostDisks and mostName bound what is remembered. A disk beyond counts as seen.
const (
	mostDisks = 1024
	mostName  = 4096
)

// first is of the first connection that sends requests for an export, true as long
// as it is the only one; nil is of all others.
func (d *Disks) first(name string) *atomic.Bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if alone, seen := d.seen[name]; seen {
		alone.Store(false)
		return nil
	}
	if len(d.seen) >= mostDisks {
		return nil
	}
	if d.seen == nil {
		d.seen = map[string]*atomic.Bool{}
	}
	alone := new(atomic.Bool)
	alone.Store(true)
	d.seen[name] = alone
	return alone
}

// any is of a connection that sends requests for an export whose name is not known.
func (d *Disks) any() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, alone := range d.seen {
		alone.Store(false)
	}
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
