package secdesc

import (
	"slices"
	"testing"
)

func guid(t testing.TB, s string) GUID {
	t.Helper()
	g, err := ParseGUID(s)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func TestWritersAreThoseWithTheRightForTheAttribute(t *testing.T) {
	attribute, set, other := GUID{1}, GUID{2}, GUID{3}
	const wp = RightWriteProperty
	a, b := account(1105), account(1106)
	for name, c := range map[string]struct {
		entries []string
		want    []SID
	}{
		"all properties":                 {[]string{ace(t, TypeAllow, 0, wp, a)}, []SID{a}},
		"full control":                   {[]string{ace(t, TypeAllow, 0, RightFullControl, a)}, []SID{a}},
		"generic":                        {[]string{ace(t, TypeAllow, 0, RightGenericAll, a), ace(t, TypeAllow, 0, RightGenericWrite, b)}, []SID{a, b}},
		"read only":                      {[]string{ace(t, TypeAllow, 0, 0x10, a), ace(t, TypeAllow, 0, 0x80000000, b)}, nil},
		"the attribute":                  {[]string{objectACE(t, TypeAllowObject, wp, attribute, a)}, []SID{a}},
		"its property set":               {[]string{objectACE(t, TypeAllowObject, wp, set, a)}, []SID{a}},
		"another attribute":              {[]string{objectACE(t, TypeAllowObject, wp, other, a)}, nil},
		"validated write only":           {[]string{objectACE(t, TypeAllowObject, 0x8, attribute, a)}, nil},
		"the attribute denied":           {[]string{objectACE(t, TypeDenyObject, wp, attribute, a), ace(t, TypeAllow, 0, wp, a)}, nil},
		"the property set denied":        {[]string{objectACE(t, TypeDenyObject, wp, set, a), objectACE(t, TypeAllowObject, wp, attribute, a)}, nil},
		"another attribute denied":       {[]string{objectACE(t, TypeDenyObject, wp, other, a), ace(t, TypeAllow, 0, wp, a)}, []SID{a}},
		"everybody denied":               {[]string{ace(t, TypeAllow, 0, wp, a), objectACE(t, TypeDenyObject, wp, attribute, Everyone), ace(t, TypeAllow, 0, wp, b)}, []SID{a}},
		"explicit before what it denies": {[]string{ace(t, TypeAllow, 0, wp, a), ace(t, TypeDeny, FlagInherited, wp, a)}, []SID{a}},
		"only inherited":                 {[]string{ace(t, TypeAllow, FlagInheritOnly, wp, a)}, nil},
	} {
		d := parse(t, withACEs(t, c.entries...))
		if got := d.Writers(attribute, &set); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
	d := parse(t, withACEs(t, objectACE(t, TypeAllowObject, wp, set, a)))
	if got := d.Writers(attribute, nil); got != nil {
		t.Errorf("an attribute of no property set: %v", got)
	}
	if got := parse(t, unhex(t, sambaNoDACL)).Writers(attribute, nil); !slices.Equal(got, []SID{Everyone}) {
		t.Errorf("no DACL: %v", got)
	}
}

// A computer that its domain's administrator joined, as Samba 4.17.12 makes it.
func TestWritersOfAComputer(t *testing.T) {
	const dom = "S-1-5-21-1965519646-1617345877-174643745"
	const domainAdmins, enterpriseAdmins SID = dom + "-512", dom + "-519"
	always := []SID{domainAdmins, "S-1-5-32-548", "S-1-5-18", enterpriseAdmins, administrators}
	d := parse(t, samples(t)["computer"])
	restrictions := guid(t, "4c164200-20c0-11d0-a768-00aa006e0529")
	for attribute, c := range map[string]struct {
		guid string
		set  *GUID
		want []SID
	}{
		"msDS-AllowedToActOnBehalfOfOtherIdentity": {"3f78c3e5-f79a-46bd-a0b8-9d18116ddc79", &restrictions, always},
		"servicePrincipalName":                     {"f3a64788-5306-11d1-a9c5-0000f80367c1", nil, always},
		"userCertificate":                          {"bf967a7f-0de6-11d0-a285-00aa003049e2", nil, []SID{domainAdmins, "S-1-5-32-548", "S-1-5-18", dom + "-517", enterpriseAdmins, administrators}},
	} {
		if got := d.Writers(guid(t, c.guid), c.set); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", attribute, got, c.want)
		}
	}
}
