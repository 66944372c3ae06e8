package nbd

import (
	"bytes"
	"slices"
	"testing"
)

// found is what a Scanner makes of a stream that is given in chunks. With pass, every
// third chunk is passed.
func found(t *testing.T, stream []byte, chunk int, pass bool) (keys []uint64, pages []byte) {
	t.Helper()
	s := New()
	var rest []byte
	for i := 0; len(stream) > 0; i++ {
		n := min(chunk, len(stream))
		b := append(rest, stream[:n]...)
		stream, rest = stream[n:], nil
		if pass && i%3 == 2 {
			s.Pass(b)
			continue
		}
		for len(b) > 0 {
			n, key, page := s.Next(b)
			if n < 0 || n > len(b) || page && n != PageSize {
				t.Fatalf("%d of %d bytes, page %v", n, len(b), page)
			}
			if n == 0 {
				if len(b) >= PageSize {
					t.Fatalf("nothing in %d bytes", len(b))
				}
				rest = append(rest, b...)
				break
			}
			if page {
				keys, pages = append(keys, key), append(pages, b[:n]...)
			}
			b = b[n:]
		}
	}
	return keys, pages
}

func TestScannerFindsTheWholePagesOfWrites(t *testing.T) {
	data := random(7*PageSize, 1)
	for name, c := range map[string]struct {
		stream []byte
		keys   []uint64
		pages  []byte
	}{
		"aligned": {join(negotiation(8, 10), write(1, 64*PageSize, data[:3*PageSize]), write(2, 3*PageSize, data[:PageSize])),
			[]uint64{64, 65, 66, 3}, join(data[:3*PageSize], data[:PageSize])},
		"begins and ends within pages": {join(negotiation(), write(1, 9*PageSize+512, data[:4*PageSize])),
			[]uint64{10, 11, 12}, data[PageSize-512 : 4*PageSize-512]},
		"less than a page": {join(negotiation(), write(1, 512, data[:1024]), write(2, 0, nil), write(3, PageSize, data[:PageSize])),
			[]uint64{1}, data[:PageSize]},
		"other requests between": {join(negotiation(8), request(0, 0, 1, 0, 1<<20, nil), request(0, cmdWriteZeroes, 2, 0, 1<<20, nil),
			request(0, 3, 3, 0, 0, nil), request(1, 7, 4, 0, 1<<30, nil), write(5, 0, data[:PageSize]), request(0, 2, 6, 0, 0, nil)),
			[]uint64{0}, data[:PageSize]},
		"extended headers": {join(negotiation(8, optExtendedHeaders), extendedRequest(flagPayloadLen, 7, 1, 0, 12, data[:12]),
			extendedRequest(0, cmdWriteZeroes, 1, 0, 1<<40, nil), extendedRequest(flagPayloadLen|flagFUA, cmdWrite, 2, 5*PageSize, PageSize, data[:PageSize])),
			[]uint64{5}, data[:PageSize]},
		"export by name": {join(greeting(), option(optExportName, "disk"), write(1, 0, data[:PageSize])), []uint64{0}, data[:PageSize]},

		"oldstyle":                      {write(1, 0, data), nil, nil},
		"TLS":                           {join(greeting(), option(optStartTLS, ""), write(1, 0, data)), nil, nil},
		"unknown client flags":          {join([]byte{0, 0, 1, 3}, negotiation()[4:], write(1, 0, data)), nil, nil},
		"extended without having asked": {join(negotiation(8), extendedRequest(flagPayloadLen, cmdWrite, 2, 0, PageSize, data[:PageSize])), nil, nil},
		"both kinds of header":          {join(negotiation(optExtendedHeaders), request(0, 3, 1, 0, 0, nil), extendedRequest(flagPayloadLen, cmdWrite, 2, 0, PageSize, data[:PageSize])), nil, nil},
		"option after a request":        {join(negotiation(), request(0, 3, 1, 0, 0, nil), option(3, ""), write(1, 0, data)), nil, nil},
		"option after the last":         {join(greeting(), option(optExportName, "disk"), option(3, ""), write(1, 0, data)), nil, nil},
		"half an option's magic":        {join(greeting(), []byte("IHAVEOPS12345678"), write(1, 0, data)), nil, nil},
		"unknown magic":                 {join(negotiation(), []byte{1, 2, 3, 4}, write(1, 0, data)), nil, nil},
		"unknown command":               {join(negotiation(), request(0, 99, 1, 0, 0, nil), write(1, 0, data)), nil, nil},
		"payload beyond 32 bits":        {join(negotiation(optExtendedHeaders), extendedRequest(flagPayloadLen, cmdWrite, 2, 0, 1<<40, data)), nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			for _, chunk := range []int{len(c.stream), 1, 3, 29, 4095, 4096, 4097} {
				keys, pages := found(t, c.stream, chunk, false)
				if !slices.Equal(keys, c.keys) || !bytes.Equal(pages, c.pages) {
					t.Errorf("in chunks of %d: pages %v, want %v", chunk, keys, c.keys)
				}
			}
		})
	}
}

func TestScannerStaysInStepWithWhatItIsNotShown(t *testing.T) {
	stream, places := negotiation(8, 10), map[uint64][]byte{}
	for i := range uint64(40) {
		data := random(int(i%7)*1000+int(i)*512, i+1)
		offset := i << 20
		stream = join(stream, write(i, offset, data), request(0, 3, i, 0, 0, nil))
		for at := 0; at+PageSize <= len(data); at += PageSize {
			places[(offset+uint64(at))/PageSize] = data[at : at+PageSize]
		}
	}
	for _, chunk := range []int{1, 7, 100, 4096, 5000, 20000} {
		keys, pages := found(t, stream, chunk, true)
		if len(keys) == 0 && chunk >= PageSize || len(keys) >= len(places) {
			t.Errorf("in chunks of %d: %d of %d pages", chunk, len(keys), len(places))
		}
		for i, k := range keys {
			if !bytes.Equal(pages[i*PageSize:(i+1)*PageSize], places[k]) {
				t.Errorf("in chunks of %d: page %d is not what is there", chunk, k)
			}
		}
	}
}

func TestScannerAllocatesNothing(t *testing.T) {
	stream := join(negotiation(8, 10), write(1, 512, random(1<<20, 1)), write(2, 0, random(1<<16, 1)))
	if n := testing.AllocsPerRun(10, func() {
		s := Scanner{c: newClient(), size: PageSize}
		for b := stream; len(b) > 0; {
			n, _, _ := s.Next(b)
			b = b[n:]
		}
		s.Pass(stream)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkScanner(b *testing.B) {
	first, stream := negotiation(8, 10), write(1, 1<<20, random(1<<20, 1))
	s := New()
	s.Pass(first)
	b.SetBytes(int64(len(stream)))
	b.ReportAllocs()
	for b.Loop() {
		for p := stream; len(p) > 0; {
			n, _, _ := s.Next(p)
			p = p[n:]
		}
	}
}
