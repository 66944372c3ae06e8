package settings

import (
	"fmt"
	"strconv"
	"strings"
)

// Cores is a number of processors; 0 is what a host thinks right.
type Cores int

const maxCores Cores = 1024

// Of is how many of a host's processors are meant: with 0 half of them, at least
// one, and no more than there are.
func (c Cores) Of(processors int) int {
	if c > 0 {
		return max(min(int(c), processors), 1)
	}
	return max(processors/2, 1)
}

// ParseCores takes a number from 1 to 1024, or auto.
func ParseCores(s string) (Cores, error) {
	in := strings.TrimSpace(s)
	if strings.EqualFold(in, "auto") {
		return 0, nil
	}
	n, err := strconv.Atoi(in)
	if err != nil || n < 1 || Cores(n) > maxCores {
		return 0, fmt.Errorf("%q is no number of processors from 1 to %d, nor auto", s, maxCores)
	}
	return Cores(n), nil
}

// String is what ParseCores reads.
func (c Cores) String() string {
	if c == 0 {
		return "auto"
	}
	return strconv.Itoa(int(c))
}

// Check refuses numbers that no host has.
func (c Cores) Check() error {
	if c < 0 || c > maxCores {
		return fmt.Errorf("%d is not from 1 to %d, nor 0 for auto", int(c), maxCores)
	}
	return nil
}
