package agent

import (
	"testing"

	"drover/internal/fault"
	"drover/internal/move"
	"drover/internal/stream"
)

// A source that was let in has no more streams, and none elsewhere, than the move
// needs.
func TestADestinationTakesTheStreamsOfTheMoveOnly(t *testing.T) {
	in := &inbound{host: "HV02", caller: move.Caller{Peer: "HV01"}, doors: map[string]*door{}}
	if err := in.Attach(move.StreamMemory, 0, "/m.sock", 2); err != nil {
		t.Fatal(err)
	}
	if err := in.Attach(move.StreamDisk, 3, "/d.sock", 1); err != nil {
		t.Fatal(err)
	}
	var leave func()
	for i := range uint32(2) {
		socket, out, err := in.enter(stream.KindMemory, i)
		if err != nil || socket != "/m.sock" {
			t.Fatalf("stream %d: %q, %v", i, socket, err)
		}
		leave = out
	}
	if _, _, err := in.enter(stream.KindMemory, 2); !fault.Is(err, fault.ProtocolError) {
		t.Errorf("a third of two: %v", err)
	}
	leave()
	if _, _, err := in.enter(stream.KindMemory, 3); err != nil {
		t.Errorf("after one has ended: %v", err)
	}
	if socket, _, err := in.enter(stream.KindDisk, 3<<channelBits); err != nil || socket != "/d.sock" {
		t.Errorf("a disk: %q, %v", socket, err)
	}
	for _, index := range []uint32{0, 2 << channelBits, 4<<channelBits + 1} {
		if _, _, err := in.enter(stream.KindDisk, index); !fault.Is(err, fault.ProtocolError) {
			t.Errorf("disk stream %#x: %v", index, err)
		}
	}
}
