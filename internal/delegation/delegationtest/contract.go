package delegationtest

import (
	"bytes"
	"slices"
	"strconv"
	"strings"
	"testing"

	"drover/internal/delegation"
	"drover/internal/directory"
	"drover/internal/directory/secdesc"
	"drover/internal/fault"
)

// Fixture is a directory with two computer accounts, whose delegation attributes may
// be changed at will, and the name of a group that is not there.
type Fixture struct {
	delegation.Directory
	Host, Other string // distinguished names
	Group       directory.NewGroup
}

// Contract checks what delegation.Apply relies on. fresh gives accounts without
// delegation.
func Contract(t *testing.T, fresh func(t *testing.T) Fixture) {
	for _, c := range []struct {
		name string
		test func(*testing.T, Fixture)
	}{
		{"an attribute without value is not in the answer", testAbsent},
		{"an object that is not there is said to be gone", testGone},
		{"values are added and deleted", testValues},
		{"a request is carried out wholly or not at all", testAtomic},
		{"a value can change the case of its letters", testCase},
		{"flags are asserted by their old value", testFlags},
		{"a descriptor is changed, asserted where it is Samba, and removed", testDescriptor},
		{"a group is made, found, filled and removed", testGroup},
		{"USNs grow", testUSN},
		{"a plan is applied, applied again, and rolled back", testApply},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, fresh(t)) })
	}
}

const (
	list       = directory.AttributeDelegateTo
	flags      = directory.AttributeFlags
	descriptor = directory.AttributeActOnBehalf
)

func (f Fixture) read(t *testing.T, dn, attribute string) []string {
	t.Helper()
	e, err := f.Read(t.Context(), dn, attribute)
	if err != nil {
		t.Fatal(err)
	}
	values := e.Strings(attribute)
	slices.Sort(values)
	return values
}

func (f Fixture) want(t *testing.T, dn, attribute string, values ...string) {
	t.Helper()
	if got := f.read(t, dn, attribute); !slices.Equal(got, values) {
		t.Errorf("%s of %s is %q, want %q", attribute, dn, got, values)
	}
}

func mod(op directory.Op, attribute string, values ...string) directory.Mod {
	m := directory.Mod{Op: op, Attribute: attribute}
	for _, v := range values {
		m.Values = append(m.Values, []byte(v))
	}
	return m
}

func (f Fixture) modify(t *testing.T, dn string, mods ...directory.Mod) {
	t.Helper()
	if err := f.Modify(t.Context(), dn, mods...); err != nil {
		t.Fatal(err)
	}
}

func wantCode(t *testing.T, err error, code fault.Code) {
	t.Helper()
	if !fault.Is(err, code) {
		t.Errorf("%v, want %s", err, code)
	}
}

func testAbsent(t *testing.T, f Fixture) {
	e, err := f.Read(t.Context(), strings.ToUpper(f.Host), list, "UserAccountControl")
	if err != nil {
		t.Fatal(err)
	}
	if _, there := e.Attributes[list]; there || len(e.Attributes["UserAccountControl"]) != 1 || !strings.EqualFold(e.DN, f.Host) || e.GUID == "" || e.USN == 0 {
		t.Errorf("%+v", e)
	}
}

func testGone(t *testing.T, f Fixture) {
	const none = "CN=nobody"
	_, base, _ := strings.Cut(f.Host, ",")
	_, err := f.Read(t.Context(), none+","+base, list)
	wantCode(t, err, fault.DirectoryObjectGone)
	wantCode(t, f.Modify(t.Context(), none+","+base, mod(directory.Add, list, "cifs/X")), fault.DirectoryObjectGone)
	wantCode(t, f.DeleteObject(t.Context(), none+","+base), fault.DirectoryObjectGone)
	if groups, err := f.Groups(t.Context(), "nobody", none+","+base); err != nil || len(groups) > 0 {
		t.Errorf("%v %v", groups, err)
	}
}

func testValues(t *testing.T, f Fixture) {
	twin := `Microsoft\ Virtual\ System\ Migration\ Service/HV02`
	f.modify(t, f.Host, mod(directory.Add, list, "cifs/HV02", twin, "cifs/größe"))
	f.want(t, f.Host, list, twin, "cifs/HV02", "cifs/größe")
	wantCode(t, f.Modify(t.Context(), f.Host, mod(directory.Add, list, "cifs/HV02")), fault.DirectoryChanged)
	wantCode(t, f.Modify(t.Context(), f.Host, mod(directory.Delete, list, "cifs/HV03")), fault.DirectoryChanged)
	f.modify(t, f.Host, mod(directory.Delete, list, "cifs/HV02"), mod(directory.Add, list, "cifs/HV03"))
	f.want(t, f.Host, list, twin, "cifs/HV03", "cifs/größe")
	f.modify(t, f.Host, mod(directory.Delete, list))
	f.want(t, f.Host, list)
	f.want(t, f.Other, list)
}

func testAtomic(t *testing.T, f Fixture) {
	old := f.read(t, f.Host, flags)
	f.modify(t, f.Host, mod(directory.Add, list, "cifs/A"))
	err := f.Modify(t.Context(), f.Host, mod(directory.Add, list, "cifs/B"), mod(directory.Delete, list, "cifs/C"))
	wantCode(t, err, fault.DirectoryChanged)
	err = f.Modify(t.Context(), f.Host, mod(directory.Delete, flags, "1"), mod(directory.Add, flags, "4096"), mod(directory.Add, list, "cifs/B"))
	wantCode(t, err, fault.DirectoryChanged)
	f.want(t, f.Host, list, "cifs/A")
	f.want(t, f.Host, flags, old...)
}

func testCase(t *testing.T, f Fixture) {
	f.modify(t, f.Host, mod(directory.Add, list, "cifs/hv02"))
	f.modify(t, f.Host, mod(directory.Delete, list, "cifs/hv02"), mod(directory.Add, list, "cifs/HV02"))
	f.want(t, f.Host, list, "cifs/HV02")
}

func testFlags(t *testing.T, f Fixture) {
	old := f.read(t, f.Host, flags)[0]
	n, err := strconv.Atoi(old)
	if err != nil {
		t.Fatal(err)
	}
	with := strconv.Itoa(n ^ int(directory.FlagTrustedToAuth))
	f.modify(t, f.Host, mod(directory.Delete, flags, old), mod(directory.Add, flags, with))
	f.want(t, f.Host, flags, with)
	other := strconv.Itoa(n | int(directory.FlagNotDelegated))
	wantCode(t, f.Modify(t.Context(), f.Host, mod(directory.Delete, flags, old), mod(directory.Add, flags, other)), fault.DirectoryChanged)
	f.want(t, f.Host, flags, with)
	f.modify(t, f.Host, mod(directory.Delete, flags, with), mod(directory.Add, flags, old))
	f.want(t, f.Host, flags, old)
}

// takesDescriptors: Samba 4.17 and 4.22 take them from samba-tool on the controller
// only, and must say so.
func (f Fixture) takesDescriptors(t *testing.T, example []byte) bool {
	t.Helper()
	err := f.Modify(t.Context(), f.Host, mod(directory.Add, descriptor, string(example)))
	if fault.Is(err, fault.DelegationModel) {
		f.want(t, f.Host, descriptor)
		return false
	}
	if err != nil {
		t.Fatal(err)
	}
	f.modify(t, f.Host, mod(directory.Delete, descriptor))
	return true
}

func testDescriptor(t *testing.T, f Fixture) {
	root, err := f.Root(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	merge := func(b []byte, rid string) []byte {
		b, err := secdesc.Merge(b, []secdesc.SID{secdesc.SID(root.DomainSID + "-" + rid)}, nil)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	one := merge(nil, "1")
	two := merge(one, "2")
	if !f.takesDescriptors(t, one) {
		return
	}
	f.modify(t, f.Host, mod(directory.Add, descriptor, string(one)))
	f.want(t, f.Host, descriptor, string(one))
	if root.Kind == directory.Samba {
		f.modify(t, f.Host, mod(directory.Delete, descriptor, string(one)), mod(directory.Add, descriptor, string(two)))
		wantCode(t, f.Modify(t.Context(), f.Host, mod(directory.Delete, descriptor, string(one)), mod(directory.Add, descriptor, string(two))), fault.DirectoryChanged)
	} else {
		f.modify(t, f.Host, mod(directory.Replace, descriptor, string(two)))
	}
	f.want(t, f.Host, descriptor, string(two))
	if err := f.Modify(t.Context(), f.Host, mod(directory.Add, descriptor, string(one))); err == nil {
		t.Error("a second descriptor was added")
	}
	f.modify(t, f.Host, mod(directory.Delete, descriptor))
	f.want(t, f.Host, descriptor)
}

func testGroup(t *testing.T, f Fixture) {
	g := f.Group
	g.Members = []string{f.Host}
	if err := f.AddGroup(t.Context(), g); err != nil {
		t.Fatal(err)
	}
	if err := f.AddGroup(t.Context(), g); err == nil {
		t.Error("it was made twice")
	}
	root, err := f.Root(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	named, err := f.Groups(t.Context(), g.Name)
	if err != nil || len(named) != 1 || !strings.HasPrefix(named[0].SID, root.DomainSID+"-") || !slices.Equal(named[0].Members, []string{f.Host}) {
		t.Fatalf("%+v %v", named, err)
	}
	for _, by := range []string{strings.ToUpper(g.DN), named[0].SID, strings.ToLower(g.Name)} {
		if got, err := f.Groups(t.Context(), by); err != nil || len(got) != 1 || got[0].SID != named[0].SID {
			t.Errorf("by %s: %+v %v", by, got, err)
		}
	}
	if got, err := f.Groups(t.Context(), f.Host); err != nil || len(got) > 0 {
		t.Errorf("a computer as a group: %+v %v", got, err)
	}
	wantCode(t, f.Modify(t.Context(), g.DN, mod(directory.Delete, "member", f.Other)), fault.DirectoryChanged)
	f.modify(t, g.DN, mod(directory.Add, "member", f.Other))
	wantCode(t, f.Modify(t.Context(), g.DN, mod(directory.Add, "member", f.Other)), fault.DirectoryChanged)
	f.modify(t, g.DN, mod(directory.Delete, "member", f.Host))
	if err := f.Modify(t.Context(), g.DN, mod(directory.Delete, "member", f.Host)); err == nil {
		t.Error("a member was taken out twice")
	}
	f.want(t, g.DN, "member", f.Other)
	f.want(t, g.DN, "sAMAccountName", g.Name)
	if err := f.DeleteObject(t.Context(), g.DN); err != nil {
		t.Fatal(err)
	}
	if got, err := f.Groups(t.Context(), g.Name); err != nil || len(got) > 0 {
		t.Errorf("it is still there: %+v %v", got, err)
	}
}

func testUSN(t *testing.T, f Fixture) {
	before, err := f.HighestUSN(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	f.modify(t, f.Host, mod(directory.Add, list, "cifs/A"))
	e, err := f.Read(t.Context(), f.Host)
	if err != nil {
		t.Fatal(err)
	}
	after, err := f.HighestUSN(t.Context())
	if err != nil || e.USN <= before || after < e.USN {
		t.Errorf("%d, the object %d, then %d, %v", before, e.USN, after, err)
	}
}

func testApply(t *testing.T, f Fixture) {
	root, err := f.Root(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	p := f.plan(t, root)
	before := f.state(t)
	var stored bytes.Buffer
	options := delegation.ApplyOptions{Baseline: func(b *delegation.Baseline) error { return b.WriteLDIF(&stored) }}
	if _, err := delegation.Apply(t.Context(), f, p, options); err != nil {
		t.Fatal(err)
	}
	f.want(t, f.Host, list, "cifs/HV02", "cifs/hv02.lab.drover.test")
	again, err := delegation.Apply(t.Context(), f, p, delegation.ApplyOptions{})
	if err != nil || again.Objects[0].Outcome != delegation.Unchanged || again.Objects[1].Outcome != delegation.Unchanged {
		t.Errorf("again: %+v %v", again, err)
	}
	b, err := delegation.ReadBaseline(&stored)
	if err != nil {
		t.Fatal(err)
	}
	now, err := delegation.ReadNow(t.Context(), f, b.Needs())
	if err != nil {
		t.Fatal(err)
	}
	back, err := delegation.NewRollback(b, now, root, nil, b.Time)
	if err != nil {
		t.Fatal(err)
	}
	options.Baseline = func(*delegation.Baseline) error { return nil }
	if _, err := delegation.Apply(t.Context(), f, back, options); err != nil {
		t.Fatal(err)
	}
	if after := f.state(t); after != before {
		t.Errorf("after the rollback\n%s\nbefore\n%s", after, before)
	}
}

// plan changes each kind of attribute of both hosts.
func (f Fixture) plan(t *testing.T, root directory.Root) *delegation.Plan {
	example, err := secdesc.Merge(nil, []secdesc.SID{secdesc.SID(root.DomainSID + "-1")}, nil)
	if err != nil {
		t.Fatal(err)
	}
	descriptors := f.takesDescriptors(t, example)
	p := &delegation.Plan{Format: delegation.PlanFormat, Server: root.Server, Kind: string(root.Kind), Domain: root.Domain, BaseDN: root.BaseDN, SID: root.DomainSID}
	for _, dn := range []string{f.Host, f.Other} {
		e, err := f.Read(t.Context(), dn, "sAMAccountName", list, flags, descriptor)
		if err != nil {
			t.Fatal(err)
		}
		wanted := map[string][]string{list: {"cifs/HV02", "cifs/hv02.lab.drover.test"}, flags: {delegation.TrustedToAuth}}
		if descriptors {
			wanted[descriptor] = []string{root.DomainSID + "-4711"}
		}
		for attribute, add := range wanted {
			p.Changes = append(p.Changes, delegation.Change{DN: dn, Account: e.Strings("sAMAccountName")[0], Attribute: attribute, Add: add,
				Before: delegation.Digest(e.Attributes[attribute])})
		}
	}
	return p
}

func (f Fixture) state(t *testing.T) string {
	var b strings.Builder
	for _, dn := range []string{f.Host, f.Other} {
		for _, a := range []string{list, flags, descriptor} {
			b.WriteString(strings.Join(append([]string{dn, a}, f.read(t, dn, a)...), "|") + "\n")
		}
	}
	return b.String()
}
