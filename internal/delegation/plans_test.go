package delegation_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"drover/internal/delegation"
	"drover/internal/delegation/delegationtest"
	"drover/internal/directory"
	"drover/internal/directory/secdesc"
	"drover/internal/fault"
)

const (
	list       = directory.AttributeDelegateTo
	flags      = directory.AttributeFlags
	descriptor = directory.AttributeActOnBehalf
	member     = directory.AttributeMember
)

var planned = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

// site is a directory with hosts HV01 and so on.
type site struct {
	*delegationtest.Directory
	dns, sids []string
}

func newSite(kind directory.Controller, hosts int) *site {
	s := &site{Directory: delegationtest.New(kind)}
	for i := range hosts {
		dn, sid := s.AddComputer(fmt.Sprintf("HV%02d", i+1))
		s.dns, s.sids = append(s.dns, dn), append(s.sids, sid)
	}
	return s
}

func account(i int) string { return fmt.Sprintf("HV%02d$", i+1) }

// plan is a plan without changes.
func (s *site) plan(t *testing.T) *delegation.Plan {
	t.Helper()
	root, err := s.Root(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	p := &delegation.Plan{Format: delegation.PlanFormat, Time: planned, Server: root.Server, Kind: string(root.Kind), Domain: root.Domain,
		BaseDN: root.BaseDN, SID: root.DomainSID, Hosts: []delegation.Host{}, Pairs: []delegation.Pair{}}
	for i, dn := range s.dns {
		p.Hosts = append(p.Hosts, delegation.Host{Name: strings.TrimSuffix(account(i), "$"), Account: account(i), DN: dn, SID: s.sids[i]})
	}
	return p
}

// change is a change to host i as it is now.
func (s *site) change(i int, attribute string, add, del []string) delegation.Change {
	return delegation.Change{DN: s.dns[i], Account: account(i), Attribute: attribute, Add: add, Delete: del, Before: s.digest(s.dns[i], attribute)}
}

func (s *site) digest(dn, attribute string) string {
	var values [][]byte
	for _, v := range s.Get(dn, attribute) {
		values = append(values, []byte(v))
	}
	return delegation.Digest(values)
}

// mesh changes every host in each of the three ways.
func (s *site) mesh(t *testing.T) *delegation.Plan {
	p := s.plan(t)
	for i := range s.dns {
		next := (i + 1) % len(s.dns)
		name := strings.TrimSuffix(account(next), "$")
		p.Changes = append(p.Changes,
			s.change(i, list, []string{"cifs/" + name, "Microsoft Virtual System Migration Service/" + name, `Microsoft\ Virtual\ System\ Migration\ Service/` + name}, s.Get(s.dns[i], list)),
			s.change(i, flags, []string{delegation.TrustedToAuth}, nil),
			s.change(i, descriptor, []string{s.sids[next]}, nil))
	}
	return p
}

// populate gives the hosts values to start from.
func (s *site) populate(t *testing.T) {
	for i, dn := range s.dns {
		if i%2 == 0 {
			s.Set(dn, list, "cifs/OLD", " odd value: "+account(i), "cifs/größe")
			b, err := secdesc.Merge(nil, []secdesc.SID{"S-1-5-21-9-9-9-1999"}, nil)
			if err != nil {
				t.Fatal(err)
			}
			s.Set(dn, descriptor, string(b))
		}
		s.Set(dn, "servicePrincipalName", "HOST/"+account(i))
	}
}

// groupPlan puts all hosts into a new group and names it on each of them.
func (s *site) groupPlan(t *testing.T) *delegation.Plan {
	p := s.plan(t)
	p.Intent.Model = delegation.GroupBased
	p.NewGroup = &directory.NewGroup{DN: "CN=" + delegation.DefaultGroup + ",CN=Users,DC=lab,DC=test", Name: delegation.DefaultGroup,
		Description: "Hosts that move virtual machines to each other", Members: slices.Clone(s.dns)}
	for i := range s.dns {
		p.Changes = append(p.Changes, s.change(i, descriptor, []string{delegation.GroupTrustee}, nil), s.change(i, flags, []string{delegation.TrustedToAuth}, nil))
	}
	return p
}

// run applies a plan and gives what came of it, with the baseline when there was one.
func (s *site) run(t *testing.T, p *delegation.Plan) (*delegation.Result, *delegation.Baseline, error) {
	t.Helper()
	var b *delegation.Baseline
	writes := func() int { return s.Count("modify") + s.Count("add") + s.Count("delete") }
	start := writes()
	reported := []delegation.ObjectResult{}
	r, err := delegation.Apply(t.Context(), s, p, delegation.ApplyOptions{
		Baseline: func(old *delegation.Baseline) error {
			if b != nil || writes() != start {
				t.Error("changes before the baseline, or two of them")
			}
			b = old
			return nil
		},
		Report: func(o delegation.ObjectResult) { reported = append(reported, o) },
	})
	if r != nil {
		for _, o := range r.Objects {
			if !slices.ContainsFunc(reported, func(x delegation.ObjectResult) bool { return x == o }) {
				t.Errorf("%s is not reported", o.DN)
			}
		}
		if len(reported) != len(r.Objects) {
			t.Errorf("%d reports for %d objects", len(reported), len(r.Objects))
		}
	}
	return r, b, err
}

func (s *site) mustRun(t *testing.T, p *delegation.Plan) *delegation.Baseline {
	t.Helper()
	r, b, err := s.run(t, p)
	if err != nil {
		t.Fatalf("%v: %s", err, outcomes(r))
	}
	return b
}

// outcomes are the outcomes in order, with the codes of errors.
func outcomes(r *delegation.Result) string {
	var out []string
	for _, o := range r.Objects {
		s := string(o.Outcome)
		if o.Error != nil {
			s += ":" + string(o.Error.Code)
		}
		out = append(out, s)
	}
	return strings.Join(out, " ")
}

// rollback plans the way back, after it went through a file.
func (s *site) rollback(t *testing.T, b *delegation.Baseline, hosts ...string) *delegation.Plan {
	t.Helper()
	b = throughFile(t, b)
	now, err := delegation.ReadNow(t.Context(), s, b.Needs())
	if err != nil {
		t.Fatal(err)
	}
	root, err := s.Root(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	p, err := delegation.NewRollback(b, now, root, hosts, planned)
	if err != nil {
		t.Fatal(err)
	}
	return throughJSON(t, p)
}

func wantCode(t *testing.T, err error, code fault.Code) {
	t.Helper()
	if !fault.Is(err, code) {
		t.Errorf("%v, want %s", err, code)
	}
}
