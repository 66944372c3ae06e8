package labtest

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"drover/internal/delegation"
	"drover/internal/directory"
	"drover/internal/fault"
	"drover/lab"
)

// office is a lab with a directory and a workstation, where an administrator of
// the domain has signed in.
type office struct{ *lab.Lab }

var allHosts = []string{lab.HV01, lab.HV02, lab.HV03, lab.HV04}

func startOffice(t *testing.T, o lab.Options) *office {
	t.Helper()
	o.NoAgents = o.Agent == ""
	if o.Directory == "" {
		o.Directory = os.Getenv(directoryEnv)
	}
	if o.Hosts == nil {
		o.Hosts = []string{}
	}
	s := &office{lab.Start(t, o)}
	if err := s.KInit(t.Context(), lab.UserAdministrator); err != nil {
		t.Fatal(err)
	}
	return s
}

// run runs drover as the domain's administrator on the workstation.
func (s *office) run(t *testing.T, args ...string) lab.Result {
	t.Helper()
	r, err := s.Drover(t.Context(), lab.UserAdministrator, args...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// must is a run that has to succeed; it gives what was printed.
func (s *office) must(t *testing.T, args ...string) string {
	t.Helper()
	r := s.run(t, args...)
	if r.Status != 0 {
		t.Fatalf("drover %s: status %d\n%s%s", strings.Join(args, " "), r.Status, r.Stdout, r.Stderr)
	}
	return r.Stdout
}

// plan gives what `delegation plan` prints as JSON.
func (s *office) plan(t *testing.T, args ...string) delegation.Plan {
	t.Helper()
	var p delegation.Plan
	out := s.must(t, append([]string{"delegation", "plan", "-o", "json"}, args...)...)
	if err := json.Unmarshal([]byte(out), &p); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return p
}

// apply applies a plan of the given kind and gives the path of the baseline, on the
// workstation.
func (s *office) apply(t *testing.T, args ...string) string {
	t.Helper()
	s.must(t, append([]string{"delegation", "plan", "--out", "/tmp/plan.json"}, args...)...)
	var r struct{ Baseline string }
	out := s.must(t, "delegation", "apply", "/tmp/plan.json", "--yes", "-o", "json")
	if err := json.Unmarshal([]byte(out), &r); err != nil || r.Baseline == "" {
		t.Fatalf("no baseline: %v\n%s", err, out)
	}
	return r.Baseline
}

// clear takes every delegation from every host, as before anybody set it up.
func (s *office) clear(t *testing.T) {
	t.Helper()
	for _, h := range allHosts {
		d := s.Directory()
		for _, err := range []error{
			d.SetDelegation(t.Context(), h),
			d.Replace(t.Context(), lab.HostDN(h), directory.AttributeActOnBehalf),
			d.ChangeFlags(t.Context(), lab.HostDN(h), 0, lab.FlagTrustedToAuthForDlg|lab.FlagTrustedForDelegate),
		} {
			if err != nil {
				t.Fatal(err)
			}
		}
	}
}

// state is every attribute that delegation is in, of every host, byte for byte.
func (s *office) state(t *testing.T) map[string][]string {
	t.Helper()
	out := map[string][]string{}
	for _, h := range allHosts {
		for _, a := range []string{directory.AttributeDelegateTo, directory.AttributeFlags, directory.AttributeActOnBehalf} {
			v, err := s.Directory().Values(t.Context(), lab.HostDN(h), a)
			if err != nil {
				t.Fatal(err)
			}
			out[h+" "+a] = v
		}
	}
	return out
}

func (s *office) same(t *testing.T, what string, want map[string][]string) {
	t.Helper()
	if diff := cmp.Diff(want, s.state(t)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

func states(p delegation.Plan) map[delegation.PairState]int {
	n := map[delegation.PairState]int{}
	for _, pair := range p.Pairs {
		n[pair.State]++
	}
	return n
}

func TestDelegationOfFourHosts(t *testing.T) {
	for _, samba := range []string{"machine", "trixie"} {
		t.Run(samba, func(t *testing.T) {
			fourHosts(t, startOffice(t, lab.Options{Name: "deleg4", Directory: samba, Hosts: allHosts, Agent: agentProgram}))
		})
	}
}

func fourHosts(t *testing.T, s *office) {
	s.clear(t)
	before := s.state(t)
	p := s.plan(t, allHosts...)
	if want := map[delegation.PairState]int{delegation.Absent: 12}; !maps.Equal(states(p), want) {
		t.Fatalf("directions before: %v", states(p))
	}
	baseline := s.apply(t, allHosts...)
	if p = s.plan(t, allHosts...); !p.Empty() || states(p)[delegation.Complete] != 12 {
		t.Errorf("the same plan again is not empty: %+v", p.Changes)
	}
	if err := s.KInit(t.Context(), lab.UserOperator); err != nil {
		t.Fatal(err)
	}
	r, err := s.Drover(t.Context(), lab.UserOperator, "delegation", "verify", "-o", "json")
	if err != nil || r.Status != 0 || strings.Count(r.Stdout, `"state": "ok"`) != 12 {
		t.Errorf("not all of 12 directions are good: %v\n%s%s", err, r.Stdout, r.Stderr)
	}
	after := s.state(t)
	s.must(t, "delegation", "rollback", baseline, "--dry-run")
	s.same(t, "a dry run changed something", after)
	s.must(t, "delegation", "rollback", baseline, "--yes")
	s.same(t, "the rollback is not what was there before", before)

	// One host only, with ldapmodify from the workstation in place of drover.
	baseline = s.apply(t, allHosts...)
	s.must(t, "delegation", "rollback", baseline, "--host", lab.HV02, "--yes")
	part := maps.Clone(after)
	for k, v := range before {
		if strings.HasPrefix(k, lab.HV02) {
			part[k] = v
		}
	}
	s.same(t, "the rollback of one host", part)
	s.ldapmodify(t, s.read(t, baseline))
	s.same(t, "the baseline by ldapmodify", before)
}

// read gives a file of the workstation.
func (s *office) read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(s.Member(lab.MGMT).Path(path))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// ldapmodify applies LDIF as the administrator, with the standard tool.
func (s *office) ldapmodify(t *testing.T, ldif string) {
	t.Helper()
	cmd := s.Member(lab.MGMT).Command(t.Context(), "ldapmodify", "-Q", "-Y", "GSSAPI", "-H", "ldap://dc1."+lab.Domain)
	cmd.Env = append(cmd.Env, "KRB5CCNAME=/tmp/krb5cc_"+lab.UserAdministrator)
	cmd.Stdin = strings.NewReader(ldif)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("ldapmodify: %v\n%s\n%s", err, out, ldif)
	}
}

// shell runs a script with the administrator's ticket on the domain controller,
// which has samba-tool.
func (s *office) shell(t *testing.T, script string) {
	t.Helper()
	dir := s.Member(lab.DC1).Path("/tmp")
	file := filepath.Join(dir, "delegation.sh")
	ticket, err := os.ReadFile(s.Member(lab.MGMT).Path("/tmp/krb5cc_" + lab.UserAdministrator))
	if err != nil {
		t.Fatal(err)
	}
	for path, content := range map[string][]byte{file: []byte(script), filepath.Join(dir, "ticket"): ticket} {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := s.Member(lab.DC1).Command(t.Context(), "sh", "/tmp/delegation.sh", "--use-kerberos=required")
	cmd.Env = append(cmd.Env, "KRB5CCNAME=/tmp/ticket")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s\n%s", err, out, script)
	}
}

// printed compares what the scripts do with what apply does, from the same start.
func (s *office) printed(t *testing.T, start func(), args ...string) {
	t.Helper()
	start()
	s.apply(t, args...)
	want := s.state(t)
	for script, run := range map[string]func(*testing.T, string){"ldif": s.ldapmodify, "samba-tool": s.shell} {
		start()
		s.must(t, append([]string{"delegation", "plan", "--out", "/tmp/plan.json"}, args...)...)
		run(t, s.must(t, "delegation", "apply", "/tmp/plan.json", "--print", script))
		s.same(t, "what the "+script+" script did", want)
		if p := s.plan(t, args...); !p.Empty() {
			t.Errorf("after the %s script the plan is not empty: %+v", script, p.Changes)
		}
	}
}

func TestPrintedScriptsDoWhatApplyDoes(t *testing.T) {
	s := startOffice(t, lab.Options{Name: "delegprint"})
	s.printed(t, func() { s.clear(t) }, allHosts...)
	// With something to remove: values of other services, and the flag.
	s.printed(t, func() {
		s.clear(t)
		for _, err := range []error{
			s.Directory().SetDelegation(t.Context(), lab.HV01, append(lab.DelegationTo(lab.HV02), "MSSQLSvc/db01:1433", "cifs/GONE")...),
			s.Directory().ChangeFlags(t.Context(), lab.HostDN(lab.HV01), lab.FlagTrustedToAuthForDlg, 0),
		} {
			if err != nil {
				t.Fatal(err)
			}
		}
	}, "--prune", "--protocol", "kerberos", "--one-way", "HV01:HV03")
}

func TestPruneTakesOnlyWhatItLists(t *testing.T) {
	s := startOffice(t, lab.Options{Name: "delegprune"})
	other := "MSSQLSvc/db01.lab.drover.test:1433"
	if err := s.Directory().AddDelegation(t.Context(), lab.HV01, other); err != nil {
		t.Fatal(err)
	}
	hosts := []string{lab.HV01, lab.HV02, lab.HV03}
	p := s.plan(t, hosts...)
	if !p.Empty() || !slices.Contains(p.Hosts[0].Other, other) {
		t.Errorf("without --prune: changes %+v, other %q", p.Changes, p.Hosts[0].Other)
	}
	p = s.plan(t, append(hosts, "--prune")...)
	if len(p.Changes) != 1 || !slices.Equal(p.Changes[0].Delete, []string{other}) {
		t.Fatalf("with --prune: %+v", p.Changes)
	}
	s.apply(t, append(hosts, "--prune")...)
	values, err := s.Directory().Delegation(t.Context(), lab.HV01)
	if err != nil || slices.Contains(values, other) || len(values) != 12 {
		t.Errorf("afterwards: %q, %v", values, err)
	}
}

func problemOf(t *testing.T, r lab.Result) fault.Problem {
	t.Helper()
	var p struct {
		Error   fault.Problem
		Objects []delegation.ObjectResult
	}
	if err := json.Unmarshal([]byte(r.Stdout), &p); err != nil {
		t.Fatalf("status %d: %v\n%s%s", r.Status, err, r.Stdout, r.Stderr)
	}
	return p.Error
}

func TestDelegationRefusals(t *testing.T) {
	s := startOffice(t, lab.Options{Name: "delegbad"})
	ctx := t.Context()
	s.must(t, "delegation", "plan", lab.HV01, lab.HV04, "--out", "/tmp/plan.json")
	before := s.state(t)

	// Somebody without rights is told which attribute of which object, and who may.
	if err := s.KInit(ctx, lab.UserOperator); err != nil {
		t.Fatal(err)
	}
	r, err := s.Drover(ctx, lab.UserOperator, "delegation", "apply", "/tmp/plan.json", "--yes", "-o", "json", "--baseline", "/tmp/b1.ldif")
	if err != nil {
		t.Fatal(err)
	}
	var result struct {
		Objects []delegation.ObjectResult
		Error   fault.Problem
	}
	if err := json.Unmarshal([]byte(r.Stdout), &result); err != nil || r.Status == 0 || len(result.Objects) != 2 {
		t.Fatalf("without rights: status %d, %v\n%s%s", r.Status, err, r.Stdout, r.Stderr)
	}
	for _, o := range result.Objects {
		if o.Error == nil || o.Error.Code != fault.DirectoryAccessDenied || !strings.Contains(o.Error.Detail, "msDS-AllowedToDelegateTo") ||
			!strings.Contains(o.Error.Detail, o.DN) || !strings.Contains(o.Error.Detail, "Domain Admins") {
			t.Errorf("without rights: %+v", o.Error)
		}
	}
	s.same(t, "somebody without rights changed something", before)

	// An attribute that changed since the plan is left alone; the others are done.
	if err := s.Directory().AddDelegation(ctx, lab.HV01, "MSSQLSvc/db01:1433"); err != nil {
		t.Fatal(err)
	}
	r = s.run(t, "delegation", "apply", "/tmp/plan.json", "--yes", "-o", "json", "--baseline", "/tmp/b2.ldif")
	if err := json.Unmarshal([]byte(r.Stdout), &result); err != nil || result.Error.Code != fault.PlanPartlyApplied {
		t.Fatalf("a stale plan: %v\n%s%s", err, r.Stdout, r.Stderr)
	}
	for _, o := range result.Objects {
		stale := strings.HasPrefix(o.Account, lab.HV01)
		if stale && (o.Error == nil || o.Error.Code != fault.PlanStale) || !stale && o.Outcome != delegation.Applied {
			t.Errorf("a stale plan: %+v, %+v", o, o.Error)
		}
	}
	if v, _ := s.Directory().Delegation(ctx, lab.HV01); len(v) != 13 {
		t.Errorf("HV01 has %q", v)
	}

	// A baseline is never overwritten, and without one nothing happens.
	state := s.state(t)
	r = s.run(t, "delegation", "apply", "--one-way", "HV02:HV04", "--yes", "-o", "json", "--baseline", "/tmp/b2.ldif")
	if p := problemOf(t, r); p.Code != fault.BaselineNotWritten {
		t.Errorf("a baseline that is there: %+v", p)
	}
	s.same(t, "without a baseline something was changed", state)

	// The plan and the baseline of another domain.
	for _, file := range []string{"/tmp/plan.json", "/tmp/b2.ldif"} {
		s.edit(t, file, func(text string) string { return foreignSID(t, text) })
	}
	if p := problemOf(t, s.run(t, "delegation", "apply", "/tmp/plan.json", "--yes", "-o", "json")); p.Code != fault.PlanOtherDomain {
		t.Errorf("another domain's plan: %+v", p)
	}
	if p := problemOf(t, s.run(t, "delegation", "rollback", "/tmp/b2.ldif", "--yes", "-o", "json")); p.Code != fault.BaselineOtherDomain {
		t.Errorf("another domain's baseline: %+v", p)
	}
	s.same(t, "another domain's values were written", state)
}

// foreignSID replaces the domain's SID.
func foreignSID(t *testing.T, text string) string {
	t.Helper()
	i := strings.Index(text, "S-1-5-21-")
	if i < 0 {
		t.Fatalf("no SID in\n%s", text)
	}
	end := i + strings.IndexAny(text[i:], "\"\n")
	return strings.ReplaceAll(text, text[i:end], "S-1-5-21-1-2-3")
}

func (s *office) edit(t *testing.T, path string, change func(string) string) {
	t.Helper()
	if err := os.WriteFile(s.Member(lab.MGMT).Path(path), []byte(change(s.read(t, path))), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestHostsThatCannotTakePart(t *testing.T) {
	s := startOffice(t, lab.Options{Name: "delegwho"})
	ctx := t.Context()
	ldif := fmt.Sprintf("dn: CN=CLUSTER1,CN=Computers,%s\nchangetype: add\nobjectClass: computer\nsAMAccountName: CLUSTER1$\nuserAccountControl: 4096\nservicePrincipalName: MSClusterVirtualServer/CLUSTER1\n", lab.BaseDN)
	if err := s.Directory().Modify(ctx, ldif); err != nil {
		t.Fatal(err)
	}
	if err := s.Directory().ChangeFlags(ctx, lab.HostDN(lab.HV03), lab.FlagDisabled, 0); err != nil {
		t.Fatal(err)
	}
	for name, code := range map[string]fault.Code{
		"HV99": fault.HostNotInDirectory, "10.77.0.12": fault.HostNameIsAddress, "operator": fault.HostIsUser,
		"CLUSTER1": fault.HostIsCluster, "HV03": fault.HostAccountDisabled,
	} {
		if p := problemOf(t, s.run(t, "delegation", "plan", lab.HV01, name, "-o", "json")); p.Code != code {
			t.Errorf("%s: %+v, want %s", name, p, code)
		}
	}
	// Whoever takes what is there is not stopped by them.
	if p := s.plan(t); len(p.Hosts) != 3 {
		t.Errorf("without names: %+v", p.Hosts)
	}
}
