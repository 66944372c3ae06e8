package settings

import "testing"

func TestCoresAreReadAsTheyAreWritten(t *testing.T) {
	for in, want := range map[string]Cores{"auto": 0, "AUTO ": 0, "1": 1, " 16": 16, "1024": 1024} {
		if got, err := ParseCores(in); err != nil || got != want {
			t.Errorf("%q: %v, %v", in, got, err)
		}
	}
	for _, c := range []Cores{0, 1, 7, maxCores} {
		if got, err := ParseCores(c.String()); err != nil || got != c || c.Check() != nil {
			t.Errorf("%v: %v, %v", c, got, err)
		}
	}
	for _, in := range []string{"", "0", "-1", "1.5", "1025", "all", "4 cores"} {
		if got, err := ParseCores(in); err == nil {
			t.Errorf("%q is %v", in, got)
		}
	}
	for _, c := range []Cores{-1, maxCores + 1} {
		if c.Check() == nil {
			t.Errorf("%d passes", c)
		}
	}
}

func TestCoresOfAHost(t *testing.T) {
	for _, c := range []struct {
		set   Cores
		have  int
		means int
	}{{0, 1, 1}, {0, 2, 1}, {0, 16, 8}, {3, 2, 2}, {1, 64, 1}, {1024, 4, 4}, {3, 0, 1}} {
		if got := c.set.Of(c.have); got != c.means {
			t.Errorf("%v of %d: %d", c.set, c.have, got)
		}
	}
}
