package wire

import (
	"fmt"
	"path"
	"strings"
	"unicode"
	"unicode/utf8"
)

// What a message may hold. An authenticated peer is not a trusted one: what it says
// is kept, shown and worked on, and so has bounds besides that of the frame.
const (
	// MaxDisks is as many drives as a VM may have.
	MaxDisks = 256
	// MaxXML and MaxCookie bound definitions and libvirt's cookies, which are some 10 KiB.
	MaxXML, MaxCookie = 1 << 20, 1 << 20
	// MaxNVRAM bounds the variables of a UEFI guest; OVMF's are 528 KiB.
	MaxNVRAM = 2 << 20
	// MaxBytes is more than any disk or memory, and so little that sums do not overflow.
	MaxBytes = 1 << 56
	maxName  = 128 // of a VM, which is also the beginning of files' names
	maxWord  = 256
	maxList  = 64
)

// ValidName tells whether a VM may have this name at a destination: it becomes a part
// of files' names, and is shown in tables and logs. What does not print, such as
// controls, separators of lines and marks that turn the direction of text, has no place in it.
func ValidName(s string) bool {
	return s != "" && len(s) <= maxName && utf8.ValidString(s) && !strings.ContainsAny(s, `/\`) &&
		!strings.HasPrefix(s, ".") && !strings.HasPrefix(s, "-") && strings.TrimSpace(s) == s &&
		!strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) })
}

// word: short, and printable on one line; "" is one.
func word(s string) bool {
	return len(s) <= maxWord && utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) })
}

// file: an absolute path on one line, whose characters can be seen.
func file(p string) bool {
	return len(p) <= maxPath && path.IsAbs(p) && utf8.ValidString(p) &&
		!strings.ContainsFunc(p, func(r rune) bool { return !unicode.IsGraphic(r) })
}

// Check refuses what no source of ours says of a VM, in words.
func (o Offer) Check() error {
	switch {
	case len(o.XML) > MaxXML:
		return fmt.Errorf("a definition of %d bytes", len(o.XML))
	case len(o.NVRAM) > MaxNVRAM:
		return fmt.Errorf("UEFI variables of %d bytes", len(o.NVRAM))
	case len(o.Disks) > MaxDisks:
		return fmt.Errorf("%d disks, more than %d", len(o.Disks), MaxDisks)
	case o.StoragePath != "" && !directory(o.StoragePath):
		return fmt.Errorf("the directory %.200q", o.StoragePath)
	}
	seen := map[string]bool{}
	for _, d := range o.Disks {
		if d.Target == "" || seen[d.Target] {
			return fmt.Errorf("a second disk %.150q", d.Target)
		}
		seen[d.Target] = true
		if err := d.check(); err != nil {
			return err
		}
	}
	return o.Mappings.Check()
}

func (d Disk) check() error {
	switch {
	case !word(d.Target) || !word(d.Device) || !word(d.Format) || !word(d.Cache):
		return fmt.Errorf("disk %.150q with device %.150q, format %.150q, cache %.150q", d.Target, d.Device, d.Format, d.Cache)
	case d.Path != "" && !file(d.Path):
		return fmt.Errorf("disk %s with the path %.200q", d.Target, d.Path)
	case d.VirtualBytes > MaxBytes || d.AllocatedBytes > MaxBytes:
		return fmt.Errorf("disk %s of %d bytes, %d of them in use", d.Target, d.VirtualBytes, d.AllocatedBytes)
	case d.Probe != nil && (!word(d.Probe.Name) || !word(d.Probe.Nonce) || len(d.Probe.Files) > 1):
		return fmt.Errorf("disk %s with a probe that is none", d.Target)
	}
	return nil
}

// Check refuses what no source of ours hands to libvirt.
func (p Prepare) Check() error { return sizes(p.XML, p.Cookie) }

// Check refuses what no source of ours hands to libvirt.
func (h Handover) Check() error { return sizes("", h.Cookie) }

func sizes(xml string, cookie []byte) error {
	if len(xml) > MaxXML || len(cookie) > MaxCookie {
		return fmt.Errorf("a definition of %d bytes with a cookie of %d", len(xml), len(cookie))
	}
	return nil
}

// Check refuses what no destination of ours says of itself.
func (o Opened) Check() error {
	f := o.Facts
	switch {
	case len(o.Session) != 16 || len(o.Secret) != 32:
		return fmt.Errorf("a session id of %d bytes with a secret of %d", len(o.Session), len(o.Secret))
	case !word(f.Host) || !word(f.UUID) || !word(f.LibvirtVersion) || !word(f.QEMUVersion):
		return fmt.Errorf("the facts of a host %.150q with UUID %.150q, libvirt %.150q, QEMU %.150q", f.Host, f.UUID, f.LibvirtVersion, f.QEMUVersion)
	case len(f.StorageRoots) > maxList || len(f.Codecs) > maxList || f.CPUs < 0 || f.CPUs > 1<<20:
		return fmt.Errorf("a host of %d CPUs with %d storage roots and %d codecs", f.CPUs, len(f.StorageRoots), len(f.Codecs))
	}
	return nil
}

// Check refuses what no destination of ours answers to an offer.
func (a Admitted) Check() error {
	if len(a.Disks) > MaxDisks || len(a.LeftOut) > MaxDisks || len(a.Problems) > 2*MaxDisks {
		return fmt.Errorf("%d disks, %d parts left out and %d problems", len(a.Disks), len(a.LeftOut), len(a.Problems))
	}
	for _, d := range a.Disks {
		if !word(d.Target) || !word(string(d.Action)) || d.Path != "" && !file(d.Path) {
			return fmt.Errorf("disk %.150q as %.150q in %.200q", d.Target, d.Action, d.Path)
		}
	}
	for _, l := range a.LeftOut {
		if !word(l) {
			return fmt.Errorf("a part left out that is called %.150q", l)
		}
	}
	for i := range a.Problems {
		a.Problems[i].Tame()
	}
	return nil
}

// Check refuses what no destination of ours hands to the source's libvirt.
func (p Prepared) Check() error { return sizes("", p.Cookie) }

// MaxSeeds bounds the blocks that a destination offers for one move. They have hashes of
// SeedSum bytes, of which one answer has at most SeedSums.
const (
	MaxSeeds = 2 << 20
	SeedSum  = 16
	SeedSums = 4 << 20 / SeedSum
)

// Check refuses a question about blocks that cannot be.
func (s Seeds) Check() error {
	if s.From < 0 || s.From > MaxSeeds {
		return fmt.Errorf("a question about seeds from block %d on", s.From)
	}
	return nil
}

// Check refuses what is no row of hashes.
func (l SeedList) Check() error {
	if l.Total < 0 || l.Total > MaxSeeds || len(l.Sums)%SeedSum != 0 || len(l.Sums) > min(SeedSums, l.Total)*SeedSum {
		return fmt.Errorf("a list of seeds with %d bytes of hashes for %d blocks", len(l.Sums), l.Total)
	}
	return nil
}

// Check refuses what no destination of ours says at the end.
func (o Outcome) Check() error {
	if o.Problem != nil {
		o.Problem.Tame()
	}
	return sizes("", o.Cookie)
}

// Check refuses what no destination of ours says of whom it let in.
func (r AuthReply) Check() error {
	if !word(r.Operator) || !word(r.DelegatedBy) || !word(r.SignIn) {
		return fmt.Errorf("the operator %.150q, delegated by %.150q, sign-in %.150q", r.Operator, r.DelegatedBy, r.SignIn)
	}
	return nil
}

// Check refuses a greeting whose name could not be shown.
func (h Hello) Check() error {
	if !word(h.Host) {
		return fmt.Errorf("a host that calls itself %.150q", h.Host)
	}
	return nil
}

// Check refuses a query that could not be shown.
func (q Query) Check() error {
	if !word(q.Move) || !word(q.UUID) {
		return fmt.Errorf("a query of move %.150q of VM %.150q", q.Move, q.UUID)
	}
	return nil
}

// Check refuses a reason that could not be shown.
func (c Cancel) Check() error {
	if !word(c.Reason) {
		return fmt.Errorf("the reason %.150q", c.Reason)
	}
	return nil
}

// checked are the messages that say of themselves whether they can be meant.
type checked interface{ Check() error }
