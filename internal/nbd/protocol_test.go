package nbd

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"go.uber.org/goleak"

	"drover/internal/fold"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var _ fold.Scanner = (*Scanner)(nil)

func TestPagesAreThoseOfFolding(t *testing.T) {
	if PageSize != fold.PageSize {
		t.Errorf("%d, not %d", PageSize, fold.PageSize)
	}
}

var be = binary.BigEndian

// A client's side of the negotiation.
func greeting() []byte { return be.AppendUint32(nil, clientFlags) }

func option(number uint32, data string) []byte {
	b := be.AppendUint32(be.AppendUint64(nil, optionMagic), number)
	return append(be.AppendUint32(b, uint32(len(data))), data...)
}

func negotiation(options ...uint32) []byte {
	b := greeting()
	for _, o := range options {
		b = append(b, option(o, "x: any data at all")...)
	}
	return append(b, option(optGo, "\x00\x00\x00\x04disk\x00\x01\x00\x03")...)
}

// A compact request, and an extended one.
func request(flags, command uint16, cookie, offset uint64, length int, payload []byte) []byte {
	b := be.AppendUint16(be.AppendUint16(be.AppendUint32(nil, requestMagic), flags), command)
	b = be.AppendUint32(be.AppendUint64(be.AppendUint64(b, cookie), offset), uint32(length))
	return append(b, payload...)
}

func extendedRequest(flags, command uint16, cookie, offset uint64, length int, payload []byte) []byte {
	b := be.AppendUint16(be.AppendUint16(be.AppendUint32(nil, extendedMagic), flags), command)
	b = be.AppendUint64(be.AppendUint64(be.AppendUint64(b, cookie), offset), uint64(length))
	return append(b, payload...)
}

func write(cookie, offset uint64, payload []byte) []byte {
	return request(0, cmdWrite, cookie, offset, len(payload), payload)
}

// A server's side.
func welcome(flags uint16) []byte {
	return be.AppendUint16(be.AppendUint64(be.AppendUint64(nil, serverMagic), optionMagic), flags)
}

func reply(option, kind uint32, data []byte) []byte {
	b := be.AppendUint32(be.AppendUint32(be.AppendUint64(nil, replyMagic), option), kind)
	return append(be.AppendUint32(b, uint32(len(data))), data...)
}

func export(flags uint16) []byte {
	return reply(optGo, repInfo, be.AppendUint16(be.AppendUint64(be.AppendUint16(nil, infoExport), 1<<30), flags))
}

func blockSize(least, most uint32) []byte {
	return reply(optGo, repInfo, be.AppendUint32(be.AppendUint32(be.AppendUint32(be.AppendUint16(nil, infoBlockSize), least), 4096), most))
}

func join(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

// taking is what a server says that takes requests for zeros.
func taking() []byte {
	return join(welcome(3), reply(8, repAck, nil), reply(10, 4, []byte("\x00\x00\x00\x01base:allocation")), reply(10, repAck, nil),
		reply(optGo, repInfo, append([]byte{0, 1}, "disk"...)), export(0x5ff), blockSize(1, 32<<20), reply(optGo, repAck, nil))
}

func random(n int, seed uint64) []byte {
	b := make([]byte, n)
	for i := range b {
		seed = seed*6364136223846793005 + 1442695040888963407
		b[i] = byte(seed>>56) | 1
	}
	return b
}

// wire is a connection that gives what is in it piece by piece, and then err.
type wire struct {
	net.Conn
	b      []byte
	piece  func(n int) int // how much of n bytes a Read gives, nil: all
	err    error
	sent   []byte
	closed bool
}

func (w *wire) Read(p []byte) (int, error) {
	if len(w.b) == 0 {
		return 0, w.err
	}
	n := min(len(p), len(w.b))
	if w.piece != nil {
		n = min(max(1, w.piece(n)), n)
	}
	n = copy(p, w.b[:n])
	w.b = w.b[n:]
	return n, nil
}

func (w *wire) Write(p []byte) (int, error)      { w.sent = append(w.sent, p...); return len(p), nil }
func (w *wire) CloseWrite() error                { w.closed = true; return nil }
func (w *wire) SetReadDeadline(time.Time) error  { return nil }
func (w *wire) SetWriteDeadline(time.Time) error { return nil }

// disk is what becomes of a disk by what a client sends, told the long way round
// and without the package's own code, and what it sends besides.
type disk struct {
	content []byte
	other   []byte // everything that is not the header or payload of a write
	trims   bool   // the server heeds requests to trim
}

// run interprets what a client sends, from its first byte on. It ends at what is
// cut off or not understood, which then counts as other.
func (d *disk) run(b []byte) error {
	r := bytes.NewReader(b)
	next := func(n uint64) []byte {
		if n > uint64(r.Len()) {
			n = uint64(r.Len())
		}
		p := make([]byte, n)
		_, _ = io.ReadFull(r, p)
		return p
	}
	d.other = append(d.other, next(4)...)
	for r.Len() > 0 {
		magic := next(4)
		switch string(magic) {
		case "IHAV":
			head := append(magic, next(12)...)
			d.other = append(d.other, head...)
			if len(head) < 16 {
				return io.ErrUnexpectedEOF
			}
			d.other = append(d.other, next(uint64(be.Uint32(head[12:])))...)
		case "\x25\x60\x95\x13", "\x21\xe4\x1c\x71":
			if err := d.request(magic, next); err != nil {
				return err
			}
		default:
			d.other = append(append(d.other, magic...), next(uint64(r.Len()))...)
			return fmt.Errorf("magic %x", magic)
		}
	}
	return nil
}

func (d *disk) request(magic []byte, next func(uint64) []byte) error {
	wide := magic[0] == 0x21
	head := append([]byte{}, magic...)
	if wide {
		head = append(head, next(28)...)
	} else {
		head = append(head, next(24)...)
	}
	if wide && len(head) < 32 || len(head) < 28 {
		d.other = append(d.other, head...)
		return io.ErrUnexpectedEOF
	}
	flags, command, offset, length := be.Uint16(head[4:]), be.Uint16(head[6:]), be.Uint64(head[16:]), uint64(0)
	if wide {
		length = be.Uint64(head[24:])
	} else {
		length = uint64(be.Uint32(head[24:]))
	}
	payload := wide && flags&(1<<5) != 0 || command == 1
	var data []byte
	if payload {
		data = next(length)
		if uint64(len(data)) < length {
			d.other = append(append(d.other, head...), data...)
			return io.ErrUnexpectedEOF
		}
	}
	if command != 1 && command != 4 && command != 6 {
		d.other = append(append(d.other, head...), data...)
		return nil
	}
	// Of the flags, those count that do not say how zeros are stored or sent.
	d.other = append(append(d.other, head[:4]...), byte(flags>>8), byte(flags)&^(1<<5|1<<1))
	d.other = append(d.other, head[8:]...)
	switch {
	case command == 1:
		d.put(offset, data)
	case command == 6 || d.trims:
		d.zero(offset, length)
	}
	return nil
}

func (d *disk) put(offset uint64, data []byte) {
	if offset < uint64(len(d.content)) {
		copy(d.content[offset:], data)
	}
}

func (d *disk) zero(offset, length uint64) {
	if size := uint64(len(d.content)); offset < size {
		clear(d.content[offset:min(size, offset+min(length, size))])
	}
}

// through gives what comes out of Sparse of what a client sends.
func through(t testing.TB, fresh bool, server, client []byte, piece func(int) int, read int) []byte {
	t.Helper()
	w := &wire{b: client, piece: piece, err: io.EOF}
	var disks *Disks
	if fresh {
		disks = new(Disks)
	}
	s := Sparse(w, disks)
	if _, err := s.Write(server); err != nil || !bytes.Equal(w.sent, server) {
		t.Fatalf("what the server says does not arrive: %v", err)
	}
	var out []byte
	p := make([]byte, read)
	for {
		n, err := s.Read(p)
		out = append(out, p[:n]...)
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil || n == 0 {
			t.Fatalf("read %d, %v", n, err)
		}
	}
}
