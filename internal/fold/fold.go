// Package fold makes blocks of a stream smaller by what it knows of their
// content, before any compression: pages of zeros, pages that were sent before,
// and pages of which a former version was sent.
//
// The sender finds pages with a Scanner. The receiver knows nothing of what the
// bytes mean: a folded block tells it piece by piece how to make the bytes
// again, from literal bytes and from pages that it was told to remember in
// numbered slots. So the bytes come out exactly as they went in, whatever the
// Scanner makes of them, and each block carries a checksum of them to show it.
//
// The sender alone decides what is in which slot, and both ends number them
// alike, from 0 on, for each stream. Blocks of a stream have to be unfolded in
// the order in which they were folded; blocks that travel without being folded
// change nothing and may stand anywhere between them.
//
// The layout of a folded block is in docs/protocol.md.
package fold

import "errors"

const (
	// PageSize is that of the pages that are looked at, in bytes.
	PageSize = 4096
	// MaxRaw is the most that one folded block may stand for, in bytes.
	MaxRaw = 1 << 20
	// MaxSlots is how many pages the streams of one move may have remembered at a
	// time, together: 144 MiB on either side.
	MaxSlots = 36 << 10
)

// ErrBlock is what a block that is not well-formed gives, or one whose checksum
// is wrong.
var ErrBlock = errors.New("fold: not a folded block")

// Scanner finds the pages in a stream of bytes. A Scanner that does not
// understand what it sees finds none from then on.
type Scanner interface {
	// Next looks at b, which follows everything that it was told of before. The
	// first n bytes of b are one piece: with page they are a page of PageSize
	// bytes, and key says which place of the guest or disk it belongs to; else they
	// travel as they are. n is 0 when b is empty, and when a page or a header begins
	// at b whose end is not there yet: ask again with more, or Pass it.
	Next(b []byte) (n int, key uint64, page bool)
	// Pass tells of bytes that travel unlooked at. They may end anywhere.
	Pass(b []byte)
}
