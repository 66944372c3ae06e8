package cli

import (
	"bytes"
	"strings"
	"testing"

	"drover/internal/record"
)

func TestAPlanSaysWhatToExpect(t *testing.T) {
	for name, c := range map[string]struct {
		p       *record.Prediction
		want    []string
		without string
	}{
		"converges": {&record.Prediction{TotalMS: record.Range{Low: 3100, High: 4800}, BlackoutMS: record.Range{Low: 60, High: 400}, Converges: true, Reason: "it fits"},
			[]string{"predicted   3.1 s to 4.8 s in all, blackout 60 ms to 400 ms", "it fits"}, "warning"},
		"does not": {&record.Prediction{Reason: "the guest is too busy"}, []string{"warning     the guest is too busy"}, "predicted"},
		"is ended": {&record.Prediction{TotalMS: record.Range{Low: 20000, High: 21000}, Reason: "after 20s the move is ended"},
			[]string{"predicted   20.0 s to 21.0 s in all\n", "warning     after 20s"}, "slow"},
		"not known": {nil, []string{"Plan: move APP01"}, "predicted"},
	} {
		t.Run(name, func(t *testing.T) {
			var b bytes.Buffer
			if err := printPlan(&b, &record.Plan{VM: "APP01", Kind: "live", Source: "HV01", Destination: "HV02", Prediction: c.p}); err != nil {
				t.Fatal(err)
			}
			for _, w := range c.want {
				if !strings.Contains(b.String(), w) {
					t.Errorf("no %q in\n%s", w, &b)
				}
			}
			if strings.Contains(b.String(), c.without) {
				t.Errorf("%q in\n%s", c.without, &b)
			}
		})
	}
}

func TestASummarySaysHowGoodThePredictionWas(t *testing.T) {
	var b bytes.Buffer
	err := printSummary(&b, &record.Record{VM: "APP01", Kind: "live", Plan: &record.Plan{Source: "HV01", Destination: "HV02"},
		Summary: &record.Summary{TotalMS: 4000, Score: &record.Score{PredictedTotalMS: 3600, Ratio: 1.11, Within: true}}})
	if want := "predicted    about 3.6 s, within the range: it took 1.11 times that"; err != nil || !strings.Contains(b.String(), want) {
		t.Errorf("%v, no %q in\n%s", err, want, &b)
	}
}
