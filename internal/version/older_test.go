package version

import "testing"

func TestOlder(t *testing.T) {
	for _, c := range []struct {
		have, need string
		want       bool
	}{
		{"9.0.0", "9.0.0", false}, {"8.10.0", "9.0.0", true}, {"9.0.0", "9.0.1", true}, {"10.0.2", "9.9.9", false},
		{"7", "7.2.0", false}, {"6", "7.2.0", true}, {"", "7.2.0", false}, {"git", "7.2.0", false}, {"7.x", "7.2.0", false},
	} {
		if got := Older(c.have, c.need); got != c.want {
			t.Errorf("Older(%q, %q) = %v", c.have, c.need, got)
		}
	}
}
