package benchdirectory

import (
	"strings"
	"testing"
	"time"
)

func TestTheSlowestRunMeetsTheTargetOrMissesIt(t *testing.T) {
	taken := func(target time.Duration, runs ...float64) Figure {
		f := newFigure(measured{name: "n", args: []string{"spn", "duplicates"}, target: target})
		f.RunsMS = runs
		return f
	}
	for name, c := range map[string]struct {
		figure Figure
		median float64
		pass   bool
	}{
		"met":       {taken(5*time.Second, 3, 4999, 1, 2), 2.5, true},
		"missed":    {taken(5*time.Second, 1, 5000, 2), 2, false},
		"no target": {taken(0, 1e6), 1e6, true},
	} {
		r := &report{Figures: []Figure{taken(time.Second, 1), c.figure}}
		r.finish()
		if f := r.Figures[1]; f.MedianMS != c.median || f.Pass != c.pass || r.Pass != c.pass {
			t.Errorf("%s: %+v, all %v", name, f, r.Pass)
		}
		var out strings.Builder
		if err := r.print(&out); err != nil || strings.Contains(out.String(), "MISSED") == c.pass {
			t.Errorf("%s: %v\n%s", name, err, out.String())
		}
	}
}
