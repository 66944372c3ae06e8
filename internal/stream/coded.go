package stream

import (
	"time"

	"drover/internal/fold"
	"drover/internal/tune"
)

// Tally counts blocks.
type Tally struct {
	Blocks uint64 `json:"blocks"`
	Raw    uint64 `json:"raw"`  // bytes of the program
	Wire   uint64 `json:"wire"` // bytes that they travelled as, below the frame and above TLS
}

func (t *Tally) add(raw, wire int) { t.Blocks++; t.Raw += uint64(raw); t.Wire += uint64(wire) }

func (t Tally) plus(o Tally) Tally {
	return Tally{t.Blocks + o.Blocks, t.Raw + o.Raw, t.Wire + o.Wire}
}

// Coded is what a stream's Coding did to what was sent. Each block counts once
// among Plain, S2 and Zstd, and once more in Folded if it was folded.
type Coded struct {
	Plain  Tally `json:"plain"` // not compressed
	S2     Tally `json:"s2"`
	Zstd   Tally `json:"zstd"`
	Folded Tally `json:"folded"`
	// Pages says what folding found.
	Pages fold.Stats `json:"pages"`
	// Seconds that went by in each part of the work; parts of different blocks go
	// on at the same time.
	Wait   float64 `json:"wait_seconds"`   // for the program that sends
	Fold   float64 `json:"fold_seconds"`   // finding and folding pages
	Encode float64 `json:"encode_seconds"` // compressing
	Write  float64 `json:"write_seconds"`  // writing to the connection
}

// Plus is the sum of two streams' work.
func (c Coded) Plus(o Coded) Coded {
	return Coded{
		Plain: c.Plain.plus(o.Plain), S2: c.S2.plus(o.S2), Zstd: c.Zstd.plus(o.Zstd), Folded: c.Folded.plus(o.Folded),
		Pages: fold.Stats{Pages: c.Pages.Pages + o.Pages.Pages, Zero: c.Pages.Zero + o.Pages.Zero,
			Repeat: c.Pages.Repeat + o.Pages.Repeat, Delta: c.Pages.Delta + o.Pages.Delta},
		Wait: c.Wait + o.Wait, Fold: c.Fold + o.Fold, Encode: c.Encode + o.Encode, Write: c.Write + o.Write,
	}
}

// count adds one block that was sent.
func (c *Coded) count(m tune.Block, flags uint8, pages fold.Stats) {
	t := &c.Plain
	switch flags & codecBits {
	case codecS2:
		t = &c.S2
	case codecZstd:
		t = &c.Zstd
	}
	t.add(m.Raw, m.Wire)
	if flags&folded != 0 {
		c.Folded.add(m.Raw, m.Wire)
		c.Pages = pages
	}
	c.Wait += seconds(m.Wait)
	c.Fold += seconds(m.Fold)
	c.Encode += seconds(m.Encode)
	c.Write += seconds(m.Write)
}

func seconds(d time.Duration) float64 { return d.Seconds() }
