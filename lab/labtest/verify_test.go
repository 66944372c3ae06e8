package labtest

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"drover/internal/doctor"
	"drover/internal/fault"
	"drover/internal/finding"
	"drover/internal/spn"
	"drover/lab"
)

var meshHosts = []string{lab.HV01, lab.HV02, lab.HV03}

// check runs `drover delegation verify` for the three hosts as a user and gives
// what it found.
func (s *site) check(t *testing.T, user string, flags ...string) (doctor.Matrix, lab.Result) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	args := append([]string{"delegation", "verify"}, flags...)
	r, err := s.Drover(ctx, user, append(args, "-o", "json")...)
	if err != nil {
		t.Fatal(err)
	}
	var m doctor.Matrix
	if err := json.Unmarshal([]byte(r.Stdout), &m); err != nil || len(m.Pairs) == 0 {
		t.Fatalf("drover printed no matrix (%v): %s%s", err, r.Stdout, r.Stderr)
	}
	return m, r
}

func (s *site) checkMesh(t *testing.T, user string, flags ...string) (doctor.Matrix, lab.Result) {
	t.Helper()
	return s.check(t, user, append(slices.Clone(meshHosts), flags...)...)
}

func directionsIn(m doctor.Matrix, state doctor.VerifyState) (out []string) {
	for _, p := range m.Pairs {
		if p.State == state {
			out = append(out, p.Direction.String())
		}
	}
	return out
}

func findingsOf(m doctor.Matrix, direction string) []finding.Finding {
	for _, p := range m.Pairs {
		if p.Direction.String() == direction {
			return p.Findings
		}
	}
	return nil
}

func hasCode(fs []finding.Finding, code fault.Code) bool {
	return slices.ContainsFunc(fs, func(f finding.Finding) bool { return f.Code == code })
}

func TestVerify(t *testing.T) {
	s := startSite(t, lab.Options{Name: "verify", Hosts: meshHosts})
	for _, user := range []string{lab.UserAdmin, lab.UserSensitive, lab.UserProtected} {
		s.signIn(t, user)
	}
	t.Run("whole mesh", s.testMeshIsGreen)
	t.Run("each value", s.testEachValue)
	t.Run("causes", s.testCauses)
	t.Run("somebody else", s.testSomebodyElse)
	t.Run("agent away", s.testAgentAway)
	t.Run("keytab", s.testKeytab)
	t.Run("stale keytab", s.testStaleKey) // last: HV03 has no good key afterwards
}

func (s *site) testMeshIsGreen(t *testing.T) {
	m, r := s.checkMesh(t, lab.UserOperator)
	if got := directionsIn(m, doctor.Passed); r.Status != 0 || len(got) != 6 || len(m.Pairs) != 6 {
		t.Fatalf("status %d, ok are %v\n%s%s", r.Status, got, r.Stdout, r.Stderr)
	}
	for _, p := range m.Pairs {
		methods := map[string]int{}
		for _, a := range p.Attempts {
			methods[a.Method]++
		}
		if methods[doctor.ByTicket] != 4 || methods[doctor.ByTransition] != 4 {
			t.Errorf("%s: attempts %v", p.Direction, methods)
		}
	}
	table := s.drover(t, append([]string{"delegation", "verify"}, meshHosts...)...)
	if table.Status != 0 || !strings.Contains(table.Stdout, "dc1."+lab.Domain) || !strings.Contains(table.Stdout, "HV02  ok    -     ok\n") ||
		strings.Contains(table.Stdout, "\x1b") {
		t.Errorf("status %d\n%s", table.Status, table.Stdout)
	}
}

// testEachValue takes single values away, every one of HV01's and some of the
// others', and puts them back. All combinations are tried without a lab, in doctor.
func (s *site) testEachValue(t *testing.T) {
	x, ctx := s.Directory(), t.Context()
	for n, source := range meshHosts {
		values, err := x.Delegation(ctx, source)
		if err != nil || len(values) != 12 {
			t.Fatalf("%v %q", err, values)
		}
		for i, value := range values {
			if source != lab.HV01 && i%4 != n%4 {
				continue
			}
			if err := x.RemoveDelegation(ctx, source, value); err != nil {
				t.Fatal(err)
			}
			m, r := s.checkMesh(t, lab.UserOperator)
			if err := x.AddDelegation(ctx, source, value); err != nil {
				t.Fatal(err)
			}
			name, err := spn.Parse(value)
			if err != nil {
				t.Fatal(err)
			}
			want := source + ":" + strings.ToUpper(name.ShortHost())
			if got := directionsIn(m, doctor.FailedPair); r.Status != 11 || !slices.Equal(got, []string{want}) || len(directionsIn(m, doctor.Passed)) != 5 {
				t.Errorf("without %q on %s: status %d, failed are %v", value, source, r.Status, got)
				continue
			}
			if fs := findingsOf(m, want); len(fs) != 1 || !slices.Equal(fs[0].Values, []string{value}) {
				t.Errorf("without %q on %s: %+v", value, source, fs)
			}
		}
	}
	if m, _ := s.checkMesh(t, lab.UserOperator); len(directionsIn(m, doctor.Passed)) != 6 {
		t.Error("not green afterwards")
	}
}

func (s *site) testCauses(t *testing.T) {
	from1, to2 := []string{"HV01:HV02", "HV01:HV03"}, []string{"HV01:HV02", "HV03:HV02"}
	all := []string{"HV01:HV02", "HV01:HV03", "HV02:HV01", "HV02:HV03", "HV03:HV01", "HV03:HV02"}
	list := lab.DelegationTo(lab.HV02, lab.HV03)
	full := func(v string) bool { return strings.Contains(v, ".") }
	dn, nobody := lab.HostDN(lab.HV01), lab.UserDN(lab.UserNobody)
	for _, c := range []struct {
		name   string
		user   string
		change func(context.Context, *lab.Directory) error
		undo   func(context.Context, *lab.Directory) error
		failed []string
		pair   []fault.Code
		matrix fault.Code
	}{
		{name: "on a user account", failed: from1, pair: []fault.Code{fault.DelegationIncomplete, fault.DelegationWrongObject},
			change: func(ctx context.Context, x *lab.Directory) error {
				if err := x.SetDelegation(ctx, lab.HV01); err != nil {
					return err
				}
				return x.Replace(ctx, nobody, "msDS-AllowedToDelegateTo", list...)
			},
			undo: func(ctx context.Context, x *lab.Directory) error {
				return x.Replace(ctx, nobody, "msDS-AllowedToDelegateTo")
			}},
		{name: "short names only", failed: from1, pair: []fault.Code{fault.DelegationShortOnly}, change: func(ctx context.Context, x *lab.Directory) error {
			return x.SetDelegation(ctx, lab.HV01, slices.DeleteFunc(slices.Clone(list), full)...)
		}},
		{name: "full names only", failed: from1, pair: []fault.Code{fault.DelegationFullOnly}, change: func(ctx context.Context, x *lab.Directory) error {
			return x.SetDelegation(ctx, lab.HV01, slices.DeleteFunc(slices.Clone(list), func(v string) bool { return !full(v) })...)
		}},
		{name: "Kerberos only, operator by transition", failed: from1, pair: []fault.Code{fault.TransitionMissing}, change: func(ctx context.Context, x *lab.Directory) error {
			return x.ChangeFlags(ctx, dn, 0, lab.FlagTrustedToAuthForDlg)
		}},
		{name: "sensitive operator", user: lab.UserSensitive, failed: all, matrix: fault.OperatorSensitive},
		{name: "Protected Users", user: lab.UserProtected, failed: all, matrix: fault.OperatorSensitive},
		{name: "service name missing", failed: to2, pair: []fault.Code{fault.ServiceNameMissing}, change: func(ctx context.Context, x *lab.Directory) error {
			return x.Remove(ctx, lab.HostDN(lab.HV02), "servicePrincipalName", spn.Twin(migration+"/HV02"))
		}},
		{name: "cifs missing", failed: []string{"HV01:HV02"}, pair: []fault.Code{fault.DelegationIncomplete}, change: func(ctx context.Context, x *lab.Directory) error {
			return x.RemoveDelegation(ctx, lab.HV01, lab.ServiceNames(lab.HV02, "cifs")...)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			x := s.Directory()
			t.Cleanup(func() {
				ctx := context.Background()
				if c.undo != nil {
					if err := c.undo(ctx, x); err != nil {
						t.Error(err)
					}
				}
				if err := x.Reset(ctx); err != nil {
					t.Error(err)
				}
			})
			if c.change != nil {
				if err := c.change(t.Context(), x); err != nil {
					t.Fatal(err)
				}
			}
			user := lab.UserOperator
			if c.user != "" {
				user = c.user
			}
			m, r := s.checkMesh(t, user)
			if got := directionsIn(m, doctor.FailedPair); r.Status != 11 || !slices.Equal(got, c.failed) {
				t.Errorf("status %d, failed are %v, want %v\n%s", r.Status, got, c.failed, r.Stdout)
			}
			for _, direction := range c.failed {
				var got []fault.Code
				for _, f := range findingsOf(m, direction) {
					got = append(got, f.Code)
				}
				if !slices.Equal(got, c.pair) {
					t.Errorf("%s: %v, want %v: %+v", direction, got, c.pair, findingsOf(m, direction))
				}
			}
			if c.matrix == "" && len(m.Findings) > 0 || c.matrix != "" && !hasCode(m.Findings, c.matrix) {
				t.Errorf("of the matrix: %+v, want %q", m.Findings, c.matrix)
			}
		})
	}
}

// testSomebodyElse: only an administrator of the host may try in another's name.
func (s *site) testSomebodyElse(t *testing.T) {
	m, r := s.checkMesh(t, lab.UserAdmin, "--operator", lab.UserOperator)
	if got := directionsIn(m, doctor.Passed); r.Status != 0 || len(got) != 6 || m.Operator != lab.UserOperator+"@"+lab.Realm {
		t.Errorf("status %d, %s, ok are %v\n%s", r.Status, m.Operator, got, r.Stdout)
	}
	for _, a := range m.Pairs[0].Attempts {
		if a.Method != doctor.ByTransition || a.Operator != m.Operator {
			t.Errorf("%+v", a)
		}
	}
	m, r = s.checkMesh(t, lab.UserOperator, "--operator", lab.UserAdmin)
	if got := directionsIn(m, doctor.Unchecked); r.Status != 10 || len(got) != 6 || !hasCode(findingsOf(m, "HV01:HV02"), fault.NotChecked) {
		t.Errorf("status %d, not checked are %v\n%s", r.Status, got, r.Stdout)
	}
	m, r = s.checkMesh(t, lab.UserAdmin, "--operator", "nosuch")
	if got := directionsIn(m, doctor.FailedPair); r.Status != 11 || len(got) != 6 || !hasCode(m.Findings, fault.OperatorUnknown) {
		t.Errorf("status %d, failed are %v\n%s", r.Status, got, r.Stdout)
	}
	m, r = s.checkMesh(t, lab.UserAdmin, "--operator", lab.UserDisabled)
	if got := directionsIn(m, doctor.FailedPair); r.Status != 11 || len(got) != 6 || !hasCode(m.Findings, fault.OperatorDisabled) {
		t.Errorf("status %d, failed are %v\n%s", r.Status, got, r.Stdout)
	}
}

// testAgentAway: what nobody tried is not taken for good, nor hides what is wrong.
func (s *site) testAgentAway(t *testing.T) {
	ctx, x := t.Context(), s.Directory()
	if _, err := s.StopAgent(ctx, lab.HV03); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.StartAgent(context.Background(), lab.HV03); err != nil {
			t.Error(err)
		}
	})
	m, r := s.checkMesh(t, lab.UserOperator)
	if got := directionsIn(m, doctor.Unchecked); r.Status != 10 || !slices.Equal(got, []string{"HV03:HV01", "HV03:HV02"}) || len(directionsIn(m, doctor.Passed)) != 4 {
		t.Errorf("status %d, not checked are %v\n%s", r.Status, got, r.Stdout)
	}
	value := "cifs/" + lab.HV01
	if err := x.RemoveDelegation(ctx, lab.HV03, value); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := x.AddDelegation(context.Background(), lab.HV03, value); err != nil {
			t.Error(err)
		}
	})
	m, r = s.check(t, lab.UserOperator, "HV03:HV01")
	if fs := findingsOf(m, "HV03:HV01"); r.Status != 11 || !hasCode(fs, fault.DelegationIncomplete) || !hasCode(fs, fault.NotChecked) {
		t.Errorf("status %d\n%s", r.Status, r.Stdout)
	}
}

// hostsKeytab puts the keys of hosts into one keytab on the workstation.
func (s *site) hostsKeytab(t *testing.T, path string, hosts ...string) {
	t.Helper()
	var all []byte
	for _, h := range hosts {
		b, err := os.ReadFile(s.Member(h).Path("/etc/krb5.keytab"))
		if err != nil {
			t.Fatal(err)
		}
		if all == nil {
			all = bytes.Clone(b)
		} else {
			all = append(all, b[2:]...) // after the version of the format
		}
	}
	if err := os.WriteFile(s.Member(lab.MGMT).Path(path), all, 0o600); err != nil {
		t.Fatal(err)
	}
}

func (s *site) testKeytab(t *testing.T) {
	for _, h := range meshHosts {
		if _, err := s.StopAgent(t.Context(), h); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := s.StartAgent(context.Background(), h); err != nil {
				t.Error(err)
			}
		})
	}
	s.hostsKeytab(t, "/root/hosts.keytab", meshHosts...)
	m, r := s.checkMesh(t, lab.UserOperator, "--keytab", "/root/hosts.keytab")
	if got := directionsIn(m, doctor.Passed); r.Status != 0 || len(got) != 6 || len(m.Pairs[0].Attempts) != 8 {
		t.Fatalf("status %d, ok are %v\n%s%s", r.Status, got, r.Stdout, r.Stderr)
	}
	m, r = s.checkMesh(t, lab.UserOperator, "--keytab", "/root/hosts.keytab", "--operator", lab.UserAdmin)
	if got := directionsIn(m, doctor.Passed); r.Status != 0 || len(got) != 6 {
		t.Errorf("in another's name, with the keys: status %d, ok are %v\n%s%s", r.Status, got, r.Stdout, r.Stderr)
	}
	s.hostsKeytab(t, "/root/one.keytab", lab.HV02)
	m, r = s.checkMesh(t, lab.UserOperator, "--keytab", "/root/one.keytab")
	if got := directionsIn(m, doctor.Passed); r.Status != 10 || !slices.Equal(got, []string{"HV02:HV01", "HV02:HV03"}) || len(directionsIn(m, doctor.Unchecked)) != 4 {
		t.Errorf("with one key: status %d, ok are %v\n%s%s", r.Status, got, r.Stdout, r.Stderr)
	}
	value := spn.Twin(migration + "/HV03")
	if err := s.Directory().RemoveDelegation(t.Context(), lab.HV02, value); err != nil {
		t.Fatal(err)
	}
	defer s.Directory().AddDelegation(context.Background(), lab.HV02, value)
	m, r = s.checkMesh(t, lab.UserOperator, "--keytab", "/root/hosts.keytab")
	if got := directionsIn(m, doctor.FailedPair); r.Status != 11 || !slices.Equal(got, []string{"HV02:HV03"}) {
		t.Errorf("status %d, failed are %v\n%s%s", r.Status, got, r.Stdout, r.Stderr)
	}
}

func (s *site) testStaleKey(t *testing.T) {
	s.hostsKeytab(t, "/root/hosts.keytab", meshHosts...)
	if err := s.Directory().SetPassword(t.Context(), lab.HostDN(lab.HV03), "Other-Passw0rd-3"); err != nil {
		t.Fatal(err)
	}
	for _, flags := range [][]string{nil, {"--keytab", "/root/hosts.keytab"}} {
		m, r := s.checkMesh(t, lab.UserOperator, flags...)
		if got := directionsIn(m, doctor.FailedPair); r.Status != 11 || !slices.Equal(got, []string{"HV03:HV01", "HV03:HV02"}) {
			t.Errorf("%v: status %d, failed are %v\n%s%s", flags, r.Status, got, r.Stdout, r.Stderr)
		}
		if fs := findingsOf(m, "HV03:HV01"); len(fs) != 1 || fs[0].Code != fault.KeytabStale {
			t.Errorf("%v: %+v", flags, fs)
		}
	}
}

// The other models, which need a controller of Samba 4.19 or later. That they are
// written is another test; here they are made by Samba's own tool.
func TestVerifyResourceBased(t *testing.T) {
	s := startSite(t, lab.Options{Name: "verifyrb", Directory: "trixie", Hosts: []string{lab.HV01, lab.HV02}})
	x, ctx := s.Directory(), t.Context()
	for _, h := range []string{lab.HV01, lab.HV02} {
		if err := x.SetDelegation(ctx, h); err != nil {
			t.Fatal(err)
		}
	}
	tool := func(args ...string) {
		t.Helper()
		if out, err := s.Member(lab.DC1).Command(ctx, append([]string{"samba-tool"}, args...)...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	tool("delegation", "add-principal", "HV02$", "HV01$")
	m, r := s.check(t, lab.UserOperator, lab.HV01, lab.HV02, "--model", "resource-based")
	if fs := findingsOf(m, "HV02:HV01"); r.Status != 11 || !slices.Equal(directionsIn(m, doctor.Passed), []string{"HV01:HV02"}) ||
		len(fs) != 1 || fs[0].Code != fault.ResourceDelegationAbsent || !slices.Equal(fs[0].Values, []string{"HV02$"}) {
		t.Errorf("status %d\n%s%s", r.Status, r.Stdout, r.Stderr)
	}
	tool("delegation", "del-principal", "HV02$", "HV01$")
	tool("group", "add", "Drover Hosts")
	tool("group", "addmembers", "Drover Hosts", "HV01$,HV02$")
	for _, h := range []string{lab.HV01, lab.HV02} {
		tool("delegation", "add-principal", h+"$", "Drover Hosts")
	}
	// The agents have run since before they came into the group.
	m, r = s.check(t, lab.UserOperator, lab.HV01, lab.HV02, "--model", "group")
	if r.Status != 0 || len(directionsIn(m, doctor.Passed)) != 2 {
		t.Errorf("status %d\n%s%s", r.Status, r.Stdout, r.Stderr)
	}
	tool("group", "removemembers", "Drover Hosts", "HV01$")
	m, r = s.check(t, lab.UserOperator, lab.HV01, lab.HV02, "--model", "group")
	if r.Status != 11 || !slices.Equal(directionsIn(m, doctor.FailedPair), []string{"HV01:HV02"}) {
		t.Errorf("status %d\n%s%s", r.Status, r.Stdout, r.Stderr)
	}
}
