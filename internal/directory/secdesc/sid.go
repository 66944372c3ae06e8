package secdesc

import (
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
)

// SID is a security identifier in its string form, such as
// "S-1-5-21-1-2-3-1105" ([MS-DTYP] 2.4.2.1). The empty SID stands for none.
// SIDs that ParseSID or Merge accepted have one spelling each, so == compares them.
type SID string

const (
	// Everyone is every principal that a controller knows, guests too.
	Everyone SID = "S-1-1-0"
	// AuthenticatedUsers is every principal that has signed in, computers too.
	AuthenticatedUsers SID = "S-1-5-11"

	administrators SID = "S-1-5-32-544"
)

const (
	sidHeader  = 8
	maxSubs    = 15
	maxDecimal = 1<<32 - 1 // a greater authority is written in hexadecimal
)

// ParseSID reads the SID at the front of b ([MS-DTYP] 2.4.2.2) and says how many
// bytes it takes, 68 at most. What follows it is not looked at.
func ParseSID(b []byte) (SID, int, error) {
	if len(b) < sidHeader {
		return "", 0, fmt.Errorf("SID of %d bytes, at least %d are needed", len(b), sidHeader)
	}
	if b[0] != 1 {
		return "", 0, fmt.Errorf("SID of revision %d, only 1 is defined", b[0])
	}
	subs := int(b[1])
	if subs > maxSubs {
		return "", 0, fmt.Errorf("SID with %d parts, at most %d are allowed", subs, maxSubs)
	}
	n := sidHeader + 4*subs
	if len(b) < n {
		return "", 0, fmt.Errorf("SID with %d parts needs %d bytes, there are %d", subs, n, len(b))
	}
	authority := uint64(binary.BigEndian.Uint16(b[2:]))<<32 | uint64(binary.BigEndian.Uint32(b[4:]))
	var s strings.Builder
	if authority > maxDecimal {
		fmt.Fprintf(&s, "S-1-0x%012X", authority)
	} else {
		fmt.Fprintf(&s, "S-1-%d", authority)
	}
	for i := range subs {
		fmt.Fprintf(&s, "-%d", binary.LittleEndian.Uint32(b[sidHeader+4*i:]))
	}
	return SID(s.String()), n, nil
}

// Bytes gives the binary form ([MS-DTYP] 2.4.2.2). A SID that is not spelt as
// ParseSID spells it is an error, so that no two strings mean one principal.
func (s SID) Bytes() ([]byte, error) {
	parts := strings.Split(string(s), "-")
	if len(parts) < 3 || len(parts) > 3+maxSubs || parts[0] != "S" || parts[1] != "1" {
		return nil, fmt.Errorf("%q is not a SID", clip(string(s)))
	}
	authority, err := parseAuthority(parts[2])
	if err != nil {
		return nil, fmt.Errorf("%q is not a SID: %w", clip(string(s)), err)
	}
	out := make([]byte, sidHeader, sidHeader+4*len(parts))
	out[0], out[1] = 1, byte(len(parts)-3)
	binary.BigEndian.PutUint16(out[2:], uint16(authority>>32))
	binary.BigEndian.PutUint32(out[4:], uint32(authority))
	for _, p := range parts[3:] {
		v, err := strconv.ParseUint(p, 10, 32)
		if err != nil {
			return nil, fmt.Errorf("%q is not a SID: %w", clip(string(s)), err)
		}
		out = binary.LittleEndian.AppendUint32(out, uint32(v))
	}
	if spelt, _, err := ParseSID(out); err != nil || spelt != s {
		return nil, fmt.Errorf("%q is not the usual spelling of the SID %s", clip(string(s)), spelt)
	}
	return out, nil
}

func parseAuthority(s string) (uint64, error) {
	if digits, hex := strings.CutPrefix(s, "0x"); hex {
		return strconv.ParseUint(digits, 16, 48)
	}
	return strconv.ParseUint(s, 10, 32)
}

// RID is the last part of the SID, the account's number within its domain; false
// when there is no such part.
func (s SID) RID() (uint32, bool) {
	head, last, ok := cutLast(string(s))
	if !ok || strings.Count(head, "-") < 2 {
		return 0, false
	}
	v, err := strconv.ParseUint(last, 10, 32)
	return uint32(v), err == nil
}

// Domain is the SID without its last part, for an account the SID of its domain;
// empty when there is no part to take away.
func (s SID) Domain() SID {
	if _, ok := s.RID(); !ok {
		return ""
	}
	head, _, _ := cutLast(string(s))
	return SID(head)
}

func cutLast(s string) (head, last string, ok bool) {
	i := strings.LastIndexByte(s, '-')
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+1:], true
}

// clip bounds what of a foreign string goes into an error.
func clip(s string) string {
	if len(s) > 200 {
		return s[:200] + "..."
	}
	return s
}

// GUID is a GUID as on the wire: the first three fields little-endian
// ([MS-DTYP] 2.3.4.2), which is also how schemaIDGUID and objectGUID are stored.
type GUID [16]byte

// String is the usual form, "4c164200-20c0-11d0-a768-00aa006e0529".
func (g GUID) String() string {
	return fmt.Sprintf("%08x-%04x-%04x-%x-%x",
		binary.LittleEndian.Uint32(g[0:]), binary.LittleEndian.Uint16(g[4:]), binary.LittleEndian.Uint16(g[6:]), g[8:10], g[10:])
}
