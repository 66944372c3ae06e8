package audit

import (
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"drover/internal/delegation"
	"drover/internal/fault"
	"drover/internal/spn"
)

func TestAnEmptyPolicyIsAFullMesh(t *testing.T) {
	p := policy(t, "")
	in := p.Intent()
	if in.Model != delegation.Constrained || in.Protocol != delegation.AnyProtocol || !slices.Equal(in.Services, []string{spn.Migration, spn.Storage}) || in.OneWay != nil || in.Prune {
		t.Errorf("%+v", in)
	}
}

func TestPolicyBecomesAnIntent(t *testing.T) {
	p := policy(t, `
hosts: [hv01, HV02.example.org]
model: group
group: Move Hosts
protocol: kerberos
services: [cifs]
one_way: ["hv01.example.org:HV02"]
`)
	in := p.Intent()
	if in.Model != delegation.GroupBased || in.Group != "Move Hosts" || in.Protocol != delegation.KerberosOnly || !slices.Equal(in.Services, []string{"cifs"}) ||
		len(in.OneWay) != 1 || in.OneWay[0] != (delegation.Direction{Source: "HV01", Destination: "HV02"}) {
		t.Errorf("%+v", in)
	}
	if p := policy(t, "model: group"); p.Group != delegation.DefaultGroup {
		t.Errorf("group %q", p.Group)
	}
}

func TestMalformedPoliciesAreRefusedWithTheReason(t *testing.T) {
	for text, want := range map[string]string{
		"hots: [HV01]":                                `unknown field "hots"`,
		"hosts: [HV01]\nhosts: [HV02]":                "already defined",
		"hosts: HV01: x":                              "",
		"hosts: [HV01, hv01]":                         "there twice",
		"hosts: [HV01, '']":                           "entry 2 is empty",
		"hosts: [HV01]\nou: OU=X,DC=y":                "only one of them",
		"ou: Hosts":                                   "not a distinguished name",
		"model: mesh":                                 "model:",
		"protocol: ntlm":                              "protocol:",
		"group: X":                                    "only the model group",
		"services: [cifs/HV01]":                       "not a service class",
		"one_way: [HV01]":                             "SOURCE:DESTINATION",
		"one_way: ['HV01:hv01.example.org']":          "SOURCE:DESTINATION",
		"hosts: [HV01, HV02]\none_way: ['HV01:HV03']": "HV03",
		"allow: {HV01: ['*cifs']}":                    "allow:",
		"allow: {HV01: ['']}":                         "allow:",
		"severity: {delegation-extra: bad}":           "severity:",
		"severity: {move-failed: off}":                "severity:",
		strings.Repeat("# long\n", 200_000):           "1 MiB",
		"\x00":                                        "",
	} {
		_, err := ReadPolicy(strings.NewReader(text), "p.yaml")
		if !fault.Is(err, fault.PolicyMalformed) || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "p.yaml") {
			t.Errorf("%.60q: %v, want %q", text, err, want)
		}
	}
}

func TestAnUnknownKeyIsToldWithItsLine(t *testing.T) {
	_, err := ReadPolicy(strings.NewReader("model: group\noperator: [alice]\n"), "p.yaml")
	if err == nil || !strings.Contains(err.Error(), "[2:1]") || strings.Contains(err.Error(), "\n") {
		t.Errorf("%v", err)
	}
}

func TestAllowedValues(t *testing.T) {
	p := policy(t, `
allow:
  HV01: ["MSSQLSvc/db01*", cifs/FS01]
  HV02$: ["*"]
allow_unconstrained: [OLD1]
`)
	for _, tc := range []struct {
		account, value string
		want           bool
	}{
		{"HV01$", "MSSQLSvc/db01.example.org:1433", true},
		{"hv01$", "mssqlsvc/DB01", true},
		{"HV01$", "cifs/fs01", true},
		{"HV01$", "cifs/fs011", false},
		{"HV01$", "MSSQLSvc/db02", false},
		{"HV02$", "anything/at all", true},
		{"HV03$", "cifs/FS01", false},
	} {
		if got := p.allows(tc.account, tc.value); got != tc.want {
			t.Errorf("%s may have %s: %t", tc.account, tc.value, got)
		}
	}
	if !p.allowsUnconstrained("old1$") || p.allowsUnconstrained("OLD2$") {
		t.Error("allow_unconstrained")
	}
}

func TestTheExamplePolicyIsOne(t *testing.T) {
	f, err := os.Open("../../dist/policy.yaml")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	p, err := ReadPolicy(f, "dist/policy.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if len(p.Hosts) == 0 || len(p.Operators) == 0 || len(p.Allow) == 0 || len(p.Severity) == 0 {
		t.Errorf("the example does not show what a policy can say: %+v", p)
	}
}

func FuzzReadPolicy(f *testing.F) {
	for _, s := range []string{"", "hosts: [HV01]", "allow: {HV01: ['*']}", "one_way: ['a:b']", "severity: {delegation-extra: off}", "\x00", "a: &a [*a]"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, err := ReadPolicy(strings.NewReader(s), "p.yaml")
		switch {
		case err != nil && !fault.Is(err, fault.PolicyMalformed):
			t.Fatalf("%q: %v", s, err)
		case err == nil && len(p.Intent().OneWay) != len(p.OneWay):
			t.Fatalf("%q: directions were lost: %+v", s, p)
		}
	})
}

// docs/directory.md says what a policy can hold and what can be found.
func TestThePageListsKeysAndFindings(t *testing.T) {
	page, err := os.ReadFile("../../docs/directory.md")
	if err != nil {
		t.Fatal(err)
	}
	for code, severity := range severities {
		if row := fmt.Sprintf("\n| `%s` | %s | ", code, severity); !strings.Contains(string(page), row) {
			t.Errorf("no row %q", row)
		}
	}
	for i := range reflect.TypeFor[Policy]().NumField() {
		if row := "\n| `" + reflect.TypeFor[Policy]().Field(i).Tag.Get("yaml") + "` | "; !strings.Contains(string(page), row) {
			t.Errorf("no row %q", row)
		}
	}
}
