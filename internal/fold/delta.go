package fold

import (
	"encoding/binary"
	"math/bits"
)

// maxDelta is the most bytes that the differences of a page may take. One that
// differs in more is sent anew: compressed, it would hardly be longer.
const maxDelta = PageSize / 2

// appendDelta appends the differences of page to old: to ops, for each run of
// bytes that differ, its length and how many equal bytes come before it, as
// varints, and a length of 0 after the last; to data the bytes. A run goes on
// until eight aligned bytes are equal. It gives up, and ok is false, when ops and
// data together would grow by more than maxDelta.
func appendDelta(ops, data []byte, old, page *[PageSize]byte) (_, _ []byte, ok bool) {
	limit := len(ops) + len(data) + maxDelta
	end := 0 // of the run before
	for i := 0; i < PageSize; {
		x := word(old, i) ^ word(page, i)
		if x == 0 {
			i += 8
			continue
		}
		start, last := i+bits.TrailingZeros64(x)/8, x
		for i += 8; i < PageSize; i += 8 {
			if x = word(old, i) ^ word(page, i); x == 0 {
				break
			}
			last = x
		}
		stop := i - bits.LeadingZeros64(last)/8
		// Two varints of up to two bytes each, and the 0 at the end.
		if len(ops)+len(data)+stop-start+5 > limit {
			return ops, data, false
		}
		ops = binary.AppendUvarint(ops, uint64(stop-start))
		ops = binary.AppendUvarint(ops, uint64(start-end))
		data = append(data, page[start:stop]...)
		end = stop
	}
	return append(ops, 0), data, true
}

func word(p *[PageSize]byte, i int) uint64 {
	return binary.LittleEndian.Uint64(p[i : i+8])
}
