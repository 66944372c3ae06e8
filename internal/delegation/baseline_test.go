package delegation_test

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"drover/internal/delegation"
	"drover/internal/directory"
	"drover/internal/directory/ldif"
	"drover/internal/directory/secdesc"
	"drover/internal/fault"
)

func throughFile(t *testing.T, b *delegation.Baseline) *delegation.Baseline {
	t.Helper()
	got, err := delegation.ReadBaseline(strings.NewReader(baselineText(t, b)))
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func baselineText(t *testing.T, b *delegation.Baseline) string {
	t.Helper()
	var out bytes.Buffer
	if err := b.WriteLDIF(&out); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func throughJSON(t *testing.T, p *delegation.Plan) *delegation.Plan {
	t.Helper()
	text, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	got, err := delegation.ReadPlan(bytes.NewReader(text))
	if err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return got
}

func exampleBaseline(t testing.TB) *delegation.Baseline {
	sd, err := secdesc.Merge(nil, []secdesc.SID{"S-1-5-21-1-2-3-1105"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return &delegation.Baseline{Time: planned, Server: "dc1.lab.test", BaseDN: "DC=lab,DC=test", SID: "S-1-5-21-1-2-3", USN: 4711,
		Objects: []delegation.Object{
			{DN: "CN=HV01,CN=Computers,DC=lab,DC=test", Account: "HV01$", GUID: "00112233-4455-6677-8899-aabbccddeeff", USN: 4700, Attributes: map[string][][]byte{
				list: {[]byte("cifs/HV02"), []byte(" leading"), []byte("trailing "), []byte(":colon"), []byte("größe"),
					[]byte(`Microsoft\ Virtual\ System\ Migration\ Service/hv02.a-rather-long-name.example.org`)},
				flags: {[]byte("4096")}, descriptor: {sd}}},
			{DN: "CN=Größe\\, klein,DC=lab,DC=test", Account: "Größe$", GUID: "x", USN: 1, Attributes: map[string][][]byte{list: nil, descriptor: nil}},
		},
		Created: []string{"CN=Drover Hosts,CN=Users,DC=lab,DC=test"}}
}

func TestBaselineComesBackAsItWas(t *testing.T) {
	b := exampleBaseline(t)
	if got := throughFile(t, b); !reflect.DeepEqual(got, b) {
		t.Errorf("%+v\n%+v", got, b)
	}
	empty := &delegation.Baseline{Time: planned, BaseDN: "DC=x", SID: "S-1-5-21-1-2-3"}
	if got := throughFile(t, empty); !reflect.DeepEqual(got, empty) {
		t.Errorf("%+v", got)
	}
	golden(t, "baseline.ldif", baselineText(t, b))
}

func TestBaselineThatWasCutOffIsRefused(t *testing.T) {
	text := baselineText(t, exampleBaseline(t))
	for n := range len(text) - len(" objects\n") {
		if b, err := delegation.ReadBaseline(strings.NewReader(text[:n])); !fault.Is(err, fault.BaselineMalformed) {
			t.Fatalf("%d of %d bytes: %+v %v", n, len(text), b, err)
		}
	}
}

func TestBaselineThatWasEditedIntoNonsenseIsRefused(t *testing.T) {
	text := baselineText(t, exampleBaseline(t))
	for _, c := range []struct{ old, new, reason string }{
		{"# Drover baseline 1\n", "", "Drover baseline 1"},
		{"# Drover baseline 1\n", "# Drover baseline 2\n", "Drover baseline 1"},
		{"# domain: DC=lab,DC=test\n", "", "which domain"},
		{"S-1-5-21-1-2-3\n", "S-1-x\n", "domain-sid"},
		{"# time: ", "# time: yesterday ", "time"},
		{"# highest-usn: 4711", "# highest-usn: many", "highest-usn"},
		{"# usn: 4700", "# usn: ", "usn"},
		{"# account: HV01$\n", "", "account"},
		{"changetype: delete\n", "changetype: add\ncn: x\n", "change type"},
		{"replace: userAccountControl", "add: userAccountControl", "not by"},
		{"replace: userAccountControl\nuserAccountControl: 4096\n", "replace: userAccountControl\n", "0 values"},
		{"userAccountControl: 4096", "userAccountControl: lots", "32-bit"},
		{"replace: userAccountControl\nuserAccountControl: 4096\n", "replace: unicodePwd\nunicodePwd: x\n", "no plan changes"},
		{"replace: userAccountControl\nuserAccountControl: 4096\n", "replace: msDS-AllowedToDelegateTo\nmsDS-AllowedToDelegateTo: x\n", "twice"},
		{"msDS-AllowedToDelegateTo: cifs/HV02", "msDS-AllowedToDelegateTo:: /w==", "not text"},
		{"msDS-AllowedToActOnBehalfOfOtherIdentity:: ", "msDS-AllowedToActOnBehalfOfOtherIdentity:: AAAA", ""},
		{"dn: CN=HV01,CN=Computers,DC=lab,DC=test", "dn: CN=Drover Hosts,CN=Users,DC=lab,DC=test", "twice"},
		{"dn: CN=HV01,CN=Computers,DC=lab,DC=test", "dn:", "no name"},
		{"# end: 3", "# end: 4", "3 records"},
	} {
		edited := strings.Replace(text, c.old, c.new, 1)
		if edited == text {
			t.Errorf("%q is not in it", c.old)
		}
		_, err := delegation.ReadBaseline(strings.NewReader(edited))
		if !fault.Is(err, fault.BaselineMalformed) || !strings.Contains(fault.From(err).Args["reason"], c.reason) {
			t.Errorf("%q for %q: %v, want %q", c.new, c.old, err, c.reason)
		}
	}
	for _, other := range []string{"", "dn: CN=x\ncn: x\n", "{}", "\x00"} {
		if _, err := delegation.ReadBaseline(strings.NewReader(other)); !fault.Is(err, fault.BaselineMalformed) {
			t.Errorf("%q: %v", other, err)
		}
	}
}

// applyLDIF is ldapmodify.
func applyLDIF(t *testing.T, s *site, text string) {
	t.Helper()
	records, _, err := ldif.Read(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range records {
		switch r.Change {
		case ldif.Modify:
			err = s.Modify(t.Context(), r.DN, r.Mods...)
		case ldif.Delete:
			err = s.DeleteObject(t.Context(), r.DN)
		case ldif.Add:
			g := directory.NewGroup{DN: r.DN}
			for _, m := range r.Mods {
				for _, v := range m.Values {
					switch m.Attribute {
					case "sAMAccountName":
						g.Name = string(v)
					case "description":
						g.Description = string(v)
					case member:
						g.Members = append(g.Members, string(v))
					}
				}
			}
			err = s.AddGroup(t.Context(), g)
		default:
			t.Fatalf("record %+v", r)
		}
		if err != nil {
			t.Fatalf("%s: %v", r.DN, err)
		}
	}
}

func TestBaselineAloneRestoresTheDirectory(t *testing.T) {
	for name, plan := range map[string]func(*site, *testing.T) *delegation.Plan{"mesh": (*site).mesh, "group": (*site).groupPlan} {
		t.Run(name, func(t *testing.T) {
			s := newSite(directory.Samba, 3)
			s.populate(t)
			before := s.Snapshot()
			applyLDIF(t, s, baselineText(t, s.mustRun(t, plan(s, t))))
			if s.Snapshot() != before {
				t.Errorf("%s\nbefore\n%s", s.Snapshot(), before)
			}
		})
	}
}

func FuzzReadBaseline(f *testing.F) {
	var b bytes.Buffer
	if err := exampleBaseline(f).WriteLDIF(&b); err != nil {
		f.Fatal(err)
	}
	f.Add(b.String())
	f.Fuzz(func(t *testing.T, text string) {
		b, err := delegation.ReadBaseline(strings.NewReader(text))
		if err != nil {
			return
		}
		if got := throughFile(t, b); !reflect.DeepEqual(got, b) {
			t.Fatalf("%+v\n%+v", got, b)
		}
	})
}
