package delegation_test

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"drover/internal/delegation"
	"drover/internal/directory"
	"drover/internal/directory/secdesc"
	"drover/internal/fault"
)

func TestRollbackIsExactAboutCase(t *testing.T) {
	s := newSite(directory.Samba, 1)
	s.Set(s.dns[0], list, "CIFS/hv02", "cifs/HV03")
	p := s.plan(t)
	p.Changes = []delegation.Change{s.change(0, list, []string{"cifs/HV04"}, []string{"CIFS/hv02"})}
	b := s.mustRun(t, p)
	s.Set(s.dns[0], list, "cifs/hv02", "cifs/HV03") // somebody wrote it again, in their own way
	back := s.rollback(t, b)
	if c := back.Changes; len(c) != 1 || !slices.Equal(c[0].Add, []string{"CIFS/hv02"}) || !slices.Equal(c[0].Delete, []string{"cifs/hv02"}) {
		t.Fatalf("%+v", c)
	}
	s.mustRun(t, back)
	if got := s.Get(s.dns[0], list); !slices.Equal(got, []string{"CIFS/hv02", "cifs/HV03"}) {
		t.Errorf("%q", got)
	}
}

func TestRollbackKeepsFlagsThatAreNotDelegation(t *testing.T) {
	const any, sensitive, unconstrained = 0x1000000, 0x100000, 0x80000
	for _, c := range []struct {
		name           string
		was, is, after int
		unsafe         bool
	}{
		{"only delegation changed", 4096, 4096 | any, 4096, false},
		{"disabled meanwhile", 4096, 4096 | any | 2, 4096 | 2, false},
		{"enabled meanwhile", 4096 | 2, 4096 | any, 4096, false},
		{"flag was taken away", 4096 | any, 4096, 4096 | any, false},
		{"marked sensitive meanwhile", 4096, 4096 | sensitive, 4096, false},
		{"was sensitive", 4096 | sensitive, 4096, 4096 | sensitive, false},
		{"unconstrained since", 4096, 4096 | unconstrained, 4096, false},
		{"was unconstrained", 4096 | unconstrained, 4096 | any, 4096, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSite(directory.Samba, 1)
			root, err := s.Root(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			b := &delegation.Baseline{Time: planned, BaseDN: root.BaseDN, SID: root.DomainSID, Objects: []delegation.Object{{
				DN: s.dns[0], Account: "HV01$", Attributes: map[string][][]byte{flags: {[]byte(fmt.Sprint(c.was))}}}}}
			s.Set(s.dns[0], flags, fmt.Sprint(c.is))
			back := s.rollback(t, b)
			s.mustRun(t, back)
			if got := s.Get(s.dns[0], flags); got[0] != fmt.Sprint(c.after) {
				t.Errorf("%s, want %d", got[0], c.after)
			}
			if found := len(back.Findings) == 1 && back.Findings[0].Code == fault.Unconstrained; found != c.unsafe {
				t.Errorf("%+v", back.Findings)
			}
		})
	}
}

func TestRollbackOfSomeHosts(t *testing.T) {
	s := newSite(directory.Samba, 3)
	s.populate(t)
	before := s.Get(s.dns[1], list)
	b := s.mustRun(t, s.groupPlan(t))
	applied := s.Get(s.dns[0], descriptor)
	for _, name := range []string{"hv02", "HV02$", strings.ToLower(s.dns[1])} {
		p := s.rollback(t, b, name)
		if len(p.Hosts) != 1 || p.Hosts[0].Name != "HV02" || len(p.Changes) != 2 {
			t.Errorf("%s: %+v", name, p)
		}
	}
	s.mustRun(t, s.rollback(t, b, "hv02"))
	if !slices.Equal(s.Get(s.dns[1], list), before) || !slices.Equal(s.Get(s.dns[0], descriptor), applied) {
		t.Error("another host was changed")
	}
	_, err := delegation.NewRollback(b, nil, mustRoot(t, s), []string{"HV09"}, planned)
	wantCode(t, err, fault.HostNotInDirectory)
}

// Whoever looks at a rollback sees what whole values take away, also what others
// have added since.
func TestRollbackTellsWhatIsLost(t *testing.T) {
	s := newSite(directory.Samba, 2)
	b := s.mustRun(t, s.groupPlan(t))
	const other = "S-1-5-21-9-9-9-9999"
	merged, err := secdesc.Merge([]byte(s.Get(s.dns[0], descriptor)[0]), []secdesc.SID{other}, nil)
	if err != nil {
		t.Fatal(err)
	}
	s.Set(s.dns[0], descriptor, string(merged))
	var notes []string
	for _, c := range s.rollback(t, b).Changes {
		notes = append(notes, c.Note...)
	}
	for _, want := range []string{other + " may act no more", "has the member " + s.dns[0], "has the member " + s.dns[1]} {
		if !slices.Contains(notes, want) {
			t.Errorf("no note %q in %q", want, notes)
		}
	}
}

func mustRoot(t *testing.T, s *site) directory.Root {
	t.Helper()
	root, err := s.Root(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return root
}

func TestBaselineOfAnotherDomainIsRefused(t *testing.T) {
	s := newSite(directory.Samba, 1)
	b := s.mustRun(t, s.mesh(t))
	root := mustRoot(t, s)
	for _, change := range []func(*directory.Root){
		func(r *directory.Root) { r.DomainSID = "S-1-5-21-4-5-6" },
		func(r *directory.Root) { r.BaseDN = "DC=other" },
	} {
		r := root
		change(&r)
		_, err := delegation.NewRollback(b, nil, r, nil, planned)
		wantCode(t, err, fault.BaselineOtherDomain)
	}
}

func TestObjectsThatAreGoneAreFindings(t *testing.T) {
	s := newSite(directory.Samba, 3)
	b := s.mustRun(t, s.mesh(t))
	s.Drop(s.dns[0])
	s.Drop(s.dns[1])
	b.Objects[1].GUID = "another" // HV02 was joined anew
	s.AddComputer("HV02")
	p := s.rollback(t, b)
	var about []string
	for _, f := range p.Findings {
		about = append(about, string(f.Code)+" "+f.Object)
	}
	if want := []string{"directory-object-gone HV01$", "directory-object-gone HV02$"}; !reflect.DeepEqual(about, want) {
		t.Errorf("%q", about)
	}
	for _, c := range p.Changes {
		if c.Account != "HV03$" {
			t.Errorf("%+v", c)
		}
	}
}

func TestRollbackIsStaleLikeAnyPlan(t *testing.T) {
	s := newSite(directory.Samba, 2)
	s.populate(t)
	back := s.rollback(t, s.mustRun(t, s.mesh(t)))
	s.Set(s.dns[0], descriptor, "something else")
	s.Set(s.dns[1], list, "cifs/HV01", "cifs/new")
	r, _, err := s.run(t, back)
	wantCode(t, err, fault.PlanPartlyApplied)
	if got := outcomes(r); got != "failed:plan-stale failed:plan-stale" {
		t.Error(got)
	}
}
