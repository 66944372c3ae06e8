package delegation_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"drover/internal/delegation"
	"drover/internal/delegation/delegationtest"
	"drover/internal/directory"
	"drover/internal/fault"
)

func TestAppliedPlanIsThereAndAppliesAgainToNothing(t *testing.T) {
	for _, kind := range []directory.Controller{directory.Samba, directory.Windows} {
		t.Run(string(kind), func(t *testing.T) {
			s := newSite(kind, 3)
			s.populate(t)
			p := s.mesh(t)
			before := s.Snapshot()
			b := s.mustRun(t, p)
			if n := s.Count("modify"); n != 3 {
				t.Errorf("%d requests for 3 objects", n)
			}
			if got := s.Get(s.dns[0], list); !slices.Equal(got, []string{"Microsoft Virtual System Migration Service/HV02", `Microsoft\ Virtual\ System\ Migration\ Service/HV02`, "cifs/HV02"}) {
				t.Errorf("%q", got)
			}
			if got := s.Get(s.dns[1], flags); got[0] != fmt.Sprint(4096|0x1000000) {
				t.Errorf("flags %q", got)
			}
			applied := s.Snapshot()
			r, again, err := s.run(t, p)
			if err != nil || again != nil || s.Snapshot() != applied || outcomes(r) != "unchanged unchanged unchanged" || r.Controllers != 2 || r.Server == "" {
				t.Errorf("again: %v, baseline %v, %s", err, again, outcomes(r))
			}
			back := s.rollback(t, b)
			s.mustRun(t, back)
			if got := s.Snapshot(); got != before {
				t.Errorf("after the rollback\n%s\nbefore\n%s", got, before)
			}
			if again := s.rollback(t, b); !again.Empty() {
				t.Errorf("a second rollback would change %+v", again.Changes)
			}
		})
	}
}

// trouble is something that goes wrong with host number at. Its cure, and applying
// the plan again, lead to where it would have led without.
type trouble struct {
	name string
	// begin makes it happen and gives the cure.
	begin func(s *site, at int, cancel func()) (cure func())
	code  fault.Code
	// rest is what becomes of the hosts behind it, and done what became of those in
	// front.
	done, rest delegation.Outcome
}

func onModify(s *site, at int, f func() error) func() {
	s.Before = func(r delegationtest.Request) error {
		if r.Op == "modify" && r.DN == s.dns[at] {
			return f()
		}
		return nil
	}
	return func() { s.Before = nil }
}

func set(s *site, at int, attribute string, values ...string) (undo func()) {
	old := s.Get(s.dns[at], attribute)
	s.Set(s.dns[at], attribute, values...)
	return func() { s.Set(s.dns[at], attribute, old...) }
}

var troubles = []trouble{
	{"the right is missing", func(s *site, at int, _ func()) func() {
		return onModify(s, at, func() error {
			return fault.New(fault.DirectoryAccessDenied, "", "principal", "op", "attribute", list, "object", s.dns[at], "writers", "nobody may")
		})
	}, fault.DirectoryAccessDenied, delegation.Applied, delegation.Applied},
	{"the controller goes away before the change", func(s *site, at int, _ func()) func() {
		away := false
		s.Before = func(r delegationtest.Request) error {
			if away = away || r.Op == "modify" && r.DN == s.dns[at]; away {
				return delegationtest.Unreachable()
			}
			return nil
		}
		return func() { s.Before = nil }
	}, fault.DirectoryUnreachable, delegation.Applied, delegation.NotTried},
	{"the controller goes away after the change", func(s *site, at int, _ func()) func() {
		away := false
		s.Before = func(r delegationtest.Request) error {
			if r.Op == "read" && away {
				return delegationtest.Unreachable()
			}
			away = away || r.Op == "modify" && r.DN == s.dns[at]
			return nil
		}
		return func() { s.Before = nil }
	}, fault.DirectoryUnreachable, delegation.Applied, delegation.NotTried},
	{"the controller goes away while the objects are read", func(s *site, at int, _ func()) func() {
		s.Before = func(r delegationtest.Request) error {
			if r.Op == "read" && r.DN == s.dns[at] {
				return delegationtest.Unreachable()
			}
			return nil
		}
		return func() { s.Before = nil }
	}, fault.DirectoryUnreachable, delegation.NotTried, delegation.NotTried},
	{"the caller gives up", func(s *site, at int, cancel func()) func() {
		return onModify(s, at, func() error { cancel(); return context.Canceled })
	}, fault.Cancelled, delegation.Applied, delegation.NotTried},
	{"a value was added since the plan", func(s *site, at int, _ func()) func() {
		return set(s, at, list, append(s.Get(s.dns[at], list), "MSSQLSvc/db01")...)
	}, fault.PlanStale, delegation.Applied, delegation.Applied},
	{"a value changed its case since the plan", func(s *site, at int, _ func()) func() {
		return set(s, at, list, "CIFS/old")
	}, fault.PlanStale, delegation.Applied, delegation.Applied},
	{"the account was disabled since the plan", func(s *site, at int, _ func()) func() {
		return set(s, at, flags, "4098")
	}, fault.PlanStale, delegation.Applied, delegation.Applied},
	{"the flags cannot be read", func(s *site, at int, _ func()) func() {
		return set(s, at, flags)
	}, fault.PlanStale, delegation.Applied, delegation.Applied},
	{"the descriptor was changed since the plan", func(s *site, at int, _ func()) func() {
		return set(s, at, descriptor, "not one any more")
	}, fault.PlanStale, delegation.Applied, delegation.Applied},
	{"another object has the name now", func(s *site, at int, _ func()) func() {
		return set(s, at, "sAMAccountName", "OTHER$")
	}, fault.PlanStale, delegation.Applied, delegation.Applied},
	{"the flags change between reading and writing", func(s *site, at int, _ func()) func() {
		var undo func()
		onModify(s, at, func() error {
			if undo == nil {
				undo = set(s, at, flags, "4098")
			}
			return nil
		})
		return func() { s.Before = nil; undo() }
	}, fault.DirectoryChanged, delegation.Applied, delegation.Applied},
	{"the change does not last", func(s *site, at int, _ func()) func() {
		written := false
		s.Before = func(r delegationtest.Request) error {
			if r.DN == s.dns[at] && r.Op == "read" && written {
				s.Set(s.dns[at], flags, "4096")
			}
			written = written || r.DN == s.dns[at] && r.Op == "modify"
			return nil
		}
		return func() { s.Before = nil }
	}, fault.DirectoryChanged, delegation.Applied, delegation.Applied},
}

func TestTroubleWithOneHostLeavesTheOthers(t *testing.T) {
	const hosts = 4
	want := newSite(directory.Samba, hosts)
	want.populate(t)
	want.mustRun(t, want.mesh(t))
	for _, tr := range troubles {
		for at := range hosts {
			t.Run(fmt.Sprintf("%s, host %d", tr.name, at+1), func(t *testing.T) {
				s := newSite(directory.Samba, hosts)
				s.populate(t)
				start := s.Snapshot()
				p := s.mesh(t)
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				cure := tr.begin(s, at, cancel)
				var baselines []*delegation.Baseline
				keep := delegation.ApplyOptions{Baseline: func(b *delegation.Baseline) error { baselines = append(baselines, b); return nil }}
				r, err := delegation.Apply(ctx, s, p, keep)
				wantCode(t, err, fault.PlanPartlyApplied)
				var expected []string
				for i := range hosts {
					switch {
					case i < at:
						expected = append(expected, string(tr.done))
					case i == at:
						expected = append(expected, "failed:"+string(tr.code))
					default:
						expected = append(expected, string(tr.rest))
					}
				}
				if got := outcomes(r); got != strings.Join(expected, " ") {
					t.Errorf("%s, want %s", got, expected)
				}
				if tr.done == delegation.NotTried && len(baselines) > 0 {
					t.Error("a baseline before nothing")
				}
				cure()
				if _, err := delegation.Apply(t.Context(), s, p, keep); err != nil {
					t.Fatalf("after the cure: %v", err)
				}
				if s.Snapshot() != want.Snapshot() {
					t.Errorf("after the cure\n%s\nwant\n%s", s.Snapshot(), want.Snapshot())
				}
				slices.Reverse(baselines)
				for _, b := range baselines {
					s.mustRun(t, s.rollback(t, b))
				}
				if s.Snapshot() != start {
					t.Errorf("after the rollback\n%s\nwant\n%s", s.Snapshot(), start)
				}
			})
		}
	}
}

func TestErrorCountsTheAccounts(t *testing.T) {
	s := newSite(directory.Samba, 4)
	p := s.mesh(t)
	s.Drop(s.dns[1])
	r, _, err := s.run(t, p)
	if got := outcomes(r); got != "applied failed:directory-object-gone applied applied" {
		t.Error(got)
	}
	args := fault.From(err).Args
	if args["done"] != "3" || args["total"] != "4" || args["failed"] != "1" || args["left"] != "0" || args["baseline"] != "BASELINE" {
		t.Errorf("%v", args)
	}
}

func TestPartOfAPlanThatIsThereIsNoChange(t *testing.T) {
	s := newSite(directory.Samba, 2)
	s.populate(t)
	p := s.mesh(t)
	want := newSite(directory.Samba, 2)
	want.populate(t)
	want.mustRun(t, want.mesh(t))
	// By hand: one value added, with other letters, one deleted.
	s.Set(s.dns[0], list, "CIFS/hv02", " odd value: HV01$", "cifs/größe")
	s.Set(s.dns[1], flags, fmt.Sprint(4096|0x1000000))
	s.mustRun(t, p)
	if got := s.Get(s.dns[0], list); !slices.Equal(got, []string{"CIFS/hv02", "Microsoft Virtual System Migration Service/HV02", `Microsoft\ Virtual\ System\ Migration\ Service/HV02`}) {
		t.Errorf("%q", got)
	}
	if !slices.Equal(s.Get(s.dns[1], list), want.Get(want.dns[1], list)) {
		t.Errorf("%q", s.Get(s.dns[1], list))
	}
}

func TestNothingIsChangedWithoutABaseline(t *testing.T) {
	full := errors.New("disk full")
	for name, f := range map[string]func(*delegation.Baseline) error{
		"fails": func(*delegation.Baseline) error { return full },
		"fails by code": func(*delegation.Baseline) error {
			return fault.Wrap(full, fault.BaselineNotWritten, "", "path", "/b.ldif")
		},
		"is not given": nil,
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(directory.Samba, 2)
			before := s.Snapshot()
			r, err := delegation.Apply(t.Context(), s, s.mesh(t), delegation.ApplyOptions{Baseline: f})
			wantCode(t, err, fault.BaselineNotWritten)
			if s.Snapshot() != before || outcomes(r) != "not-tried not-tried" || f != nil && !errors.Is(err, full) {
				t.Errorf("%v %s", err, outcomes(r))
			}
		})
	}
}

func TestPlanOfAnotherDomainIsRefused(t *testing.T) {
	s := newSite(directory.Samba, 2)
	p := s.mesh(t)
	s.SetRoot(func(r *directory.Root) { r.DomainSID, r.Domain = "S-1-5-21-4-5-6", "other.test" })
	r, b, err := s.run(t, p)
	wantCode(t, err, fault.PlanOtherDomain)
	if b != nil || s.Count("read")+s.Count("modify") > 0 || outcomes(r) != "not-tried not-tried" {
		t.Errorf("%v %s", b, outcomes(r))
	}
}

func TestControllerThatNeverAnswers(t *testing.T) {
	s := newSite(directory.Samba, 2)
	p := s.mesh(t)
	s.Before = func(r delegationtest.Request) error {
		if r.Op == "usn" {
			return delegationtest.Unreachable()
		}
		return nil
	}
	r, b, err := s.run(t, p)
	wantCode(t, err, fault.PlanPartlyApplied)
	if b != nil || outcomes(r) != "not-tried not-tried" || !strings.Contains(err.Error(), "no domain controller") {
		t.Errorf("%v %s", err, outcomes(r))
	}
	s.Before = func(delegationtest.Request) error { return delegationtest.Unreachable() }
	if r, err := delegation.Apply(t.Context(), s, p, delegation.ApplyOptions{}); r != nil || !fault.Is(err, fault.DirectoryUnreachable) {
		t.Errorf("%v %v", r, err)
	}
}

// On Windows a descriptor cannot be asserted, so it is read once more.
func TestDescriptorThatChangesAfterTheBaselineIsLeftAlone(t *testing.T) {
	s := newSite(directory.Windows, 2)
	p := s.mesh(t)
	reads := 0
	s.Before = func(r delegationtest.Request) error {
		if r.Op == "read" && r.DN == s.dns[1] {
			if reads++; reads == 2 {
				s.Set(s.dns[1], descriptor, "somebody else's")
			}
		}
		return nil
	}
	r, _, err := s.run(t, p)
	wantCode(t, err, fault.PlanPartlyApplied)
	if got := s.Get(s.dns[1], descriptor); outcomes(r) != "applied failed:directory-changed" || got[0] != "somebody else's" {
		t.Errorf("%s %q", outcomes(r), got)
	}
}
