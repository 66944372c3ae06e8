package agent

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// linkSpeed is an interface's speed in Mbit/s as its driver says, 0 where it
// says none or nonsense, as virtual interfaces and links that are down do.
func linkSpeed(name string) int {
	b, err := os.ReadFile(filepath.Join("/sys/class/net", filepath.Base(name), "speed"))
	if err != nil {
		return 0
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil || n < 0 {
		return 0
	}
	return n
}
