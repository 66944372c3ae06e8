package delegation_test

import (
	"strconv"
	"testing"

	"drover/internal/delegation"
	"drover/internal/directory"
)

// state is what NewPlan is told of a site.
func (s *site) state(t *testing.T) delegation.State {
	st := delegation.State{Root: mustRoot(t, s), Time: planned}
	for i, dn := range s.dns {
		a := directory.Account{DN: dn, Name: account(i), Class: directory.Computer, SID: s.sids[i], DNSHostName: "hv0" + strconv.Itoa(i+1) + ".lab.test",
			DelegateTo: s.Get(dn, list), EncryptionTypes: 24}
		n, err := strconv.ParseUint(s.Get(dn, flags)[0], 10, 32)
		if err != nil {
			t.Fatal(err)
		}
		a.Flags = uint32(n)
		if sd := s.Get(dn, descriptor); sd != nil {
			a.ActOnBehalf = []byte(sd[0])
		}
		st.Hosts = append(st.Hosts, a)
	}
	groups, err := s.Groups(t.Context(), delegation.DefaultGroup)
	if err != nil {
		t.Fatal(err)
	}
	if len(groups) == 1 {
		st.Group = &groups[0]
	}
	return st
}

// Every model, from planning through a file to the directory and back.
func TestPlansOfEveryModelAreAppliedAndUndone(t *testing.T) {
	for _, model := range delegation.Models {
		for _, prune := range []bool{false, true} {
			t.Run(string(model)+", prune "+strconv.FormatBool(prune), func(t *testing.T) {
				s := newSite(directory.Windows, 4)
				s.populate(t)
				before := s.Snapshot()
				in := delegation.Intent{Model: model, Prune: prune}
				p, err := delegation.NewPlan(in, s.state(t))
				if err != nil {
					t.Fatal(err)
				}
				b := s.mustRun(t, throughJSON(t, p))
				again, err := delegation.NewPlan(in, s.state(t))
				if err != nil || !again.Empty() {
					t.Fatalf("the second plan: %v %+v", err, again)
				}
				s.mustRun(t, s.rollback(t, b))
				if s.Snapshot() != before {
					t.Errorf("%s\nbefore\n%s", s.Snapshot(), before)
				}
			})
		}
	}
}
