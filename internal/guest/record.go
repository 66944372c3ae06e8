package guest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"
	"unsafe"
)

// RecordSize is the size of a disk record and of the block before the ring.
const RecordSize = 4096

// A disk begins with one header block; after it the whole disk is a ring of
// records, record n in slot (n-1) mod slots, numbered from 1 in each boot.
// Both are RecordSize bytes, little endian:
//
//	0 magic         16 sequence (0 in the header)   32 slots of the ring
//	8 boot nonce    24 time, ns since 1970          40 content
//	                                              4088 checksum of the rest
const (
	recordMagic = 0x31_44_43_52_52_56_52_44 // "DRVRRCD1"
	headerMagic = 0x31_47_4e_52_52_56_52_44 // "DRVRRNG1"

	recBody = 40
	recSum  = RecordSize - 8
)

// BlockDevice is what the guest needs of a disk. Buffers handed to it are
// aligned to RecordSize, as O_DIRECT demands. Sync returns when everything
// written before it survives the loss of power.
type BlockDevice interface {
	io.ReaderAt
	io.WriterAt
	Sync() error
}

type record struct {
	magic, nonce, seq uint64
	time              int64
	slots             uint64
}

func (r record) put(b *[RecordSize]byte) {
	le.PutUint64(b[0:], r.magic)
	le.PutUint64(b[8:], r.nonce)
	le.PutUint64(b[16:], r.seq)
	le.PutUint64(b[24:], uint64(r.time))
	le.PutUint64(b[32:], r.slots)
	rng := splitmix(r.nonce ^ r.seq)
	for i := recBody; i < recSum; i += 8 {
		// Half incompressible, half repetition: what disks are like on average.
		if i < RecordSize/2 {
			le.PutUint64(b[i:i+8], rng.next())
		} else {
			le.PutUint64(b[i:i+8], r.seq)
		}
	}
	le.PutUint64(b[recSum:], blockSum(b))
}

func parseRecord(b *[RecordSize]byte, magic uint64) (record, error) {
	r := record{
		magic: le.Uint64(b[0:]), nonce: le.Uint64(b[8:]), seq: le.Uint64(b[16:]),
		time: int64(le.Uint64(b[24:])), slots: le.Uint64(b[32:]),
	}
	switch {
	case firstNonZero(b) < 0:
		return r, errors.New("all zero")
	case r.magic != magic:
		return r, fmt.Errorf("no record, begins with %#016x", r.magic)
	case le.Uint64(b[recSum:]) != blockSum(b):
		return r, errors.New("corrupt: wrong checksum")
	}
	return r, nil
}

// blockSum covers all of a block but its last word.
func blockSum(b *[RecordSize]byte) uint64 {
	var c [RecordSize]byte
	copy(c[:], b[:recSum])
	return pageSum(&c) ^ le.Uint64(b[offSum:])
}

// Ring appends records to one disk and verifies them. Safe for concurrent use.
type Ring struct {
	dev   BlockDevice
	nonce uint64
	slots uint64

	io  sync.Mutex // held during I/O: guards buf and rng
	buf *[RecordSize]byte
	rng splitmix

	mu     sync.Mutex // never held during I/O, so a slow disk delays no heartbeat
	status DiskStatus
}

// NewRing writes the header to the disk of size bytes and gives an empty ring
// over the rest of it. name is for the status ("vda").
func NewRing(dev BlockDevice, name string, size int64, nonce uint64) (*Ring, error) {
	if size < 2*RecordSize {
		return nil, fmt.Errorf("disk %s: %d bytes are too few for a record", name, size)
	}
	r := &Ring{
		dev: dev, nonce: nonce, slots: uint64(size/RecordSize) - 1,
		buf: alignedBlock(), rng: splitmix(nonce),
		status: DiskStatus{Name: name, Size: size},
	}
	record{magic: headerMagic, nonce: nonce, time: time.Now().UnixNano(), slots: r.slots}.put(r.buf)
	if _, err := dev.WriteAt(r.buf[:], 0); err != nil {
		return nil, fmt.Errorf("disk %s: write header: %w", name, err)
	}
	if err := dev.Sync(); err != nil {
		return nil, fmt.Errorf("disk %s: flush header: %w", name, err)
	}
	return r, nil
}

// Status is a copy of the counters.
func (r *Ring) Status() DiskStatus {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.status
}

func (r *Ring) update(f func(*DiskStatus)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f(&r.status)
}

// Append writes and flushes the next record. After an error the same record is
// tried again by the next call, so the sequence has no holes.
func (r *Ring) Append(now time.Time) error {
	r.io.Lock()
	defer r.io.Unlock()
	seq := r.Status().Flushed + 1
	record{recordMagic, r.nonce, seq, now.UnixNano(), r.slots}.put(r.buf)
	if _, err := r.dev.WriteAt(r.buf[:], r.offset(seq)); err != nil {
		return r.fail(fmt.Errorf("write record %d: %w", seq, err))
	}
	r.update(func(s *DiskStatus) { s.Written = seq })
	if err := r.dev.Sync(); err != nil {
		return r.fail(fmt.Errorf("flush record %d: %w", seq, err))
	}
	r.update(func(s *DiskStatus) { s.Flushed = seq })
	return nil
}

// recentRecords is how far back VerifySome looks at least half of the time.
const recentRecords = 256

// VerifySome reads back n records: one of the newest, one of all, in turns.
func (r *Ring) VerifySome(n int) {
	r.io.Lock()
	defer r.io.Unlock()
	flushed := r.Status().Flushed
	for range n {
		kept := min(flushed, r.slots)
		if r.rng.next()&1 == 0 {
			kept = min(kept, recentRecords)
		}
		if kept > 0 {
			r.verify(flushed - r.rng.below(kept))
		}
	}
}

// VerifyAll reads back every record that the ring holds at the call and still
// holds when its turn comes.
func (r *Ring) VerifyAll(ctx context.Context) error {
	last := r.Status().Flushed
	for seq := oldest(last, r.slots); seq <= last; seq++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		r.io.Lock()
		if seq >= oldest(r.Status().Flushed, r.slots) {
			r.verify(seq)
		}
		r.io.Unlock()
	}
	return nil
}

// verify needs io held.
func (r *Ring) verify(seq uint64) {
	r.update(func(s *DiskStatus) { s.Verified++ })
	if _, err := r.dev.ReadAt(r.buf[:], r.offset(seq)); err != nil {
		_ = r.fail(fmt.Errorf("read record %d: %w", seq, err))
		return
	}
	got, err := parseRecord(r.buf, recordMagic)
	if err == nil {
		err = got.expect(r.nonce, seq)
	}
	if err != nil {
		_ = r.fail(fmt.Errorf("record %d: %w", seq, err))
	}
}

func (r *Ring) fail(err error) error {
	r.update(func(s *DiskStatus) {
		s.Errors++
		if s.FirstError == "" {
			s.FirstError = clip(err.Error())
		}
	})
	return fmt.Errorf("disk %s: %w", r.status.Name, err)
}

func (r *Ring) offset(seq uint64) int64 { return slotOffset(seq, r.slots) }

func slotOffset(seq, slots uint64) int64 { return int64((seq-1)%slots+1) * RecordSize }

// oldest is the first sequence that a ring with the last one still holds.
func oldest(last, slots uint64) uint64 {
	if last <= slots {
		return 1
	}
	return last - slots + 1
}

func (r record) expect(nonce, seq uint64) error {
	switch {
	case r.nonce != nonce:
		return fmt.Errorf("of another boot, %#016x", r.nonce)
	case r.seq != seq:
		return fmt.Errorf("stale or misplaced: it is record %d", r.seq)
	}
	return nil
}

// alignedBlock is a block that O_DIRECT accepts. The collector does not move
// what it owns, so the alignment stays.
func alignedBlock() *[RecordSize]byte {
	raw := make([]byte, 2*RecordSize)
	pad := -uintptr(unsafe.Pointer(&raw[0])) & (RecordSize - 1)
	return (*[RecordSize]byte)(raw[pad:])
}
