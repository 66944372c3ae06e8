package delegation_test

import (
	"slices"
	"testing"

	"drover/internal/delegation"
	"drover/internal/delegation/delegationtest"
	"drover/internal/directory"
	"drover/internal/directory/secdesc"
	"drover/internal/fault"
)

// inForest is a directory with a host in each of two domains, the second of which has
// SIDs of its own, as a state to plan for.
func inForest(t *testing.T) (*site, delegation.State) {
	t.Helper()
	s := newSite(directory.Windows, 1)
	root, err := s.Root(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s.SetRoot(func(r *directory.Root) { r.BaseDN, r.DomainSID = "DC=child,"+r.BaseDN, "S-1-5-21-7-8-9" })
	dn, sid := s.AddComputer(account(1)[:4])
	s.SetRoot(func(r *directory.Root) { *r = root })
	s.dns, s.sids = append(s.dns, dn), append(s.sids, sid)
	state := delegation.State{Root: root, Time: planned}
	for i := range s.dns {
		state.Hosts = append(state.Hosts, directory.Account{DN: s.dns[i], SID: s.sids[i], Name: account(i), Class: directory.Computer, Flags: directory.FlagWorkstation})
	}
	return s, state
}

func TestResourceBasedDelegationReachesAcrossDomains(t *testing.T) {
	s, state := inForest(t)
	if domain := secdesc.SID(s.sids[1]).Domain(); domain == delegationtest.DomainSID {
		t.Fatalf("both hosts are of %s", domain)
	}
	p, err := delegation.NewPlan(delegation.Intent{Model: delegation.ResourceBased}, state)
	if err != nil {
		t.Fatal(err)
	}
	before := s.Snapshot()
	b := s.mustRun(t, p)
	for i, from := range []int{1, 0} {
		got, err := secdesc.Trustees([]byte(s.Get(s.dns[i], descriptor)[0]))
		if err != nil || !slices.Equal(got, []secdesc.SID{secdesc.SID(s.sids[from])}) {
			t.Errorf("%s: %v, %v", s.dns[i], got, err)
		}
	}
	s.mustRun(t, s.rollback(t, b))
	if after := s.Snapshot(); after != before {
		t.Errorf("%s\nis not\n%s", after, before)
	}
}

func TestGroupMustReachEveryDomain(t *testing.T) {
	const own, other = "CN=Drover Hosts,CN=Users,", "CN=Drover Hosts,CN=Users,DC=child,"
	outward := []delegation.Direction{{Source: "HV01", Destination: "HV02"}} // HV02 is of the other domain
	inward := []delegation.Direction{{Source: "HV02", Destination: "HV01"}}
	const security = directory.GroupSecurity
	for name, c := range map[string]struct {
		place string
		kind  uint32
		ways  []delegation.Direction
		works bool
	}{
		"universal":                          {own, security | directory.GroupUniversal, nil, true},
		"global":                             {own, security | directory.GroupGlobal, nil, false},
		"global, members of its own domain":  {own, security | directory.GroupGlobal, outward, true},
		"global, member of another domain":   {own, security | directory.GroupGlobal, inward, false},
		"global, of the other domain":        {other, security | directory.GroupGlobal, inward, true},
		"domain-local, counts there":         {own, security | directory.GroupDomainLocal, inward, true},
		"domain-local, does not count there": {own, security | directory.GroupDomainLocal, outward, false},
		"type is hidden":                     {own, 0, nil, true},
		"for mail":                           {own, directory.GroupUniversal, nil, false},
		"to be made":                         {"", 0, nil, false},
		"to be made, for members of its own": {"", 0, outward, true},
	} {
		_, state := inForest(t)
		if c.place != "" {
			state.Group = &directory.Group{DN: c.place + state.Root.BaseDN, Name: "Drover Hosts", SID: delegationtest.DomainSID + "-5000", Type: c.kind}
		}
		_, err := delegation.NewPlan(delegation.Intent{Model: delegation.GroupBased, OneWay: c.ways}, state)
		if (err == nil) != c.works || err != nil && !fault.Is(err, fault.Usage) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
