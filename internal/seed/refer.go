package seed

import (
	"encoding/binary"
	"errors"
	"net"
	"os"
)

// What goes over a stream with references is items, each with a header of 8 bytes:
// the kind, three bytes of zeros, and a number. Literals are so many bytes, which
// follow. A reference is the block with that number, whose Proof follows.
const (
	itemHead    = 8
	itemLiteral = 1
	itemBlock   = 2
)

// Blocks finds blocks in what a program sends: the next n bytes of b are one, or
// none. It gives 0 when what b ends with is not all of a block.
type Blocks interface {
	Next(b []byte) (n int, key uint64, block bool)
}

// readSize is how much is read at a time.
const readSize = 256 << 10

// refer is the source's end.
type refer struct {
	net.Conn
	index  *Index
	blocks Blocks

	in         []byte // what was read: from start to end it is not yet an item
	start, end int
	items      []byte // of which from out on did not come out
	out        int
	err        error // what comes after all this
}

// Refer puts references in place of blocks that the destination has. c is the
// connection to the program that sends; the result takes its place, and Take makes
// the same bytes of what comes out of its Read. What is read goes on at once, but for
// a block of which the rest is on its way.
//
// The result has CloseWrite, and Poll(p), a Read that gives 0 and no error
// instead of waiting. After a deadline that passed, Read may be called again.
func Refer(c net.Conn, x *Index, blocks Blocks) net.Conn {
	return &refer{Conn: c, index: x, blocks: blocks}
}

// CloseWrite ends the direction to the program, where the connection can.
func (r *refer) CloseWrite() error { return closeWrite(r.Conn) }

func closeWrite(c net.Conn) error {
	if c, ok := c.(interface{ CloseWrite() error }); ok {
		return c.CloseWrite()
	}
	return nil
}

// Read gives items.
func (r *refer) Read(p []byte) (int, error) { return r.read(p, r.Conn.Read) }

// Poll gives items if there are some.
func (r *refer) Poll(p []byte) (int, error) {
	c, ok := r.Conn.(interface{ Poll(p []byte) (int, error) })
	if !ok {
		return copyOut(p, r), nil
	}
	return r.read(p, c.Poll)
}

func copyOut(p []byte, r *refer) int {
	n := copy(p, r.items[r.out:])
	r.out += n
	return n
}

func (r *refer) read(p []byte, more func([]byte) (int, error)) (int, error) {
	for len(p) > 0 {
		if n := copyOut(p, r); n > 0 {
			return n, nil
		}
		if r.err != nil {
			return 0, r.err
		}
		if r.in == nil {
			r.in = make([]byte, readSize)
		}
		if r.start > 0 {
			r.end = copy(r.in, r.in[r.start:r.end])
			r.start = 0
		}
		n, err := more(r.in[r.end:])
		r.end += n
		if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			r.err = err
		}
		r.make()
		if n == 0 && r.err == nil {
			return 0, err
		}
	}
	return 0, nil
}

// make makes items of what was read.
func (r *refer) make() {
	r.items, r.out = r.items[:0], 0
	begin := r.start // of bytes that are to be literals
	for r.start < r.end {
		n, _, block := r.blocks.Next(r.in[r.start:r.end])
		if n == 0 {
			if r.err != nil || r.start == 0 && r.end == len(r.in) { // nothing follows, or no more fits
				r.start = r.end
			}
			break
		}
		if block && n == BlockSize {
			if at, proof, ok := r.index.Find(r.in[r.start : r.start+n]); ok {
				r.literal(r.in[begin:r.start])
				r.items = append(beginItem(r.items, itemBlock, at), proof[:]...)
				begin = r.start + n
			}
		}
		r.start += n
	}
	r.literal(r.in[begin:r.start])
}

func (r *refer) literal(b []byte) {
	if len(b) > 0 {
		r.items = append(beginItem(r.items, itemLiteral, uint32(len(b))), b...)
	}
}

func beginItem(b []byte, kind byte, number uint32) []byte {
	return binary.BigEndian.AppendUint32(append(b, kind, 0, 0, 0), number)
}
