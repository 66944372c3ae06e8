package labtest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"drover/internal/api"
	"drover/internal/config"
	"drover/internal/fault"
	"drover/lab"
)

const principal = lab.UserOperator + "@" + lab.Realm

// TestIdentity: who somebody is, what they may do, and for whom a host may act.
// APP01 stands on HV01 and moves when everything is right again.
func TestIdentity(t *testing.T) {
	s := startSite(t, lab.Options{Name: "identity"})
	vm := s.newVM(t, lab.HV01, "APP01", 101)
	for _, c := range []struct {
		name string
		test func(*testing.T)
	}{
		{"tickets", s.testTickets},
		{"roles", s.testRoles},
		{"evidence", s.testEvidence},
		{"clocks", s.testClocks},
		{"somebody in the middle", s.testMiddle},
		{"delegation for storage", s.testDelegationForStorage},
		{"delegation", func(t *testing.T) { s.testDelegation(t, vm) }},
		{"login and the agent's tickets", func(t *testing.T) { s.testLogin(t, vm) }},
		{"no keytab", s.testNoKeytab},
		{"stale keytab", s.testStaleKeytab},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.test(t)
			vm.lives(t)
		})
	}
	t.Run("none of this did harm", func(t *testing.T) {
		s.mustMove(t, vm, lab.HV01, lab.HV02)
		s.assertClean(t, vm, lab.HV01)
		vm.verify(t)
	})
}

// kdestroy takes a user's tickets on the workstation away.
func (s *site) kdestroy(t *testing.T, user string) {
	t.Helper()
	if err := os.Remove(s.Member(lab.MGMT).Path("/tmp/krb5cc_" + user)); err != nil {
		t.Fatal(err)
	}
}

func (s *site) testTickets(t *testing.T) {
	t.Run("none", func(t *testing.T) {
		s.refused(t, "stranger", refusal{fault.NoTicket, 4, []string{"/tmp/krb5cc_stranger", "0x8009030E"}}, app()...)
	})
	t.Run("expired", func(t *testing.T) {
		if err := s.KInit(t.Context(), lab.UserAdmin, "-l", "1s"); err != nil {
			t.Fatal(err)
		}
		want := refusal{fault.TicketExpired, 4, []string{lab.UserAdmin + "@" + lab.Realm}}
		eventually(t, 20*time.Second, func(context.Context) error {
			var got struct{ Error *fault.Problem }
			r := s.as(t, lab.UserAdmin, app("--dry-run", "-o", "json")...)
			if err := json.Unmarshal([]byte(r.Stdout), &got); err != nil || got.Error == nil {
				return fmt.Errorf("not expired yet (%v): %s", err, r.Stdout)
			}
			return nil
		})
		s.refused(t, lab.UserAdmin, want, app()...)
	})
}

func (s *site) testRoles(t *testing.T) {
	for _, user := range []string{lab.UserNobody, lab.UserViewer} {
		s.signIn(t, user)
		t.Run(user+" at the source", func(t *testing.T) {
			s.refused(t, user, refusal{fault.RoleMissing, 4, []string{user, "operator", "HV01"}}, app()...)
		})
	}
	if r := s.as(t, lab.UserViewer, "vm", "list", "--host", lab.HV01); r.Status != 0 || !strings.Contains(r.Stdout, "APP01") {
		t.Errorf("a viewer cannot look: %+v", r)
	}
	refusal{fault.RoleMissing, 4, []string{lab.UserNobody, "viewer", "HV01"}}.hold(t, s.as(t, lab.UserNobody, "vm", "list", "--host", lab.HV01, "-o", "json"))
	operators := s.GroupSIDs()[lab.GroupOperators]
	for name, change := range map[string]func(*config.Config){
		"no role at the destination":    func(c *config.Config) { c.Roles.Operator = nil },
		"viewer at the destination":     func(c *config.Config) { c.Roles.Operator, c.Roles.Viewer = nil, []string{operators} },
		"local role at the destination": func(c *config.Config) { c.Roles.Operator = []string{"local:root"} },
	} {
		t.Run(name, func(t *testing.T) {
			s.reconfigure(t, lab.HV02, change)
			s.refused(t, lab.UserOperator, refusal{fault.RoleMissing, 4, []string{principal, "not operator", "HV02"}}, app()...)
		})
	}
}

// testEvidence: tickets and accounts with which no host can act for somebody.
func (s *site) testEvidence(t *testing.T) {
	for _, c := range []struct {
		name, user string
		flags      []string
		code       fault.Code
	}{
		{"not forwardable", lab.UserOperator, []string{"-F"}, fault.EvidenceNotForward},
		{"sensitive", lab.UserSensitive, nil, fault.OperatorSensitive},
		{"Protected Users", lab.UserProtected, nil, fault.OperatorSensitive},
	} {
		t.Run(c.name, func(t *testing.T) {
			if err := s.KInit(t.Context(), c.user, c.flags...); err != nil {
				t.Fatal(err)
			}
			says := []string{c.user + "@" + lab.Realm, "0x8009030E"}
			s.refused(t, c.user, refusal{c.code, 4, says}, app()...)
		})
	}
	s.signIn(t, lab.UserOperator)
}

// testClocks: an agent whose clock is ten minutes off, on either side.
func (s *site) testClocks(t *testing.T) {
	for host, says := range map[string][]string{lab.HV01: {"HV01", principal}, lab.HV02: {"HV01", "HV02", "10m"}} {
		t.Run(host, func(t *testing.T) {
			if err := s.RestartAgent(t.Context(), host, "DROVERD_CLOCK=10m"); err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := s.RestartAgent(context.Background(), host); err != nil {
					t.Error(err)
				}
			}()
			s.refused(t, lab.UserOperator, refusal{fault.ClockSkew, 4, says}, app()...)
		})
	}
	t.Run("domain controller", func(t *testing.T) {
		d := domainOf(t, s.Lab)
		_, err := d.signInAt(t, lab.UserOperator, func() time.Time { return time.Now().Add(-10 * time.Minute) })
		f := wantCode(t, err, fault.ClockSkew)
		if m := f.Message(); !strings.Contains(m, "domain controller") || !strings.Contains(m, "this machine") {
			t.Error(m)
		}
	})
}

// testDelegationForStorage: without cifs in the list, storage stays and nothing else.
func (s *site) testDelegationForStorage(t *testing.T) {
	s.newVM(t, lab.HV01, "RAM01", 102, func(o *lab.VMOptions) { o.Disks = nil })
	cifs := lab.ServiceNames(lab.HV02, "cifs")
	if err := s.Directory().RemoveDelegation(t.Context(), lab.HV01, cifs...); err != nil {
		t.Fatal(err)
	}
	defer s.resetDirectory(t)
	says := append([]string{"HV01$", principal, "HV02", "msDS-AllowedToDelegateTo", "0x8009030E"}, cifs...)
	p := s.refused(t, lab.UserOperator, refusal{fault.DelegationNoStorage, 4, says}, app()...)
	s.offers(t, p, lab.HV01, cifs)
	vm := &machine{VM: &lab.VM{Name: "RAM01"}}
	s.mustMove(t, vm, lab.HV01, lab.HV02)
	s.assertClean(t, vm, lab.HV01)
}

// offers checks that the values and the command of a refusal are what is lacking.
func (s *site) offers(t *testing.T, p *fault.Problem, host string, values []string) {
	t.Helper()
	for _, v := range values {
		if !strings.Contains(p.Args["command"], v) || !strings.Contains(p.Args["command"], host+"$") {
			t.Errorf("%q does not add %q to %s$", p.Args["command"], v, host)
		}
	}
}

func (s *site) resetDirectory(t *testing.T) {
	t.Helper()
	if err := s.Directory().Reset(context.Background()); err != nil {
		t.Error(err)
	}
}

// testDelegation: the list of the source's account decides, and a change of it
// counts at once, without a purge of tickets anywhere.
func (s *site) testDelegation(t *testing.T, vm *machine) {
	s.mustMove(t, vm, lab.HV01, lab.HV02)
	s.mustMove(t, vm, lab.HV02, lab.HV01)
	all, err := s.Directory().Delegation(t.Context(), lab.HV01)
	if err != nil {
		t.Fatal(err)
	}
	defer s.resetDirectory(t)
	toHV02 := lab.DelegationTo(lab.HV02)
	without := slices.DeleteFunc(slices.Clone(all), func(v string) bool { return slices.Contains(toHV02, v) })
	if len(without) >= len(all) {
		t.Fatalf("%v are not in %v", toHV02, all)
	}
	if err := s.Directory().SetDelegation(t.Context(), lab.HV01, without...); err != nil {
		t.Fatal(err)
	}
	service := lab.ServiceNames(lab.HV02, migration)
	says := append([]string{"HV01$@" + lab.Realm, principal, "HV02", "msDS-AllowedToDelegateTo", "0x8009030E"}, service...)
	mark := s.logSize(t, lab.HV02)
	p := s.refused(t, lab.UserOperator, refusal{fault.DelegationMissing, 4, says}, app()...)
	s.offers(t, p, lab.HV01, service)
	if log := s.logSince(t, lab.HV02, mark); strings.Contains(log, "move comes in") {
		t.Errorf("HV02 heard of the move:\n%s", log)
	}
	if err := s.Directory().SetDelegation(t.Context(), lab.HV01, all...); err != nil {
		t.Fatal(err)
	}
	mark = s.logSize(t, lab.HV02)
	rec := s.mustMove(t, vm, lab.HV01, lab.HV02)
	if rec.Summary.DelegatedService != migration+"/HV02" || rec.Summary.SignIn != "own-credentials" || rec.Summary.DelegatedBy != "HV01$@"+lab.Realm {
		t.Errorf("%+v", rec.Summary)
	}
	s.logsArrival(t, mark, principal, "own-credentials", "S-1-18-1")
	s.mustMove(t, vm, lab.HV02, lab.HV01)
	vm.verify(t)
}

// logsArrival holds HV02's log against who brought a VM there.
func (s *site) logsArrival(t *testing.T, mark int64, says ...string) {
	t.Helper()
	for line := range strings.Lines(s.logSince(t, lab.HV02, mark)) {
		if !strings.Contains(line, "move comes in") {
			continue
		}
		for _, part := range append([]string{"HV01$@" + lab.Realm}, says...) {
			if !strings.Contains(line, part) {
				t.Errorf("%s does not name %s", line, part)
			}
		}
		return
	}
	t.Error("the log of HV02 has no line of the arrival")
}

func (s *site) logSize(t *testing.T, host string) int64 {
	t.Helper()
	st, err := os.Stat(s.Member(host).LogPath(lab.AgentService))
	if err != nil {
		t.Fatal(err)
	}
	return st.Size()
}

// logSince is what an agent has logged since its log had a size.
func (s *site) logSince(t *testing.T, host string, size int64) string {
	t.Helper()
	b, err := os.ReadFile(s.Member(host).LogPath(lab.AgentService))
	if err != nil {
		t.Fatal(err)
	}
	return string(b[min(size, int64(len(b))):])
}

// testLogin: drover's own sign-in is as good as kinit's, and an agent's tickets can
// be seen and forgotten.
func (s *site) testLogin(t *testing.T, vm *machine) {
	login := func(password string) lab.Result {
		cmd := s.DroverCommand(t.Context(), "login", "login", principal, "--password-stdin", "-o", "json")
		cmd.Stdin = strings.NewReader(password + "\n")
		out, err := cmd.Output()
		if cmd.ProcessState == nil {
			t.Fatal(err)
		}
		return lab.Result{Stdout: string(out), Status: cmd.ProcessState.ExitCode()}
	}
	refusal{fault.LoginFailed, 4, []string{principal, "wrong password"}}.hold(t, login("wrong"))
	if r := login(lab.UserPassword); r.Status != 0 || !strings.Contains(r.Stdout, `"forwardable": true`) {
		t.Fatalf("%+v", r)
	}
	defer s.kdestroy(t, "login")
	for _, hop := range [][2]string{{lab.HV01, lab.HV02}, {lab.HV02, lab.HV01}} {
		if r := s.as(t, "login", moveArgs(vm, hop[0], hop[1])...); r.Status != 0 {
			t.Fatalf("%+v", r)
		}
	}
	delegated := func() (n int) {
		var tickets []api.Ticket
		if err := s.DroverJSON(t.Context(), lab.UserOperator, &tickets, "ticket", "list", "--host", lab.HV01); err != nil {
			t.Fatal(err)
		}
		for _, tk := range tickets {
			if tk.Kind == "delegated" && tk.Client == principal && strings.EqualFold(tk.Service, migration+"/HV02") {
				n++
			}
		}
		return n
	}
	if delegated() == 0 {
		t.Error("no delegated ticket is listed")
	}
	var purged struct{ Purged int }
	if err := s.DroverJSON(t.Context(), lab.UserOperator, &purged, "ticket", "purge", "--host", lab.HV01); err != nil || purged.Purged == 0 {
		t.Errorf("purge: %+v, %v", purged, err)
	}
	if n := delegated(); n != 0 {
		t.Errorf("%d delegated tickets after the purge", n)
	}
}

// testNoKeytab: an agent whose keytab is gone says so, also when it is started
// like that, and goes on when the keytab is back.
func (s *site) testNoKeytab(t *testing.T) {
	for _, host := range []string{lab.HV01, lab.HV02} {
		t.Run(host, func(t *testing.T) {
			keytab := s.Member(host).Path("/etc/krb5.keytab")
			if err := os.Rename(keytab, keytab+".away"); err != nil {
				t.Fatal(err)
			}
			back := func() error { return os.Rename(keytab+".away", keytab) }
			t.Cleanup(func() {
				if _, err := os.Stat(keytab); errors.Is(err, os.ErrNotExist) && back() != nil {
					t.Error("the keytab is lost")
				}
			})
			want := refusal{fault.AgentNoKeytab, 4, []string{host, "/etc/krb5.keytab"}}
			s.refused(t, lab.UserOperator, want, app()...)
			if err := s.RestartAgent(t.Context(), host); err != nil {
				t.Fatal(err)
			}
			s.refused(t, lab.UserOperator, want, app()...)
			want.hold(t, s.as(t, lab.UserOperator, "host", "show", "--host", host, "-o", "json"))
			if _, err := s.Member(host).Run(t.Context(), lab.AssetsDir+"/bin/drover", "vm", "list"); err != nil {
				t.Errorf("the local socket: %v", err)
			}
			if err := back(); err != nil {
				t.Fatal(err)
			}
			if r := s.as(t, lab.UserOperator, app("--dry-run")...); r.Status != 0 {
				t.Errorf("with the keytab back: %+v", r)
			}
		})
	}
}

// testStaleKeytab: the account's password is reset, as a second join would; a new
// keytab cures it without a restart.
func (s *site) testStaleKeytab(t *testing.T) {
	for _, host := range []string{lab.HV01, lab.HV02} {
		t.Run(host, func(t *testing.T) {
			if err := s.Directory().SetPassword(t.Context(), lab.HostDN(host), "Another-Passw0rd-"+host); err != nil {
				t.Fatal(err)
			}
			s.refused(t, lab.UserOperator, refusal{fault.KeytabStale, 4, []string{host + "$", "/etc/krb5.keytab", host}}, app()...)
			s.run(t, lab.DC1, "rm", "-f", "/tmp/new.keytab")
			s.run(t, lab.DC1, "samba-tool", "domain", "exportkeytab", "/tmp/new.keytab", "--principal="+host+"$")
			b, err := os.ReadFile(s.Member(lab.DC1).Path("/tmp/new.keytab"))
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(s.Member(host).Path("/etc/krb5.keytab"), b, 0o600); err != nil {
				t.Fatal(err)
			}
			if r := s.as(t, lab.UserOperator, app("--dry-run")...); r.Status != 0 {
				t.Errorf("with the new keytab: %+v", r)
			}
		})
	}
}
