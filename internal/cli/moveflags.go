package cli

import (
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"drover/internal/record"
	"drover/internal/settings"
)

// moveFlags are the options that say how a VM is to move. Moving and comparing
// take the same ones, so that what cured a comparison can be typed after move.
type moveFlags struct {
	storage      bool
	storagePath  string
	retain       bool
	connections  int
	blackout     time.Duration
	networks     []string
	directories  []string
	vhds         []string
	cpu          string
	eject        bool
	performance  string
	bandwidth    string
	autoConverge bool
	timeout      time.Duration
	onTimeout    string

	parsed record.Request // of the maps, performance and bandwidth, by check
}

func (o *moveFlags) flags(f *pflag.FlagSet) {
	f.BoolVar(&o.storage, "include-storage", false, "copy the disks that the destination cannot see")
	f.StringVar(&o.storagePath, "destination-storage-path", "", "`directory` on the destination for the copied disks")
	f.BoolVar(&o.retain, "retain-vhd-copies-on-source", false, "keep the source's disk files after the move")
	f.IntVar(&o.connections, "connections", 0, "`number` of memory connections, 1 to 16; more than one are multifd channels of QEMU (default: by networks, link and processors)")
	f.DurationVar(&o.blackout, "max-blackout", 0, "longest blackout that QEMU may plan for, `duration` such as 300ms (default: QEMU's, 300ms)")
	f.StringArrayVar(&o.networks, "map-network", nil, "attach to the destination's bridge or network what is attached to the source's: `A=B`, repeatable")
	f.StringArrayVar(&o.directories, "map-storage", nil, "copy disks that lie below one directory into another of the destination: `DIR=DIR`, repeatable")
	f.StringArrayVar(&o.vhds, "vhds", nil, "copy one disk, named by target or by its path on the source, to a file or into a directory: `DISK=PATH`, repeatable")
	f.StringVar(&o.cpu, "cpu", "", "CPU `model` that a VM which is shut off gets at the destination")
	f.BoolVar(&o.eject, "eject-media", false, "leave the media of CD and floppy drives behind; the drives are empty after the move")
	f.StringVar(&o.performance, "performance", "", "performance `option` of this move: TCPIP or Compression (default: the source's setting)")
	f.StringVar(&o.bandwidth, "bandwidth", "", "limit of this move in bits per second, `rate` such as 500M or 1G (default: the hosts' limits)")
	f.BoolVar(&o.autoConverge, "auto-converge", false, "let QEMU slow the guest down while it changes memory faster than it can be sent")
	f.DurationVar(&o.timeout, "timeout", 0, "`duration` that the transfer may take (default: as long as it needs)")
	f.StringVar(&o.onTimeout, "on-timeout", "", "`action` when --timeout is over: abort, or pause the guest until the transfer is done (default abort)")
}

// check refuses what no host could carry out. It must have been called before
// apply.
func (o *moveFlags) check() error {
	switch {
	case o.connections < 0 || o.connections > 16:
		return misuse("--connections %d is not between 1 and 16", o.connections)
	case o.blackout != 0 && (o.blackout < time.Millisecond || o.blackout > time.Minute):
		return misuse("--max-blackout %s is not between 1ms and 1m", o.blackout)
	case o.storagePath != "" && !o.storage:
		return misuse("--destination-storage-path needs --include-storage")
	case o.storagePath != "" && o.storagePath[0] != '/':
		return misuse("--destination-storage-path %q is not an absolute path", o.storagePath)
	case o.retain && !o.storage:
		return misuse("--retain-vhd-copies-on-source needs --include-storage")
	case len(o.directories) > 0 && !o.storage:
		return misuse("--map-storage needs --include-storage")
	case len(o.vhds) > 0 && !o.storage:
		return misuse("--vhds needs --include-storage")
	case len(o.cpu) > 128:
		return misuse("--cpu %.20q... is too long for the name of a CPU model", o.cpu)
	}
	if err := o.checkTimeout(); err != nil {
		return err
	}
	if err := o.checkTransport(); err != nil {
		return err
	}
	return o.checkMaps()
}

func (o *moveFlags) checkTimeout() error {
	switch {
	case o.onTimeout == "postcopy" || o.onTimeout == "post-copy":
		return misuse("--on-timeout %s is not offered: once post-copy has begun, neither host has all of the guest's memory, and a lost link loses the VM", o.onTimeout)
	case o.onTimeout != "" && o.onTimeout != string(record.TimeoutAbort) && o.onTimeout != string(record.TimeoutPause):
		return misuse("--on-timeout %q is neither abort nor pause", o.onTimeout)
	case o.onTimeout != "" && o.timeout == 0:
		return misuse("--on-timeout needs --timeout")
	case o.timeout < 0 || o.timeout != 0 && o.timeout < time.Second:
		return misuse("--timeout %s is less than 1s", o.timeout)
	}
	return nil
}

func (o *moveFlags) checkTransport() (err error) {
	if o.performance != "" {
		if o.parsed.Performance, err = settings.ParsePerformance(o.performance); err != nil {
			return misuse("--performance: %s", err)
		}
	}
	if o.bandwidth != "" {
		if o.parsed.Bandwidth, err = settings.ParseRate(o.bandwidth); err != nil {
			return misuse("--bandwidth: %s", err)
		}
	}
	return nil
}

// maxMapped is as many as a destination takes.
const maxMapped = 64

func (o *moveFlags) checkMaps() (err error) {
	if o.parsed.MapNetwork, err = pairs("--map-network", o.networks); err != nil {
		return err
	}
	if o.parsed.MapStorage, err = pairs("--map-storage", o.directories); err != nil {
		return err
	}
	if o.parsed.DiskPaths, err = pairs("--vhds", o.vhds); err != nil {
		return err
	}
	for from, to := range o.parsed.MapStorage {
		if !path.IsAbs(from) || !path.IsAbs(to) {
			return misuse("--map-storage %s=%s: both are absolute paths of directories", from, to)
		}
	}
	for disk, to := range o.parsed.DiskPaths {
		if !path.IsAbs(to) {
			return misuse("--vhds %s=%s: %q is not an absolute path", disk, to, to)
		}
	}
	return nil
}

// pairs reads A=B of one option.
func pairs(flag string, list []string) (map[string]string, error) {
	if len(list) > maxMapped {
		return nil, misuse("%s is given %d times, more than %d", flag, len(list), maxMapped)
	}
	out := map[string]string{}
	for _, p := range list {
		from, to, ok := strings.Cut(p, "=")
		if !ok || from == "" || to == "" {
			return nil, misuse("%s %q is not of the form A=B", flag, p)
		}
		if _, twice := out[from]; twice {
			return nil, misuse("%s names %s twice", flag, from)
		}
		out[from] = to
	}
	if len(out) == 0 {
		return nil, nil
	}
	return out, nil
}

// apply puts the options into a request.
func (o *moveFlags) apply(r *record.Request) {
	r.IncludeStorage, r.DestinationStoragePath, r.RetainVHDCopiesOnSource = o.storage, o.storagePath, o.retain
	r.Connections, r.MaxBlackoutMS = o.connections, int(o.blackout/time.Millisecond)
	r.MapNetwork, r.MapStorage, r.DiskPaths = o.parsed.MapNetwork, o.parsed.MapStorage, o.parsed.DiskPaths
	r.CPU, r.EjectMedia = o.cpu, o.eject
	r.Performance, r.Bandwidth = o.parsed.Performance, o.parsed.Bandwidth
	r.AutoConverge, r.TimeoutMS, r.OnTimeout = o.autoConverge, o.timeout.Milliseconds(), record.OnTimeout(o.onTimeout)
}

// optionWords are the options of a request as they are typed.
func optionWords(r *record.Request) (out []string) {
	on := func(set bool, words ...string) {
		if set {
			out = append(out, words...)
		}
	}
	mapped := func(flag string, m map[string]string) {
		for _, from := range slices.Sorted(maps.Keys(m)) {
			out = append(out, flag, from+"="+m[from])
		}
	}
	on(r.IncludeStorage, "--include-storage")
	on(r.DestinationStoragePath != "", "--destination-storage-path", r.DestinationStoragePath)
	on(r.RetainVHDCopiesOnSource, "--retain-vhd-copies-on-source")
	on(r.Connections > 0, "--connections", strconv.Itoa(r.Connections))
	on(r.MaxBlackoutMS > 0, "--max-blackout", (time.Duration(r.MaxBlackoutMS) * time.Millisecond).String())
	mapped("--map-network", r.MapNetwork)
	mapped("--map-storage", r.MapStorage)
	mapped("--vhds", r.DiskPaths)
	on(r.CPU != "", "--cpu", r.CPU)
	on(r.EjectMedia, "--eject-media")
	on(r.Performance != "", "--performance", string(r.Performance))
	on(r.Bandwidth > 0, "--bandwidth", r.Bandwidth.String())
	on(r.AutoConverge, "--auto-converge")
	on(r.TimeoutMS > 0, "--timeout", (time.Duration(r.TimeoutMS) * time.Millisecond).String())
	on(r.OnTimeout != "", "--on-timeout", string(r.OnTimeout))
	return out
}

// furtherWords are the options of a request that are not told in words of their
// own: what is mapped and replaced, and how it is carried.
func furtherWords(q record.Request) string {
	q.IncludeStorage, q.DestinationStoragePath, q.RetainVHDCopiesOnSource, q.Connections, q.MaxBlackoutMS = false, "", false, 0, 0
	return strings.Join(optionWords(&q), " ")
}
