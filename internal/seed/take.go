package seed

import (
	"encoding/binary"
	"fmt"
	"net"
)

// Source has the blocks that references name.
type Source interface {
	// Block reads a block into p, which has its size, and is an error unless proof is
	// of what was read.
	Block(number uint32, proof Proof, p []byte) error
}

// items follows items piece by piece.
type items struct {
	head       [itemHead + len(Proof{})]byte
	have, need int
	left       uint32 // bytes of a literal that are still to come
}

// gather takes bytes of the beginning of an item, and tells when it is there: then
// left says how many bytes of a literal follow, or block which one it is.
func (i *items) gather(b []byte) (n int, block, complete bool, err error) {
	if i.need == 0 {
		i.need = itemHead
	}
	for n < len(b) {
		k := copy(i.head[i.have:i.need], b[n:])
		n, i.have = n+k, i.have+k
		if i.have < i.need {
			break
		}
		if i.need == itemHead {
			number := binary.BigEndian.Uint32(i.head[4:])
			switch {
			case i.head[1]|i.head[2]|i.head[3] != 0:
				return n, false, false, fmt.Errorf("%w: bits that mean nothing", ErrMalformed)
			case i.head[0] == itemBlock:
				i.need = len(i.head)
				continue
			case i.head[0] != itemLiteral || number == 0:
				return n, false, false, fmt.Errorf("%w: an item of kind %d with number %d", ErrMalformed, i.head[0], number)
			}
			i.left = number
		}
		block = i.need > itemHead
		i.have, i.need = 0, 0
		return n, block, true, nil
	}
	return n, false, false, nil
}

func (i *items) number() uint32 { return binary.BigEndian.Uint32(i.head[4:]) }
func (i *items) proof() Proof   { return Proof(i.head[itemHead:]) }

// between tells that no item has begun and not ended.
func (i *items) between() bool { return i.have == 0 && i.left == 0 }

// take is the destination's end.
type take struct {
	net.Conn
	from  Source
	items items
	block []byte
	err   error
}

// Take makes bytes again of what Refer made of them. c is the connection to the
// program that receives; the result takes its place. An error of Write that is of
// the seeds, or of what came, is that of from, or wraps ErrMalformed; everything before
// it was passed on, and nothing is after it.
func Take(c net.Conn, from Source) net.Conn { return &take{Conn: c, from: from} }

// Write takes items.
func (t *take) Write(p []byte) (n int, err error) {
	for n < len(p) && t.err == nil {
		var k int
		k, t.err = t.some(p[n:])
		n += k
	}
	return n, t.err
}

func (t *take) some(p []byte) (int, error) {
	i := &t.items
	if i.left > 0 {
		n, err := t.Conn.Write(p[:min(uint64(len(p)), uint64(i.left))])
		i.left -= uint32(n)
		return n, err
	}
	n, block, complete, err := i.gather(p)
	if err != nil || !complete || !block {
		return n, err
	}
	if t.block == nil {
		t.block = make([]byte, BlockSize)
	}
	if err := t.from.Block(i.number(), i.proof(), t.block); err != nil {
		return n, err
	}
	_, err = t.Conn.Write(t.block)
	return n, err
}

// CloseWrite ends the direction to the program: it is an error in the middle of an item.
func (t *take) CloseWrite() error {
	if t.err == nil && !t.items.between() {
		t.err = fmt.Errorf("%w: it ends within an item", ErrMalformed)
		return t.err
	}
	return closeWrite(t.Conn)
}
