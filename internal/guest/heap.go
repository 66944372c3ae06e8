package guest

// A heap page holds rows as an in-memory table does, little endian:
//
//	 0 u64 key              32 i64 amount      56 u64 address of another row
//	 8 u64 log sequence     40 u32 customer    64 16 random bytes, as a UUID is
//	16 i64 created, µs      44 u16 type, flags 80 12 bytes of status, text
//	24 i64 updated, µs      48 u32 u32 counts  92 36 bytes of name, text
//
// The bytes after the last row are zero.
const (
	rowSize  = 128
	pageRows = (PageSize - pageHeader) / rowSize

	offLSN     = 8
	offCreated = 16
	offUpdated = 24
	offAmount  = 32
	offOwner   = 40
	offFlags   = 44
	offCount   = 48
	offNext    = 56
	offUUID    = 64
	offStatus  = 80
	offText    = 92

	// heapEpoch is 2026-01-01 in microseconds: the age of the oldest row.
	heapEpoch = 1_767_225_600_000_000
	// heapStep is the time from one transaction to the next.
	heapStep = 83
	// oldRows is how many transactions came before the guest's first.
	oldRows = 1 << 34
)

var statuses = [...][12]byte{
	{'n', 'e', 'w'}, {'o', 'p', 'e', 'n'}, {'p', 'a', 'i', 'd'}, {'p', 'a', 'c', 'k', 'e', 'd'},
	{'s', 'h', 'i', 'p', 'p', 'e', 'd'}, {'d', 'e', 'l', 'i', 'v', 'e', 'r', 'e', 'd'},
	{'r', 'e', 't', 'u', 'r', 'n', 'e', 'd'}, {'c', 'l', 'o', 's', 'e', 'd'},
}

// heap fills a page with rows that were appended one after another: from tx on, or
// (0) at any time before, and then three in ten of them were changed since.
func (c *content) heap(body []byte, index, tx uint64, rng *splitmix) {
	at, key := tx, tx
	if tx == 0 {
		at, key = rng.below(oldRows), index*pageRows+1_000_000
	}
	for j := range uint64(pageRows) {
		row := body[j*rowSize : (j+1)*rowSize]
		le.PutUint64(row, key+j)
		le.PutUint64(row[offCreated:], heapEpoch+at*heapStep)
		changed := at
		if tx == 0 && rng.below(10) < 3 {
			changed += rng.below(oldRows - at)
		}
		c.row(row, changed, rng)
		at++
		if tx == 0 {
			at = min(at+rng.below(16), oldRows-1)
		}
	}
	clear(body[pageRows*rowSize:])
}

// row gives a row new values of all but its key and its creation.
func (c *content) row(row []byte, tx uint64, rng *splitmix) {
	le.PutUint64(row[offLSN:], tx*3)
	le.PutUint64(row[offUpdated:], heapEpoch+tx*heapStep)
	r := rng.next()
	// Small amounts are more frequent than large ones: 10 to 2^26 cents.
	le.PutUint64(row[offAmount:], 10+(r&0x3ffffff)>>(r>>59))
	le.PutUint32(row[offOwner:], uint32(r>>32)&0xfffff)
	le.PutUint16(row[offFlags:], uint16(r>>26)&7)
	le.PutUint16(row[offFlags+2:], uint16(1)<<(r>>29&7))
	r = rng.next()
	le.PutUint32(row[offCount:], uint32(r)>>(24+r>>61))
	le.PutUint32(row[offCount+4:], uint32(r>>32)%1000)
	le.PutUint64(row[offNext:], 0x7f3a_0000_0000+(r>>36)<<7)
	le.PutUint64(row[offUUID:], rng.next())
	le.PutUint64(row[offUUID+8:], rng.next())
	copy(row[offStatus:offText], statuses[r>>33&7][:])
	c.name(row[offText:rowSize], rng)
}

// name is some words of 20 to 36 bytes together, zero after them.
func (c *content) name(b []byte, rng *splitmix) {
	r, n := rng.next(), uint64(len(c.words))
	end := len(b) - int(r>>60)
	i := 0
	for ; i+textSlot <= end; r >>= 16 {
		w := (r & 0xffff) * n >> 16
		copy(b[i:], c.words[w][:])
		i += c.lens[w]
	}
	clear(b[i:])
}

// updateRows changes 1 to most rows of a page: seven of ten in their log
// sequence, time, amount and count, a quarter of those in their status too; the
// other three get new values throughout, as a row that is replaced does.
func (c *content) updateRows(body []byte, most int, tx uint64, rng *splitmix) {
	for range 1 + rng.below(uint64(max(most, 1))) {
		r := rng.next()
		j := int((r & 0xffff) * pageRows >> 16)
		row := body[j*rowSize : (j+1)*rowSize]
		if r>>16&0xffff < 0xffff*3/10 {
			c.row(row, tx, rng)
			continue
		}
		le.PutUint64(row[offLSN:], tx*3)
		le.PutUint64(row[offUpdated:], heapEpoch+tx*heapStep)
		le.PutUint64(row[offAmount:], le.Uint64(row[offAmount:])+r>>32&0x3fff)
		le.PutUint32(row[offCount:], le.Uint32(row[offCount:])+1)
		if r>>62 == 0 {
			copy(row[offStatus:offText], statuses[r>>56&7][:])
		}
	}
}
