package move_test

import (
	"regexp"
	"strings"
	"testing"

	"drover/internal/move"
)

func (h *host) saw(_ move.Record, e move.Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.happened = append(h.happened, e)
}

// course is what Options.Happened was told, as one line.
func (h *host) course() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	var out []string
	for i, e := range h.happened {
		word := string(e.Phase)
		if e.Kind != move.EventPhase {
			word = string(e.Kind)
		}
		if e.Seq != int64(i+1) || e.Move == "" || e.Time.IsZero() {
			word += " out of order"
		}
		out = append(out, word)
	}
	return strings.Join(out, " ")
}

func TestEachStepIsToldOnceItIsJournalled(t *testing.T) {
	_, src, dst := pair(t, vm())
	id := src.current().begin(t, request())
	wantCode(t, src.over(t, id), move.Done)
	wantCode(t, dst.over(t, id), move.Done)
	// The plan is told as soon as there is a prediction, before anything travels.
	planned := regexp.MustCompile("^queued negotiate authorise (plan )?prepare (plan )?connect (plan )?transfer handover finish confirm$")
	if got := src.course(); !planned.MatchString(got) || strings.Count(got, "plan") != 1 {
		t.Errorf("source: %s", got)
	}
	if got, want := dst.course(), "negotiate authorise prepare connect transfer handover finish confirm"; got != want {
		t.Errorf("destination: %s", got)
	}
}

func TestTheDestinationTellsWhatCame(t *testing.T) {
	_, src, dst := pair(t, vm())
	id := src.current().begin(t, request())
	wantCode(t, src.over(t, id), move.Done)
	rec := dst.over(t, id)
	s := rec.Summary
	if s == nil {
		t.Fatal("no summary")
	}
	// No network of the fake's settings has its address, which then names itself.
	if s.Operator != operator || s.DelegatedBy == "" || rec.DelegatedBy != s.DelegatedBy || rec.SignIn != s.SignIn || s.Network != "10.0.0.2" || !s.Encrypted || s.WireBytes != 10 ||
		s.DelegatedService != "Microsoft Virtual System Migration Service/HV02" || s.BlackoutMS < 0 || s.TotalMS < s.BlackoutMS {
		t.Errorf("summary %+v of %+v", s, rec)
	}
}
