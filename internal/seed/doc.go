// Package seed keeps what is left of disks, and lets a copy take from it what it
// would otherwise have to send.
//
// A seed is a file that was a disk's: of a copy that failed, or of a VM that moved
// away. Its ledger has the content hash of each block of the file. A Shelf has the
// seeds of a host, bounded in time and size. For a move of the same VM the
// destination borrows a Set of them and tells the source the hashes, of which the
// source makes an Index. Refer, at the source, then sends a reference in place of a
// block that the destination has; Take, at the destination, puts the block back.
//
// Blocks are found by content, not by place. So it does not matter what format an
// image has, or whether its metadata were written: what counts is that the bytes
// of a block are there. And they are never believed to be: whatever the ledger says,
// Take hashes what it read, and compares that with the hash of what the source
// read.
package seed

import (
	"crypto/sha256"
	"errors"
)

// BlockSize is that of the blocks that have hashes, in bytes: what QEMU copies at
// least of a running VM's disk, and a cluster of a qcow2 image as they are by default.
const BlockSize = 64 << 10

// MostBlocks bounds what is offered for one move: 128 GiB of content, for which
// the source keeps 48 MiB of hashes.
const MostBlocks = 2 << 20

// SumSize is the length of a hash in a ledger and in what is offered: it finds a
// block. What proves that it is the one is a Proof.
const SumSize = 16

// Sum is the beginning of the SHA-256 of a block.
type Sum [SumSize]byte

// Proof is the whole SHA-256 of a block.
type Proof [sha256.Size]byte

var (
	// ErrDamaged is of a block that is not what the source has: the seed was changed
	// behind Drover's back.
	ErrDamaged = errors.New("a block of the seed is not what its ledger says")
	// ErrMalformed is of what no source of ours sends.
	ErrMalformed = errors.New("a stream with references that cannot be read")
)

// zeros is a block of zeros; such blocks are no part of seeds.
var zeros [BlockSize]byte
