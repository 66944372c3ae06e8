package krb

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"unicode/utf16"
)

var errNDR = errors.New("malformed NDR")

// ndr reads the little-endian NDR of MS-PAC structures. The first error sticks:
// everything after it reads as zero, and counts are bounded by what is left, so
// no input makes it allocate more than it is long.
type ndr struct {
	b   []byte
	off int
	err error
}

// newNDR opens a type serialization version 1 stream (MS-RPCE 2.2.6): common
// header, private header, and the pointer to the one structure in it.
func newNDR(b []byte) *ndr {
	n := &ndr{b: b}
	if len(b) < 20 || b[0] != 1 || b[1] != 0x10 || binary.LittleEndian.Uint16(b[2:]) != 8 {
		n.err = errNDR
		return n
	}
	n.off = 16
	if n.u32() == 0 {
		n.err = errNDR
	}
	return n
}

func (n *ndr) take(size, align int) []byte {
	off := (n.off + align - 1) / align * align
	if n.err == nil && (size < 0 || off > len(n.b) || len(n.b)-off < size) {
		n.err = errNDR
	}
	if n.err != nil {
		return nil
	}
	n.off = off + size
	return n.b[off : off+size]
}

func (n *ndr) u16() uint16 {
	if b := n.take(2, 2); b != nil {
		return binary.LittleEndian.Uint16(b)
	}
	return 0
}

func (n *ndr) u32() uint32 {
	if b := n.take(4, 4); b != nil {
		return binary.LittleEndian.Uint32(b)
	}
	return 0
}

// count reads a conformance count of elements that take at least size bytes.
func (n *ndr) count(size int) int {
	c := n.u32()
	if n.err == nil && int64(c)*int64(size) > int64(len(n.b)-n.off) {
		n.err = errNDR
	}
	if n.err != nil {
		return 0
	}
	return int(c)
}

// expect is count for an array whose length was announced before.
func (n *ndr) expect(size int, announced uint32) int {
	c := n.count(size)
	if n.err == nil && uint32(c) != announced {
		n.err = errNDR
	}
	if n.err != nil {
		return 0
	}
	return c
}

// ustring is the fixed part of an RPC_UNICODE_STRING.
type ustring struct {
	length uint16
	ptr    uint32
}

func (n *ndr) ustring() ustring {
	n.take(0, 4)
	u := ustring{length: n.u16()}
	n.u16()
	u.ptr = n.u32()
	return u
}

// text reads the deferred part of u.
func (n *ndr) text(u ustring) string {
	if u.ptr == 0 {
		return ""
	}
	n.u32() // maximum count
	if n.u32() != 0 && n.err == nil {
		n.err = errNDR // an offset is never used
	}
	c := n.count(2)
	if int(u.length) != 2*c && n.err == nil {
		n.err = errNDR
	}
	return utf16String(n.take(2*c, 1))
}

// rids reads an array of GROUP_MEMBERSHIP and gives the SIDs in domain.
func (n *ndr) rids(announced uint32, domain string) []string {
	var out []string
	for range n.expect(8, announced) {
		rid := n.u32()
		n.u32() // attributes
		out = append(out, fmt.Sprintf("%s-%d", domain, rid))
	}
	return out
}

// sid reads an RPC_SID with its conformance count.
func (n *ndr) sid() string {
	c := n.count(4)
	h := n.take(8, 4)
	if n.err != nil {
		return ""
	}
	if h[0] != 1 || int(h[1]) != c || c > 15 {
		n.err = errNDR
		return ""
	}
	var auth uint64
	for _, x := range h[2:8] {
		auth = auth<<8 | uint64(x)
	}
	var s strings.Builder
	fmt.Fprintf(&s, "S-1-%d", auth)
	for range c {
		fmt.Fprintf(&s, "-%d", n.u32())
	}
	return s.String()
}

func utf16String(b []byte) string {
	u := make([]uint16, len(b)/2)
	for i := range u {
		u[i] = binary.LittleEndian.Uint16(b[2*i:])
	}
	return string(utf16.Decode(u))
}
