package delegation_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"drover/internal/delegation"
	"drover/internal/directory"
	"drover/internal/fault"
)

func TestPlanComesBackAsItWas(t *testing.T) {
	s := newSite(directory.Samba, 2)
	for _, p := range []*delegation.Plan{s.plan(t), s.mesh(t), s.groupPlan(t)} {
		want, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		got, err := json.Marshal(throughJSON(t, p))
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%v\n%s\n%s", err, got, want)
		}
	}
}

func TestPlanThatWouldWriteAnythingElseIsRefused(t *testing.T) {
	s := newSite(directory.Samba, 2)
	s.Set(s.dns[0], list, "cifs/OLD")
	rollback := func(p *delegation.Plan) { p.Rollback = "b.ldif" }
	first := func(f func(*delegation.Change)) func(*delegation.Plan) {
		return func(p *delegation.Plan) { f(&p.Changes[0]) }
	}
	flag := func(add, del string) func(*delegation.Plan) {
		return first(func(c *delegation.Change) {
			c.Attribute, c.Add, c.Delete = flags, nil, nil
			if add != "" {
				c.Add = []string{add}
			}
			if del != "" {
				c.Delete = []string{del}
			}
			c.DN = "CN=HV09"
		})
	}
	member := func(account string) func(*delegation.Plan) {
		return first(func(c *delegation.Change) { c.Attribute, c.Account, c.Delete = member, account, nil })
	}
	for _, c := range []struct {
		name   string
		change func(*delegation.Plan)
		reason string // "" means: it is a plan
	}{
		{"nothing", func(*delegation.Plan) {}, ""},
		{"another format", func(p *delegation.Plan) { p.Format = 2 }, "format"},
		{"no domain", func(p *delegation.Plan) { p.SID = "" }, "domain_sid"},
		{"no base", func(p *delegation.Plan) { p.BaseDN = "" }, "no name"},
		{"no object", first(func(c *delegation.Change) { c.DN = "" }), "no name"},
		{"no account", first(func(c *delegation.Change) { c.Account = "" }), "no name"},
		{"line break in a name", first(func(c *delegation.Change) { c.DN += "\n" }), "no name"},
		{"line break in a value", first(func(c *delegation.Change) { c.Add[0] += "\nrm -rf /" }), "no name"},
		{"line break in the server", func(p *delegation.Plan) { p.Server += "\n" }, "no name"},
		{"empty value", first(func(c *delegation.Change) { c.Add[0] = "" }), "no name"},
		{"value twice", first(func(c *delegation.Change) { c.Add[1] = c.Add[0] }), "twice"},
		{"value added and deleted", first(func(c *delegation.Change) { c.Delete = c.Add[:1] }), "twice"},
		{"no change", first(func(c *delegation.Change) { c.Add, c.Delete = nil, nil }), "changes nothing"},
		{"no digest", first(func(c *delegation.Change) { c.Before = "" }), "before"},
		{"malformed digest", first(func(c *delegation.Change) { c.Before = "sha256:" + strings.Repeat("x", 64) }), "before"},
		{"an attribute twice", func(p *delegation.Plan) { p.Changes = append(p.Changes, p.Changes[0]) }, "changed twice"},
		{"password", first(func(c *delegation.Change) { c.Attribute = "unicodePwd" }), "do not change this attribute"},
		{"service names", first(func(c *delegation.Change) { c.Attribute = "servicePrincipalName" }), "do not change this attribute"},
		{"other case of an attribute", first(func(c *delegation.Change) { c.Attribute = strings.ToUpper(list) }), "do not change this attribute"},
		{"unconstrained", flag("TRUSTED_FOR_DELEGATION", ""), "does not set"},
		{"not unconstrained", flag("", "TRUSTED_FOR_DELEGATION"), ""},
		{"disabling", flag("ACCOUNTDISABLE", ""), "does not set"},
		{"enabling", flag("", "ACCOUNTDISABLE"), "does not clear"},
		{"no flag", flag("", "0x2"), "not a flag"},
		{"sensitive", flag("NOT_DELEGATED", ""), ""},
		{"no trustee", func(p *delegation.Plan) { p.Changes[2].Add[0] = "Everyone" }, "not a SID"},
		{"group that is not made", func(p *delegation.Plan) { p.Changes[2].Add[0] = delegation.GroupTrustee }, "not a SID"},
		{"member", member("Domain Admins"), "not the group"},
		{"member of its group", func(p *delegation.Plan) {
			p.Intent.Model = delegation.GroupBased
			member(delegation.DefaultGroup)(p)
		}, ""},
		{"member of another group", func(p *delegation.Plan) {
			p.Intent.Model, p.Intent.Group = delegation.GroupBased, "Hosts"
			member("Domain Admins")(p)
		}, "not the group"},
		{"new group without intent", func(p *delegation.Plan) { p.NewGroup = &directory.NewGroup{DN: "CN=x", Name: "x"} }, "does not ask for"},
		{"removal", first(func(c *delegation.Change) { c.Attribute, c.Add, c.Delete, c.Remove = "", nil, nil, true }), "only a rollback"},
		{"whole value", first(func(c *delegation.Change) { c.Raw = []byte("x") }), "only a rollback"},
		{"removal and change", func(p *delegation.Plan) {
			rollback(p)
			p.Changes = append(p.Changes, delegation.Change{DN: s.dns[0], Account: "HV01$", Remove: true, Before: delegation.Digest(nil)})
		}, "both removed and changed"},
		{"removal of a list", func(p *delegation.Plan) {
			rollback(p)
			first(func(c *delegation.Change) { c.Add, c.Delete, c.Remove = nil, nil, true })(p)
		}, "value by value"},
		{"whole flags", func(p *delegation.Plan) {
			rollback(p)
			p.Changes[1].Add, p.Changes[1].Raw = nil, []byte("512")
		}, "value by value"},
		{"whole value and others", func(p *delegation.Plan) { rollback(p); p.Changes[2].Raw = []byte("x") }, "and single ones"},
		{"malformed descriptor", func(p *delegation.Plan) {
			rollback(p)
			p.Changes[2].Add, p.Changes[2].Raw = nil, []byte("x")
		}, "security descriptor"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := s.mesh(t)
			c.change(p)
			text, err := json.Marshal(p)
			if err != nil {
				t.Fatal(err)
			}
			_, err = delegation.ReadPlan(bytes.NewReader(text))
			wantReason(t, err, c.reason)
			if c.reason == "" {
				return
			}
			_, err = delegation.Apply(t.Context(), s, p, delegation.ApplyOptions{})
			wantReason(t, err, c.reason)
			wantReason(t, delegation.Print(&bytes.Buffer{}, delegation.SambaToolScript, p, nil), c.reason)
		})
	}
}

func wantReason(t *testing.T, err error, reason string) {
	t.Helper()
	switch {
	case reason == "" && err != nil:
		t.Error(err)
	case reason != "" && (!fault.Is(err, fault.PlanMalformed) || !strings.Contains(fault.From(err).Args["reason"], reason)):
		t.Errorf("%v, want %q", err, reason)
	}
}

func TestFilesThatAreNoPlanAreRefused(t *testing.T) {
	for _, text := range []string{"", "null", "[]", "{}", `{"drover_plan":1,"extra":1}`, `{"drover_plan":1} {}`, "# Drover baseline 1\n", `{"drover_plan":1`} {
		_, err := delegation.ReadPlan(strings.NewReader(text))
		if !fault.Is(err, fault.PlanMalformed) || fault.From(err).Args["name"] != "the input" {
			t.Errorf("%q: %v", text, err)
		}
	}
	path := filepath.Join(t.TempDir(), "plan.json")
	if err := os.WriteFile(path, []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := delegation.ReadPlan(f); fault.From(err).Args["name"] != path {
		t.Errorf("%v", err)
	}
}

// A plan that is read can be printed and is written as it was.
func FuzzReadPlan(f *testing.F) {
	for _, name := range []string{"mesh.json", "group.json", "rollback.json"} {
		b, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := delegation.ReadPlan(bytes.NewReader(text))
		if err != nil {
			return
		}
		once, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		again, err := delegation.ReadPlan(bytes.NewReader(once))
		if err != nil {
			t.Fatalf("%v in %s", err, once)
		}
		if twice, err := json.Marshal(again); err != nil || !bytes.Equal(once, twice) {
			t.Fatalf("%v\n%s\n%s", err, once, twice)
		}
		for _, script := range []delegation.Script{delegation.PowerShellScript, delegation.SambaToolScript, delegation.LDIFScript} {
			var b bytes.Buffer
			if err := delegation.Print(&b, script, p, nil); err != nil && b.Len() > 0 {
				t.Fatalf("%v, and %s", err, b.Bytes())
			}
			for _, c := range b.Bytes() {
				if script == delegation.PowerShellScript && c > 126 {
					t.Fatalf("not ASCII: %q", b.Bytes())
				}
			}
		}
	})
}
