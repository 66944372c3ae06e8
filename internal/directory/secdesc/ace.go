package secdesc

import (
	"encoding/binary"
	"fmt"
)

// Kinds of ACE ([MS-DTYP] 2.4.4.1) that decide about access or have a form of
// their own in SDDL.
const (
	TypeAllow        byte = 0x00
	TypeDeny         byte = 0x01
	TypeAudit        byte = 0x02
	TypeAllowObject  byte = 0x05
	TypeDenyObject   byte = 0x06
	TypeAuditObject  byte = 0x07
	typeAlarm        byte = 0x03
	typeAlarmObject  byte = 0x08
	typeConditional  byte = 0x09 // the first of the kinds with application data
	typeAllowCondObj byte = 0x0B
	typeDenyCondObj  byte = 0x0C
	typeAuditCondObj byte = 0x0F
	typeAlarmCondObj byte = 0x10
	typeScopedPolicy byte = 0x13
	typeCompound     byte = 0x04
)

// Flags of an ACE ([MS-DTYP] 2.4.4.1).
const (
	FlagInheritOnly byte = 0x08 // does not apply to the object itself
	FlagInherited   byte = 0x10
)

// Rights in an access mask ([MS-ADTS] 5.1.3.2).
const (
	RightWriteProperty uint32 = 0x00000020
	RightControlAccess uint32 = 0x00000100
	// RightFullControl is every right on an object of a directory,
	// CCDCLCSWRPWPDTLOCRSDRCWDWO.
	RightFullControl  uint32 = 0x000F01FF
	RightGenericAll   uint32 = 0x10000000
	RightGenericWrite uint32 = 0x40000000
)

// ACE is one entry of an access control list ([MS-DTYP] 2.4.4). For a kind that
// this package does not know only Type and Flags are set.
type ACE struct {
	Type, Flags byte
	Mask        uint32
	// ObjectType is the attribute, property set or right that an object ACE is
	// limited to, nil for all of them. InheritedObjectType is the class of
	// objects that inherit it.
	ObjectType, InheritedObjectType *GUID
	SID                             SID

	// raw is the whole entry as it came, with its header and what follows the
	// SID: it, and not the fields above, is what is written.
	raw []byte
}

const aceHeader = 4

// parseACE reads the ACE at the front of b; its raw shares b's memory.
func parseACE(b []byte) (ACE, error) {
	if len(b) < aceHeader {
		return ACE{}, fmt.Errorf("ACE of %d bytes, at least %d are needed", len(b), aceHeader)
	}
	size := int(binary.LittleEndian.Uint16(b[2:]))
	if size < aceHeader || size > len(b) {
		return ACE{}, fmt.Errorf("ACE says it has %d bytes where there are %d", size, len(b))
	}
	a := ACE{Type: b[0], Flags: b[1], raw: b[:size:size]}
	if a.Type == typeCompound || a.Type > typeScopedPolicy {
		return a, nil
	}
	rest := a.raw[aceHeader:]
	mask, rest, ok := takeUint32(rest)
	if !ok {
		return ACE{}, fmt.Errorf("ACE of kind %#02x ends before its access mask", a.Type)
	}
	a.Mask = mask
	if isObject(a.Type) {
		if rest, ok = a.takeGUIDs(rest); !ok {
			return ACE{}, fmt.Errorf("ACE of kind %#02x ends before its object types", a.Type)
		}
	}
	sid, _, err := ParseSID(rest)
	if err != nil {
		return ACE{}, fmt.Errorf("ACE of kind %#02x: %w", a.Type, err)
	}
	a.SID = sid
	return a, nil
}

func isObject(kind byte) bool {
	switch kind {
	case TypeAllowObject, TypeDenyObject, TypeAuditObject, typeAlarmObject,
		typeAllowCondObj, typeDenyCondObj, typeAuditCondObj, typeAlarmCondObj:
		return true
	}
	return false
}

// takeGUIDs reads the flags and the object types that they announce
// ([MS-DTYP] 2.4.4.3).
func (a *ACE) takeGUIDs(b []byte) (rest []byte, ok bool) {
	flags, b, ok := takeUint32(b)
	if !ok {
		return nil, false
	}
	for bit, into := range []**GUID{&a.ObjectType, &a.InheritedObjectType} {
		if flags&(1<<bit) == 0 {
			continue
		}
		if len(b) < len(GUID{}) {
			return nil, false
		}
		g := GUID(b[:len(GUID{})])
		*into, b = &g, b[len(g):]
	}
	return b, true
}

func takeUint32(b []byte) (v uint32, rest []byte, ok bool) {
	if len(b) < 4 {
		return 0, nil, false
	}
	return binary.LittleEndian.Uint32(b), b[4:], true
}

// allow is the ACE (A;;mask;;;sid).
func allow(sid SID, mask uint32) (ACE, error) {
	s, err := sid.Bytes()
	if err != nil {
		return ACE{}, err
	}
	raw := []byte{TypeAllow, 0}
	raw = binary.LittleEndian.AppendUint16(raw, uint16(aceHeader+4+len(s)))
	raw = binary.LittleEndian.AppendUint32(raw, mask)
	return ACE{Type: TypeAllow, Mask: mask, SID: sid, raw: append(raw, s...)}, nil
}
