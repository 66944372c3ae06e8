package move

import (
	"errors"
	"fmt"
	"path"
	"strings"

	"drover/internal/fault"
	"drover/internal/wire"
)

// place decides for each offered disk what happens to it and where it goes. With
// objections the answer is of no use, except to look for more of them: a disk
// that has no place gets one that is not used.
func (d *destination) place() (out []wire.AdmittedDisk, objections []error) {
	out = make([]wire.AdmittedDisk, 0, len(d.offer.Disks))
	var missing []string
	for i, o := range d.offer.Disks {
		a, err := d.placeDisk(o)
		switch {
		case err != nil:
			objections = append(objections, err)
		case a.Action == "":
			missing = append(missing, o.Target)
		}
		if a.Action == "" {
			a.Action, a.Path = wire.Copy, d.nowhere(i)
		}
		out = append(out, a)
	}
	if len(missing) > 0 {
		objections = append(objections, fault.New(fault.StorageNotIncluded, d.rec.Peer, "vm", d.rec.VM, "destination", d.m.opt.Host, "disks", strings.Join(missing, ", ")))
	}
	return out, append(objections, d.distinct(out)...)
}

// nowhere is a path for a disk that has no place; it has no word of the source's.
func (d *destination) nowhere(disk int) string {
	root := "/"
	if len(d.m.opt.Roots) > 0 {
		root = d.m.opt.Roots[0]
	}
	return path.Join(root, fmt.Sprintf("disk-%d-without-a-place", disk))
}

// placeDisk gives no action for a disk that would have to be copied without
// being asked for.
func (d *destination) placeDisk(o wire.Disk) (wire.AdmittedDisk, error) {
	a := wire.AdmittedDisk{Target: o.Target}
	_, elsewhere := d.wanted(o)
	switch {
	case o.Path == "" || o.Device != "disk" && d.offer.Mappings.Eject:
		a.Action = wire.Empty
		return a, nil
	case o.Probe != nil && !elsewhere && d.m.opt.Storage.SeesProbe(o.Path, *o.Probe):
		return d.placeShared(o)
	case o.Device != "disk":
		return a, fault.New(fault.DiskMedia, d.rec.Peer, "disk", o.Target, "vm", d.rec.VM, "path", o.Path, "destination", d.m.opt.Host)
	case !d.open.IncludeStorage:
		return a, nil
	}
	p, err := d.placeCopy(o)
	if err != nil {
		return a, err
	}
	a.Action, a.Path = wire.Copy, p
	return a, nil
}

// placeShared leaves a disk where both hosts see it.
func (d *destination) placeShared(o wire.Disk) (wire.AdmittedDisk, error) {
	a := wire.AdmittedDisk{Target: o.Target}
	p, err := d.m.opt.Storage.Place("", o.Path)
	switch {
	case err != nil:
		return a, err
	case p != o.Path:
		return a, fault.New(fault.StoragePathOutside, d.m.opt.Host, "path", o.Path, "roots", strings.Join(d.m.opt.Roots, ", "))
	case o.Cache != "none" && o.Cache != "directsync" && !o.ReadOnly && d.offer.Kind != wire.Offline:
		return a, fault.New(fault.DiskCacheUnsafe, d.m.opt.Host, "disk", o.Target, "vm", d.rec.VM, "cache", orDefault(o.Cache))
	}
	a.Action, a.Path = wire.Shared, p
	return a, nil
}

func orDefault(cache string) string {
	if cache == "" {
		return "default (writeback)"
	}
	return cache
}

// wanted is the operator's place for one disk, a file or a directory.
func (d *destination) wanted(o wire.Disk) (string, bool) {
	m := d.offer.Mappings.Disks
	if to, ok := m[o.Target]; ok {
		return to, d.open.IncludeStorage
	}
	to, ok := m[o.Path]
	return to, ok && d.open.IncludeStorage
}

// room is where a disk is to be made: the operator's word on the disk counts
// before that on its directory, and that before the word on all of them. Below a
// mapped directory there is one level: subdirectories need not exist here.
func (d *destination) room(o wire.Disk) (string, error) {
	if to, ok := d.wanted(o); ok {
		if strings.HasSuffix(to, "/") || d.m.opt.Storage.IsDir(to) {
			return d.m.opt.Storage.Place(to, o.Path)
		}
		return d.m.opt.Storage.Place(path.Dir(to), to)
	}
	best, dir := "", d.offer.StoragePath
	for from, to := range d.offer.Mappings.Storage {
		if from = path.Clean(from); len(from) > len(best) && (from == "/" || strings.HasPrefix(o.Path, from+"/")) {
			best, dir = from, to
		}
	}
	return d.m.opt.Storage.Place(dir, o.Path)
}

// placeCopy finds room for a copy. Storage has its own delegation: without the
// cifs ticket nothing is created here.
func (d *destination) placeCopy(o wire.Disk) (string, error) {
	if !d.conn.Caller().Storage {
		return "", fault.New(fault.NotDelegated, d.m.opt.Host, "caller", d.conn.Caller().Principal+" (storage)")
	}
	if o.Format != "qcow2" && o.Format != "raw" {
		return "", fault.New(fault.DiskUnsupported, d.rec.Peer, "disk", o.Target, "vm", d.rec.VM, "reason", "its format is "+o.Format)
	}
	p, err := d.room(o)
	if err != nil {
		return "", naming(err, o.Target)
	}
	if d.m.opt.Storage.Exists(p) {
		return "", naming(fault.New(fault.DiskExists, d.m.opt.Host, "path", p, "vm", d.rec.VM), o.Target)
	}
	return p, nil
}

// naming adds to a path that was refused which disk it was for, so that an option
// can be found that cures it.
func naming(err error, disk string) error {
	var f *fault.Error
	if errors.As(err, &f) && (f.Code == fault.StoragePathOutside || f.Code == fault.DiskExists) {
		f.Args["disk"] = disk
	}
	return err
}

// distinct refuses two disks in one file: with --destination-storage-path two
// directories of the source become one.
func (d *destination) distinct(disks []wire.AdmittedDisk) (objections []error) {
	seen := map[string]string{}
	for _, a := range disks {
		if other := seen[a.Path]; a.Path != "" && other != "" {
			objections = append(objections, naming(fault.New(fault.DiskExists, d.m.opt.Host, "path", a.Path,
				"vm", d.rec.VM+" (disks "+other+" and "+a.Target+" have the same file name)"), a.Target))
		}
		seen[a.Path] = a.Target
	}
	return objections
}
