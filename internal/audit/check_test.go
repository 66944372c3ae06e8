package audit

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"drover/internal/directory"
	"drover/internal/finding"
	"drover/internal/spn"
)

const (
	migHV02     = spn.Migration + "/HV02"
	migHV02Full = spn.Migration + "/hv02.lab.drover.test"
)

// without takes values off a list, and says when one is not there.
func without(t *testing.T, list []string, values ...string) []string {
	t.Helper()
	out := slices.DeleteFunc(slices.Clone(list), func(v string) bool { return slices.Contains(values, v) })
	if len(out) != len(list)-len(values) {
		t.Fatalf("%q has not all of %q", list, values)
	}
	return out
}

func TestADirectoryAsThePolicyWantsItHasNoFindings(t *testing.T) {
	for name, text := range map[string]string{"every host": "", "named": "hosts: [hv01, HV02.lab.drover.test, 'HV03$']", "ou": "ou: CN=Computers," + base} {
		w := newWorld(3)
		w.add(&directory.Account{DN: "CN=DC1,OU=Domain Controllers," + base, Class: directory.Computer, Name: "DC1$",
			Flags: directory.FlagServerTrust | directory.FlagTrustedForAny, ServiceNames: []string{"HOST/DC1", "ldap/dc1.lab.drover.test"}})
		if fs := audit(t, w, policy(t, text)); len(fs) > 0 {
			t.Errorf("%s: %q", name, brief(fs))
		}
	}
}

// Each way in which a directory can be wrong, and exactly what is found.
func TestEachBreachIsFoundAsWhatItIs(t *testing.T) {
	for _, tc := range []struct {
		name, policy string
		breach       func(*testing.T, *world)
		want         []string
	}{
		{"one value of a list is gone", "", func(t *testing.T, w *world) {
			w.account("HV01$").DelegateTo = without(t, w.account("HV01$").DelegateTo, "cifs/HV02")
		}, []string{"error delegation-incomplete HV01$: cifs/HV02"}},
		{"only short names", "", func(_ *testing.T, w *world) {
			a := w.account("HV01$")
			a.DelegateTo = slices.DeleteFunc(a.DelegateTo, func(v string) bool { return strings.Contains(v, "hv02.lab") })
		}, []string{fmt.Sprintf("error delegation-short-names-only HV01$: %s, %s, cifs/hv02.lab.drover.test", migHV02Full, spn.Twin(migHV02Full))}},
		{"only full names", "", func(_ *testing.T, w *world) {
			a := w.account("HV01$")
			a.DelegateTo = slices.DeleteFunc(a.DelegateTo, func(v string) bool { return strings.Contains(v, "/HV02") })
		}, []string{fmt.Sprintf("error delegation-full-names-only HV01$: %s, %s, cifs/HV02", migHV02, spn.Twin(migHV02))}},
		{"a foreign value", "", func(_ *testing.T, w *world) {
			w.add(&directory.Account{DN: "CN=FS01,CN=Computers," + base, Class: directory.Computer, Name: "FS01$"})
			a := w.account("HV02$")
			a.DelegateTo = append(a.DelegateTo, "MSSQLSvc/db01:1433", "cifs/FS01")
		}, []string{"warning delegation-extra HV02$: MSSQLSvc/db01:1433, cifs/FS01"}},
		{"foreign values of which one is allowed", "allow: {hv02: ['MSSQLSvc/*']}", func(_ *testing.T, w *world) {
			w.add(&directory.Account{DN: "CN=FS01,CN=Computers," + base, Class: directory.Computer, Name: "FS01$"})
			a := w.account("HV02$")
			a.DelegateTo = append(a.DelegateTo, "MSSQLSvc/db01:1433", "cifs/FS01")
		}, []string{"warning delegation-extra HV02$: cifs/FS01"}},
		{"a direction that is not wanted", "one_way: ['HV01:HV02', 'HV02:HV01', 'HV01:HV03', 'HV03:HV01', 'HV02:HV03']", func(*testing.T, *world) {},
			[]string{fmt.Sprintf("warning delegation-extra HV03$: %s, %s, cifs/HV02, cifs/hv02.lab.drover.test", migHV02, migHV02Full)}},
		{"a name that is gone", "", func(_ *testing.T, w *world) {
			a := w.account("HV03$")
			a.DelegateTo = append(a.DelegateTo, "cifs/HV99")
		}, []string{"warning delegation-stale-name HV03$: cifs/HV99"}},
		{"somebody may act at a host", "", func(_ *testing.T, w *world) { w.account("HV03$").ActOnBehalf = []byte{1, 2, 3} },
			[]string{"warning delegation-extra HV03$: a security descriptor that cannot be read"}},
		{"the list is on a user", "", func(_ *testing.T, w *world) {
			w.addUser("svc-hv01", 0).DelegateTo = names(2, spn.Storage)
		}, []string{"error delegation-wrong-object svc-hv01: cifs/HV02, cifs/hv02.lab.drover.test"}},
		{"a file server may use a host's share", "", func(_ *testing.T, w *world) {
			w.add(&directory.Account{DN: "CN=FS01,CN=Computers," + base, Class: directory.Computer, Name: "FS01$", DelegateTo: names(2, spn.Storage)})
		}, nil},
		{"a computer besides the hosts moves VMs", "hosts: [HV01, HV02, HV03]", func(_ *testing.T, w *world) {
			w.add(&directory.Account{DN: "CN=VMM,CN=Computers," + base, Class: directory.Computer, Name: "VMM$", DelegateTo: names(2, spn.Migration)})
		}, []string{fmt.Sprintf("error delegation-wrong-object VMM$: %s, %s", migHV02, migHV02Full)}},
		{"the same, and it is allowed", "{hosts: [HV01, HV02, HV03], allow: {VMM: ['*']}}", func(_ *testing.T, w *world) {
			w.add(&directory.Account{DN: "CN=VMM,CN=Computers," + base, Class: directory.Computer, Name: "VMM$", DelegateTo: names(2, spn.Migration)})
		}, nil},
		{"unconstrained", "allow_unconstrained: [OLD1]", func(_ *testing.T, w *world) {
			w.account("HV01$").Flags |= directory.FlagTrustedForAny
			w.addUser("svc", directory.FlagTrustedForAny|directory.FlagDisabled)
			w.add(&directory.Account{DN: "CN=OLD1,CN=Computers," + base, Class: directory.Computer, Name: "OLD1$", Flags: directory.FlagTrustedForAny})
		}, []string{"critical unconstrained-delegation HV01$: TRUSTED_FOR_DELEGATION", "critical unconstrained-delegation svc: TRUSTED_FOR_DELEGATION"}},
		{"kerberos only where any is wanted", "", func(_ *testing.T, w *world) { w.account("HV02$").Flags &^= directory.FlagTrustedToAuth },
			[]string{"error protocol-transition-missing HV02$: TRUSTED_TO_AUTH_FOR_DELEGATION"}},
		{"any where kerberos only is wanted", "protocol: kerberos", func(_ *testing.T, w *world) {
			w.account("HV01$").Flags &^= directory.FlagTrustedToAuth
			w.account("HV02$").Flags &^= directory.FlagTrustedToAuth
		}, []string{"warning protocol-transition-extra HV03$: TRUSTED_TO_AUTH_FOR_DELEGATION"}},
		{"a service name is gone", "", func(t *testing.T, w *world) {
			w.account("HV02$").ServiceNames = without(t, w.account("HV02$").ServiceNames, migHV02, spn.Twin(migHV02))
		}, []string{fmt.Sprintf("error service-name-missing HV02$: %s, %s", migHV02, spn.Twin(migHV02))}},
		{"only the twin of a service name is gone", "", func(t *testing.T, w *world) {
			w.account("HV02$").ServiceNames = without(t, w.account("HV02$").ServiceNames, spn.Twin(migHV02))
		}, []string{"error service-name-missing HV02$: " + spn.Twin(migHV02)}},
		{"a service name is on another account", "", func(t *testing.T, w *world) {
			w.account("HV02$").ServiceNames = without(t, w.account("HV02$").ServiceNames, migHV02, spn.Twin(migHV02))
			w.addUser("svc", 0).ServiceNames = []string{migHV02, spn.Twin(migHV02)}
		}, []string{"error service-name-misplaced svc: " + migHV02}},
		{"a service name is there twice", "", func(_ *testing.T, w *world) {
			w.addUser("svc", directory.FlagDisabled).ServiceNames = []string{strings.ToUpper(migHV02)}
		}, []string{"error service-name-duplicate HV02$: " + migHV02}},
		{"a name of others is there twice", "", func(_ *testing.T, w *world) {
			w.addUser("sql1", 0).ServiceNames = []string{"MSSQLSvc/db01:1433"}
			w.addUser("sql2", 0).ServiceNames = []string{"mssqlsvc/DB01:1433"}
		}, []string{"error service-name-duplicate sql1: MSSQLSvc/db01:1433"}},
		{"a host is disabled", "", func(_ *testing.T, w *world) { w.account("HV02$").Flags |= directory.FlagDisabled },
			[]string{"error host-account-disabled HV02$: ACCOUNTDISABLE"}},
		{"a named host is disabled", "hosts: [HV01, HV02, HV03]", func(_ *testing.T, w *world) { w.account("HV02$").Flags |= directory.FlagDisabled },
			[]string{"error host-account-disabled HV02$: ACCOUNTDISABLE"}},
		{"a host allows RC4 only", "", func(_ *testing.T, w *world) {
			w.account("HV01$").EncryptionTypes = 4
			w.account("HV02$").EncryptionTypes = 0
		}, []string{"warning host-without-aes HV01$: 4", "warning host-without-aes HV02$: unset"}},
		{"a named host is not there", "hosts: [HV01, HV02, HV03, HV09]", func(*testing.T, *world) {}, []string{"error host-not-in-directory HV09: "}},
		{"a direction from a host that is not there", "one_way: ['HV09:HV01']", func(_ *testing.T, w *world) {
			for _, a := range w.accounts {
				a.DelegateTo = nil
			}
		}, []string{"error host-not-in-directory HV09: "}},
		{"operators", "operators: ['VM Operators', 'LAB\\nobody', carol@LAB.DROVER.TEST]", func(_ *testing.T, w *world) {
			w.addUser("alice", directory.FlagNotDelegated)
			w.addUser("bob", directory.FlagDisabled)
			w.addUser("carol", 0).Protected = true
			w.addUser("erin", 0).Hidden = true
			w.addUser("dave", directory.FlagNotDelegated) // is no operator
			w.addGroup("VM Operators", "CN=alice,CN=Users,"+base, "CN=Night Shift,CN=Users,"+base)
			w.addGroup("Night Shift", "CN=bob,CN=Users,"+base, "CN=erin,CN=Users,"+base, "CN=VM Operators,CN=Users,"+base)
		}, []string{"error operator-sensitive alice: NOT_DELEGATED", "error operator-sensitive carol: Protected Users",
			`warning operator-not-in-directory LAB\nobody: `, "warning operator-disabled bob: ACCOUNTDISABLE", "warning operator-flags-hidden erin: "}},
		{"severities of the policy's own", "severity: {unconstrained-delegation: info, host-without-aes: off}", func(_ *testing.T, w *world) {
			w.account("HV01$").Flags |= directory.FlagTrustedForAny
			w.account("HV02$").EncryptionTypes = 4
		}, []string{"info unconstrained-delegation HV01$: TRUSTED_FOR_DELEGATION"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(3)
			tc.breach(t, w)
			fs := audit(t, w, policy(t, tc.policy))
			if diff := cmp.Diff(tc.want, brief(fs)); diff != "" {
				t.Error(diff)
			}
			for _, f := range fs {
				complete(t, f)
			}
		})
	}
}

// complete says what a finding lacks for whoever has to act on it.
func complete(t *testing.T, f finding.Finding) {
	t.Helper()
	if f.Message == "" || strings.Contains(f.Message, "{") || f.Hint == "" || strings.Contains(f.Hint, "{") {
		t.Errorf("texts: %+v", f)
	}
	if !strings.Contains(f.Evidence, "read from dc1.lab.drover.test at 2027-01-15T08:00:00Z") {
		t.Errorf("evidence: %q", f.Evidence)
	}
	if strings.Contains(string(f.Code), "not-in-directory") {
		return
	}
	if f.DN == "" || f.Attribute == "" || len(f.Values) == 0 && f.Code != "operator-flags-hidden" || !strings.Contains(f.Evidence, "uSNChanged 1000") {
		t.Errorf("what and where: %+v", f)
	}
	if len(f.Fix) == 0 {
		t.Errorf("no way out: %+v", f)
	}
}

func TestFixesAreInTheTermsOfTheController(t *testing.T) {
	for kind, tool := range map[directory.Controller]finding.Tool{directory.Samba: finding.SambaTool, directory.Windows: finding.PowerShell} {
		w := newWorld(2)
		w.root.Kind = kind
		w.account("HV01$").Flags |= directory.FlagTrustedForAny
		fs := audit(t, w, policy(t, ""))
		i := slices.IndexFunc(fs, func(f finding.Finding) bool { return f.Code == "unconstrained-delegation" })
		if i < 0 || !slices.ContainsFunc(fs[i].Fix, func(c finding.Command) bool { return c.Tool == tool }) {
			t.Errorf("%s: %+v", kind, fs)
		}
	}
}

func TestWindowsNeedsNoTwins(t *testing.T) {
	w := newWorld(2)
	w.root.Kind = directory.Windows
	for _, a := range w.accounts {
		a.ServiceNames, a.DelegateTo = spn.PlainList(a.ServiceNames), spn.PlainList(a.DelegateTo)
	}
	if fs := audit(t, w, policy(t, "")); len(fs) > 0 {
		t.Errorf("%q", brief(fs))
	}
}

func TestTheGroupModelTellsOncePerHostWhatLacks(t *testing.T) {
	w := newWorld(3)
	for _, a := range w.accounts {
		a.DelegateTo = nil
	}
	p := policy(t, "model: group")
	lists := []string{
		"error resource-delegation-missing HV01$: Drover Hosts", "error resource-delegation-missing HV02$: Drover Hosts", "error resource-delegation-missing HV03$: Drover Hosts",
	}
	if diff := cmp.Diff(append([]string{"error resource-delegation-missing Drover Hosts: HV01$, HV02$, HV03$"}, lists...), brief(audit(t, w, p))); diff != "" {
		t.Error("no group: " + diff)
	}
	w.addGroup("Drover Hosts", w.account("HV01$").DN, w.account("HV02$").DN)
	got := brief(audit(t, w, p))
	if want := append(slices.Clone(lists), "error resource-delegation-missing HV03$: HV03$"); !slices.Equal(slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(want))) {
		t.Errorf("one is no member: %q", got)
	}
}

func TestListsThatTheGroupModelNoLongerNeedsAreToldOf(t *testing.T) {
	w := newWorld(2)
	w.addGroup("Drover Hosts", w.account("HV01$").DN, w.account("HV02$").DN)
	var extra int
	for _, f := range audit(t, w, policy(t, "model: group")) {
		if f.Code == "delegation-extra" && f.Attribute == directory.AttributeDelegateTo {
			extra++
		}
	}
	if extra != 2 {
		t.Errorf("%d findings about lists", extra)
	}
}

func TestWhatThePolicyCannotHaveIsAnError(t *testing.T) {
	w := newWorld(2)
	w.account("HV02$").DN = "CN=HV02,CN=Computers,DC=other,DC=test"
	s, err := Load(t.Context(), w, policy(t, ""))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Check(policy(t, ""), s); err == nil {
		t.Error("lists across domains")
	}
}

// A plan with --prune would take away what the policy allows besides, and one of
// another model would open every direction in that model.
func TestFixesTakeAwayNothingElse(t *testing.T) {
	w := newWorld(2)
	w.change("HV01$", func(a *directory.Account) { a.DelegateTo = append(a.DelegateTo, "MSSQLSvc/db01", "http/intranet") })
	extra := 0
	for _, f := range audit(t, w, policy(t, "allow: {HV01: [MSSQLSvc/*]}")) {
		for _, c := range f.Fix {
			if f.Code == "delegation-extra" && strings.Contains(c.Line, "http/intranet") {
				extra++
			}
			if strings.Contains(c.Line, "--prune") || strings.Contains(c.Line, "MSSQLSvc") {
				t.Errorf("%s: %s", f.Code, c.Line)
			}
		}
	}
	if extra != 1 {
		t.Errorf("%d cures of the value that is too much", extra)
	}
}
