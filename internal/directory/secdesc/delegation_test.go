package secdesc

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// account is a SID of the test's domain.
func account(rid int) SID { return SID(domain + "-" + strconv.Itoa(rid)) }

// ace is an entry in hexadecimal: kind, flags, mask, then the SID.
func ace(t testing.TB, kind, flags byte, mask uint32, sid SID) string {
	t.Helper()
	a, err := allow(sid, mask)
	if err != nil {
		t.Fatal(err)
	}
	a.raw[0], a.raw[1] = kind, flags
	return hex.EncodeToString(a.raw)
}

// objectACE is an entry for one object type.
func objectACE(t testing.TB, kind byte, mask uint32, object GUID, sid SID) string {
	t.Helper()
	b := unhex(t, ace(t, kind, 0, mask, sid))
	b = slices.Insert(b, 8, append([]byte{1, 0, 0, 0}, object[:]...)...)
	binary.LittleEndian.PutUint16(b[2:], uint16(len(b)))
	return hex.EncodeToString(b)
}

func TestTrusteesAreThoseWhomAKDCLetsAct(t *testing.T) {
	const act, full = RightControlAccess, RightFullControl
	a, b := account(1105), account(1106)
	for name, c := range map[string]struct {
		entries []string
		want    []SID
	}{
		"nobody":                          {nil, nil},
		"full control":                    {[]string{ace(t, TypeAllow, 0, full, a)}, []SID{a}},
		"the one right":                   {[]string{ace(t, TypeAllow, 0, act, b), ace(t, TypeAllow, 0, act, a)}, []SID{b, a}},
		"all rights but the one":          {[]string{ace(t, TypeAllow, 0, full&^act, a)}, nil},
		"generic all is not mapped":       {[]string{ace(t, TypeAllow, 0, RightGenericAll, a)}, nil},
		"only inherited":                  {[]string{ace(t, TypeAllow, FlagInheritOnly, full, a)}, nil},
		"inherited":                       {[]string{ace(t, TypeAllow, FlagInherited, full, a)}, []SID{a}},
		"named twice":                     {[]string{ace(t, TypeAllow, 0, full, a), ace(t, TypeAllow, 0, act, a)}, []SID{a}},
		"denied before":                   {[]string{ace(t, TypeDeny, 0, act, a), ace(t, TypeAllow, 0, full, a), ace(t, TypeAllow, 0, full, b)}, []SID{b}},
		"denied by generic all":           {[]string{ace(t, TypeDeny, 0, RightGenericAll, a), ace(t, TypeAllow, 0, full, a)}, nil},
		"denied something else":           {[]string{ace(t, TypeDeny, 0, RightWriteProperty, a), ace(t, TypeAllow, 0, full, a)}, []SID{a}},
		"denied after":                    {[]string{ace(t, TypeAllow, 0, full, a), ace(t, TypeDeny, 0, act, a)}, []SID{a}},
		"denied to those who inherit":     {[]string{ace(t, TypeDeny, FlagInheritOnly, act, a), ace(t, TypeAllow, 0, full, a)}, []SID{a}},
		"everybody denied between":        {[]string{ace(t, TypeAllow, 0, full, a), ace(t, TypeDeny, 0, act, Everyone), ace(t, TypeAllow, 0, full, b)}, []SID{a}},
		"all who signed in denied before": {[]string{ace(t, TypeDeny, 0, act, AuthenticatedUsers), ace(t, TypeAllow, 0, full, b)}, nil},
		"for one object type":             {[]string{objectACE(t, TypeAllowObject, act, GUID{1}, a)}, nil},
		"conditional":                     {[]string{ace(t, typeConditional, 0, full, a)}, nil},
		"audited":                         {[]string{ace(t, TypeAudit, 0, full, a)}, nil},
	} {
		got, err := Trustees(withACEs(t, c.entries...))
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, %v, want %v", name, got, err, c.want)
		}
	}
}

func TestTrusteesOfNoValueAndOfNoDACL(t *testing.T) {
	if got, err := Trustees(nil); got != nil || err != nil {
		t.Errorf("no value: %v, %v", got, err)
	}
	if got, err := Trustees(unhex(t, sambaNoDACL)); err != nil || !slices.Equal(got, []SID{Everyone}) {
		t.Errorf("no DACL: %v, %v", got, err)
	}
	if got, err := Trustees([]byte("text")); got != nil || err == nil {
		t.Errorf("no descriptor: %v, %v", got, err)
	}
}

// The verdicts are those of Samba 4.17.12's access check for 0x100, for two
// accounts that have signed in, over random DACLs.
func TestTrusteesAgreeWithSambasAccessCheck(t *testing.T) {
	seen := 0
	for _, line := range lines(t, "testdata/access.txt") {
		value, verdict, _ := strings.Cut(line, " ")
		d := parse(t, unhex(t, value))
		for _, a := range []SID{account(1105), account(1106)} {
			want := slices.Contains(strings.Split(verdict, ","), string(a))
			// The check knows memberships: one entry that allows the account or
			// everybody is enough, unless a denying one for either is before it.
			member := func(s SID) bool { return s == a || s == Everyone || s == AuthenticatedUsers }
			only := &Descriptor{dacl: &acl{}}
			for _, e := range d.dacl.aces {
				if member(e.SID) {
					e.SID = a
					only.dacl.aces = append(only.dacl.aces, e)
				}
			}
			if got := only.isTrustee(a); got != want {
				t.Errorf("%s may act: %v, Samba says %v: %s", a, got, want, d.SDDL())
			}
			if want {
				seen++
			}
		}
	}
	if seen == 0 {
		t.Error("Samba let nobody act: the file is wrong")
	}
}

// What the fuzzer checks, over DACLs that it would not build in a short time.
func TestMergeOfRandomDACLs(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	masks := []uint32{RightFullControl, RightControlAccess, RightGenericAll, RightWriteProperty, RightFullControl &^ RightControlAccess}
	flags := []byte{0, 0, 0, FlagInheritOnly, FlagInherited, FlagInherited | FlagInheritOnly}
	kinds := []byte{TypeAllow, TypeAllow, TypeAllow, TypeDeny, TypeAudit, typeConditional}
	trustees := []SID{account(1105), account(1106), account(1107), account(1108), Everyone, AuthenticatedUsers}
	for range 3000 {
		var entries []string
		for range r.IntN(6) {
			entries = append(entries, ace(t, kinds[r.IntN(len(kinds))], flags[r.IntN(len(flags))], masks[r.IntN(len(masks))], trustees[r.IntN(len(trustees))]))
		}
		b := withACEs(t, entries...)
		d := parse(t, b)
		checkStable(t, d)
		checkAddRemove(t, d, b, account(1105))
		checkRemove(t, d, b)
	}
}

func TestANewValueIsWhatWindowsWrites(t *testing.T) {
	got, err := Merge(nil, []SID{account(1105)}, []SID{account(1)})
	if err != nil {
		t.Fatal(err)
	}
	// Samba gives every ACL revision 4, which only object entries need ([MS-DTYP]
	// 2.4.5); Windows gives 2. All else is the same.
	want := unhex(t, sambaOne)
	want[0x24] = 2
	if !bytes.Equal(got, want) {
		t.Errorf("\n%x\n%x", got, want)
	}
}

func TestMergeChangesOnlyWhatItIsToldTo(t *testing.T) {
	const full = RightFullControl
	a, b, c := account(1105), account(1106), account(1107)
	allowA, allowB, allowC := ace(t, TypeAllow, 0, full, a), ace(t, TypeAllow, 0, full, b), ace(t, TypeAllow, 0, full, c)
	denyC := ace(t, TypeDeny, 0, full, c)
	readA := ace(t, TypeAllow, 0, 0x10, a)
	inherited := ace(t, TypeAllow, FlagInherited, full, b)
	onlyInherited := ace(t, TypeAllow, FlagInheritOnly, full, a)
	foreign := "2a000c00" + "0102030405060708"
	conditional := ace(t, typeConditional, 0, full, a)
	for name, tc := range map[string]struct {
		before      []string
		add, remove []SID
		after       []string
	}{
		"deny stays in front":                     {[]string{denyC}, []SID{a, b}, nil, []string{denyC, allowA, allowB}},
		"inherited entries stay at the end":       {[]string{denyC, allowA, inherited}, []SID{account(1108)}, nil, []string{denyC, allowA, ace(t, TypeAllow, 0, full, account(1108)), inherited}},
		"named twice is added once":               {[]string{allowB}, []SID{a, a}, nil, []string{allowB, allowA}},
		"another right of the account stays":      {[]string{readA}, []SID{a}, nil, []string{readA, allowA}},
		"what is not for the object is not there": {[]string{onlyInherited}, []SID{a}, nil, []string{onlyInherited, allowA}},
		"removed, the rest stays":                 {[]string{denyC, readA, allowA, foreign, onlyInherited, conditional, allowB}, nil, []SID{a, c}, []string{denyC, readA, foreign, onlyInherited, conditional, allowB}},
		"every entry of the account is removed":   {[]string{allowA, allowB, ace(t, TypeAllow, 0, RightControlAccess, a), inherited}, nil, []SID{a}, []string{allowB, inherited}},
		"one for another":                         {[]string{allowA, foreign}, []SID{b}, []SID{a}, []string{foreign, allowB}},
		"the last one for another":                {[]string{allowA}, []SID{b}, []SID{a}, []string{allowB}},
		"the right order for several":             {nil, []SID{c, a, b}, nil, []string{allowC, allowA, allowB}},
	} {
		before := withACEs(t, tc.before...)
		kept := bytes.Clone(before)
		got, err := Merge(before, tc.add, tc.remove)
		if want := withACEs(t, tc.after...); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %v\n%x\n%x", name, err, got, want)
		}
		if !bytes.Equal(before, kept) {
			t.Errorf("%s: the input was changed", name)
		}
		again, err := Merge(got, tc.add, tc.remove)
		if err != nil || &again[0] != &got[0] {
			t.Errorf("%s: the second time is not without effect: %x, %v", name, again, err)
		}
	}
}

func TestMergeThatChangesNothingReturnsItsInput(t *testing.T) {
	one := append(unhex(t, sambaOne), "left over"...) // which is kept too
	for name, c := range map[string]struct{ add, remove []SID }{
		"nothing to do":    {nil, nil},
		"already there":    {[]SID{account(1105)}, nil},
		"not there":        {nil, []SID{account(1106), Everyone}},
		"some of each":     {[]SID{account(1105), account(1105)}, []SID{account(1106)}},
		"the owner stands": {nil, []SID{administrators}},
	} {
		if got, err := Merge(one, c.add, c.remove); err != nil || len(got) != len(one) || &got[0] != &one[0] {
			t.Errorf("%s: %x, %v", name, got, err)
		}
	}
	if got, err := Merge(nil, nil, []SID{account(1105)}); got != nil || err != nil {
		t.Errorf("no value: %x, %v", got, err)
	}
	empty := unhex(t, sambaEmpty)
	if got, err := Merge(empty, nil, []SID{account(1105)}); err != nil || &got[0] != &empty[0] {
		t.Errorf("a value without entries is not deleted by the way: %x, %v", got, err)
	}
}

func TestRemovingTheLastEntryDeletesTheValue(t *testing.T) {
	a := account(1105)
	if got, err := Merge(unhex(t, sambaOne), nil, []SID{a}); got != nil || err != nil {
		t.Errorf("%x, %v", got, err)
	}
	audited := unhex(t, sambaRich)
	d := parse(t, audited)
	d.dacl.aces = nil
	withBoth, err := d.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	with, err := Merge(withBoth, []SID{a}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := Merge(with, nil, []SID{a}); err != nil || !bytes.Equal(got, withBoth) {
		t.Errorf("a SACL with entries is to stay: %x, %v", got, err)
	}
}

func TestMergeKeepsOwnerGroupControlAndSACL(t *testing.T) {
	before := unhex(t, sambaRich)
	before[1] = 0x42 // resource manager's byte
	before[3] |= 0x40
	d := parse(t, before)
	d.dacl.aces = slices.Delete(d.dacl.aces, 0, 1) // it denies everybody only WriteProperty, which is beside the point
	before, err := d.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	after, err := Merge(before, []SID{account(1200)}, nil)
	if err != nil {
		t.Fatal(err)
	}
	const daclAt = 0x50
	if !bytes.Equal(after[:daclAt], before[:daclAt]) || !bytes.HasPrefix(after[daclAt+8:], before[daclAt+8:]) {
		t.Errorf("\n%x\n%x", before, after)
	}
	if got, err := Merge(after, nil, []SID{account(1200)}); err != nil || !bytes.Equal(got, before) {
		t.Errorf("there and back: %v\n%x\n%x", err, got, before)
	}
}

func TestMergeWithoutADACL(t *testing.T) {
	open := unhex(t, sambaNoDACL)
	got, err := Merge(open, []SID{account(1105)}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if s := parse(t, got).SDDL(); s != "O:BAD:(A;;CCDCLCSWRPWPDTLOCRSDRCWDWO;;;S-1-5-21-1-2-3-1105)" {
		t.Error(s)
	}
	if got, err := Merge(open, nil, []SID{account(1105)}); err != nil || &got[0] != &open[0] {
		t.Errorf("%x, %v", got, err)
	}
	if got, err := Merge(open, nil, []SID{Everyone}); err != nil || got != nil {
		t.Errorf("%x, %v", got, err)
	}
}

func TestMergeSaysWhatItCannotDo(t *testing.T) {
	a := account(1105)
	denied := withACEs(t, ace(t, TypeDeny, 0, RightControlAccess, a))
	everybody := withACEs(t, ace(t, TypeDeny, 0, RightFullControl, Everyone))
	for _, b := range [][]byte{denied, everybody} {
		if got, err := Merge(b, []SID{a}, nil); !errors.Is(err, ErrDenied) || got != nil || !strings.Contains(err.Error(), string(a)) {
			t.Errorf("%x, %v", got, err)
		}
	}
	var many []SID
	for i := range 1821 {
		many = append(many, account(1000+i))
	}
	full, err := Merge(nil, many[:1820], nil)
	if got, tErr := Trustees(full); err != nil || tErr != nil || !slices.Equal(got, many[:1820]) {
		t.Errorf("1820 accounts of a domain fit: %v, %v", err, tErr)
	}
	for name, c := range map[string]struct {
		b           []byte
		add, remove []SID
		want        string
	}{
		"an account too many": {full, many, nil, "ACL with 1821 entries needs 65564 bytes"},
		"both at once":        {nil, []SID{a}, []SID{a}, "both"},
		"no SID to add":       {nil, []SID{"HV01$"}, nil, "not a SID"},
		"no SID to remove":    {nil, nil, []SID{""}, "not a SID"},
		"no descriptor":       {[]byte("text"), nil, nil, "at least 20"},
	} {
		if got, err := Merge(c.b, c.add, c.remove); err == nil || got != nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %d bytes, %v, want %q", name, len(got), err, c.want)
		}
	}
}
