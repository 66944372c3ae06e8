package move

import (
	"math"
	"testing"

	"drover/internal/wire"
)

func TestASourceCannotClaimAnyBlackout(t *testing.T) {
	for said, want := range map[int64]int64{0: 0, 212: 212, -5: 0, math.MinInt64: 0, math.MaxInt64: maxStood.Milliseconds()} {
		if got := stoodMS(wire.Handover{StoodMS: said}); got != want {
			t.Errorf("%d is taken for %d, want %d", said, got, want)
		}
	}
}
