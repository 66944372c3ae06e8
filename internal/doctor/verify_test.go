package doctor

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"drover/internal/delegation"
	"drover/internal/directory"
	"drover/internal/fault"
	"drover/internal/finding"
	"drover/internal/krb"
	"drover/internal/spn"
)

// site is a Samba domain of some hosts, and its controller: a source gets a ticket
// as Samba's would give it.
type site struct {
	accounts []directory.Account
	broken   map[string]error // what a source's prober says, by the host's name
	absent   map[string]error // why a source has no prober
	refuse   map[string]fault.Code
}

const siteOperator = "operator@LAB.DROVER.TEST"

func siteNames(host string) []string {
	full := strings.ToLower(host) + ".lab.drover.test"
	return spn.Stored(true, migration+"/"+host, migration+"/"+full, "cifs/"+host, "cifs/"+full)
}

func newSite(hosts ...string) *site {
	s := &site{broken: map[string]error{}, absent: map[string]error{}, refuse: map[string]fault.Code{}}
	for _, h := range hosts {
		a := directory.Account{DN: "CN=" + h + ",CN=Computers,DC=lab,DC=drover,DC=test", Class: directory.Computer, Name: h + "$",
			DNSHostName: strings.ToLower(h) + ".lab.drover.test", Flags: directory.FlagWorkstation | directory.FlagTrustedToAuth,
			EncryptionTypes: 24, ServiceNames: siteNames(h)}
		for _, other := range hosts {
			if other != h {
				a.DelegateTo = append(a.DelegateTo, siteNames(other)...)
			}
		}
		s.accounts = append(s.accounts, a)
	}
	s.accounts = append(s.accounts, directory.Account{DN: "CN=operator,CN=Users,DC=lab,DC=drover,DC=test", Class: directory.User, Name: "operator"})
	return s
}

func (s *site) find(name string) *directory.Account {
	short, _, _ := strings.Cut(name, "@")
	for i, a := range s.accounts {
		if strings.EqualFold(a.Name, short) || spn.Contains(a.ServiceNames, spn.Plain(name)) {
			return &s.accounts[i]
		}
	}
	return nil
}

// Account, Accounts, Kind and Server make it a VerifyDirectory.
func (s *site) Account(_ context.Context, name string) (directory.Account, error) {
	if a := s.find(name); a != nil {
		return *a, nil
	}
	return directory.Account{}, directory.ErrNotFound
}
func (s *site) Accounts(_ context.Context, q directory.Query) ([]directory.Account, error) {
	var out []directory.Account
	for _, a := range s.accounts {
		if q.Delegating && len(a.DelegateTo) > 0 {
			out = append(out, a)
		}
	}
	return out, nil
}
func (s *site) Kind() directory.Controller { return directory.Samba }
func (s *site) Server() string             { return "dc1.lab.drover.test" }

type siteProber struct {
	*site
	host string
}

// Probe implements Prober.
func (p siteProber) Probe(ctx context.Context, operator, method string, services []string) ([]Attempt, error) {
	if err := p.broken[p.host]; err != nil {
		return nil, err
	}
	if len(services) > MaxProbe {
		return nil, errors.New("too many services at a time")
	}
	var out []Attempt
	for _, s := range services {
		out = append(out, Attempt{Service: s, Method: method, Operator: operator, Error: fault.ToProblem(p.ask(ctx, operator, method, s))})
	}
	return out, nil
}

func (p siteProber) ask(ctx context.Context, operator, method, service string) error {
	source, user := p.find(p.host+"$"), p.find(operator)
	if code := p.refuse[p.host]; code != "" {
		return fault.New(code, p.host, "account", source.Name, "keytab", "/etc/krb5.keytab")
	}
	if user == nil || user.Disabled() {
		return fault.New(fault.OperatorUnknown, p.host, "operator", operator)
	}
	stored := service
	if t := spn.Twin(service); t != "" {
		stored = t
	}
	if !slices.ContainsFunc(p.accounts, func(a directory.Account) bool { return spn.Contains(a.ServiceNames, stored) }) {
		return fault.New(fault.ServiceUnknown, p.host, "service", service)
	}
	forwardable := !user.Sensitive() && (method == ByTicket || source.AnyProtocol())
	if forwardable && spn.Contains(source.DelegateTo, stored) {
		return nil
	}
	return DiagnoseDelegation(ctx, p.site, nil, &krb.DelegationError{Account: source.Name + "@LAB.DROVER.TEST", Operator: operator,
		Service: service, EvidenceForwardable: forwardable, ViaTransition: method == ByTransition, Host: p.host})
}

func (s *site) verify(t *testing.T, in delegation.Intent, operator string, methods ...string) *Matrix {
	t.Helper()
	var hosts []directory.Account
	for _, a := range s.accounts {
		if a.Class == directory.Computer && !strings.HasPrefix(a.Name, "OLD") {
			hosts = append(hosts, a)
		}
	}
	p, err := delegation.NewPlan(in, delegation.State{Root: directory.Root{Server: s.Server(), Kind: directory.Samba, Domain: "lab.drover.test",
		BaseDN: "DC=lab,DC=drover,DC=test"}, Time: time.Unix(0, 0), Hosts: hosts})
	if err != nil {
		t.Fatal(err)
	}
	if len(methods) == 0 {
		methods = []string{ByTicket, ByTransition}
	}
	m, err := Verify(t.Context(), s, p, VerifyOptions{Operator: operator, Methods: methods,
		Source: func(_ context.Context, h delegation.Host) (Prober, error) {
			return siteProber{s, h.Name}, s.absent[h.Name]
		}})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// states gives the directions in a state.
func states(m *Matrix, want VerifyState) (out []string) {
	for _, p := range m.Pairs {
		if p.State == want {
			out = append(out, p.Direction.String())
		}
	}
	return out
}

func (m *Matrix) of(direction string) PairResult {
	for _, p := range m.Pairs {
		if p.Direction.String() == direction {
			return p
		}
	}
	return PairResult{}
}

func codes(fs []finding.Finding) (out []fault.Code) {
	for _, f := range fs {
		out = append(out, f.Code)
	}
	return out
}

func TestVerifyOfAWholeMesh(t *testing.T) {
	m := newSite("HV01", "HV02", "HV03", "HV04").verify(t, delegation.Intent{}, siteOperator)
	if got := states(m, Passed); len(got) != 12 || len(m.Findings) != 0 || len(m.Hosts) != 4 {
		t.Errorf("%v %+v", got, m.Findings)
	}
	for _, p := range m.Pairs {
		if len(p.Attempts) != 8 || len(p.Findings) != 0 {
			t.Errorf("%s: %d attempts, %+v", p.Direction, len(p.Attempts), p.Findings)
		}
	}
}

// Each value alone: also those that the controller does not mind, because another
// controller or another way of writing the destination would.
func TestVerifyFailsExactlyThePairThatNeedsAMissingValue(t *testing.T) {
	for _, source := range []string{"HV01", "HV02", "HV03"} {
		for i, value := range newSite("HV01", "HV02", "HV03").find(source + "$").DelegateTo {
			s := newSite("HV01", "HV02", "HV03")
			a := s.find(source + "$")
			a.DelegateTo = slices.Delete(slices.Clone(a.DelegateTo), i, i+1)
			m := s.verify(t, delegation.Intent{}, siteOperator)
			n, err := spn.Parse(value)
			if err != nil {
				t.Fatal(err)
			}
			want := source + ":" + strings.ToUpper(n.ShortHost())
			if got := states(m, FailedPair); !slices.Equal(got, []string{want}) || len(states(m, Passed)) != 5 {
				t.Errorf("without %q on %s: %v failed", value, source, got)
				continue
			}
			fs := m.of(want).Findings
			if len(fs) != 1 || !slices.Equal(fs[0].Values, []string{value}) || len(fs[0].Fix) == 0 {
				t.Errorf("without %q on %s: %+v", value, source, fs)
			}
		}
	}
}

func TestVerifyTellsCausesApart(t *testing.T) {
	short := func(v string) bool { return !strings.Contains(v, ".") }
	host := func(s *site, name string) *directory.Account { return s.find(name + "$") }
	only := func(name string, keep func(string) bool) func(*site) {
		return func(s *site) {
			a := host(s, name)
			a.DelegateTo = slices.DeleteFunc(a.DelegateTo, func(v string) bool { return !keep(v) })
		}
	}
	all := []string{"HV01:HV02", "HV01:HV03", "HV02:HV01", "HV02:HV03", "HV03:HV01", "HV03:HV02"}
	for name, c := range map[string]struct {
		change   func(*site)
		operator string
		methods  []string
		failed   []string
		pair     []fault.Code // of each failed pair
		matrix   []fault.Code
	}{
		"empty list":       {only("HV01", func(string) bool { return false }), "", nil, all[:2], []fault.Code{fault.DelegationIncomplete}, nil},
		"short names only": {only("HV01", short), "", nil, all[:2], []fault.Code{fault.DelegationShortOnly}, nil},
		"full names only":  {only("HV01", func(v string) bool { return !short(v) }), "", nil, all[:2], []fault.Code{fault.DelegationFullOnly}, nil},
		"on a user": {func(s *site) {
			a := host(s, "HV01")
			s.accounts = append(s.accounts, directory.Account{DN: "CN=svc", Class: directory.User, Name: "svc", DelegateTo: a.DelegateTo})
			host(s, "HV01").DelegateTo = nil
		}, "", nil, all[:2], []fault.Code{fault.DelegationIncomplete, fault.DelegationWrongObject}, nil},
		"on a computer of a similar name": {func(s *site) {
			a := host(s, "HV01")
			s.accounts = append(s.accounts, directory.Account{DN: "CN=OLD", Class: directory.Computer, Name: "OLD-HV01$", DelegateTo: a.DelegateTo})
			host(s, "HV01").DelegateTo = nil
		}, "", nil, all[:2], []fault.Code{fault.DelegationIncomplete, fault.DelegationWrongObject}, nil},
		"on another computer by right": {func(s *site) {
			a := host(s, "HV01")
			s.accounts = append(s.accounts, directory.Account{DN: "CN=OLD", Class: directory.Computer, Name: "OLDSQL$", DelegateTo: a.DelegateTo})
			host(s, "HV01").DelegateTo = nil
		}, "", nil, all[:2], []fault.Code{fault.DelegationIncomplete}, nil},
		"Kerberos only, by transition": {func(s *site) { host(s, "HV01").Flags = directory.FlagWorkstation }, "", nil, all[:2],
			[]fault.Code{fault.TransitionMissing}, nil},
		"Kerberos only, by ticket": {func(s *site) { host(s, "HV01").Flags = directory.FlagWorkstation }, "", []string{ByTicket}, nil, nil, nil},
		"source disabled":          {func(s *site) { host(s, "HV01").Flags |= directory.FlagDisabled }, "", nil, []string{all[0], all[1], all[2], all[4]}, []fault.Code{fault.HostAccountDisabled}, nil},
		"sensitive operator": {func(s *site) { s.find("operator").Flags = directory.FlagNotDelegated }, "", nil, all, nil,
			[]fault.Code{fault.OperatorSensitive}},
		"protected operator": {func(s *site) { s.find("operator").Protected = true }, "", nil, all, nil, []fault.Code{fault.OperatorSensitive}},
		"disabled operator":  {func(s *site) { s.find("operator").Flags = directory.FlagDisabled }, "", nil, all, nil, []fault.Code{fault.OperatorDisabled}},
		"unknown operator":   {nil, "nobody@LAB.DROVER.TEST", nil, all, nil, []fault.Code{fault.OperatorUnknown}},
		"service name missing": {func(s *site) {
			a := host(s, "HV02")
			a.ServiceNames = slices.DeleteFunc(a.ServiceNames, func(v string) bool { return v == spn.Twin(migration+"/HV02") })
		}, "", nil, []string{all[0], all[5]}, []fault.Code{fault.ServiceNameMissing}, nil},
		"stale key": {func(s *site) { s.refuse["HV03"] = fault.KeytabStale }, "", nil, all[4:], []fault.Code{fault.KeytabStale}, nil},
		"agent's key stale": {func(s *site) {
			s.broken["HV03"] = fault.New(fault.KeytabStale, "HV03", "account", "HV03$", "keytab", "/etc/krb5.keytab")
		}, "", nil, all[4:], []fault.Code{fault.KeytabStale}, nil},
		"unexplained and a value": {func(s *site) { s.refuse["HV03"] = fault.KeytabStale; host(s, "HV03").DelegateTo = nil }, "", nil, all[4:], []fault.Code{fault.DelegationIncomplete, fault.KeytabStale}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite("HV01", "HV02", "HV03")
			if c.change != nil {
				c.change(s)
			}
			operator := c.operator
			if operator == "" {
				operator = siteOperator
			}
			m := s.verify(t, delegation.Intent{}, operator, c.methods...)
			if got := states(m, FailedPair); !slices.Equal(got, c.failed) {
				t.Fatalf("failed are %v, want %v", got, c.failed)
			}
			if got := codes(m.Findings); !slices.Equal(got, c.matrix) {
				t.Errorf("of the matrix: %v, want %v", got, c.matrix)
			}
			for _, direction := range c.failed {
				fs := m.of(direction).Findings
				if got := codes(fs); !slices.Equal(got, c.pair) {
					t.Errorf("%s: %v, want %v", direction, got, c.pair)
				}
				for _, f := range fs {
					if f.Source+":"+f.Destination != direction || strings.Contains(f.Message, "{") {
						t.Errorf("%s: %+v", direction, f)
					}
				}
			}
		})
	}
}

func TestWrongObjectIsCuredInTheControllersTerms(t *testing.T) {
	s := newSite("HV01", "HV02")
	s.accounts = append(s.accounts, directory.Account{DN: "CN=svc,CN=Users", Class: directory.User, Name: "svc", DelegateTo: siteNames("HV02")})
	s.find("HV01$").DelegateTo = []string{"cifs/HV02"}
	fs := s.verify(t, delegation.Intent{}, siteOperator).of("HV01:HV02").Findings
	i := slices.Index(codes(fs), fault.DelegationWrongObject)
	if i < 0 || fs[i].Object != "svc" || fs[i].DN != "CN=svc,CN=Users" || len(fs[i].Values) != 5 || len(fs[i].Fix) != 5 ||
		fs[i].Fix[4].Line != "samba-tool delegation del-service svc cifs/hv02.lab.drover.test -H ldap://dc1.lab.drover.test -U Administrator" {
		t.Errorf("%+v", fs)
	}
	v := &verification{dir: windows{s}, plan: &delegation.Plan{}}
	got := v.takeAway(directory.Account{DN: "CN=o'svc"}, []string{"cifs/HV02"})
	if want := `Set-ADObject -Identity 'CN=o''svc' -Remove @{'msDS-AllowedToDelegateTo'='cifs/HV02'}`; len(got) != 1 || got[0].Line != want {
		t.Errorf("%+v", got)
	}
}

type windows struct{ *site }

// Kind makes it a Windows controller.
func (windows) Kind() directory.Controller { return directory.Windows }

func TestVerifyNeverPassesWhatNobodyTried(t *testing.T) {
	s := newSite("HV01", "HV02", "HV03")
	s.absent["HV01"] = errors.New("no such agent")
	s.broken["HV02"] = fault.New(fault.AgentUnreachable, "HV02", "address", "hv02:6601")
	a := s.find("HV02$")
	a.DelegateTo = slices.DeleteFunc(a.DelegateTo, func(v string) bool { return strings.HasSuffix(v, "/HV01") })
	m := s.verify(t, delegation.Intent{}, siteOperator)
	if got := states(m, Unchecked); !slices.Equal(got, []string{"HV01:HV02", "HV01:HV03", "HV02:HV03"}) {
		t.Errorf("not checked: %v", got)
	}
	if got := states(m, FailedPair); !slices.Equal(got, []string{"HV02:HV01"}) {
		t.Errorf("failed: %v", got)
	}
	f := m.of("HV01:HV03").Findings
	if len(f) != 1 || f[0].Code != fault.NotChecked || !strings.Contains(f[0].Message, "no such agent") || f[0].Severity != finding.Warning {
		t.Errorf("%+v", f)
	}
	// What is said of a row is the same for each of its directions, so that it is shown once.
	if g := m.of("HV01:HV02").Findings; len(g) != 1 || g[0].Message != f[0].Message {
		t.Errorf("%+v", g)
	}
	m, err := Verify(t.Context(), s, &delegation.Plan{Pairs: []delegation.Pair{{Direction: delegation.Direction{Source: "HV01", Destination: "HV03"},
		State: delegation.Complete}}}, VerifyOptions{})
	if err != nil || len(states(m, Unchecked)) != 1 {
		t.Errorf("without a prober: %v %+v", err, m)
	}
}

func TestVerifyTriesOnlyWantedDirections(t *testing.T) {
	s := newSite("HV01", "HV02", "HV03")
	m := s.verify(t, delegation.Intent{OneWay: []delegation.Direction{{Source: "HV01", Destination: "HV02"}}}, siteOperator)
	if len(m.Pairs) != 1 || m.Pairs[0].Direction.String() != "HV01:HV02" || m.Pairs[0].State != Passed {
		t.Errorf("%+v", m.Pairs)
	}
}

func TestVerifyAsksInPortionsThatAProbeMayHave(t *testing.T) {
	var hosts []string
	for c := 'A'; c <= 'R'; c++ {
		hosts = append(hosts, "HV"+string(c))
	}
	m := newSite(hosts...).verify(t, delegation.Intent{}, siteOperator)
	if got := states(m, Passed); len(got) != len(hosts)*(len(hosts)-1) {
		t.Errorf("%d of %d", len(got), len(m.Pairs))
	}
}

func TestVerifyOfResourceBasedDelegationDoesNotBlameTheList(t *testing.T) {
	v := &verification{plan: &delegation.Plan{Intent: delegation.Intent{Model: delegation.GroupBased}}}
	a := Attempt{Service: "cifs/HV02", Error: fault.ToProblem(fault.New(fault.DelegationNoStorage, "HV01", "account", "HV01$", "operator", "o"))}
	if e := v.reworded(a); e.Code != fault.DelegationRefused || strings.Contains(e.Message(), "{") {
		t.Errorf("%v", e)
	}
}

func TestVerifyEndsWithItsContext(t *testing.T) {
	s := newSite("HV01", "HV02")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	p := &delegation.Plan{Pairs: []delegation.Pair{{Direction: delegation.Direction{Source: "HV01", Destination: "HV02"}}}}
	_, err := Verify(ctx, s, p, VerifyOptions{Methods: []string{ByTicket}, Source: func(ctx context.Context, _ delegation.Host) (Prober, error) {
		return nil, ctx.Err()
	}})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}
