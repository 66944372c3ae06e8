package agent

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

const netClass = "/sys/class/net"

// maxDepth bounds how many interfaces may lie on each other: a bridge over a VLAN over a
// bond over a card is four.
const maxDepth = 6

// linkSpeed is an interface's speed in Mbit/s: that of the hardware beneath it, as its
// driver says, 0 where it says none or nonsense, as links that are down do. What has
// no hardware beneath it, such as veth, tells a number that means nothing.
func linkSpeed(name string) int { return speedBelow(netClass, filepath.Base(name), maxDepth) }

func speedBelow(root, name string, depth int) int {
	dir := filepath.Join(root, name)
	if exists(filepath.Join(dir, "device")) {
		return driverSpeed(dir)
	}
	if depth == 0 {
		return 0
	}
	lower, err := filepath.Glob(filepath.Join(dir, "lower_*"))
	if err != nil {
		return 0
	}
	together, best := 0, 0
	for _, l := range lower {
		speed := speedBelow(root, strings.TrimPrefix(filepath.Base(l), "lower_"), depth-1)
		together, best = together+speed, max(best, speed)
	}
	if exists(filepath.Join(dir, "bonding")) && together > 0 {
		// The driver of a bond knows which of its links are in use.
		if told := driverSpeed(dir); told > 0 {
			return told
		}
		return together
	}
	return best // a bridge forwards to one of its ports at a time, a VLAN has one
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func driverSpeed(dir string) int {
	b, err := os.ReadFile(filepath.Join(dir, "speed"))
	if err != nil {
		return 0
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil || n < 0 {
		return 0
	}
	return n
}
