package labtest

import (
	"bytes"
	"encoding/json"
	"slices"
	"testing"

	"drover/internal/config"
	"drover/internal/fault"
	"drover/internal/record"
	"drover/lab"
)

// TestLocal: whoever works on the host itself, without a ticket. The host asks for
// one in their name, which its account must be trusted for.
func TestLocal(t *testing.T) {
	s := startSite(t, lab.Options{Name: "local", Hosts: []string{lab.HV01, lab.HV02}})
	vm := s.newVM(t, lab.HV01, "APP01", 101)
	for _, c := range []struct {
		name string
		test func(*testing.T)
	}{
		{"principals", s.testLocalPrincipals},
		{"protocol transition", s.testTransition},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.test(t)
			vm.lives(t)
		})
	}
	t.Run("users and groups", func(t *testing.T) { s.testLocalUsers(t, vm) })
	t.Run("root", func(t *testing.T) { s.testLocalRoot(t, vm) })
}

// locally runs drover on a host by the local socket, as a user of that host.
func (s *site) locally(t *testing.T, host, user string, args ...string) lab.Result {
	t.Helper()
	argv := append([]string{"setpriv", "--reuid", user, "--regid", user, "--init-groups", "--", lab.AssetsDir + "/bin/drover"}, args...)
	cmd := s.Member(host).Command(t.Context(), argv...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return lab.Result{Stdout: out.String(), Stderr: errs.String(), Status: cmd.ProcessState.ExitCode()}
}

// here is the arguments of a move of APP01 by the local socket.
func here(to string) []string {
	return []string{"move", "APP01", "--to", to, "--include-storage", "-o", "json"}
}

func (s *site) refusedLocally(t *testing.T, user string, want refusal) *fault.Problem {
	t.Helper()
	before := s.pictures(t)
	p := want.hold(t, s.locally(t, lab.HV01, user, here(lab.HV02)...))
	s.unchanged(t, before)
	return p
}

func (s *site) testLocalPrincipals(t *testing.T) {
	for _, c := range []struct {
		name   string
		users  map[string]string
		refuse refusal
	}{
		{"none", nil, refusal{fault.LocalUserUnmapped, 4, []string{"root", "HV01"}}},
		{"unknown to the directory", map[string]string{"root": "ghost@" + lab.Realm}, refusal{fault.OperatorUnknown, 4, []string{"ghost@" + lab.Realm}}},
		{"disabled", map[string]string{"root": lab.UserDisabled + "@" + lab.Realm}, refusal{fault.OperatorUnknown, 4, []string{lab.UserDisabled}}},
		{"sensitive", map[string]string{"root": lab.UserSensitive + "@" + lab.Realm}, refusal{fault.OperatorSensitive, 4, []string{lab.UserSensitive, "0x8009030E"}}},
		{"without a role at the destination", map[string]string{"root": lab.UserViewer + "@" + lab.Realm}, refusal{fault.RoleMissing, 4, []string{lab.UserViewer, "operator", "HV02"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s.reconfigure(t, lab.HV01, func(conf *config.Config) { conf.LocalUsers = c.users })
			s.refusedLocally(t, "root", c.refuse)
		})
	}
}

// testTransition: the account is not trusted for any protocol any more.
func (s *site) testTransition(t *testing.T) {
	if err := s.Directory().ChangeFlags(t.Context(), lab.HostDN(lab.HV01), 0, lab.FlagTrustedToAuthForDlg); err != nil {
		t.Fatal(err)
	}
	defer s.resetDirectory(t)
	says := []string{"HV01$", lab.UserAdmin + "@" + lab.Realm, "TRUSTED_TO_AUTH_FOR_DELEGATION", "0x8009030E"}
	p := s.refusedLocally(t, "root", refusal{fault.DelegationNoProtocol, 4, says})
	s.offers(t, p, lab.HV01, []string{"for-any-protocol"})
	// Operators with a ticket of their own are not concerned.
	if r := s.as(t, lab.UserOperator, app("--dry-run")...); r.Status != 0 {
		t.Errorf("with a ticket: %+v", r)
	}
}

// testLocalUsers: a local group gives a role at the source; the principal that the
// user stands for needs one at the destination.
func (s *site) testLocalUsers(t *testing.T, vm *machine) {
	refusal{fault.RoleMissing, 4, []string{"games", "operator", "HV01"}}.hold(t, s.locally(t, lab.HV01, "games", here(lab.HV02)...))
	s.reconfigure(t, lab.HV01, func(c *config.Config) {
		c.Roles.Operator = append(c.Roles.Operator, "local:games")
		c.LocalUsers = map[string]string{"games": principal}
	})
	rec := s.movedLocally(t, lab.HV01, "games", lab.HV02)
	if rec.Operator != principal {
		t.Errorf("operator %s", rec.Operator)
	}
	s.assertClean(t, vm, lab.HV01)
	s.mustMove(t, vm, lab.HV02, lab.HV01)
}

// testLocalRoot: the move is done as the principal that root stands for, and both
// sides say that nobody but the host vouched for it.
func (s *site) testLocalRoot(t *testing.T, vm *machine) {
	mark := s.logSize(t, lab.HV02)
	rec := s.movedLocally(t, lab.HV01, "root", lab.HV02)
	admin := lab.UserAdmin + "@" + lab.Realm
	if sum := rec.Summary; sum.SignIn != "service-asserted" || sum.Operator != admin || sum.DelegatedBy != "HV01$@"+lab.Realm {
		t.Errorf("%+v", sum)
	}
	if rec.Plan.Delegation.Method != "protocol-transition" {
		t.Errorf("%+v", rec.Plan.Delegation)
	}
	s.logsArrival(t, mark, admin, "service-asserted", "S-1-18-2")
	vm.verify(t)
	s.assertClean(t, vm, lab.HV01)
	recs, err := s.moves(t.Context(), lab.HV02)
	if err != nil || !slices.ContainsFunc(recs, func(r record.Record) bool { return r.ID == rec.ID && r.Operator == admin }) {
		t.Errorf("HV02's records: %v, %v", recs, err)
	}
}

func (s *site) movedLocally(t *testing.T, host, user, to string) (rec record.Record) {
	t.Helper()
	r := s.locally(t, host, user, here(to)...)
	if err := json.Unmarshal([]byte(r.Stdout), &rec); err != nil || r.Status != 0 || rec.Phase != record.Done {
		t.Fatalf("status %d, %v: %s%s", r.Status, err, r.Stdout, r.Stderr)
	}
	return rec
}
