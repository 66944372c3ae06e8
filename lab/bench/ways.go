package bench

import (
	"fmt"
	"slices"
	"strings"

	"drover/internal/settings"
)

// way is a Way and how it is done: by virsh with flags, by the plain relay, or by
// drover with a performance option and an encryption policy of both hosts.
type way struct {
	Way
	quick       bool // part of the quick run
	storage     bool // part of the storage move
	virsh       []string
	tunnelled   bool
	since       int // libvirt version that has it, as 1000000*major + 1000*minor
	relay       bool
	performance settings.Performance
	encryption  settings.Encryption
}

// xbzrleCache holds what the guests rewrite: with QEMU's 64 MiB by default pages
// would be dropped from it before they are sent again.
const xbzrleCache = 512 << 20

// allWays in the order of the first round.
var allWays = []way{
	{Way: peer("libvirt-tcp", false), quick: true, storage: true},
	{Way: peer("libvirt-multifd", false), quick: true, virsh: []string{"--parallel", "--parallel-connections", "2"}},
	{Way: peer("libvirt-multifd-zstd", false), quick: true, since: 9004000,
		virsh: []string{"--parallel", "--parallel-connections", "2", "--comp-methods", "zstd"}},
	{Way: peer("libvirt-xbzrle", false),
		virsh: []string{"--compressed", "--comp-methods", "xbzrle", "--comp-xbzrle-cache", fmt.Sprint(xbzrleCache)}},
	{Way: peer("libvirt-tunnelled", false), tunnelled: true},
	{Way: peer("libvirt-tls", true), quick: true, storage: true, virsh: []string{"--tls"}},
	{Way: Way{Name: "relay"}, quick: true, relay: true},
	{Way: Way{Name: "drover-tcpip", Encrypted: true}, quick: true, storage: true, performance: settings.TCPIP, encryption: settings.Required},
	{Way: Way{Name: "drover-compression", Encrypted: true}, quick: true, storage: true, performance: settings.Compression, encryption: settings.Required},
	{Way: Way{Name: "drover-tcpip-plain"}, quick: true, performance: settings.TCPIP, encryption: settings.Off},
	{Way: Way{Name: "drover-compression-plain"}, performance: settings.Compression, encryption: settings.Off},
}

func peer(name string, encrypted bool) Way { return Way{Name: name, Peer: true, Encrypted: encrypted} }

// WayNames lists the ways that can be asked for.
func WayNames() []string {
	var names []string
	for _, w := range allWays {
		names = append(names, w.Name)
	}
	return names
}

// selectWays gives the ways of these names in the order of the table; none stands
// for all, or for those of a quick run.
func selectWays(names []string, quick bool) ([]way, error) {
	for _, n := range names {
		if !slices.Contains(WayNames(), n) {
			return nil, fmt.Errorf("no way %q: there are %s", n, strings.Join(WayNames(), ", "))
		}
	}
	var ways []way
	for _, w := range allWays {
		if slices.Contains(names, w.Name) || len(names) == 0 && (w.quick || !quick) {
			ways = append(ways, w)
		}
	}
	return ways, nil
}

// inOrder are the ways as they are gone through in a round: each begins elsewhere,
// so that none of them always comes after the same load or at the same time.
func inOrder(ways []way, round int) []way {
	n := len(ways)
	out := make([]way, 0, n)
	for i := range n {
		out = append(out, ways[(i+3*round)%n])
	}
	if round%2 == 1 { // and each other one has other neighbours
		slices.Reverse(out)
	}
	return out
}
