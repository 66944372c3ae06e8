package agent

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"drover/internal/fault"
	"drover/internal/move"
	"drover/internal/plan"
	"drover/internal/stream"
)

// What a server of QEMU says before requests (NetworkBlockDevice/nbd, doc/proto.md).
func nbdGreeting() []byte {
	be := binary.BigEndian
	b := be.AppendUint16(append([]byte("NBDMAGIC"), "IHAVEOPT"...), 3)
	b = append(b, nbdReply(3, be.AppendUint16(be.AppendUint64([]byte{0, 0}, 1<<30), 0x5ff))...)
	return append(b, nbdReply(1, nil)...)
}

func nbdReply(kind uint32, data []byte) []byte {
	be := binary.BigEndian
	b := be.AppendUint32(be.AppendUint32(be.AppendUint64(nil, 0x3e889045565a9), 7), kind)
	return append(be.AppendUint32(b, uint32(len(data))), data...)
}

// A destination that was let in writes on the connections of the source's QEMU. Each
// attack is what it sends there; want is how the stream ends, "" when it goes on, and most how
// much of it QEMU sees.
func TestWhatADestinationSendsBackIsBounded(t *testing.T) {
	info := nbdReply(3, make([]byte, 12))
	for name, c := range map[string]struct {
		kind string
		send []byte
		want fault.Code
		most int
	}{
		"return path as it is":             {move.StreamMemory, make([]byte, 4096), "", 4096},
		"a memory of its own":              {move.StreamMemory, make([]byte, 4<<20), fault.ProtocolError, mostBack},
		"negotiation and replies":          {move.StreamDisk, append(nbdGreeting(), make([]byte, 3<<20)...), "", 4 << 20},
		"silence":                          {move.StreamDisk, nil, fault.PeerSilent, 0},
		"half a negotiation":               {move.StreamDisk, nbdGreeting()[:20], fault.PeerSilent, 20},
		"a negotiation that is none":       {move.StreamDisk, []byte(strings.Repeat("HTTP/1.1 ", 10)), fault.ProtocolError, 0},
		"oldstyle":                         {move.StreamDisk, append([]byte("NBDMAGIC\x00\x00\x42\x02\x81\x86\x12\x53"), make([]byte, 200)...), fault.ProtocolError, 0},
		"a negotiation without end":        {move.StreamDisk, append(nbdGreeting()[:18], bytes.Repeat(info, 10_000)...), fault.ProtocolError, 64 << 10},
		"an answer as long as it can be":   {move.StreamDisk, append(nbdGreeting()[:18], "\x00\x03\xe8\x89\x04\x55\x65\xa9\x00\x00\x00\x07\x00\x00\x00\x03\xff\xff\xff\xff"...), fault.PeerSilent, 64 << 10},
		"an error to what nobody asked":    {move.StreamDisk, append(nbdGreeting()[:18], nbdReply(1<<31+6, nil)...), fault.PeerSilent, 64 << 10},
		"a reply where an answer is to be": {move.StreamDisk, append(nbdGreeting()[:18], "\x67\x44\x66\x98\x00\x00\x00\x00\x01\x02\x03\x04\x05\x06\x07\x08\x00\x00\x00\x00"...), fault.ProtocolError, 18},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := newNeighbour(t, stream.ListenOptions{}, "127.0.0.1")
			s := n.session(t, plan.Carriage{}, group(route("127.0.0.1", "127.0.0.1", 1)))
			s.greetingTime = time.Minute
			if c.want == fault.PeerSilent {
				s.greetingTime = 200 * time.Millisecond
			}
			socket := filepath.Join(t.TempDir(), "q")
			if err := s.Forward(c.kind, 0, socket); err != nil {
				t.Fatal(err)
			}
			qemu, err := net.Dial("unix", socket)
			if err != nil {
				t.Fatal(err)
			}
			defer qemu.Close()
			if err := qemu.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
				t.Fatal(err)
			}
			dst, err := n.data.Accept(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer dst.Close()
			sent := make(chan struct{})
			go func() {
				defer close(sent)
				if _, err := dst.Write(c.send); err == nil && c.want == "" {
					_ = dst.CloseWrite()
				}
			}()
			got, err := io.Copy(io.Discard, qemu)
			if errors.Is(err, io.ErrNoProgress) || got > int64(c.most) {
				t.Errorf("QEMU saw %d bytes, %v", got, err)
			}
			if c.want == "" {
				if got != int64(len(c.send)) || s.Err() != nil {
					t.Errorf("QEMU saw %d of %d bytes, the stream %v", got, len(c.send), s.Err())
				}
			} else {
				waitFor(t, func() bool { return s.Err() != nil })
				if !fault.Is(s.Err(), c.want) || fault.From(s.Err()).Args["peer"] != "HV02" {
					t.Errorf("got %v, want %s", s.Err(), c.want)
				}
			}
			qemu.Close()
			dst.Close()
			<-sent
		})
	}
}

func waitFor(t *testing.T, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(30 * time.Second); !ok(); <-tick.C {
		if time.Now().After(end) {
			t.Fatal("it did not happen")
		}
	}
}
