package guest

import (
	"encoding/binary"
	"fmt"
	"math/bits"
)

// PageSize is the unit in which a hypervisor tracks and sends memory.
const PageSize = 4096

// Kind is what a page is filled with.
type Kind uint8

// The kinds of page. Their shares come from Mix.
const (
	KindZero   Kind = iota // all bytes zero, no header
	KindText               // prose-like words
	KindCode               // machine code of real programs
	KindRandom             // incompressible
	KindLog                // lines of a log
	KindHeap               // rows of a table: keys, numbers, times, short text

	kinds = int(KindHeap) + 1
)

// String names the kind as drover.mix does.
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return fmt.Sprintf("kind %d", uint8(k))
}

var kindNames = [kinds]string{"zero", "text", "code", "random", "log", "heap"}

// A page that is not of KindZero begins with this header, little endian:
//
//	0 u32 magic       8 u64 index        24 u64 boot nonce
//	4 u32 kind       16 u64 generation   32 u64 checksum of all other words
//
// The index tells a page in the wrong place, the generation (compared with a
// table kept elsewhere) a page from the past, the nonce a page of an earlier
// boot, the checksum everything else.
const (
	pageMagic  = 0x45_47_50_44 // "DPGE"
	pageHeader = 40

	offKind  = 4
	offIndex = 8
	offGen   = 16
	offNonce = 24
	offSum   = 32
)

var le = binary.LittleEndian

// pageID is what a page must prove to be.
type pageID struct {
	kind  Kind
	index uint64
	gen   uint64
	nonce uint64
}

// seal writes header and checksum of a page whose content is in place.
func seal(p *[PageSize]byte, id pageID) {
	le.PutUint32(p[0:], pageMagic)
	le.PutUint32(p[offKind:], uint32(id.kind))
	le.PutUint64(p[offIndex:], id.index)
	le.PutUint64(p[offGen:], id.gen)
	le.PutUint64(p[offNonce:], id.nonce)
	le.PutUint64(p[offSum:], pageSum(p))
}

// PageError says in which way a page is not what it should be.
type PageError struct {
	// Index and Kind are what the page should be.
	Index uint64
	Kind  Kind
	// Problem is what was found instead.
	Problem string
}

// Error gives index, kind and problem.
func (e *PageError) Error() string {
	return fmt.Sprintf("page %d (%s): %s", e.Index, e.Kind, e.Problem)
}

// checkPage compares a page with what it must be; the error is a *PageError.
func checkPage(p *[PageSize]byte, id pageID) error {
	if id.kind == KindZero {
		if off := firstNonZero(p); off >= 0 {
			return &PageError{id.index, id.kind, fmt.Sprintf("byte %d is %#02x, not zero", off, p[off])}
		}
		return nil
	}
	// In the hot path one comparison of everything; words only when it failed.
	if le.Uint32(p[0:]) == pageMagic && le.Uint32(p[offKind:]) == uint32(id.kind) &&
		le.Uint64(p[offIndex:]) == id.index && le.Uint64(p[offGen:]) == id.gen &&
		le.Uint64(p[offNonce:]) == id.nonce && le.Uint64(p[offSum:]) == pageSum(p) {
		return nil
	}
	return &PageError{id.index, id.kind, pageProblem(p, id)}
}

func pageProblem(p *[PageSize]byte, id pageID) string {
	gen, index := le.Uint64(p[offGen:]), le.Uint64(p[offIndex:])
	switch {
	case firstNonZero(p) < 0:
		return "lost: all zero"
	case le.Uint32(p[0:]) != pageMagic:
		return fmt.Sprintf("no header, begins with %#08x", le.Uint32(p[0:]))
	case le.Uint64(p[offSum:]) != pageSum(p):
		return fmt.Sprintf("corrupt: checksum %#016x, content gives %#016x", le.Uint64(p[offSum:]), pageSum(p))
	case le.Uint64(p[offNonce:]) != id.nonce:
		return fmt.Sprintf("of another boot, %#016x", le.Uint64(p[offNonce:]))
	case index != id.index:
		return fmt.Sprintf("misplaced: it is page %d", index)
	case gen < id.gen:
		return fmt.Sprintf("stale: generation %d, expected %d", gen, id.gen)
	case gen > id.gen:
		return fmt.Sprintf("from the future: generation %d, expected %d", gen, id.gen)
	}
	return fmt.Sprintf("of kind %d", le.Uint32(p[offKind:]))
}

func firstNonZero(p *[PageSize]byte) int {
	for i := 0; i < PageSize; i += 8 {
		if le.Uint64(p[i:i+8]) == 0 {
			continue
		}
		for j := i; ; j++ {
			if p[j] != 0 {
				return j
			}
		}
	}
	return -1
}

// pageSum hashes every word but the checksum's own. Each step is a bijection
// of the state, so a change confined to one word is always seen; it needs no
// instruction that an emulated processor lacks or is slow at.
func pageSum(p *[PageSize]byte) uint64 {
	h := uint64(0x9e3779b97f4a7c15)
	for i := 0; i < offSum; i += 8 {
		h = bits.RotateLeft64(h^le.Uint64(p[i:i+8]), 29) * 0xff51afd7ed558ccd
	}
	for i := offSum + 8; i < PageSize; i += 8 {
		h = bits.RotateLeft64(h^le.Uint64(p[i:i+8]), 29) * 0xff51afd7ed558ccd
	}
	return h ^ h>>32
}

// splitmix is a generator whose whole state is one word, so content can be
// seeded by place and generation. (Steele, Lea, Flood: SplittableRandom.)
type splitmix uint64

func (s *splitmix) next() uint64 {
	*s += 0x9e3779b97f4a7c15
	z := uint64(*s)
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// below is a number in [0, n), good enough for choosing content.
func (s *splitmix) below(n uint64) uint64 {
	hi, _ := bits.Mul64(s.next(), n)
	return hi
}
