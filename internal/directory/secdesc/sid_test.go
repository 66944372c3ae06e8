package secdesc

import (
	"bytes"
	"encoding/hex"
	"strconv"
	"strings"
	"testing"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestSIDsHaveTheirBinaryForm(t *testing.T) {
	for _, c := range []struct{ sid, hex string }{
		{"S-1-1-0", "010100000000000100000000"},
		{"S-1-5-32-544", "01020000000000052000000020020000"},
		{"S-1-5-21-1-2-3-1105", "010500000000000515000000010000000200000003000000" + "51040000"},
		{"S-1-5-21-4294967295-0-1", "010400000000000515000000ffffffff0000000001000000"},
		{"S-1-4294967295-7", "01010000ffffffff07000000"},
		{"S-1-0x000100000000-7", "010100010000000007000000"},
		{"S-1-5", "0100000000000005"},
	} {
		got, err := SID(c.sid).Bytes()
		if err != nil || hex.EncodeToString(got) != c.hex {
			t.Errorf("%s: %x, %v, want %s", c.sid, got, err, c.hex)
		}
		sid, n, err := ParseSID(append(unhex(t, c.hex), 1, 2, 3))
		if err != nil || string(sid) != c.sid || n != len(c.hex)/2 {
			t.Errorf("%s: parsed as %s, %d bytes, %v", c.hex, sid, n, err)
		}
	}
}

func TestBrokenBinarySIDsAreErrors(t *testing.T) {
	for name, in := range map[string]string{
		"empty":           "",
		"only a header":   "01010000000000",
		"other revision":  "020100000000000100000000",
		"sixteen parts":   "0110000000000005" + strings.Repeat("00000000", 16),
		"part is missing": "0102000000000005200000",
	} {
		if sid, n, err := ParseSID(unhex(t, in)); err == nil || sid != "" || n != 0 {
			t.Errorf("%s: %q, %d, %v", name, sid, n, err)
		}
	}
}

func TestOnlyTheUsualSpellingOfASIDIsAccepted(t *testing.T) {
	for _, s := range []SID{
		"", "S", "S-1", "S-1-", "S-2-5-18", "s-1-5-18", "S-1-5-018", "S-1-5-+18", "S-1-5-18-", "S-1--5", "S-1-5-4294967296",
		"S-1-0x5-18", "S-1-0x0000ffffffff-1", "S-1-0x00010000000a-1", "S-1-0x1000000000000-1", "S-1-4294967296-1", " S-1-5-18", "HV01$",
		SID("S-1-5" + strings.Repeat("-1", 16)), SID(strings.Repeat("x", 5000)),
	} {
		if b, err := s.Bytes(); err == nil || len(err.Error()) > 400 {
			t.Errorf("%.40q: %x, %v", s, b, err)
		}
	}
}

func TestAnAccountIsANumberInADomain(t *testing.T) {
	for _, c := range []struct {
		sid, domain SID
		rid         uint32
		ok          bool
	}{
		{"S-1-5-21-1-2-3-1105", "S-1-5-21-1-2-3", 1105, true},
		{"S-1-5-32-544", "S-1-5-32", 544, true},
		{"S-1-1-0", "S-1-1", 0, true},
		{"S-1-5", "", 0, false},
		{"", "", 0, false},
		{"S-1-5-x", "", 0, false},
	} {
		rid, ok := c.sid.RID()
		if rid != c.rid || ok != c.ok || c.sid.Domain() != c.domain {
			t.Errorf("%q: RID %d %v, domain %q", c.sid, rid, ok, c.sid.Domain())
		}
	}
}

// The value is attributeSecurityGUID of msDS-AllowedToActOnBehalfOfOtherIdentity
// in Microsoft's schema, AEIWTMAg0BGnaACqAG4FKQ==, the property set User-Account-Restrictions.
func TestGUIDsAreLittleEndianInTheirFirstFields(t *testing.T) {
	const text, wire = "4c164200-20c0-11d0-a768-00aa006e0529", "0042164cc020d011a76800aa006e0529"
	for _, s := range []string{text, "{" + text + "}", strings.ToUpper(text)} {
		g, err := ParseGUID(s)
		if err != nil || !bytes.Equal(g[:], unhex(t, wire)) || g.String() != text {
			t.Errorf("%s: %x, %s, %v", s, g[:], g, err)
		}
	}
	for _, s := range []string{
		"", "{}", "{" + text, text + "0", text[1:], strings.ReplaceAll(text, "-", ""), "+c164200-20c0-11d0-a768-00aa006e0529",
		"4c164200-20c0-11d0-a768-00aa006e052g", strings.Repeat("-", 4), strings.Repeat("4-", 500),
	} {
		if g, err := ParseGUID(s); err == nil {
			t.Errorf("%.50q is taken for %s", s, g)
		}
	}
}

func FuzzSID(f *testing.F) {
	f.Add([]byte{1, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0}, "S-1-5-21-1-2-3-1105")
	f.Add([]byte{1, 0, 0, 1, 0, 0, 0, 0}, "S-1-0x000100000000")
	f.Add([]byte{1, 15}, "4c164200-20c0-11d0-a768-00aa006e0529")
	f.Fuzz(func(t *testing.T, b []byte, s string) {
		if sid, n, err := ParseSID(b); err == nil {
			back, err := sid.Bytes()
			if err != nil || !bytes.Equal(back, b[:n]) {
				t.Fatalf("%x is %s is %x, %v", b[:n], sid, back, err)
			}
			if rid, ok := sid.RID(); ok != (n > 8) || ok && sid != SID(string(sid.Domain())+"-"+strconv.FormatUint(uint64(rid), 10)) {
				t.Fatalf("%s: RID %d %v, domain %s", sid, rid, ok, sid.Domain())
			}
		}
		SID(s).RID()
		SID(s).Domain()
		if back, err := SID(s).Bytes(); err == nil {
			if sid, n, err := ParseSID(back); err != nil || sid != SID(s) || n != len(back) {
				t.Fatalf("%q is %x is %s, %d, %v", s, back, sid, n, err)
			}
		}
		if g, err := ParseGUID(s); err == nil {
			if again, err := ParseGUID(g.String()); err != nil || again != g || len(g.String()) != 36 {
				t.Fatalf("%q is %s", s, g)
			}
		}
	})
}
