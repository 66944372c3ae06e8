package nbd

// written remembers where on a disk data were written, in pieces of 64 KiB: that
// is the step in which QEMU copies. It takes 2 MiB for each TiB that was written.
type written struct {
	chunks []*[chunkBytes]byte
	lost   bool // there was something that it has no room for
}

const (
	pieceShift = 16
	chunkBytes = 4096
	chunkShift = pieceShift + 3 + 12 // 2 GiB of disk
	mostChunks = 4096                // 8 TiB of disk, 16 MiB of memory
)

// mark remembers a write. What lies beyond 8 TiB has no room, and lets everything
// count as written.
func (w *written) mark(offset, length uint64) {
	if length == 0 || w.lost {
		return
	}
	last := offset + length - 1
	if last < offset || last>>chunkShift >= mostChunks {
		w.chunks, w.lost = nil, true
		return
	}
	for n := last>>chunkShift + 1; uint64(len(w.chunks)) < n; {
		w.chunks = append(w.chunks, nil)
	}
	for p := offset >> pieceShift; p <= last>>pieceShift; p++ {
		c := &w.chunks[p>>(chunkShift-pieceShift)]
		if *c == nil {
			*c = new([chunkBytes]byte)
		}
		(*c)[p>>3%chunkBytes] |= 1 << (p & 7)
	}
}

// clean tells whether nothing was written to a range, for certain.
func (w *written) clean(offset, length uint64) bool {
	last := offset + length - 1
	if length == 0 || w.lost || last < offset {
		return false
	}
	for p := offset >> pieceShift; p <= last>>pieceShift; {
		i := p >> (chunkShift - pieceShift)
		if i >= uint64(len(w.chunks)) {
			return true
		}
		c := w.chunks[i]
		if c == nil { // nothing in all of it
			p = (i + 1) << (chunkShift - pieceShift)
			continue
		}
		if c[p>>3%chunkBytes]&(1<<(p&7)) != 0 {
			return false
		}
		p++
	}
	return true
}
