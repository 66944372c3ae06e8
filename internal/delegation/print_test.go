package delegation_test

import (
	"bytes"
	"encoding/json"
	"os/exec"
	"strings"
	"testing"

	"drover/internal/delegation"
	"drover/internal/directory"
	"drover/internal/fault"
)

// awkward is a plan whose names are as bad as they come.
func awkward(t *testing.T) (*site, *delegation.Plan) {
	s := newSite(directory.Windows, 0)
	for _, name := range []string{"O'Brien", "Größe’s", "a b\"$(x)`\\,"} {
		dn, sid := s.AddComputer(strings.ReplaceAll(name, ",", `\,`))
		s.Set(dn, "sAMAccountName", name+"$")
		s.dns, s.sids = append(s.dns, dn), append(s.sids, sid)
	}
	p := s.plan(t)
	for i, name := range []string{"O'Brien$", "Größe’s$", "a b\"$(x)`\\,$"} {
		p.Hosts[i].Account = name
		c := s.change(i, list, []string{"cifs/O'Brien", "cifs/‘’‚‛", "cifs/$(touch x)", "cifs/🐑", "ü"}, nil)
		c.Account = name
		f := s.change(i, flags, []string{delegation.TrustedToAuth}, nil)
		f.Account = name
		r := s.change(i, descriptor, []string{s.sids[(i+1)%3]}, nil)
		r.Account = name
		p.Changes = append(p.Changes, c, f, r)
	}
	return s, p
}

func cases(t *testing.T) map[string]struct {
	*site
	*delegation.Plan
} {
	type pair = struct {
		*site
		*delegation.Plan
	}
	out := map[string]pair{}
	s := newSite(directory.Samba, 3)
	s.populate(t)
	out["mesh"] = pair{s, s.mesh(t)}
	s = newSite(directory.Windows, 2)
	out["group"] = pair{s, s.groupPlan(t)}
	s = newSite(directory.Windows, 2)
	s.populate(t)
	b := s.mustRun(t, s.groupPlan(t))
	b.Time = planned
	out["rollback"] = pair{s, s.rollback(t, b)}
	s, p := awkward(t)
	out["awkward"] = pair{s, p}
	return out
}

func print(t *testing.T, s *site, script delegation.Script, p *delegation.Plan) (string, error) {
	t.Helper()
	now, err := delegation.ReadNow(t.Context(), s, p.Needs())
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	err = delegation.Print(&b, script, p, now)
	if err != nil && b.Len() > 0 {
		t.Errorf("%v, and %s", err, b.String())
	}
	return b.String(), err
}

func TestScripts(t *testing.T) {
	for name, c := range cases(t) {
		text, err := json.MarshalIndent(c.Plan, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		golden(t, name+".json", string(text)+"\n")
		for script, ext := range map[delegation.Script]string{delegation.PowerShellScript: ".ps1", delegation.LDIFScript: ".ldif", delegation.SambaToolScript: ".sh"} {
			got, err := print(t, c.site, script, c.Plan)
			if err != nil {
				if !fault.Is(err, fault.PlanNotPrintable) {
					t.Errorf("%s: %v", name+ext, err)
				}
				got = "# " + err.Error() + "\n"
			}
			golden(t, name+ext, got)
			if ext == ".sh" {
				cmd := exec.Command("sh", "-n")
				cmd.Stdin = strings.NewReader(got)
				if out, err := cmd.CombinedOutput(); err != nil {
					t.Errorf("%s: %v: %s", name, err, out)
				}
			}
		}
	}
}

// The shell gives samba-tool the words that were meant.
func TestShellScriptQuotesEveryWord(t *testing.T) {
	s, p := awkward(t)
	text, err := print(t, s, delegation.SambaToolScript, p)
	if err != nil {
		t.Fatal(err)
	}
	text = strings.Replace(text, "set -eu\n", "set -eu\nsamba_tool() { printf '%s\\n' \"$@\"; }\n", 1)
	cmd := exec.Command("sh", "-s", "--", "-U", "Admin istrator")
	cmd.Stdin = strings.NewReader(strings.ReplaceAll(text, "\nsamba-tool ", "\nsamba_tool "))
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	want := strings.Join([]string{"delegation", "add-service", "a b\"$(x)`\\,$", "cifs/$(touch x)", "-H", "ldap://dc1.lab.test", "-U", "Admin istrator"}, "\n")
	if !strings.Contains(string(out), want) {
		t.Errorf("%s does not have\n%s", out, want)
	}
}

func TestLDIFDoesWhatApplyDoes(t *testing.T) {
	for _, kind := range []directory.Controller{directory.Samba, directory.Windows} {
		t.Run(string(kind), func(t *testing.T) {
			applied, printed := newSite(kind, 3), newSite(kind, 3)
			applied.populate(t)
			printed.populate(t)
			text, err := print(t, printed, delegation.LDIFScript, printed.mesh(t))
			if err != nil {
				t.Fatal(err)
			}
			b := applied.mustRun(t, applied.mesh(t))
			applyLDIF(t, printed, text)
			if printed.Snapshot() != applied.Snapshot() {
				t.Errorf("%s\n%s", printed.Snapshot(), applied.Snapshot())
			}
			text, err = print(t, printed, delegation.LDIFScript, printed.rollback(t, b))
			if err != nil {
				t.Fatal(err)
			}
			applyLDIF(t, printed, text)
			applied.mustRun(t, applied.rollback(t, b))
			if printed.Snapshot() != applied.Snapshot() {
				t.Errorf("back: %s\n%s", printed.Snapshot(), applied.Snapshot())
			}
			text, err = print(t, printed, delegation.LDIFScript, printed.rollback(t, b))
			if err != nil || strings.Contains(text, "dn:") {
				t.Errorf("nothing to do: %v %s", err, text)
			}
		})
	}
}

func TestLDIFOfAStalePlanIsRefused(t *testing.T) {
	s := newSite(directory.Samba, 2)
	p := s.mesh(t)
	s.Set(s.dns[0], flags, "4098")
	_, err := print(t, s, delegation.LDIFScript, p)
	wantCode(t, err, fault.PlanStale)
	s.Drop(s.dns[0])
	_, err = print(t, s, delegation.LDIFScript, p)
	wantCode(t, err, fault.DirectoryObjectGone)
}

func TestWhatCannotBePrinted(t *testing.T) {
	s := newSite(directory.Samba, 2)
	group, stranger, unknown := s.groupPlan(t), s.mesh(t), s.mesh(t)
	stranger.Changes[2].Add = []string{"S-1-5-21-9-9-9-1234"}
	outside := s.groupPlan(t)
	outside.NewGroup.DN = "CN=Other," + outside.BaseDN
	option := s.mesh(t)
	option.Changes[0].Account, option.Hosts[0].Account = "--configfile=x$", "--configfile=x$"
	for _, c := range []struct {
		script delegation.Script
		plan   *delegation.Plan
		reason string
	}{
		{delegation.LDIFScript, group, "not known before"},
		{delegation.SambaToolScript, stranger, "none of the plan's hosts"},
		{delegation.SambaToolScript, outside, "cannot make the group"},
		{delegation.SambaToolScript, option, "for an option"},
		{"perl", unknown, "no such form"},
	} {
		_, err := print(t, s, c.script, c.plan)
		if !fault.Is(err, fault.PlanNotPrintable) || !strings.Contains(err.Error(), c.reason) {
			t.Errorf("%s: %v, want %q", c.script, err, c.reason)
		}
	}
}
