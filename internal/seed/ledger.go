package seed

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
)

// Entry is one block of a file.
type Entry struct {
	// Block is its place: the number of blocks before it in the file.
	Block uint32
	Sum   Sum
}

// Stamp tells whether a file is as it was when its ledger was made. That it is the
// same proves nothing, and is not relied on; that it is not says that the file has to
// be read again before anything is offered of it.
type Stamp struct {
	Size, Inode    uint64
	Changed, Wrote int64 // ctime and mtime, in ns
}

// Ledger is what was read in a file. Entries are in the order of the file.
type Ledger struct {
	Stamp   Stamp
	Entries []Entry
}

const (
	ledgerMagic  = "DROVSEED"
	ledgerBegin  = 8 + 4 + 4 + 4*8 + 4 // magic, version, block size, stamp, number of entries
	entrySize    = 4 + SumSize
	ledgerOne    = 1
	mostOfLedger = ledgerBegin + MostBlocks*entrySize + sha256.Size
)

var errLedger = errors.New("no ledger of a seed")

// Encode makes the file's form.
func (l Ledger) Encode() []byte {
	b := make([]byte, 0, ledgerBegin+len(l.Entries)*entrySize+sha256.Size)
	b = append(b, ledgerMagic...)
	b = binary.BigEndian.AppendUint32(b, ledgerOne)
	b = binary.BigEndian.AppendUint32(b, BlockSize)
	for _, v := range []uint64{l.Stamp.Size, l.Stamp.Inode, uint64(l.Stamp.Changed), uint64(l.Stamp.Wrote)} {
		b = binary.BigEndian.AppendUint64(b, v)
	}
	b = binary.BigEndian.AppendUint32(b, uint32(len(l.Entries)))
	for _, e := range l.Entries {
		b = binary.BigEndian.AppendUint32(b, e.Block)
		b = append(b, e.Sum[:]...)
	}
	sum := sha256.Sum256(b)
	return append(b, sum[:]...)
}

// Decode reads the file's form. One that was cut off, or changed in any place, is
// an error; and so is one with a block beyond the end of the file that it is of.
func Decode(b []byte) (Ledger, error) {
	var l Ledger
	if len(b) < ledgerBegin+sha256.Size || len(b) > mostOfLedger || string(b[:8]) != ledgerMagic {
		return l, errLedger
	}
	body := b[:len(b)-sha256.Size]
	if sum := sha256.Sum256(body); !bytes.Equal(sum[:], b[len(body):]) {
		return l, fmt.Errorf("%w: its checksum is another", errLedger)
	}
	if v, size := binary.BigEndian.Uint32(b[8:]), binary.BigEndian.Uint32(b[12:]); v != ledgerOne || size != BlockSize {
		return l, fmt.Errorf("%w that this version reads: version %d, blocks of %d bytes", errLedger, v, size)
	}
	l.Stamp = Stamp{Size: binary.BigEndian.Uint64(b[16:]), Inode: binary.BigEndian.Uint64(b[24:]),
		Changed: int64(binary.BigEndian.Uint64(b[32:])), Wrote: int64(binary.BigEndian.Uint64(b[40:]))}
	n, rest := binary.BigEndian.Uint32(b[48:]), body[ledgerBegin:]
	if uint64(n)*entrySize != uint64(len(rest)) {
		return Ledger{}, fmt.Errorf("%w: %d entries in %d bytes", errLedger, n, len(rest))
	}
	l.Entries = make([]Entry, n)
	for i := range l.Entries {
		e := &l.Entries[i]
		e.Block = binary.BigEndian.Uint32(rest[i*entrySize:])
		copy(e.Sum[:], rest[i*entrySize+4:])
		if (uint64(e.Block)+1)*BlockSize > l.Stamp.Size || i > 0 && e.Block <= l.Entries[i-1].Block {
			return Ledger{}, fmt.Errorf("%w: block %d out of place", errLedger, e.Block)
		}
	}
	return l, nil
}
