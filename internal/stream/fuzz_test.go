package stream

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"testing"
	"time"

	"drover/internal/fault"
	"drover/internal/fold"
)

// script is a connection on which the peer says in and then hangs up.
type script struct {
	net.Conn
	in  io.Reader
	out bytes.Buffer
}

func (s *script) Read(p []byte) (int, error)       { return s.in.Read(p) }
func (s *script) Write(p []byte) (int, error)      { return s.out.Write(p) }
func (s *script) Close() error                     { return nil }
func (s *script) SetDeadline(time.Time) error      { return nil }
func (s *script) SetReadDeadline(time.Time) error  { return nil }
func (s *script) SetWriteDeadline(time.Time) error { return nil }

// expected is a second, slower reading of the format: the data that a receiver
// may see, and whether the peer ended them properly.
func expected(in []byte) (data []byte, eof bool) {
	unfolder := fold.NewUnfolder(fold.NewBudget(fold.MaxSlots))
	defer unfolder.Close()
	for len(in) >= headerSize {
		typ, flags, n := in[0], in[1], binary.BigEndian.Uint32(in[4:])
		if in[2]|in[3] != 0 || uint64(n) > uint64(len(in)-headerSize) {
			return data, eof
		}
		body := in[headerSize : headerSize+int(n)]
		in = in[headerSize+int(n):]
		switch {
		case typ == 4 && flags == 0 && n == 0:
		case eof:
			return data, eof
		case typ == 2 && flags == 0 && n == 0:
			eof = true
		case typ == 1 && flags == 0 && n > 0 && n <= 262136:
			data = append(data, body...)
		case typ == 1 && n > 0 && n <= 262136:
			block, ok := decoded(flags, body, unfolder)
			if !ok {
				return data, eof
			}
			data = append(data, block...)
		default:
			return data, eof
		}
	}
	return data, eof
}

// decoded is what a block with flags stands for, if anything.
func decoded(flags byte, block []byte, u *fold.Unfolder) (_ []byte, ok bool) {
	var err error
	switch flags {
	case 0, 0x10:
	case 1, 0x11, 2, 0x12:
		block, err = unpack(flags&0x0f, make([]byte, 0, MaxData), block)
	default:
		return nil, false
	}
	if err == nil && len(block) > 0 && flags&0x10 != 0 {
		block, err = u.Unfold(make([]byte, 0, fold.MaxRaw), block)
	}
	return block, err == nil && len(block) > 0
}

func FuzzFrame(f *testing.F) {
	frame := func(typ, flags byte, payload string) []byte {
		return append(binary.BigEndian.AppendUint32([]byte{typ, flags, 0, 0}, uint32(len(payload))), payload...)
	}
	f.Add(append(frame(1, 0, "data"), frame(2, 0, "")...))
	f.Add(append(frame(4, 0, ""), frame(1, 0, "data")...))
	f.Add(frame(5, 0, `{"code":"storage-full","host":"HV02"}`))
	f.Add(append(frame(2, 0, ""), frame(3, 0, "")...))
	f.Add(frame(1, 1, "coded"))
	f.Add(append(frame(1, 2, "\x05\x10coded"), frame(1, 2, "\xff\xff\xff\xff\x0f")...))
	f.Add(append(frame(1, 0x10, "folded"), frame(1, 0x12, "\x05\x10folded")...))
	f.Add(frame(1, 0x13, "no such codec"))
	f.Add([]byte{1, 0, 0, 0, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, in []byte) {
		c := &script{in: bytes.NewReader(in)}
		raw := &wireConn{Conn: c}
		l := newLink(raw, raw, names{"HV02", "HV01"}, Timing{Grace: time.Millisecond}.withDefaults(), frameData)
		b := newBudgets()
		s := &Stream{link: l, budgets: &b, decodes: true, info: StreamInfo{Kind: KindMemory}}
		l.start()
		got, err := io.ReadAll(s)
		data, eof := expected(in)
		// Data that were handed over may be cut short by the failure that follows
		// them, but never changed, and never called complete.
		if (err == nil) != eof {
			t.Errorf("error %v, peer ended its data: %v", err, eof)
		}
		if !bytes.HasPrefix(data, got) || eof && len(got) != len(data) {
			t.Errorf("read %q, sent %q", got, data)
		}
		// Only a RESET brings an error whose meaning this build does not know: the peer's.
		if err != nil && fault.From(err).Code == fault.Internal && !bytes.Contains(in, []byte{byte(frameReset)}) {
			t.Errorf("an error without meaning: %v", err)
		}
		if ferr := s.Finish(t.Context()); ferr == nil {
			t.Error("finished although this side never ended its data")
		}
		s.Close()
	})
}

func FuzzPreamble(f *testing.F) {
	f.Add([]byte("DROVER\x01\x01"))
	f.Add([]byte("DROVER\x01\x09"))
	f.Add([]byte("DROVER\x02\x01"))
	f.Add([]byte("GET / HTTP/1.1"))
	f.Add([]byte("DROV"))
	f.Fuzz(func(t *testing.T, in []byte) {
		c := &script{in: bytes.NewReader(in)}
		kind, err := answerPreamble(c, names{"HV02", "HV01"})
		whole := len(in) >= 8 && string(in[:6]) == "DROVER"
		good := whole && in[6] == 1 && in[7] >= byte(KindControl) && in[7] <= byte(KindProbe)
		if (err == nil) != good || good && byte(kind) != in[7] {
			t.Errorf("%q: %v, %v", in, kind, err)
		}
		if answered := c.out.Len() > 0; answered != whole {
			t.Errorf("%q: answered %v", in, answered)
		}
		if whole {
			if a := c.out.Bytes(); len(a) != 8 || string(a[:7]) != "DROVER\x01" || (a[7] == 0) != good {
				t.Errorf("%q: answer %q", in, a)
			}
		}
		// The opener survives the same bytes as an answer.
		err = offerPreamble(&script{in: bytes.NewReader(in)}, KindDisk, names{"HV01", "HV02"})
		if accepted := whole && in[6] == 1 && in[7] == 0; (err == nil) != accepted {
			t.Errorf("%q as an answer: %v", in, err)
		}
	})
}

func FuzzHello(f *testing.F) {
	id, secret := [16]byte{1}, [32]byte{2}
	s := NewSession(id, secret, "")
	exp := bytes.Repeat([]byte{7}, exporterSize)
	f.Add(s.hello(exp, claim{kind: KindMemory}))
	f.Add(s.hello(exp, claim{kind: KindDisk, index: 1 << 31}))
	f.Add(s.hello(exp, claim{kind: KindMemory, plain: true}))
	f.Fuzz(func(t *testing.T, in []byte) {
		gotID, c, mac, err := parseHello(in)
		if err != nil {
			return
		}
		if gotID == id && bytes.Equal(mac, s.mac("client", exp, c)) && !bytes.Equal(in, s.hello(exp, c)) {
			t.Errorf("two forms of one HELLO: %x", in)
		}
	})
}
