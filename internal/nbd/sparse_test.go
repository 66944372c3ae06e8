package nbd

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"
)

const unit = 192 << 10 // more than is read at a time

var pieces = map[string]func(int) int{
	"all at once": nil,
	"bytes":       func(int) int { return 1 },
	"odd":         func(int) int { return 4099 },
	"in halves":   func(n int) int { return (n + 1) / 2 },
}

func TestSparseMakesWritesOfZerosIntoRequestsForZeros(t *testing.T) {
	data, zeros := random(2*unit, 3), make([]byte, 4*unit)
	mixed, last := append([]byte{1}, zeros[:unit-1]...), append(zeros[:unit-1:unit-1], 1)
	stream := join(negotiation(8, 10),
		write(1, 0, data[:unit]), write(2, unit, zeros[:unit]), request(flagFUA, cmdWrite, 3, 2*unit, 512, zeros[:512]),
		request(0, 0, 4, 0, 1<<20, nil), write(5, 3*unit, mixed), write(6, 4*unit, last), write(7, 5*unit, zeros), write(8, 0, nil),
		request(2, cmdWrite, 9, 9*unit, 4096, zeros[:4096]), // a flag that says nothing of writes
		request(0, 3, 10, 0, 0, nil), request(0, 2, 0, 0, 0, nil))
	want := join(negotiation(8, 10),
		write(1, 0, data[:unit]), request(0, cmdWriteZeroes, 2, unit, unit, nil), request(flagFUA, cmdWriteZeroes, 3, 2*unit, 512, nil),
		request(0, 0, 4, 0, 1<<20, nil), write(5, 3*unit, mixed), write(6, 4*unit, last), request(0, cmdWriteZeroes, 7, 5*unit, 4*unit, nil), write(8, 0, nil),
		request(2, cmdWrite, 9, 9*unit, 4096, zeros[:4096]), request(0, 3, 10, 0, 0, nil), request(0, 2, 0, 0, 0, nil))
	for name, piece := range pieces {
		for _, read := range []int{61, 256 << 10, 8 * unit} {
			if got := through(t, false, taking(), stream, piece, read); !bytes.Equal(got, want) {
				t.Errorf("%s, read by %d: %d bytes, want %d; differ at %d", name, read, len(got), len(want), differ(got, want))
			}
		}
	}
	// QEMU's client leaves the flag away.
	wide := join(negotiation(8, optExtendedHeaders), extendedRequest(0, cmdWrite, 1, unit, unit, zeros[:unit]), extendedRequest(2, cmdWriteZeroes, 1, 0, 1<<40, nil),
		extendedRequest(flagPayloadLen|flagFUA, cmdWrite, 2, unit, unit, zeros[:unit]),
		extendedRequest(flagPayloadLen, cmdWrite, 3, unit, unit, data[:unit]), extendedRequest(flagPayloadLen, 7, 4, 0, 8, zeros[:8]))
	want = join(negotiation(8, optExtendedHeaders), extendedRequest(0, cmdWriteZeroes, 1, unit, unit, nil), extendedRequest(0, cmdWriteZeroes, 1, 0, 1<<40, nil),
		extendedRequest(flagFUA, cmdWriteZeroes, 2, unit, unit, nil),
		extendedRequest(flagPayloadLen, cmdWrite, 3, unit, unit, data[:unit]), extendedRequest(flagPayloadLen, 7, 4, 0, 8, zeros[:8]))
	if got := through(t, false, taking(), wide, nil, 64<<10); !bytes.Equal(got, want) {
		t.Errorf("extended headers: %d bytes, want %d", len(got), len(want))
	}
}

// Where nothing was written, zeros need no room and no request for them.
func TestSparseTrimsWhereAFreshDiskIsZeroAnyway(t *testing.T) {
	zeros, data, far := make([]byte, unit), random(unit, 1), uint64(9)<<40
	in := join(negotiation(8), request(2, cmdWriteZeroes, 1, 0, 16*unit, nil), write(2, unit, zeros), write(3, 2*unit+512, data[:512]),
		request(1, cmdWrite, 4, 2*unit, 512, zeros[:512]), request(3, cmdWriteZeroes, 5, 2*unit+64<<10, unit, nil), write(6, unit, zeros),
		write(7, 3*unit, append(zeros[:unit-1:unit-1], 1)), write(8, 3*unit+8192, zeros[:4096]), request(16, cmdWriteZeroes, 9, 0, 512, nil),
		write(10, far-512, zeros[:512]), write(11, far, data[:512]), write(12, 0, zeros[:512]))
	out := join(negotiation(8), request(0, cmdTrim, 1, 0, 16*unit, nil), request(0, cmdTrim, 2, unit, unit, nil), write(3, 2*unit+512, data[:512]),
		request(1, cmdWriteZeroes, 4, 2*unit, 512, nil), request(1, cmdTrim, 5, 2*unit+64<<10, unit, nil), request(0, cmdTrim, 6, unit, unit, nil),
		write(7, 3*unit, append(zeros[:unit-1:unit-1], 1)), request(0, cmdWriteZeroes, 8, 3*unit+8192, 4096, nil), request(16, cmdWriteZeroes, 9, 0, 512, nil),
		request(0, cmdTrim, 10, far-512, 512, nil), write(11, far, data[:512]), request(0, cmdWriteZeroes, 12, 0, 512, nil))
	for name, piece := range pieces {
		if got := through(t, true, taking(), in, piece, 64<<10); !bytes.Equal(got, out) {
			t.Errorf("%s: %d bytes, want %d; differ at %d", name, len(got), len(out), differ(got, out))
		}
	}
	// A server that cannot trim, and a client that did not negotiate.
	server := join(welcome(3), export(1<<6), reply(optGo, repAck, nil))
	if got, want := through(t, true, server, write(1, 0, zeros), nil, 4096), write(1, 0, zeros); !bytes.Equal(got, want) {
		t.Error("without a negotiation")
	}
	want := join(negotiation(8), request(0, cmdWriteZeroes, 1, 0, unit, nil))
	if got := through(t, true, server, join(negotiation(8), write(1, 0, zeros)), nil, 4096); !bytes.Equal(got, want) {
		t.Errorf("trimmed where the server does not: %d bytes", len(got))
	}
}

// Who comes second to a disk does not know what the first has written.
func TestOnlyTheFirstConnectionToADiskFindsItFresh(t *testing.T) {
	var disks Disks
	named := func(name string) []byte {
		return option(optGo, string(be.AppendUint32(nil, uint32(len(name))))+name+"\x00\x01\x00\x03")
	}
	zeros := write(1, 0, make([]byte, 512))
	for i, c := range []struct {
		options []byte
		command uint16
	}{
		{named("vda"), cmdTrim},
		{named("vda"), cmdWriteZeroes},
		{join(named("vda"), option(8, ""), named("vdb")), cmdTrim},
		{named("vdb"), cmdWriteZeroes},
		{named("vd"), cmdTrim},
		{named(""), cmdTrim},
		{named(string(make([]byte, 4096))), cmdTrim},
		{named(string(make([]byte, 4097))), cmdWriteZeroes},
		{named(string(make([]byte, 100000))), cmdWriteZeroes},
		{option(optGo, "\x00\x00\x00\x04vdc"), cmdWriteZeroes},
		{option(optGo, "\x00"), cmdWriteZeroes},
		{nil, cmdWriteZeroes},
	} {
		for _, size := range []int{7, 64 << 10} {
			if size == 7 && c.command == cmdTrim {
				continue
			}
			s := Sparse(&wire{b: join(greeting(), c.options, zeros), err: io.EOF}, &disks)
			_, _ = s.Write(taking())
			var got bytes.Buffer
			_, err := io.CopyBuffer(&got, struct{ io.Reader }{s}, make([]byte, size))
			if want := join(greeting(), c.options, request(0, c.command, 1, 0, 512, nil)); err != nil || !bytes.Equal(got.Bytes(), want) {
				t.Errorf("%d by %d: %d bytes, want %d, %v; differ at %d", i, size, got.Len(), len(want), err, differ(got.Bytes(), want))
			}
		}
	}
	for i := range 2 * mostDisks {
		disks.first(string(be.AppendUint32(nil, uint32(i))))
	}
	if len(disks.seen) > mostDisks {
		t.Errorf("%d disks are remembered", len(disks.seen))
	}
}

// Neither of two connections knows what the other one writes.
func TestDiskIsFreshToNobodyOnceItHasTwoConnections(t *testing.T) {
	request1, request2 := write(1, 0, make([]byte, 512)), write(2, 1024, make([]byte, 512))
	trim, zeros := request(0, cmdTrim, 1, 0, 512, nil), request(0, cmdWriteZeroes, 2, 1024, 512, nil)
	for name, second := range map[string][]byte{
		"the same name":    join(negotiation(8), request(0, 0, 1, 0, 1, nil)),
		"a name not known": join(greeting(), option(optExportName, "somedisk"), request(0, 0, 1, 0, 1, nil)),
	} {
		var disks Disks
		w := &wire{b: join(negotiation(8), request1), err: os.ErrDeadlineExceeded}
		s := Sparse(w, &disks)
		_, _ = s.Write(taking())
		read := func(c io.Reader) []byte { b, _ := io.ReadAll(c); return b }
		if got := read(s); !bytes.HasSuffix(got, trim) {
			t.Fatalf("%s: the first connection does not find it fresh", name)
		}
		other := Sparse(&wire{b: second, err: io.EOF}, &disks)
		_, _ = other.Write(taking())
		read(other)
		w.b = request2
		if got := read(s); !bytes.Equal(got, zeros) {
			t.Errorf("%s: the first connection still takes it for its own: % x", name, got[:8])
		}
	}
}

func TestWrittenKnowsWhatIsClean(t *testing.T) {
	var w written
	w.mark(5<<31+100, 1)
	w.mark(7<<31-1, 2)
	w.mark(9<<31, 0)
	for _, c := range []struct {
		offset, length uint64
		clean          bool
	}{
		{0, 5 << 31, true}, {0, 5<<31 + 1, false}, {5<<31 + 65535, 1, false}, {5<<31 + 65536, 1 << 31, true}, {6 << 31, 1<<31 - 65536, true},
		{6 << 31, 1 << 31, false}, {7 << 31, 1, false}, {7<<31 + 65536, 1 << 40, true}, {1 << 63, 1 << 63, true}, {1 << 63, 1<<63 + 1, false}, {0, 0, false},
	} {
		if got := w.clean(c.offset, c.length); got != c.clean {
			t.Errorf("%#x and %#x bytes: clean %v", c.offset, c.length, got)
		}
	}
	for name, mark := range map[string][2]uint64{"far": {8 << 40, 1}, "over the end": {1<<64 - 1, 2}} {
		w := written{}
		w.mark(mark[0], mark[1])
		if w.clean(0, 1) {
			t.Errorf("%s: anything is clean", name)
		}
	}
}

func differ(a, b []byte) int {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return i
		}
	}
	return min(len(a), len(b))
}

func TestSparseLeavesWhatTheServerDoesNotTake(t *testing.T) {
	refused := reply(optGo, repError+6, nil)
	long := append(reply(3, 2, nil), reply(optGo, repInfo, make([]byte, 5000))...)
	for name, c := range map[string]struct {
		server  []byte
		rewrite bool
	}{
		"takes them":                        {taking(), true},
		"takes them, with more to say":      {join(welcome(1), long, export(1<<6), long, reply(optGo, repAck, nil)), true},
		"takes no zeros":                    {join(welcome(3), export(0x1bf), blockSize(1, 32<<20), reply(optGo, repAck, nil)), false},
		"has not agreed yet":                {join(welcome(3), export(0x5ff)), false},
		"refuses, then knows it without":    {join(welcome(3), export(0x5ff), refused, export(1), reply(optGo, repAck, nil)), false},
		"refuses, then says nothing of it":  {join(welcome(3), export(0x5ff), refused, reply(optGo, repAck, nil)), false},
		"says so of another question":       {join(welcome(3), reply(6, repInfo, export(0x5ff)[20:]), reply(6, repAck, nil), export(1), reply(optGo, repAck, nil)), false},
		"newstyle that is not fixed":        {join(welcome(2), taking()[18:]), false},
		"oldstyle":                          {join([]byte("NBDMAGIC\x00\x00\x42\x02\x81\x86\x12\x53"), taking()[16:]), false},
		"answers without being asked so":    {join(welcome(3), make([]byte, 10), taking()[18:]), false},
		"takes less at a time":              {join(welcome(3), export(0x5ff), blockSize(1, unit/2), reply(optGo, repAck, nil)), false},
		"takes only what begins elsewhere":  {join(welcome(3), export(0x5ff), blockSize(64<<10, 32<<20), reply(optGo, repAck, nil)), false},
		"takes nothing":                     {join(welcome(3), export(0x5ff), blockSize(0, 0), reply(optGo, repAck, nil)), false},
		"names its limits before the flags": {join(welcome(3), blockSize(512, unit), export(0x5ff), reply(optGo, repAck, nil)), true},
	} {
		stream := join(negotiation(8), write(1, 512, make([]byte, unit)), write(2, 0, random(4096, 1)))
		got := through(t, false, c.server, stream, nil, 64<<10)
		want := stream
		if c.rewrite {
			want = join(negotiation(8), request(0, cmdWriteZeroes, 1, 512, unit, nil), write(2, 0, random(4096, 1)))
		}
		if !bytes.Equal(got, want) {
			t.Errorf("a server that %s: %d bytes, want %d", name, len(got), len(want))
		}
		// The same, byte by byte.
		s := Sparse(&wire{b: stream, err: io.EOF}, nil)
		for i := range c.server {
			_, _ = s.Write(c.server[i : i+1])
		}
		if got, err := io.ReadAll(s); err != nil || !bytes.Equal(got, want) {
			t.Errorf("a server that %s, byte by byte: %d bytes, want %d, %v", name, len(got), len(want), err)
		}
	}
}

func TestSparseCarriesWhatItDoesNotUnderstand(t *testing.T) {
	zeros := write(1, 0, make([]byte, unit))
	for name, stream := range map[string][]byte{
		"TLS":             join(greeting(), option(optStartTLS, ""), random(300<<10, 9), zeros),
		"oldstyle":        zeros,
		"unknown command": join(negotiation(), request(0, 99, 1, 0, 0, nil), zeros),
		"nothing":         nil,
		"noise":           random(unit, 7),
	} {
		for piece, f := range pieces {
			if got := through(t, false, taking(), stream, f, 64<<10); !bytes.Equal(got, stream) {
				t.Errorf("%s, %s: %d bytes, want %d", name, piece, len(got), len(stream))
			}
		}
	}
}

func TestSparseGivesWhatThereWasBeforeAnEarlyEnd(t *testing.T) {
	stream := join(negotiation(8), write(1, 0, random(4096, 1)), write(2, unit, make([]byte, 300<<10)))
	failure := errors.New("cut")
	for cut := range stream {
		if cut > 400 && cut < 3000 || cut > 10000 && cut%997 != 0 {
			continue
		}
		s := Sparse(&wire{b: stream[:cut], err: failure}, nil)
		_, _ = s.Write(taking())
		got, err := io.ReadAll(s)
		if !errors.Is(err, failure) || !bytes.Equal(got, stream[:cut]) {
			t.Fatalf("cut at %d: %d bytes, %v", cut, len(got), err)
		}
		if n, err := s.Read(make([]byte, 10)); n != 0 || !errors.Is(err, failure) {
			t.Fatalf("cut at %d, and then: %d, %v", cut, n, err)
		}
	}
}

func TestSparseGoesOnAfterADeadline(t *testing.T) {
	stream := join(negotiation(8), write(1, 0, make([]byte, 200<<10)), write(2, 0, random(70000, 4)))
	w := &wire{err: os.ErrDeadlineExceeded}
	s := Sparse(w, nil)
	_, _ = s.Write(taking())
	var got []byte
	p := make([]byte, 50000)
	for len(stream) > 0 {
		n := min(9001, len(stream))
		w.b, stream = stream[:n], stream[n:]
		for {
			n, err := s.Read(p)
			got = append(got, p[:n]...)
			if err != nil {
				if !errors.Is(err, os.ErrDeadlineExceeded) {
					t.Fatal(err)
				}
				break
			}
		}
	}
	if want := join(negotiation(8), request(0, cmdWriteZeroes, 1, 0, 200<<10, nil), write(2, 0, random(70000, 4))); !bytes.Equal(got, want) {
		t.Errorf("%d bytes, want %d", len(got), len(want))
	}
}

// Only what waits for its own rest is held back.
func TestSparseHoldsNothingBackThatIsComplete(t *testing.T) {
	w := &wire{err: os.ErrDeadlineExceeded}
	s := Sparse(w, nil)
	_, _ = s.Write(taking())
	p := make([]byte, unit)
	for _, step := range []struct{ in, out []byte }{
		{greeting(), greeting()},
		{negotiation(8)[4:], negotiation(8)[4:]},
		{request(0, 3, 1, 0, 0, nil), request(0, 3, 1, 0, 0, nil)},
		{write(2, 0, []byte("the first bytes of a long payload")), write(2, 0, []byte("the first bytes of a long payload"))},
		{request(0, cmdWrite, 3, 0, 100, make([]byte, 60)), nil},
		{make([]byte, 40), request(0, cmdWriteZeroes, 3, 0, 100, nil)},
		{request(0, cmdWrite, 4, 0, 100, make([]byte, 60)), nil},
		{[]byte{7}, request(0, cmdWrite, 4, 0, 100, append(make([]byte, 60), 7))},
		{make([]byte, 39), make([]byte, 39)},
		{request(0, 3, 5, 0, 0, nil)[:27], nil},
		{[]byte{0}, request(0, 3, 5, 0, 0, nil)},
	} {
		w.b = step.in
		var got []byte
		for {
			n, err := s.Read(p)
			got = append(got, p[:n]...)
			if err != nil {
				break
			}
		}
		if !bytes.Equal(got, step.out) {
			t.Errorf("of %q comes %q, want %q", step.in, got, step.out)
		}
	}
}

func TestSparseIsAConnection(t *testing.T) {
	w := &wire{err: io.EOF}
	if err := Sparse(w, nil).(interface{ CloseWrite() error }).CloseWrite(); err != nil || !w.closed {
		t.Errorf("half closed: %v, %v", w.closed, err)
	}
	a, b := net.Pipe()
	defer b.Close()
	s := Sparse(a, nil)
	if err := s.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
		t.Errorf("where it cannot be half closed: %v", err)
	}
	if n, err := s.Read(nil); n != 0 || err != nil {
		t.Errorf("read of nothing: %d, %v", n, err)
	}
	if err := s.SetReadDeadline(time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("after its deadline: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Read(make([]byte, 1)); err == nil {
		t.Error("read of a closed connection")
	}
}

// A server's answer that is not taken as a whole is not followed.
func TestSparseDoesNotFollowHalfAnAnswer(t *testing.T) {
	a, b := net.Pipe()
	defer b.Close()
	s := Sparse(a, nil)
	defer s.Close()
	done := make(chan error, 1)
	go func() {
		_, err := io.ReadFull(b, make([]byte, 30))
		done <- errors.Join(err, a.SetWriteDeadline(time.Unix(1, 0)))
	}()
	answer := taking()
	n, err := s.Write(answer)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if n != 30 || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("wrote %d, %v", n, err)
	}
	if !s.(*sparse).server.done {
		t.Error("followed")
	}
}

func TestSparseAllocatesNothingOnTheWay(t *testing.T) {
	one := join(write(1, 0, random(unit, 1)), write(2, unit, make([]byte, unit)))
	w := &wire{err: os.ErrDeadlineExceeded}
	s := Sparse(w, nil)
	_, _ = s.Write(taking())
	p := make([]byte, unit)
	carry := func(b []byte) {
		w.b = b
		for {
			if _, err := s.Read(p); err != nil {
				return
			}
		}
	}
	carry(negotiation(8))
	carry(one)
	if n := testing.AllocsPerRun(10, func() { carry(one) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkSparse(b *testing.B) {
	for name, payload := range map[string][]byte{"data": random(1<<20, 1), "zeros": make([]byte, 1<<20), "zeros and a byte": append(make([]byte, 1<<20-1), 1)} {
		b.Run(name, func(b *testing.B) {
			w := &wire{err: os.ErrDeadlineExceeded, b: negotiation(8)}
			s := Sparse(w, nil)
			_, _ = s.Write(taking())
			p, stream := make([]byte, 1<<20), write(1, 0, payload)
			b.SetBytes(int64(len(stream)))
			b.ReportAllocs()
			for b.Loop() {
				for {
					if _, err := s.Read(p); err != nil {
						break
					}
				}
				w.b = stream
			}
		})
	}
}
