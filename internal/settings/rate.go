package settings

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/dustin/go-humanize"
)

// Rate is a bandwidth in bits per second; 0 is none.
type Rate uint64

// The bandwidths that can be set. Less than the least would leave no room for
// the words of the protocol beside the data, and is a forgotten unit.
const (
	MinRate Rate = 1e6
	MaxRate Rate = 1e13
)

// BytesPerSecond is the rate in bytes.
func (r Rate) BytesPerSecond() float64 { return float64(r) / 8 }

// ParseRate takes bits per second with SI prefixes, in any case, with or without
// the unit: 500M, 1G, 2.5Gbit/s, 100 Mbps. "none" and 0 are none. Bytes are
// refused, because a limit that is wrong by a factor of 8 goes unnoticed.
func ParseRate(s string) (Rate, error) {
	wrong := fmt.Errorf("%q is no bandwidth such as 500M, 1G, 2.5Gbit/s (bits per second) or none", s)
	in := strings.TrimSpace(s)
	if strings.EqualFold(in, "none") {
		return 0, nil
	}
	digits := strings.IndexFunc(in, func(r rune) bool { return (r < '0' || r > '9') && r != '.' })
	number, unit := in, ""
	if digits >= 0 {
		number, unit = in[:digits], strings.TrimSpace(in[digits:])
	}
	prefix := ""
	if unit != "" && strings.ContainsRune("kKmMgGtT", rune(unit[0])) {
		// As humanize knows them; m is meant as mega, since nobody limits to millibits.
		prefix = map[string]string{"k": "k", "m": "M", "g": "G", "t": "T"}[strings.ToLower(unit[:1])]
		unit = unit[1:]
	}
	switch strings.ToLower(unit) {
	case "", "bit/s", "bits/s", "bps", "bit":
	case "b/s":
		if unit[0] == 'B' {
			return 0, fmt.Errorf("%q is in bytes; a bandwidth is in bits per second, such as 500M", s)
		}
	default:
		return 0, wrong
	}
	v, _, err := humanize.ParseSI(number + prefix)
	if err != nil || number == "" || v < 0 || math.IsNaN(v) {
		return 0, wrong
	}
	if v > float64(MaxRate) {
		return 0, fmt.Errorf("%q is more than %s", s, MaxRate)
	}
	r := Rate(math.Round(v))
	if v > 0 {
		r = max(r, 1) // what is almost nothing is not none
	}
	return r, r.Check()
}

// Check refuses a rate that is neither none nor between MinRate and MaxRate.
func (r Rate) Check() error {
	switch {
	case r == 0:
		return nil
	case r < MinRate:
		return fmt.Errorf("%d bit/s is less than %s; is the unit forgotten?", uint64(r), MinRate)
	case r > MaxRate:
		return fmt.Errorf("%d bit/s is more than %s", uint64(r), MaxRate)
	}
	return nil
}

// String is the shortest form that ParseRate reads back exactly: 500M, 2.5G, none.
func (r Rate) String() string {
	if r == 0 {
		return "none"
	}
	for _, u := range []struct {
		scale Rate
		name  string
	}{{1e12, "T"}, {1e9, "G"}, {1e6, "M"}, {1e3, "k"}} {
		if r >= u.scale && r%(u.scale/1000) == 0 {
			return strings.TrimRight(strings.TrimRight(fmt.Sprintf("%d.%03d", r/u.scale, r%u.scale/(u.scale/1000)), "0"), ".") + u.name
		}
	}
	return strconv.FormatUint(uint64(r), 10)
}
