package record

import "testing"

func TestCodingOfAMove(t *testing.T) {
	if c := CodingOf([]StreamProof{{Kind: "control"}, {Kind: "memory"}}); c != nil {
		t.Errorf("of streams that coded nothing: %+v", c)
	}
	one := &Coding{None: Tally{1, 100, 100}, Zstd: Tally{2, 900, 300}, Folded: Tally{2, 900, 300}, Pages: Pages{9, 4, 3, 2}}
	two := &Coding{S2: Tally{4, 400, 100}, Pages: Pages{1, 0, 1, 0}}
	c := CodingOf([]StreamProof{{Kind: "control"}, {Coding: one}, {Coding: two}})
	want := Coding{None: Tally{1, 100, 100}, S2: Tally{4, 400, 100}, Zstd: Tally{2, 900, 300}, Folded: Tally{2, 900, 300}, Pages: Pages{10, 4, 4, 2}, Ratio: 2.8}
	if c == nil || *c != want {
		t.Errorf("%+v, want %+v", c, want)
	}
}
