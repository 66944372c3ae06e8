package secdesc

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Letters of the control flags of an ACL, the flags of an ACE and its rights
// ([MS-DTYP] 2.5.1.1), in the order in which Windows writes them.
var (
	aceLetters = []letter{{0x01, "OI"}, {0x02, "CI"}, {0x04, "NP"}, {0x08, "IO"}, {0x10, "ID"}, {0x40, "SA"}, {0x80, "FA"}}

	rightLetters = []letter{
		{0x1, "CC"}, {0x2, "DC"}, {0x4, "LC"}, {0x8, "SW"}, {0x10, "RP"}, {0x20, "WP"}, {0x40, "DT"}, {0x80, "LO"}, {0x100, "CR"},
		{0x10000, "SD"}, {0x20000, "RC"}, {0x40000, "WD"}, {0x80000, "WO"},
		{0x10000000, "GA"}, {0x20000000, "GX"}, {0x40000000, "GW"}, {0x80000000, "GR"},
	}

	daclLetters = []letter{{0x1000, "P"}, {0x0100, "AR"}, {0x0400, "AI"}}
	saclLetters = []letter{{0x2000, "P"}, {0x0200, "AR"}, {0x0800, "AI"}}

	typeLetters = map[byte]string{
		TypeAllow: "A", TypeDeny: "D", TypeAudit: "AU", typeAlarm: "AL",
		TypeAllowObject: "OA", TypeDenyObject: "OD", TypeAuditObject: "OU", typeAlarmObject: "OL",
	}

	// Only SIDs that are the same everywhere have a short name here. "DA" would
	// hide of which domain of a forest the administrators are.
	sidLetters = map[SID]string{
		Everyone: "WD", AuthenticatedUsers: "AU", administrators: "BA",
		"S-1-3-0": "CO", "S-1-3-1": "CG", "S-1-3-4": "OW",
		"S-1-5-2": "NU", "S-1-5-4": "IU", "S-1-5-6": "SU", "S-1-5-7": "AN", "S-1-5-9": "ED", "S-1-5-10": "PS",
		"S-1-5-18": "SY", "S-1-5-19": "LS", "S-1-5-20": "NS",
		"S-1-5-32-545": "BU", "S-1-5-32-546": "BG", "S-1-5-32-548": "AO", "S-1-5-32-549": "SO",
		"S-1-5-32-550": "PO", "S-1-5-32-551": "BO", "S-1-5-32-554": "RU",
	}
)

type letter struct {
	bit  uint32
	name string
}

// spell writes the bits as letters, or the whole as a number when one of them has
// none.
func spell(bits uint32, table []letter) string {
	rest := bits
	var s strings.Builder
	for _, l := range table {
		if bits&l.bit != 0 {
			s.WriteString(l.name)
			rest &^= l.bit
		}
	}
	if rest != 0 {
		return fmt.Sprintf("%#x", bits)
	}
	return s.String()
}

// only keeps of bits what the table has letters for.
func only(bits uint32, table []letter) (kept uint32) {
	for _, l := range table {
		kept |= bits & l.bit
	}
	return kept
}

func (s SID) sddl() string {
	if short, ok := sidLetters[s]; ok {
		return short
	}
	return string(s)
}

// SDDL is the descriptor for people to read ([MS-DTYP] 2.5.1), nearly in the form
// that Windows and samba-tool accept: an entry whose form has no letters here
// is written as "(?;kind;size in bytes)", and SIDs of a domain are in full.
func (d *Descriptor) SDDL() string {
	var s strings.Builder
	if d.owner != "" {
		s.WriteString("O:" + d.owner.sddl())
	}
	if d.group != "" {
		s.WriteString("G:" + d.group.sddl())
	}
	control := uint32(d.control)
	if d.control&controlDACLPresent != 0 {
		s.WriteString("D:" + spell(only(control, daclLetters), daclLetters))
		if d.dacl == nil {
			s.WriteString("NO_ACCESS_CONTROL")
		} else {
			d.dacl.sddl(&s)
		}
	}
	if d.sacl != nil {
		s.WriteString("S:" + spell(only(control, saclLetters), saclLetters))
		d.sacl.sddl(&s)
	}
	return s.String()
}

func (l *acl) sddl(s *strings.Builder) {
	for _, a := range l.aces {
		kind, ok := typeLetters[a.Type]
		if !ok {
			fmt.Fprintf(s, "(?;%#02x;%d)", a.Type, len(a.raw))
			continue
		}
		fmt.Fprintf(s, "(%s;%s;%s;%s;%s;%s)", kind, spell(uint32(a.Flags), aceLetters),
			spell(a.Mask, rightLetters), a.ObjectType.optional(), a.InheritedObjectType.optional(), a.SID.sddl())
	}
}

func (g *GUID) optional() string {
	if g == nil {
		return ""
	}
	return g.String()
}

// Owner is the owner's SID, empty when the descriptor has none.
func (d *Descriptor) Owner() SID { return d.owner }

// ACEs are the entries of the DACL in their order. There are none both when the
// DACL is empty, which allows nobody anything, and when there is no DACL, which
// allows everybody everything.
func (d *Descriptor) ACEs() []ACE {
	if d.dacl == nil {
		return nil
	}
	return slices.Clone(d.dacl.aces)
}

// ParseGUID reads the usual form, in either case, with or without braces.
func ParseGUID(s string) (GUID, error) {
	var g GUID
	bare := s
	if strings.HasPrefix(s, "{") && strings.HasSuffix(s, "}") {
		bare = s[1 : len(s)-1]
	}
	fields := strings.Split(bare, "-")
	var v [5]uint64
	if len(fields) != len(v) {
		return g, fmt.Errorf("%q is not a GUID", clip(s))
	}
	for i, digits := range []int{8, 4, 4, 4, 12} {
		var err error
		if len(fields[i]) != digits {
			err = errors.New("a group has the wrong length")
		} else {
			v[i], err = strconv.ParseUint(fields[i], 16, 4*digits)
		}
		if err != nil {
			return g, fmt.Errorf("%q is not a GUID: %w", clip(s), err)
		}
	}
	binary.LittleEndian.PutUint32(g[0:], uint32(v[0]))
	binary.LittleEndian.PutUint16(g[4:], uint16(v[1]))
	binary.LittleEndian.PutUint16(g[6:], uint16(v[2]))
	binary.BigEndian.PutUint16(g[8:], uint16(v[3]))
	binary.BigEndian.PutUint16(g[10:], uint16(v[4]>>32))
	binary.BigEndian.PutUint32(g[12:], uint32(v[4]))
	return g, nil
}
