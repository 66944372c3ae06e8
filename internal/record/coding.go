package record

import "math"

// Coding is what the performance option Compression made of what a connection, or
// a move, sent. Each block counts once among None, S2 and Zstd, and once more in
// Folded if its pages were looked at.
type Coding struct {
	None   Tally `json:"none" doc:"blocks that were not compressed"`
	S2     Tally `json:"s2"`
	Zstd   Tally `json:"zstd"`
	Folded Tally `json:"folded" doc:"of all of these, blocks whose pages were looked at"`
	Pages  Pages `json:"pages"`
	// Ratio of bytes before and after, for all blocks together.
	Ratio float64 `json:"ratio" doc:"bytes before by bytes after"`
}

// Tally counts blocks, and their bytes before and after coding.
type Tally struct {
	Blocks uint64 `json:"blocks"`
	Before uint64 `json:"bytes_before"`
	After  uint64 `json:"bytes_after" doc:"without encryption"`
}

// Pages are 4 KiB pages that were found in blocks, and what became of them. Those
// that are none of these were sent whole.
type Pages struct {
	Seen        uint64 `json:"seen"`
	Zero        uint64 `json:"zero" doc:"of zeros"`
	Repeated    uint64 `json:"repeated" doc:"the same as a page that was sent before"`
	Differences uint64 `json:"differences" doc:"sent as the difference to the page's former content"`
}

// Add counts one block.
func (t *Tally) Add(before, after int) {
	t.Blocks++
	t.Before += uint64(before)
	t.After += uint64(after)
}

func (t Tally) plus(o Tally) Tally {
	return Tally{t.Blocks + o.Blocks, t.Before + o.Before, t.After + o.After}
}

// All are all blocks.
func (c Coding) All() Tally { return c.None.plus(c.S2).plus(c.Zstd) }

// Plus is the work of two connections together.
func (c Coding) Plus(o Coding) Coding {
	sum := Coding{None: c.None.plus(o.None), S2: c.S2.plus(o.S2), Zstd: c.Zstd.plus(o.Zstd), Folded: c.Folded.plus(o.Folded),
		Pages: Pages{c.Pages.Seen + o.Pages.Seen, c.Pages.Zero + o.Pages.Zero, c.Pages.Repeated + o.Pages.Repeated, c.Pages.Differences + o.Pages.Differences}}
	if all := sum.All(); all.After > 0 {
		sum.Ratio = math.Round(float64(all.Before)/float64(all.After)*100) / 100
	}
	return sum
}

// CodingOf is the work of all connections, nil when none of them coded anything.
func CodingOf(streams []StreamProof) *Coding {
	var sum Coding
	for _, s := range streams {
		if s.Coding != nil {
			sum = sum.Plus(*s.Coding)
		}
	}
	if sum.All().Blocks == 0 {
		return nil
	}
	return &sum
}
