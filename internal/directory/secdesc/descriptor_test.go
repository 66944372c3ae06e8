package secdesc

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"os"
	"slices"
	"strings"
	"testing"
)

const domain = "S-1-5-21-1-2-3"

// Vectors written by Samba 4.17.12 (security.descriptor.from_sddl, ndr_pack).
const (
	// O:BAD:(A;;CCDCLCSWRPWPDTLOCRSDRCWDWO;;;S-1-5-21-1-2-3-1105)
	sambaOne = "01000480140000000000000000000000240000000102000000000005200000002002000004002c000100000000002400ff010f0001050000000000051500000001000000020000000300000051040000"
	// O:BAD:
	sambaEmpty = "0100048014000000000000000000000024000000010200000000000520000000200200000400080000000000"
	// O:BA
	sambaNoDACL = "010000801400000000000000000000000000000001020000000000052000000020020000"
	// With object types, an entry that is only inherited, flags and a SACL.
	sambaRich     = "0100149414000000240000003400000050000000010200000000000520000000200200000102000000000005200000002002000004001c00010000000240140020000c0001010000000000010000000004007800030000000100140020000000010100000000000100000000050a48002000000003000000e5c3783f9af7bd46a0b89d18116ddc79867a96bfe60dd011a28500aa003049e2010500000000000515000000010000000200000003000000510400000000140000000010010100000000000512000000"
	sambaRichSDDL = "O:BAG:BAD:PAI(D;;WP;;;WD)(OA;CIIO;WP;3f78c3e5-f79a-46bd-a0b8-9d18116ddc79;bf967a86-0de6-11d0-a285-00aa003049e2;S-1-5-21-1-2-3-1105)(A;;GA;;;SY)S:(AU;SA;WPWDWO;;;WD)"
)

// samples are nTSecurityDescriptor values of a domain that Samba 4.17.12 made:
// of a computer, of the domain, of Administrator, and the longest there was.
func samples(t testing.TB) map[string][]byte {
	t.Helper()
	out := map[string][]byte{}
	for _, line := range lines(t, "testdata/ntsecuritydescriptor.txt") {
		name, value, _ := strings.Cut(line, " ")
		out[name] = unhex(t, value)
	}
	return out
}

func lines(t testing.TB, file string) []string {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSpace(string(b)), "\n")
}

func parse(t testing.TB, b []byte) *Descriptor {
	t.Helper()
	d, err := Parse(b)
	if err != nil {
		t.Fatalf("%x: %v", b, err)
	}
	return d
}

func TestDescriptorsAreReadAndWrittenByteForByte(t *testing.T) {
	all := samples(t)
	for _, v := range []string{sambaOne, sambaEmpty, sambaNoDACL, sambaRich} {
		all[v[:20]] = unhex(t, v)
	}
	for name, b := range all {
		before := bytes.Clone(b)
		d := parse(t, b)
		clear(b) // what was parsed is not needed any more
		if got, err := d.Bytes(); err != nil || !bytes.Equal(got, before) {
			t.Errorf("%s: %v\n%x\n%x", name, err, got, before)
		}
	}
}

// Microsoft's programs put the DACL first and owner and group last.
func TestOrderOfPartsIsKept(t *testing.T) {
	owner, dacl := unhex(t, "01020000000000052000000020020000"), unhex(t, "0200080000000000")
	b := unhex(t, "01000480"+"1c000000"+"2c000000"+"00000000"+"14000000")
	b = slices.Concat(b, dacl, owner, owner)
	d := parse(t, b)
	if got, err := d.Bytes(); err != nil || !bytes.Equal(got, b) {
		t.Errorf("%x, %v, want %x", got, err, b)
	}
	shared := bytes.Clone(b[:len(b)-len(owner)])
	binary.LittleEndian.PutUint32(shared[8:], 0x1c)
	if got, err := parse(t, shared).Bytes(); err != nil || !bytes.Equal(got, b) {
		t.Errorf("owner and group in the same bytes: %x, %v, want %x", got, err, b)
	}
}

func TestEntriesAreRead(t *testing.T) {
	d := parse(t, unhex(t, sambaRich))
	if d.Owner() != "S-1-5-32-544" {
		t.Errorf("owner %s", d.Owner())
	}
	aces := d.ACEs()
	if len(aces) != 3 {
		t.Fatalf("%d entries", len(aces))
	}
	a := aces[1]
	if a.Type != TypeAllowObject || a.Flags != FlagInheritOnly|2 || a.Mask != RightWriteProperty || a.SID != domain+"-1105" ||
		a.ObjectType == nil || a.ObjectType.String() != "3f78c3e5-f79a-46bd-a0b8-9d18116ddc79" ||
		a.InheritedObjectType == nil || a.InheritedObjectType.String() != "bf967a86-0de6-11d0-a285-00aa003049e2" {
		t.Errorf("%+v", a)
	}
	aces[0] = ACE{}
	if d.ACEs()[0].SID != Everyone {
		t.Error("a caller changed the descriptor")
	}
	if got := parse(t, unhex(t, sambaNoDACL)); got.ACEs() != nil || got.Owner() == "" {
		t.Errorf("without a DACL: %v", got.ACEs())
	}
}

func TestUnknownEntriesAreKept(t *testing.T) {
	unknown := "2a000c00" + "0102030405060708"                                                    // no such kind
	compound := "04000800" + "00000000"                                                           // reserved
	conditional := "09001c00" + "00010000" + "010100000000000512000000" + "61727478" + "00000000" // trailing application data
	b := withACEs(t, unknown, compound, conditional)
	d := parse(t, b)
	if got, err := d.Bytes(); err != nil || !bytes.Equal(got, b) {
		t.Errorf("%x, %v", got, err)
	}
	if a := d.ACEs(); a[0].SID != "" || a[0].Type != 0x2a || a[1].SID != "" || a[2].SID != "S-1-5-18" || a[2].Mask != 0x100 {
		t.Errorf("%+v", a)
	}
	if got := d.SDDL(); got != "O:BAD:(?;0x2a;12)(?;0x04;8)(?;0x09;28)" {
		t.Error(got)
	}
}

// An ACL may be larger than its entries ([MS-DTYP] 2.4.5).
func TestRoomBehindTheLastEntryIsKept(t *testing.T) {
	b := append(withACEs(t, "2a000400"), 1, 2, 3, 4)
	binary.LittleEndian.PutUint16(b[0x26:], 8+4+4)
	d := parse(t, b)
	if got, err := d.Bytes(); err != nil || !bytes.Equal(got, b) || len(d.ACEs()) != 1 {
		t.Errorf("%x, %v, want %x", got, err, b)
	}
}

// withACEs is "O:BAD:" with the entries in hexadecimal.
func withACEs(t testing.TB, entries ...string) []byte {
	b := unhex(t, sambaEmpty)
	for _, e := range entries {
		b = append(b, unhex(t, e)...)
	}
	const at = 0x24
	binary.LittleEndian.PutUint16(b[at+2:], uint16(len(b)-at))
	binary.LittleEndian.PutUint16(b[at+4:], uint16(len(entries)))
	return b
}

func TestBrokenDescriptorsAreErrors(t *testing.T) {
	good := unhex(t, sambaOne)
	change := func(at int, with ...byte) []byte {
		b := bytes.Clone(good)
		copy(b[at:], with)
		return b
	}
	for name, c := range map[string]struct {
		b    []byte
		want string
	}{
		"nothing":                     {nil, "at least 20"},
		"short header":                {good[:19], "at least 20"},
		"too long":                    {make([]byte, MaxSize+1), "limit"},
		"other revision":              {change(0, 2), "revision 2"},
		"absolute form":               {change(3, 0), "not self-relative"},
		"owner in the header":         {change(4, 4), "owner of the security descriptor is said to be at byte 4"},
		"owner behind the end":        {change(4, 0xff, 0xff, 0xff, 0xff), "said to be at byte 4294967295"},
		"owner that is none":          {change(4, 0x24), "owner of the security descriptor: SID of revision 4"},
		"group over the owner":        {change(8, 0x14), ""},
		"group over a part of it":     {change(8, 0x18), "group of the security descriptor: SID of revision"},
		"SACL that is the DACL":       {change(2, 0x14, 0x80, 0x14, 0, 0, 0, 0, 0, 0, 0, 0x24, 0, 0, 0), "SACL and DACL of the security descriptor overlap"},
		"SACL that is not announced":  {change(12, 0x24), "SACL of the security descriptor: it is there"},
		"DACL that is not announced":  {change(2, 0), "DACL of the security descriptor: it is there"},
		"DACL of revision 1":          {change(0x24, 1), "ACL of revision 1"},
		"DACL larger than the rest":   {change(0x26, 0x2d), "ACL says it has 45 bytes where there are 44"},
		"DACL smaller than a header":  {change(0x26, 7), "ACL says it has 7 bytes"},
		"more entries than there are": {change(0x28, 2), "entry 2: ACE of 0 bytes"},
		"entry larger than the DACL":  {change(0x2e, 0x28), "entry 1: ACE says it has 40 bytes where there are 36"},
		"entry smaller than a header": {change(0x2e, 3), "entry 1: ACE says it has 3 bytes"},
		"entry without a mask":        {change(0x2e, 4), "ends before its access mask"},
		"entry without object types":  {change(0x2c, 5, 0, 8), "ends before its object types"},
		"entry with half a GUID":      {change(0x2c, 5, 0, 20, 0, 0, 0, 0, 0, 1), "ends before its object types"},
		"entry with half a SID":       {change(0x2e, 0x20), "entry 1: ACE of kind 0x00: SID with 5 parts"},
	} {
		_, err := Parse(c.b)
		if (err != nil) != (c.want != "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

func TestSDDLIsReadable(t *testing.T) {
	for value, want := range map[string]string{
		sambaOne:    "O:BAD:(A;;CCDCLCSWRPWPDTLOCRSDRCWDWO;;;S-1-5-21-1-2-3-1105)",
		sambaEmpty:  "O:BAD:",
		sambaNoDACL: "O:BA",
		sambaRich:   sambaRichSDDL,
		"0100048000000000000000000000000000000000":                                        "D:NO_ACCESS_CONTROL",
		hex.EncodeToString(withACEs(t, "00201400"+"00020000"+"010100000000000512000000")): "O:BAD:(A;0x20;0x200;;;SY)",
	} {
		if got := parse(t, unhex(t, value)).SDDL(); got != want {
			t.Errorf("%s\nwant %s", got, want)
		}
	}
}
