package labtest

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"drover/internal/delegation"
	"drover/internal/directory"
	"drover/internal/fault"
	"drover/lab"
)

// onController runs drover as root on the domain controller, by its privileged
// socket: Samba lets nobody else write a descriptor of resource-based delegation.
func (s *office) onController(t *testing.T, args ...string) string {
	t.Helper()
	r, err := s.DroverOn(t.Context(), lab.DC1, nil, append([]string{"delegation"}, append(args, "--ldapi")...)...)
	if err != nil || r.Status != 0 {
		t.Fatalf("drover %s: %v, status %d\n%s%s", strings.Join(args, " "), err, r.Status, r.Stdout, r.Stderr)
	}
	return r.Stdout
}

// verified counts the directions that an operator really gets tickets for.
func (s *office) verified(t *testing.T, args ...string) (good int, out string) {
	t.Helper()
	if err := s.KInit(t.Context(), lab.UserOperator); err != nil {
		t.Fatal(err)
	}
	r, err := s.Drover(t.Context(), lab.UserOperator, append([]string{"delegation", "verify", "-o", "json"}, args...)...)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Count(r.Stdout, `"state": "ok"`), r.Stdout + r.Stderr
}

// restartAgents makes every host sign in anew, after which its tickets say which
// groups it is in.
func (s *office) restartAgents(t *testing.T) {
	t.Helper()
	for _, h := range s.Hosts() {
		if err := s.RestartAgent(t.Context(), h.Name); err != nil {
			t.Fatal(err)
		}
	}
}

// TestResourceBasedModels is about the two models that write security descriptors,
// with Samba 4.22, whose Kerberos server heeds them.
func TestResourceBasedModels(t *testing.T) {
	s := startOffice(t, lab.Options{Name: "delegrbcd", Directory: "trixie", Hosts: allHosts, Agent: agentProgram})
	for _, model := range []string{"resource-based", "group"} {
		t.Run(model, func(t *testing.T) {
			s.clear(t)
			before := s.state(t)
			if good, out := s.verified(t, "--model", model); good != 0 {
				t.Fatalf("%d directions are good before anything was allowed:\n%s", good, out)
			}
			plan := append([]string{"plan", "--model", model, "--out", "/tmp/plan.json"}, allHosts...)
			s.onController(t, plan...)
			var applied delegation.Result
			if err := json.Unmarshal([]byte(s.onController(t, "apply", "/tmp/plan.json", "--yes", "-o", "json")), &applied); err != nil {
				t.Fatal(err)
			}
			var again delegation.Plan
			if err := json.Unmarshal([]byte(s.onController(t, append(plan, "-o", "json")...)), &again); err != nil || !again.Empty() {
				t.Errorf("the same plan again: %v, %+v", err, again.Changes)
			}
			want := s.state(t)
			s.restartAgents(t)
			if good, out := s.verified(t, "--model", model); good != 12 {
				t.Errorf("%d of 12 directions are good:\n%s", good, out)
			}
			s.onController(t, "rollback", applied.Baseline, "--yes")
			s.same(t, "the rollback is not what was there before", before)
			if groups, err := s.Directory().Values(t.Context(), lab.UserDN(delegation.DefaultGroup), "objectSid"); err == nil && len(groups) > 0 {
				t.Errorf("the rollback left the group behind: %q", groups)
			}
			if model == "group" {
				return // another group has another SID
			}
			for script, run := range map[string][]string{"samba-tool": {"sh"}, "ldif": {"ldbmodify", "-H", "/var/lib/samba/private/sam.ldb"}} {
				s.clear(t)
				s.onController(t, plan...)
				file := "/tmp/delegation." + script
				text := s.onController(t, "apply", "/tmp/plan.json", "--print", script)
				if err := os.WriteFile(filepath.Join(s.Member(lab.DC1).Path("/"), file), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
				if _, err := s.Member(lab.DC1).Run(t.Context(), append(run, file)...); err != nil {
					t.Fatalf("%v\n%s", err, text)
				}
				s.same(t, "what the "+script+" script did", want)
			}
		})
	}
}

// A descriptor with entries of others is merged, and an entry that is not ours
// stays, also when all of ours go again.
func TestForeignEntriesOfDescriptorsStay(t *testing.T) {
	s := startOffice(t, lab.Options{Name: "delegmerge"})
	foreign := "O:BAG:BAD:(D;;RP;;;S-1-5-21-1-2-3-4)(A;;CCDCLCSWRPWPDTLOCRSDRCWDWO;;;S-1-5-21-1-2-3-5)"
	ldif := "dn: " + lab.HostDN(lab.HV02) + "\nchangetype: modify\nreplace: " + directory.AttributeActOnBehalf + "\n" + directory.AttributeActOnBehalf + ": " + foreign + "\n"
	if err := s.Directory().Modify(t.Context(), ldif); err != nil {
		t.Fatal(err)
	}
	before := s.state(t)
	var applied delegation.Result
	out := s.onController(t, "apply", "--model", "resource-based", "--one-way", "HV01:HV02", "--yes", "-o", "json")
	if err := json.Unmarshal([]byte(out), &applied); err != nil {
		t.Fatal(err)
	}
	var p delegation.Plan
	if err := json.Unmarshal([]byte(s.onController(t, "plan", "--model", "resource-based", "--one-way", "HV01:HV02", "--prune", "-o", "json")), &p); err != nil {
		t.Fatal(err)
	}
	if len(p.Changes) != 1 || len(p.Changes[0].Delete) != 1 || p.Changes[0].Delete[0] != "S-1-5-21-1-2-3-5" {
		t.Errorf("what is too much: %+v", p.Changes)
	}
	s.onController(t, "rollback", applied.Baseline, "--yes")
	s.same(t, "the rollback is not what was there before", before)

	// Over the network Samba refuses it, with the way that works.
	r := s.run(t, "delegation", "apply", "--model", "resource-based", "--one-way", "HV01:HV02", "--yes", "-o", "json")
	if !strings.Contains(r.Stdout, string(fault.DelegationModel)) || !strings.Contains(r.Stdout, "--ldapi") {
		t.Errorf("over the network: status %d\n%s", r.Status, r.Stdout)
	}
	s.same(t, "a refused change changed something", before)
}
