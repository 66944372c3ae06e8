package predict

import (
	"math"
	"time"

	"drover/internal/record"
)

// Learned is how predictions of one kind turned out: what the model leaves out
// of this VM or of these hosts. The zero value knows nothing.
type Learned struct {
	// Log is the mean of ln(actual / predicted), later moves counting more.
	Log float64 `json:"log"`
	// Moves were scored.
	Moves int `json:"moves"`
}

// most is how far a prediction is corrected, either way.
const most = 4.0

// Factor is by which a prediction is multiplied.
func (l Learned) Factor() float64 {
	if l.Moves <= 0 || math.IsNaN(l.Log) {
		return 1
	}
	return math.Exp(min(max(l.Log, -math.Log(most)), math.Log(most)))
}

// Add takes one move in: the rest of the time, as the model had it without what
// was learned, and as it was.
func (l Learned) Add(predicted, actual time.Duration) Learned {
	if predicted <= 0 || actual <= 0 {
		return l
	}
	seen := min(max(math.Log(actual.Seconds()/predicted.Seconds()), -2*math.Log(most)), 2*math.Log(most))
	weight := max(1/float64(max(l.Moves, 0)+1), 0.4)
	return Learned{Log: l.Log + weight*(seen-l.Log), Moves: max(l.Moves, 0) + 1}
}

// Lesson is what the rest of a move that was predicted so adds to what was known:
// of one that the link held up, only what it took beside that.
func (p Result) Lesson(known Learned, actual time.Duration) Learned {
	open := p.Rest - p.Certain
	return known.Add(open, max(actual-p.Certain, open/4))
}

// doubt is by which share a prediction may miss.
func (l Learned) doubt() float64 {
	switch {
	case l.Moves >= 3:
		return 0.25
	case l.Moves > 0:
		return 0.35
	}
	return 0.45
}

// Score compares a prediction with the time that the move took.
func Score(p record.Prediction, took time.Duration) record.Score {
	middle := (p.TotalMS.Low + p.TotalMS.High) / 2
	s := record.Score{PredictedTotalMS: middle, Within: took.Milliseconds() >= p.TotalMS.Low && took.Milliseconds() <= p.TotalMS.High}
	if middle > 0 {
		s.Ratio = math.Round(float64(took.Milliseconds())/float64(middle)*100) / 100
	}
	return s
}
