package version

import (
	"strconv"
	"strings"
)

// Older says that a version, as libvirt and QEMU write theirs (MAJOR.MINOR.PATCH, or
// less), is older than need. It is false where one cannot be read: the program will say
// itself what it cannot do.
func Older(have, need string) bool {
	h, n := strings.Split(have, "."), strings.Split(need, ".")
	for i := range min(len(h), len(n)) {
		a, err := strconv.Atoi(h[i])
		b, _ := strconv.Atoi(n[i])
		if err != nil || a > b {
			return false
		}
		if a < b {
			return true
		}
	}
	return false
}
