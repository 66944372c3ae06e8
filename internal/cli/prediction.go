package cli

import (
	"fmt"

	"drover/internal/record"
)

// addPrediction says in a plan what to expect of the move.
func addPrediction(s *sheet, p *record.Prediction) {
	if p == nil {
		return
	}
	switch {
	case p.BlackoutMS.High > 0:
		s.add("predicted", "%s in all, blackout %s", rangeText(p.TotalMS), rangeText(p.BlackoutMS))
	case p.TotalMS.High > 0: // the guest is not moved in the end
		s.add("predicted", "%s in all", rangeText(p.TotalMS))
	}
	if p.Converges {
		s.add("predicted", "%s", p.Reason)
		return
	}
	s.add("warning", "%s", p.Reason)
}

// rangeText shows times that are about the same as one.
func rangeText(r record.Range) string {
	low, high := milliseconds(r.Low), milliseconds(r.High)
	if low == high {
		return "about " + low
	}
	return low + " to " + high
}

// scoreText compares the prediction with what a move took.
func scoreText(s *record.Score) string {
	within := "outside of the range"
	if s.Within {
		within = "within the range"
	}
	return fmt.Sprintf("about %s, %s: it took %.2f times that", milliseconds(s.PredictedTotalMS), within, s.Ratio)
}
