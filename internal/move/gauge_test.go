package move

import (
	"testing"
	"time"
)

// What a probe found is used also by a move that comes for it late, as on a host
// that was slow until then.
func TestALinkThatIsKnownCountsLateToo(t *testing.T) {
	closed := make(chan struct{})
	close(closed)
	long := time.Now().Add(-time.Hour)
	for range 50 { // each look at two channels that are ready is a throw of a coin
		for name, c := range map[string]struct {
			link linkProbe
			rate float64
			slow bool
		}{
			"its rate":          {linkProbe{started: long, slow: make(chan struct{}), done: closed, rate: 5e9}, 5e9, false},
			"that it is slow":   {linkProbe{started: long, slow: closed, done: make(chan struct{})}, 0, true},
			"both":              {linkProbe{started: long, slow: closed, done: closed, rate: 1e8}, 1e8, false},
			"nothing":           {linkProbe{started: long, slow: make(chan struct{}), done: make(chan struct{})}, 0, false},
			"both, and in time": {linkProbe{started: time.Now(), slow: closed, done: closed, rate: 1e8}, 1e8, false},
		} {
			if rate, slow := c.link.soon(t.Context()); rate != c.rate || slow != c.slow {
				t.Fatalf("%s: %v, %v", name, rate, slow)
			}
		}
	}
}
