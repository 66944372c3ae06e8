package delegation_test

import (
	"context"
	"slices"
	"testing"

	"drover/internal/delegation"
	"drover/internal/delegation/delegationtest"
	"drover/internal/directory"
	"drover/internal/directory/secdesc"
	"drover/internal/fault"
)

func TestGroupIsMadeFirstAndNamedByItsSID(t *testing.T) {
	s := newSite(directory.Samba, 3)
	s.populate(t)
	before := s.Snapshot()
	p := throughJSON(t, s.groupPlan(t))
	b := s.mustRun(t, p)
	groups, err := s.Groups(t.Context(), delegation.DefaultGroup)
	if err != nil || len(groups) != 1 || !slices.Equal(groups[0].Members, s.dns) {
		t.Fatalf("%+v %v", groups, err)
	}
	for i, dn := range s.dns {
		trustees, err := secdesc.Trustees([]byte(s.Get(dn, descriptor)[0]))
		if err != nil || !slices.Contains(trustees, secdesc.SID(groups[0].SID)) || i%2 == 0 && len(trustees) != 2 {
			t.Errorf("%s: %v %v", dn, trustees, err)
		}
	}
	if !slices.Equal(b.Created, []string{p.NewGroup.DN}) {
		t.Errorf("created %q", b.Created)
	}
	r, again, err := s.run(t, p)
	if err != nil || again != nil || outcomes(r) != "unchanged unchanged unchanged unchanged" {
		t.Errorf("again: %v %v %s", err, again, outcomes(r))
	}
	s.mustRun(t, s.rollback(t, b))
	if s.Snapshot() != before {
		t.Errorf("after the rollback\n%s\nbefore\n%s", s.Snapshot(), before)
	}
}

func TestGroupThatCannotBeMadeKeepsBackWhatNeedsIt(t *testing.T) {
	s := newSite(directory.Samba, 2)
	p := s.groupPlan(t)
	dn, _ := s.AddComputer("HV09")
	p.Changes = append(p.Changes, delegation.Change{DN: dn, Account: "HV09$", Attribute: list, Add: []string{"cifs/HV01"}, Before: delegation.Digest(nil)})
	s.Before = func(r delegationtest.Request) error {
		if r.Op == "add" {
			return fault.New(fault.DirectoryAccessDenied, "", "principal", "op", "attribute", "the existence", "object", r.DN, "writers", "")
		}
		return nil
	}
	r, _, err := s.run(t, p)
	wantCode(t, err, fault.PlanPartlyApplied)
	const denied = ":directory-access-denied"
	if got := outcomes(r); got != "failed"+denied+" not-tried"+denied+" not-tried"+denied+" applied" {
		t.Error(got)
	}
	s.Before = nil
	s.mustRun(t, p)
}

func TestControllerThatGoesAwayAfterTheGroup(t *testing.T) {
	s := newSite(directory.Samba, 2)
	p := s.groupPlan(t)
	made := false
	s.Before = func(r delegationtest.Request) error {
		if made {
			return delegationtest.Unreachable()
		}
		made = r.Op == "add"
		return nil
	}
	r, b, err := s.run(t, p)
	wantCode(t, err, fault.PlanPartlyApplied)
	if got := outcomes(r); got != "failed:directory-unreachable not-tried:directory-unreachable not-tried:directory-unreachable" || len(b.Created) != 1 {
		t.Error(got)
	}
	s.Before = nil
	r, b, err = s.run(t, p)
	if err != nil || outcomes(r) != "unchanged applied applied" || len(b.Created) != 0 {
		t.Errorf("%v %s %q", err, outcomes(r), b.Created)
	}
}

func TestGroupThatIsThereMustBeTheOneThatIsMeant(t *testing.T) {
	for name, c := range map[string]struct {
		begin func(s *site, g directory.NewGroup)
		want  string
	}{
		"half of its members": {func(s *site, g directory.NewGroup) { g.Members = g.Members[:1]; s.add(g) }, "applied applied applied"},
		"a stranger in it": {func(s *site, g directory.NewGroup) { g.Members = []string{s.stranger()}; s.add(g) },
			"failed:plan-stale not-tried:plan-stale not-tried:plan-stale"},
		"elsewhere": {func(s *site, g directory.NewGroup) { g.DN = "CN=x,DC=lab,DC=test"; g.Members = nil; s.add(g) },
			"failed:plan-stale not-tried:plan-stale not-tried:plan-stale"},
		"of another name": {func(s *site, g directory.NewGroup) { g.Name = "x"; g.Members = nil; s.add(g) },
			"failed:plan-stale not-tried:plan-stale not-tried:plan-stale"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(directory.Samba, 2)
			p := s.groupPlan(t)
			c.begin(s, *p.NewGroup)
			before := s.Snapshot()
			r, b, err := s.run(t, p)
			if got := outcomes(r); got != c.want || (err == nil) != (c.want == "applied applied applied") {
				t.Errorf("%s %v", got, err)
			}
			if err != nil {
				return
			}
			s.mustRun(t, s.rollback(t, b))
			if s.Snapshot() != before {
				t.Errorf("after the rollback\n%s\nbefore\n%s", s.Snapshot(), before)
			}
		})
	}
}

func (s *site) add(g directory.NewGroup) {
	if err := s.AddGroup(context.Background(), g); err != nil {
		panic(err)
	}
}

func (s *site) stranger() string {
	dn, _ := s.AddComputer("STRANGER")
	return dn
}

func TestOnlyTheGroupThatWasMadeIsRemoved(t *testing.T) {
	for name, begin := range map[string]func(s *site, dn string){
		"a member more":     func(s *site, dn string) { s.Set(dn, member, append(s.Get(dn, member), s.stranger())...) },
		"no group":          func(s *site, dn string) { s.Set(dn, "objectClass", "computer") },
		"a built-in group":  func(s *site, dn string) { s.Set(dn, "objectSid", delegationtest.DomainSID+"-512") },
		"of another's name": func(s *site, dn string) { s.Set(dn, "sAMAccountName", "Domain Admins") },
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(directory.Samba, 2)
			back := s.rollback(t, s.mustRun(t, s.groupPlan(t)))
			dn := back.Changes[len(back.Changes)-1].DN
			begin(s, dn)
			r, _, err := s.run(t, back)
			wantCode(t, err, fault.PlanPartlyApplied)
			if got := outcomes(r); got != "applied applied failed:plan-stale" {
				t.Error(got)
			}
			if s.Get(dn, "sAMAccountName") == nil {
				t.Error("it was removed")
			}
		})
	}
}

// Over the network Samba refuses descriptors, whoever asks: then nothing is written,
// above all no group that would be of no use.
func TestNothingIsWrittenWhereDescriptorsAreRefused(t *testing.T) {
	s := newSite(directory.Samba, 3)
	s.populate(t)
	s.NoDescriptors = true
	before := s.Snapshot()
	r, b, err := s.run(t, s.groupPlan(t))
	if !fault.Is(err, fault.DelegationModel) || b != nil || outcomes(r) != "not-tried not-tried not-tried not-tried" {
		t.Errorf("%v, baseline %v, %s", err, b, outcomes(r))
	}
	if s.Snapshot() != before {
		t.Errorf("something was written:\n%s", s.Snapshot())
	}
	s.SetRoot(func(r *directory.Root) { r.Local = true })
	s.mustRun(t, s.groupPlan(t)) // as root on the controller
}

// A plan is a file that somebody may have edited: with it, hosts would become, or
// others cease to be, members of Domain Admins.
func TestMembersOfTheDomainsOwnGroupsAreNotChanged(t *testing.T) {
	s := newSite(directory.Samba, 2)
	b := s.mustRun(t, s.groupPlan(t))
	group := b.Created[0]
	s.Set(group, "objectSid", delegationtest.DomainSID+"-512")
	p := s.groupPlan(t)
	p.NewGroup = nil
	dn := s.stranger()
	p.Changes = []delegation.Change{{DN: group, Account: delegation.DefaultGroup, Attribute: member, Add: []string{dn}, Delete: s.Get(group, member)[:1],
		Before: delegation.Digest([][]byte{[]byte(s.Get(group, member)[0]), []byte(s.Get(group, member)[1])})}}
	r, again, err := s.run(t, p)
	wantCode(t, err, fault.PlanPartlyApplied)
	if got := outcomes(r); got != "failed:plan-stale" || again != nil || slices.Contains(s.Get(group, member), dn) {
		t.Error(got, again, s.Get(group, member))
	}
}
