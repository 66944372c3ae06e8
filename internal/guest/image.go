package guest

import (
	"errors"
	"fmt"
	"io"
)

// ImageReport is what VerifyImage found on a disk.
type ImageReport struct {
	// Nonce is the boot that wrote the ring.
	Nonce uint64
	// First and Last are the ends of the complete sequence on the disk; Last
	// may lie after what the guest had reported as flushed.
	First, Last uint64
}

// maxListed is how many bad records an error of VerifyImage lists.
const maxListed = 5

// VerifyImage reads the raw image of a guest's disk of size bytes from outside,
// after the guest has stopped or with r on a snapshot, and checks that every
// record up to flushed (DiskStatus.Flushed of a heartbeat) that the ring must
// still hold is there. nonce is the boot that must have written it, 0 for any.
// The error joins a line for each of the first bad records.
func VerifyImage(r io.ReaderAt, size int64, nonce, flushed uint64) (ImageReport, error) {
	var rep ImageReport
	slots := uint64(size/RecordSize) - 1
	if size < 2*RecordSize {
		return rep, fmt.Errorf("image of %d bytes holds no ring", size)
	}
	head, err := readRecord(r, 0, headerMagic)
	if err != nil {
		return rep, fmt.Errorf("header: %w", err)
	}
	rep.Nonce = head.nonce
	if nonce != 0 && head.nonce != nonce {
		return rep, fmt.Errorf("header: %w", head.expect(nonce, 0))
	}
	if head.slots != slots {
		return rep, fmt.Errorf("header: ring of %d records on an image with room for %d: size changed", head.slots, slots)
	}
	rep.Last = lastRecord(r, head.nonce, slots, flushed)
	rep.First = oldest(rep.Last, slots)
	return rep, checkSequence(r, rep, slots)
}

// lastRecord follows the records that the guest wrote after it last reported.
func lastRecord(r io.ReaderAt, nonce, slots, flushed uint64) uint64 {
	for {
		next, err := readRecord(r, slotOffset(flushed+1, slots), recordMagic)
		if err != nil || next.expect(nonce, flushed+1) != nil {
			return flushed
		}
		flushed++
	}
}

func checkSequence(r io.ReaderAt, rep ImageReport, slots uint64) error {
	var errs []error
	bad := 0
	last := rep.Last
	if last >= slots {
		// The slot of the oldest record may hold a torn write of the record
		// after the last: it was not flushed, so nothing was promised.
		rep.First++
	}
	for seq := rep.First; seq <= last; seq++ {
		got, err := readRecord(r, slotOffset(seq, slots), recordMagic)
		if err == nil {
			err = got.expect(rep.Nonce, seq)
		}
		if err == nil {
			continue
		}
		if bad++; bad <= maxListed {
			errs = append(errs, fmt.Errorf("record %d: %w", seq, err))
		}
	}
	if bad > maxListed {
		errs = append(errs, fmt.Errorf("and %d more", bad-maxListed))
	}
	return errors.Join(errs...)
}

func readRecord(r io.ReaderAt, off int64, magic uint64) (record, error) {
	var b [RecordSize]byte
	if _, err := r.ReadAt(b[:], off); err != nil {
		return record{}, fmt.Errorf("read at %d: %w", off, err)
	}
	return parseRecord(&b, magic)
}
