package secdesc

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
)

// MaxSize is the greatest descriptor that is read, in bytes: what the schema
// allows for nTSecurityDescriptor (rangeUpper), a little more than two ACLs of
// the greatest size that an ACL can have.
const MaxSize = 132096

const (
	header    = 20
	aclHeader = 8

	controlDACLPresent  uint16 = 0x0004
	controlSACLPresent  uint16 = 0x0010
	controlSelfRelative uint16 = 0x8000
)

// part is one of the four things a descriptor's header points to, numbered by
// its place in the header.
type part int

const (
	partOwner part = iota
	partGroup
	partSACL
	partDACL
	parts
)

var partNames = [parts]string{"owner", "group", "SACL", "DACL"}

// Descriptor is a security descriptor ([MS-DTYP] 2.4.6). It does not change; use
// Merge to write one.
type Descriptor struct {
	revision, sbz1 byte
	control        uint16
	owner, group   SID
	sacl, dacl     *acl   // nil when there is none, which in the DACL allows everything
	order          []part // how the parts follow each other in the bytes
}

// acl is an access control list ([MS-DTYP] 2.4.5).
type acl struct {
	revision, sbz1 byte
	sbz2           uint16
	aces           []ACE
	slack          []byte // room after the last ACE that the size includes
}

// Parse reads a self-relative descriptor from the whole of b, of which it keeps
// nothing. Parts that lie outside of b or over each other are errors, and so are
// more than MaxSize bytes.
func Parse(b []byte) (*Descriptor, error) {
	if len(b) > MaxSize {
		return nil, fmt.Errorf("security descriptor of %d bytes, the limit is %d", len(b), MaxSize)
	}
	if len(b) < header {
		return nil, fmt.Errorf("security descriptor of %d bytes, at least %d are needed", len(b), header)
	}
	b = bytes.Clone(b)
	d := &Descriptor{revision: b[0], sbz1: b[1], control: binary.LittleEndian.Uint16(b[2:])}
	if d.revision != 1 {
		return nil, fmt.Errorf("security descriptor of revision %d, only 1 is defined", d.revision)
	}
	if d.control&controlSelfRelative == 0 {
		return nil, errors.New("security descriptor is not self-relative")
	}
	var spans []span
	for p := range parts {
		offset := binary.LittleEndian.Uint32(b[4+4*p:])
		if offset == 0 {
			continue
		}
		if offset < header || uint64(offset) >= uint64(len(b)) {
			return nil, fmt.Errorf("%s of the security descriptor is said to be at byte %d of %d", partNames[p], offset, len(b))
		}
		n, err := d.parsePart(p, b[offset:])
		if err != nil {
			return nil, fmt.Errorf("%s of the security descriptor: %w", partNames[p], err)
		}
		spans = append(spans, span{p, int(offset), int(offset) + n})
	}
	if err := d.setOrder(spans); err != nil {
		return nil, err
	}
	return d, nil
}

func (d *Descriptor) parsePart(p part, b []byte) (n int, err error) {
	switch p {
	case partOwner:
		d.owner, n, err = ParseSID(b)
	case partGroup:
		d.group, n, err = ParseSID(b)
	case partSACL:
		if d.control&controlSACLPresent == 0 {
			return 0, errors.New("it is there, and the control flags say it is not")
		}
		d.sacl, n, err = parseACL(b)
	case partDACL:
		// Windows goes by the flag and Samba by the offset: one of them lets
		// everybody in and the other nobody, so it is not guessed here.
		if d.control&controlDACLPresent == 0 {
			return 0, errors.New("it is there, and the control flags say it is not")
		}
		d.dacl, n, err = parseACL(b)
	}
	return n, err
}

// span is where a part lies.
type span struct {
	part       part
	start, end int
}

// setOrder notes the order of the parts and refuses those that overlap. Owner
// and group may be the same bytes, which some writers make use of.
func (d *Descriptor) setOrder(spans []span) error {
	slices.SortStableFunc(spans, func(a, b span) int { return a.start - b.start })
	for i, s := range spans {
		if i > 0 && s.start < spans[i-1].end {
			before := spans[i-1]
			shared := before.part == partOwner && s.part == partGroup && before.start == s.start
			if !shared {
				return fmt.Errorf("%s and %s of the security descriptor overlap", partNames[before.part], partNames[s.part])
			}
		}
		d.order = append(d.order, s.part)
	}
	return nil
}

func parseACL(b []byte) (*acl, int, error) {
	if len(b) < aclHeader {
		return nil, 0, fmt.Errorf("ACL of %d bytes, at least %d are needed", len(b), aclHeader)
	}
	size := int(binary.LittleEndian.Uint16(b[2:]))
	if size < aclHeader || size > len(b) {
		return nil, 0, fmt.Errorf("ACL says it has %d bytes where there are %d", size, len(b))
	}
	l := &acl{revision: b[0], sbz1: b[1], sbz2: binary.LittleEndian.Uint16(b[6:])}
	if l.revision < 2 || l.revision > 4 {
		return nil, 0, fmt.Errorf("ACL of revision %d, 2 to 4 are defined", l.revision)
	}
	rest := b[aclHeader:size]
	for i := range int(binary.LittleEndian.Uint16(b[4:])) {
		a, err := parseACE(rest)
		if err != nil {
			return nil, 0, fmt.Errorf("entry %d: %w", i+1, err)
		}
		l.aces = append(l.aces, a)
		rest = rest[len(a.raw):]
	}
	l.slack = rest
	return l, size, nil
}

func (l *acl) bytes() ([]byte, error) {
	out := make([]byte, aclHeader)
	for _, a := range l.aces {
		out = append(out, a.raw...)
	}
	out = append(out, l.slack...)
	if len(out) > math.MaxUint16 {
		return nil, fmt.Errorf("ACL with %d entries needs %d bytes, the limit is %d", len(l.aces), len(out), math.MaxUint16)
	}
	out[0], out[1] = l.revision, l.sbz1
	binary.LittleEndian.PutUint16(out[2:], uint16(len(out)))
	binary.LittleEndian.PutUint16(out[4:], uint16(len(l.aces)))
	binary.LittleEndian.PutUint16(out[6:], l.sbz2)
	return out, nil
}

// Bytes gives the self-relative form, the parts in the order in which they were
// read, each at a multiple of four bytes. It is the bytes that were parsed unless
// there was something between or after the parts. An ACL that does not fit its
// 16-bit size is an error.
func (d *Descriptor) Bytes() ([]byte, error) {
	out := make([]byte, header)
	out[0], out[1] = d.revision, d.sbz1
	binary.LittleEndian.PutUint16(out[2:], d.control)
	for _, p := range d.order {
		b, err := d.partBytes(p)
		if err != nil {
			return nil, fmt.Errorf("%s of the security descriptor: %w", partNames[p], err)
		}
		for len(out)%4 != 0 {
			out = append(out, 0)
		}
		binary.LittleEndian.PutUint32(out[4+4*p:], uint32(len(out)))
		out = append(out, b...)
	}
	if len(out) > MaxSize {
		return nil, fmt.Errorf("security descriptor of %d bytes, the limit is %d", len(out), MaxSize)
	}
	return out, nil
}

func (d *Descriptor) partBytes(p part) ([]byte, error) {
	switch p {
	case partOwner:
		return d.owner.Bytes()
	case partGroup:
		return d.group.Bytes()
	case partSACL:
		return d.sacl.bytes()
	default:
		return d.dacl.bytes()
	}
}
