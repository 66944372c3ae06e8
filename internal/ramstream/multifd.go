package ramstream

import (
	"bytes"
	"encoding/binary"
)

// A multifd channel, from QEMU's migration/multifd.h: a message of its own first,
// then packets. All numbers are big endian.
const (
	multifdMagic   = 0x11223344
	multifdVersion = 1
	initSize       = 64

	packetPages = 128                 // of 4 KiB: QEMU has 512 KiB in a packet
	packetHead  = 12                  // magic, version, flags
	packetSize  = 320 + 8*packetPages // always, however many pages follow
	deviceSize  = packetHead + 256 + 8

	packetSync   = 1 << 0
	packetDevice = 1 << 6 // since QEMU 10.0
)

// Places in a packet with pages, from its end of flags on.
const (
	packetAlloc  = 0
	packetNormal = 4
	packetNext   = 8
	packetBlock  = 52
	packetOffset = packetBlock + 256
)

func (s *Scanner) stepPacket(h []byte) {
	switch s.state {
	case statePacket:
		if binary.BigEndian.Uint32(h) != multifdMagic || binary.BigEndian.Uint32(h[4:]) != multifdVersion {
			s.lose()
			return
		}
		s.flags = binary.BigEndian.Uint32(h[8:])
		if s.flags&packetDevice != 0 {
			s.read(stateDevice, deviceSize-packetHead)
		} else {
			s.read(stateRAM, packetSize-packetHead)
		}
	case stateDevice:
		s.skip = uint64(binary.BigEndian.Uint32(h[len(h)-4:]))
		s.read(statePacket, packetHead)
	case stateRAM:
		s.packet(h)
	}
}

// packet goes to what follows the header of a packet with pages: its normal
// pages, then nothing for its pages of zeros.
func (s *Scanner) packet(h []byte) {
	alloc := binary.BigEndian.Uint32(h[packetAlloc:])
	normal := binary.BigEndian.Uint32(h[packetNormal:])
	next := binary.BigEndian.Uint32(h[packetNext:])
	// A packet that only asks for synchronisation has no alloc since QEMU 9, and
	// before that the size of the content of the packet before it.
	if alloc != packetPages && alloc != 0 || normal > alloc {
		s.lose() // pages of another size
		return
	}
	s.read(statePacket, packetHead)
	switch {
	case normal == 0:
	case s.flags&^packetSync != 0 || next != normal*pageSize:
		s.skip = uint64(next) // compressed
	default:
		s.packetPages(h, int(normal))
	}
}

func (s *Scanner) packetPages(h []byte, n int) {
	name := h[packetBlock:packetOffset]
	if end := bytes.IndexByte(name, 0); end >= 0 {
		name = name[:end]
	}
	s.block = blockBits(name)
	for i := range s.keys[:n] {
		s.beginPage(binary.BigEndian.Uint64(h[packetOffset+8*i:]))
		s.keys[i] = s.key
	}
	s.pages, s.index, s.key = n, 0, s.keys[0]
}
