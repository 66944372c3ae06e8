package nbd

import (
	"bytes"
	"testing"
)

// chunks cuts by the bytes of a seed, over and over.
func chunks(seed []byte) func(int) int {
	i := 0
	return func(n int) int {
		if len(seed) == 0 {
			return n
		}
		i++
		return 1 + int(seed[i%len(seed)])*int(seed[(i/2)%len(seed)])
	}
}

func FuzzScanner(f *testing.F) {
	data := random(3*PageSize, 1)
	f.Add(join(negotiation(8, 10), write(1, 512, data), write(2, 1<<20, data[:PageSize])), []byte{1, 200, 3})
	f.Add(join(negotiation(optExtendedHeaders), extendedRequest(flagPayloadLen, cmdWrite, 1, 0, PageSize, data[:PageSize])), []byte{255})
	f.Add(join(negotiation(), request(0, cmdWrite, 1, 1<<64-5, 1<<32-1, data)), []byte{})
	f.Add(join(greeting(), option(optStartTLS, ""), data), []byte{9, 9})
	f.Fuzz(func(t *testing.T, stream, cuts []byte) {
		whole, cut, piece := New(), New(), chunks(cuts)
		type page struct {
			key  uint64
			data string
		}
		look := func(s *Scanner, b []byte, to []page) (rest []byte, _ []page) {
			for len(b) > 0 {
				n, key, is := s.Next(b)
				if n < 0 || n > len(b) || is && n != PageSize || !is && key != 0 || n == 0 && len(b) >= PageSize {
					t.Fatalf("%d of %d bytes, key %d, page %v", n, len(b), key, is)
				}
				if n == 0 {
					break
				}
				if is {
					to = append(to, page{key, string(b[:n])})
				}
				b = b[n:]
			}
			return b, to
		}
		_, want := look(whole, stream, nil)
		var rest []byte
		var got []page
		for b := stream; len(b) > 0; {
			n := min(piece(len(b)), len(b))
			rest, got = look(cut, append(rest, b[:n]...), got)
			b = b[n:]
		}
		if len(got) != len(want) {
			t.Fatalf("%d pages in chunks, %d as a whole", len(got), len(want))
		}
		for i := range got {
			if got[i] != want[i] {
				t.Fatalf("page %d in chunks is not that of the whole", i)
			}
		}
		// What was passed counts as much as what was looked at.
		pass, show := New(), New()
		for b := stream; len(b) > 0; {
			n := min(piece(len(b)), len(b))
			pass.Pass(b[:n])
			if left, _ := look(show, b[:n], nil); len(left) > 0 {
				show.Pass(left)
			}
			b = b[n:]
		}
		if pass.c != show.c {
			t.Fatalf("out of step: %+v, %+v", pass.c, show.c)
		}
	})
}

// FuzzSparse holds the disk that a server makes of what comes out against the one
// that it would have made of what went in.
func FuzzSparse(f *testing.F) {
	zeros, data := make([]byte, 20000), random(9000, 2)
	first := negotiation(8, 10, optExtendedHeaders)
	f.Add(taking(), join(first, write(1, 512, zeros), write(2, 1000, data), write(3, 0, zeros[:100]), request(1, cmdWrite, 4, 5000, 512, zeros[:512])), []byte{1, 200, 3}, uint16(999), false)
	f.Add(taking(), join(first, extendedRequest(flagPayloadLen, cmdWrite, 1, 0, 9000, zeros[:9000]), extendedRequest(flagPayloadLen, cmdWrite, 1, 64, 900, data[:900])), []byte{255, 255}, uint16(60000), true)
	f.Add(taking(), join(first, write(1, 0, data), write(2, 100, zeros[:5000]), write(3, 3, append(zeros[:50:50], 1)))[:14000], []byte{}, uint16(5), true)
	f.Add(join(welcome(3), export(1), reply(optGo, repAck, nil)), join(first, write(1, 0, zeros)), []byte{7}, uint16(77), true)
	f.Add(taking(), join(first, request(2, cmdWriteZeroes, 1, 0, 70000, nil), write(2, 65536, data), request(2, cmdWriteZeroes, 3, 70000, 512, nil),
		write(4, 140000, zeros), write(5, 140000, data), write(6, 140000, zeros)), []byte{7}, uint16(77), true)
	f.Add(random(100, 1), random(1000, 1), []byte{1}, uint16(1), false)
	f.Fuzz(func(t *testing.T, server, client, cuts []byte, read uint16, fresh bool) {
		out := through(t, fresh, server, client, chunks(cuts), int(read)+1)
		if bytes.Equal(out, client) {
			return
		}
		if len(out) > len(client) {
			t.Errorf("%d bytes of %d", len(out), len(client))
		}
		for _, trims := range []bool{false, true} {
			before := make([]byte, 256<<10)
			if !fresh {
				before = random(64<<10, 5)
			}
			want, got := disk{content: before, trims: trims}, disk{content: bytes.Clone(before), trims: trims}
			wantErr, gotErr := want.run(client), got.run(out)
			if !bytes.Equal(want.content, got.content) {
				t.Errorf("the disks differ (trims %v)", trims)
			}
			if !bytes.Equal(want.other, got.other) || (wantErr == nil) != (gotErr == nil) {
				t.Errorf("the requests differ: %v, %v", wantErr, gotErr)
			}
		}
	})
}
