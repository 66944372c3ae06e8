package plan

import (
	"cmp"
	"fmt"
	"math"
	"strings"

	"github.com/dustin/go-humanize"

	"drover/internal/wire"
)

// Link is what is known, when a VM is offered to the destination, of the way that
// its memory will take.
type Link struct {
	// Asked is the number that the operator wants, 0: none in particular.
	Asked int
	Kind  wire.MoveKind
	// Networks carry the move together.
	Networks int
	// Rate in bytes per second, as measured; 0: not measured, or not measured yet.
	// Slow: it is known already that the link is not fast.
	Rate float64
	Slow bool
	// Cores of either host, 0: not said.
	Cores, TheirCores int
	// Old: libvirt or QEMU of one of the hosts has no parallel connections.
	Old bool
}

// fastLink is from which rate on several connections are used, in bytes per
// second. Below, one connection fills the link, and a page that is sent again
// comes after its former version on the same stream, so that only the difference
// travels. Above, the processors decide: one connection is one thread of each
// QEMU and one of each agent beside those that compress.
const fastLink = 5e9 / 8

// coresEach are a host's cores that one connection keeps busy: one for QEMU, one
// for the agent. With fewer, two connections were no faster than one.
const coresEach = 2

// MaxConnections is as many as a request may ask for.
const MaxConnections = 16

// mostChosen is as many as are chosen, however fast the link.
const mostChosen = 8

// Connections is how many connections memory takes, and why. More than one are
// multifd channels of QEMU; one is its plain stream.
func Connections(l Link) (n int, why string) {
	switch {
	case l.Kind == wire.Offline:
		return 0, ""
	case l.Asked > 0:
		return min(l.Asked, MaxConnections), "as asked for"
	case l.Old:
		return 1, "one of the hosts has no parallel connections"
	}
	cores := min(cmp.Or(l.Cores, 2), cmp.Or(l.TheirCores, l.Cores, 2))
	n = min(max(l.Networks, 1), mostChosen)
	var parts []string
	if l.Networks > 1 {
		parts = append(parts, fmt.Sprintf("%d networks", l.Networks))
	}
	if l.Rate >= fastLink {
		// One for each 5 Gbit/s that were begun, as many as there are cores to serve them.
		n = max(n, min(max(int(math.Ceil(l.Rate/fastLink)), 2), cores/coresEach, mostChosen))
		if n == 1 {
			parts = append(parts, "few cores")
		}
	}
	switch {
	case l.Rate > 0:
		parts = append(parts, humanize.SIWithDigits(l.Rate*8, 1, "bit/s"))
	case l.Slow:
		parts = append(parts, "less than 5 Gbit/s")
	case n == 1:
		parts = append(parts, "not known to be a fast link")
	}
	return n, strings.Join(parts, ", ")
}

// Channels is the number of multifd channels for so many connections: none for
// one connection, which is QEMU's plain stream.
func Channels(connections int) int {
	if connections <= 1 {
		return 0
	}
	return connections
}
