package guest

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Params is what the guest is told on its kernel command line. Sizes are bytes.
type Params struct {
	// Name is how the guest calls itself in its heartbeat (drover.name).
	Name string
	// Addr is the address of eth0 with its prefix length (drover.ip); an
	// invalid prefix leaves the network down.
	Addr netip.Prefix
	// Memory is how much to fill with checked pages (drover.memory).
	Memory int64
	// Rewrite is how many bytes per second to rewrite (drover.rewrite).
	Rewrite int64
	// Partial is the share of rewrites, in percent, that change 8 bytes of
	// content and not the whole page (drover.partial).
	Partial int
	// Verify is the pace of continuous verification in bytes per second
	// (drover.verify). An emulated processor is slow; without a pace the
	// verifier would take the time that the heartbeat needs.
	Verify int64
	// Mix is the composition of memory (drover.mix).
	Mix Mix
	// Skew sends a share of the rewrites to a share of the pages
	// (drover.skew, such as 80:20); zero for none: every page alike.
	Skew Skew
	// Rows is how many rows of a heap page a partial rewrite changes at most;
	// at least it changes one (drover.rows).
	Rows int
	// Buffer, when not 0, has memory rewritten in whole buffers of this size,
	// each time with content of any kind of the mix, as short-lived buffers
	// are reused; Partial then means nothing. A power of two of at least two
	// pages (drover.buffer).
	Buffer int64
	// Files takes text, code and logs from the files that the initramfs must
	// then carry (drover.files); without it text is made of a short list of
	// words and code is that of /init.
	Files bool
	// Record is the interval of disk records (drover.record), 0 for none.
	Record time.Duration
	// Tick is the period of the guest's watch on its own clock (drover.tick).
	Tick time.Duration
	// Corrupt is a page whose content gets one bit flipped after filling,
	// -1 for none (drover.corrupt). It proves that detection works end to end.
	Corrupt int64
}

// Mix is the composition of memory in percent; the sum is 100. With a share of
// heap, only pages of heap and logs are rewritten: the others are clean.
type Mix struct{ Zero, Text, Code, Random, Log, Heap int }

// shares are in the order of Kind.
func (m *Mix) shares() [kinds]*int {
	return [kinds]*int{&m.Zero, &m.Text, &m.Code, &m.Random, &m.Log, &m.Heap}
}

// Skew is in percent: that share of the rewrites goes to that share of pages.
type Skew struct{ Rewrites, Pages int }

// DefaultParams is a small guest that an emulated processor can serve.
func DefaultParams() Params {
	return Params{
		Name:    "guest",
		Memory:  100 << 20,
		Rewrite: 10 << 20,
		Partial: 50,
		Verify:  50 << 20,
		Mix:     Mix{Zero: 25, Text: 30, Code: 25, Random: 20},
		Rows:    4,
		Record:  50 * time.Millisecond,
		Tick:    time.Millisecond,
		Corrupt: -1,
	}
}

// Cmdline is the kernel command line that ParseCmdline reads back, with the
// console on the first serial port. Kernel messages are kept to warnings: an
// emulated serial port costs more time than the rest of the boot.
func (p Params) Cmdline() string {
	words := []string{
		// mitigations=off and tsc=reliable only save time: there is nothing to
		// protect in this guest, and an emulated TSC needs no calibration.
		"console=ttyS0", "loglevel=4", "panic=1", "mitigations=off", "tsc=reliable",
		"nokaslr", "net.ifnames=0", "init_on_alloc=0",
		// Emulated by QEMU 7.2, about one migration in five brought stale pages
		// of the kernel along and ended in a panic; the likely cause is dirty
		// bits cleared without telling the emulated TLB. Page table isolation
		// empties the TLB at system calls and interrupts; with it none of 14
		// migrations did (at one in five, chance alone gives that in 4%).
		"pti=on",
		"drover.name=" + p.Name,
		"drover.memory=" + formatSize(p.Memory),
		"drover.rewrite=" + formatSize(p.Rewrite),
		"drover.partial=" + strconv.Itoa(p.Partial),
		"drover.verify=" + formatSize(p.Verify),
		"drover.mix=" + p.Mix.String(),
		fmt.Sprintf("drover.skew=%d:%d", p.Skew.Rewrites, p.Skew.Pages),
		"drover.rows=" + strconv.Itoa(p.Rows),
		"drover.buffer=" + formatSize(p.Buffer),
		"drover.files=" + strconv.FormatBool(p.Files),
		"drover.record=" + p.Record.String(),
		"drover.tick=" + p.Tick.String(),
	}
	if p.Addr.IsValid() {
		words = append(words, "drover.ip="+p.Addr.String())
	}
	if p.Files {
		// The kernel fills the initramfs's former pages with 0xcc when it frees
		// them: tens of MiB that are alike and that no server in service has.
		words = append(words, "init_on_free=1")
	}
	if p.Corrupt >= 0 {
		words = append(words, "drover.corrupt="+strconv.FormatInt(p.Corrupt, 10))
	}
	return strings.Join(words, " ")
}

// ParseCmdline reads the drover.* words of a kernel command line over
// DefaultParams. Words of others are ignored; an unknown or malformed drover
// word is an error, because a guest with half its parameters proves nothing.
func ParseCmdline(line string) (Params, error) {
	p := DefaultParams()
	for _, word := range strings.Fields(line) {
		rest, ok := strings.CutPrefix(word, "drover.")
		if !ok {
			continue
		}
		key, value, _ := strings.Cut(rest, "=")
		if err := p.set(key, value); err != nil {
			return p, fmt.Errorf("kernel parameter %q: %w", word, err)
		}
	}
	return p, nil
}

func (p *Params) set(key, value string) (err error) {
	switch key {
	case "name":
		if value == "" || len(value) > maxName {
			return fmt.Errorf("name must have 1 to %d bytes", maxName)
		}
		p.Name = value
	case "ip":
		p.Addr, err = netip.ParsePrefix(value)
		if err == nil && !p.Addr.Addr().Is4() {
			err = fmt.Errorf("not an IPv4 address")
		}
	case "memory":
		p.Memory, err = parseSize(value)
	case "rewrite":
		p.Rewrite, err = parseSize(value)
	case "verify":
		p.Verify, err = parseSize(value)
	case "partial":
		p.Partial, err = strconv.Atoi(value)
		if err == nil && (p.Partial < 0 || p.Partial > 100) {
			err = fmt.Errorf("not a percentage")
		}
	case "mix":
		p.Mix, err = parseMix(value)
	case "skew":
		p.Skew, err = parseSkew(value)
	case "rows":
		p.Rows, err = strconv.Atoi(value)
		if err == nil && (p.Rows < 0 || p.Rows > pageRows) {
			err = fmt.Errorf("a page has %d rows", pageRows)
		}
	case "buffer":
		p.Buffer, err = parseSize(value)
		if err == nil && p.Buffer != 0 && (p.Buffer < 2*PageSize || p.Buffer&(p.Buffer-1) != 0) {
			err = fmt.Errorf("not a power of two of at least two pages")
		}
	case "files":
		p.Files, err = strconv.ParseBool(value)
	case "record":
		p.Record, err = parseInterval(value)
	case "tick":
		p.Tick, err = parseInterval(value)
	case "corrupt":
		p.Corrupt, err = strconv.ParseInt(value, 10, 64)
	default:
		err = fmt.Errorf("unknown name %q", key)
	}
	return err
}

func parseInterval(s string) (time.Duration, error) {
	d, err := time.ParseDuration(s)
	if err == nil && d < 0 {
		err = fmt.Errorf("negative interval")
	}
	return d, err
}

// String is the form of drover.mix, such as "zero:25,text:30,code:25,random:20".
func (m Mix) String() string {
	var words []string
	for k, share := range m.shares() {
		if *share != 0 {
			words = append(words, fmt.Sprintf("%s:%d", Kind(k), *share))
		}
	}
	return strings.Join(words, ",")
}

func parseMix(s string) (Mix, error) {
	var m Mix
	sum := 0
	for _, part := range strings.Split(s, ",") {
		name, value, _ := strings.Cut(part, ":")
		n, err := strconv.Atoi(value)
		if err != nil || n < 0 || n > 100 {
			return m, fmt.Errorf("%q is not a percentage", part)
		}
		k := slices.Index(kindNames[:], name)
		if k < 0 {
			return m, fmt.Errorf("unknown content %q", name)
		}
		*m.shares()[k] = n
	}
	for _, share := range m.shares() {
		sum += *share
	}
	if sum != 100 {
		return m, fmt.Errorf("the shares sum to %d, not 100", sum)
	}
	return m, nil
}

func parseSkew(s string) (k Skew, err error) {
	rewrites, pages, _ := strings.Cut(s, ":")
	if k.Rewrites, err = strconv.Atoi(rewrites); err == nil {
		k.Pages, err = strconv.Atoi(pages)
	}
	if err != nil || min(k.Rewrites, k.Pages) < 0 || max(k.Rewrites, k.Pages) > 100 {
		return k, fmt.Errorf("not two percentages such as 80:20")
	}
	return k, nil
}

var sizeUnits = []struct {
	suffix string
	bytes  int64
}{{"G", 1 << 30}, {"M", 1 << 20}, {"K", 1 << 10}, {"", 1}}

func parseSize(s string) (int64, error) {
	for _, u := range sizeUnits {
		if digits, ok := strings.CutSuffix(s, u.suffix); ok {
			n, err := strconv.ParseInt(digits, 10, 64)
			if err != nil || n < 0 || n > (1<<50)/u.bytes {
				return 0, fmt.Errorf("%q is not a size such as 200M", s)
			}
			return n * u.bytes, nil
		}
	}
	return 0, fmt.Errorf("%q is not a size such as 200M", s)
}

func formatSize(n int64) string {
	for _, u := range sizeUnits {
		if n >= u.bytes && n%u.bytes == 0 {
			return strconv.FormatInt(n/u.bytes, 10) + u.suffix
		}
	}
	return strconv.FormatInt(n, 10)
}
