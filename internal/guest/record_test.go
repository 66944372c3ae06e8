package guest

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"time"
	"unsafe"
)

// memDisk is a disk in memory that loses what was not flushed.
type memDisk struct {
	data    []byte
	syncErr error
}

func (d *memDisk) ReadAt(p []byte, off int64) (int, error) {
	return bytes.NewReader(d.data).ReadAt(p, off)
}

func (d *memDisk) WriteAt(p []byte, off int64) (int, error) {
	if uintptr(unsafe.Pointer(&p[0]))%RecordSize != 0 || off%RecordSize != 0 {
		return 0, errors.New("not aligned for O_DIRECT")
	}
	if off+int64(len(p)) > int64(len(d.data)) {
		return 0, io.ErrShortWrite
	}
	return copy(d.data[off:], p), nil
}

func (d *memDisk) Sync() error { return d.syncErr }

func testRing(t *testing.T, slots, records int) (*Ring, *memDisk) {
	t.Helper()
	d := &memDisk{data: make([]byte, (slots+1)*RecordSize)}
	r, err := NewRing(d, "vda", int64(len(d.data)), testNonce)
	if err != nil {
		t.Fatal(err)
	}
	for range records {
		if err := r.Append(time.Unix(1, 0)); err != nil {
			t.Fatal(err)
		}
	}
	return r, d
}

func TestRingVerifiesWhatItWrote(t *testing.T) {
	for _, records := range []int{0, 1, 7, 8, 9, 30} {
		r, d := testRing(t, 8, records)
		r.VerifySome(50)
		if err := r.VerifyAll(t.Context()); err != nil {
			t.Fatal(err)
		}
		s := r.Status()
		if s.Errors != 0 || s.Flushed != uint64(records) || (records > 0 && s.Verified == 0) {
			t.Errorf("%d records: status %+v", records, s)
		}
		rep, err := VerifyImage(d, int64(len(d.data)), testNonce, s.Flushed)
		if err != nil || rep.Last != uint64(records) || rep.Nonce != testNonce {
			t.Errorf("%d records: image %+v, %v", records, rep, err)
		}
	}
}

func TestDamagedDiskIsDetected(t *testing.T) {
	slot := func(d *memDisk, n int) []byte { return d.data[n*RecordSize : (n+1)*RecordSize] }
	for _, tc := range []struct {
		name   string
		damage func(d *memDisk)
		want   string
		guest  bool // also the guest itself sees it
	}{
		{"flipped bit", func(d *memDisk) { slot(d, 3)[2000] ^= 4 }, "record 11: corrupt", true},
		{"flipped bit in the last word", func(d *memDisk) { slot(d, 3)[4095] ^= 4 }, "record 11: corrupt", true},
		{"lost write", func(d *memDisk) { clear(slot(d, 4)) }, "record 12: all zero", true},
		{"stale block", func(d *memDisk) {
			var b [RecordSize]byte
			record{recordMagic, testNonce, 4, 0, 8}.put(&b)
			copy(slot(d, 4), b[:])
		}, "record 12: stale or misplaced: it is record 4", true},
		{"swapped blocks", func(d *memDisk) {
			a := bytes.Clone(slot(d, 3))
			copy(slot(d, 3), slot(d, 4))
			copy(slot(d, 4), a)
		}, "misplaced: it is record 12", true},
		{"record of another boot", func(d *memDisk) {
			var b [RecordSize]byte
			record{recordMagic, 5, 12, 0, 8}.put(&b)
			copy(slot(d, 4), b[:])
		}, "another boot", true},
		{"lost header", func(d *memDisk) { clear(slot(d, 0)) }, "header: all zero", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r, d := testRing(t, 8, 13)
			tc.damage(d)
			_, err := VerifyImage(d, int64(len(d.data)), testNonce, 13)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("image: got %v, want %q", err, tc.want)
			}
			if err := r.VerifyAll(t.Context()); err != nil {
				t.Fatal(err)
			}
			if s := r.Status(); tc.guest != (s.Errors > 0) {
				t.Errorf("guest: %d errors, first %q", s.Errors, s.FirstError)
			}
		})
	}
}

func TestImageMustReachTheFlushedRecord(t *testing.T) {
	_, d := testRing(t, 100, 20)
	size := int64(len(d.data))
	if _, err := VerifyImage(d, size, testNonce, 21); err == nil || !strings.Contains(err.Error(), "record 21") {
		t.Errorf("a missing last record: %v", err)
	}
	if rep, err := VerifyImage(d, size, testNonce, 15); err != nil || rep.Last != 20 {
		t.Errorf("records after the last report: %+v, %v", rep, err)
	}
	if _, err := VerifyImage(d, size, testNonce+1, 20); err == nil {
		t.Error("an image of another boot is accepted")
	}
	if _, err := VerifyImage(d, size-RecordSize, 0, 20); err == nil {
		t.Error("an image that shrank is accepted")
	}
}

func TestFailedFlushIsRepeatedAndCounted(t *testing.T) {
	r, d := testRing(t, 8, 3)
	d.syncErr = errors.New("no power")
	if err := r.Append(time.Now()); err == nil {
		t.Fatal("a failed flush is no error")
	}
	if s := r.Status(); s.Flushed != 3 || s.Errors != 1 || !strings.Contains(s.FirstError, "no power") {
		t.Fatalf("status %+v", s)
	}
	d.syncErr = nil
	if err := r.Append(time.Now()); err != nil {
		t.Fatal(err)
	}
	if _, err := VerifyImage(d, int64(len(d.data)), testNonce, 4); err != nil {
		t.Fatal(err)
	}
}
