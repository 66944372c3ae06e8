package move_test

import (
	"slices"
	"testing"

	"drover/internal/move"
)

func TestMoveThereAndBack(t *testing.T) {
	w, src, dst := pair(t, vm())
	w.movesNow(t, src, dst)
	w.movesNow(t, dst, src)
}

func TestSummaryTellsWhatWasRemovedAndWhoAsked(t *testing.T) {
	_, src, _ := pair(t, vm())
	id := src.current().begin(t, request())
	rec := src.over(t, id)
	wantCode(t, rec, move.Done)
	s := rec.Summary
	if s == nil {
		t.Fatal("no summary")
	}
	if s.Operator != operator || s.DelegatedBy != "HV01$@LAB" || s.Network != "192.168.10.0/24" || !s.Encrypted || s.MemoryBytes != 100 || s.WireBytes != 120 {
		t.Errorf("summary %+v", s)
	}
	if !slices.Contains(s.Removed, disk) || len(s.Retained) > 0 {
		t.Errorf("removed %v, retained %v", s.Removed, s.Retained)
	}
}
