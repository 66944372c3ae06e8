package ramstream

import (
	"bytes"
	"encoding/binary"
)

// state is what the bytes to come are, beside pages and what is skipped.
type state int

const (
	stateLost     state = iota // not understood, for good
	stateSearch                // not understood, but memory's sections may come again
	stateMagic                 // the connection's first 8 bytes
	stateSection               // a section's kind
	stateConfig                // length of the machine type's name
	stateSubName               // length of the name of a subsection of the configuration
	stateSub                   // name and version of one
	statePageBits              // the guest's size of pages
	stateFooter                // id of the section that ends
	stateCommand               // command and length of its data
	statePackage               // length of a stream in the stream
	stateName                  // id and length of the name of a section that begins
	stateStart                 // name, instance and version
	statePart                  // id of a section that goes on
	stateEntry                 // first word of an entry of memory
	stateBlockLen              // length of the name of an entry's block
	stateBlock                 // an entry's block
	stateXBZRLE                // encoding and length of a difference
	stateDeflate               // length of a compressed page
	stateTable                 // length of a name in the table of blocks
	stateTableRow              // name and length of a block
	statePacket                // first part of a multifd packet
	stateRAM                   // the rest of one with pages
	stateDevice                // the rest of one with a device's state
)

// A connection of sections, from QEMU's migration/savevm.c. All numbers are big endian.
const (
	fileMagic   = 0x5145564d
	fileVersion = 3

	sectionEOF         = 0x00
	sectionStart       = 0x01
	sectionPart        = 0x02
	sectionEnd         = 0x03
	sectionFull        = 0x04
	sectionSub         = 0x05
	sectionDescription = 0x06
	sectionConfig      = 0x07
	sectionCommand     = 0x08
	sectionFooter      = 0x7e

	commandPackaged = 7
)

// Memory's section, from migration/ram.c: entries that begin with an address in
// the current block and flags below it.
const (
	ramVersion = 4

	entryFlags    = pageSize - 1
	entryZero     = 0x002
	entryMemSize  = 0x004
	entryPage     = 0x008
	entryEOS      = 0x010
	entryContinue = 0x020
	entryXBZRLE   = 0x040
	entryDeflate  = 0x100
	entryFlush    = 0x200
)

var (
	pageBitsName = []byte("configuration/target-page-bits")
	ramName      = []byte("ram")
	// ramStart is how memory's first section goes on after its kind and id.
	ramStart = []byte("\x03ram\x00\x00\x00\x00\x00\x00\x00\x04")
)

// step acts on the header that state read.
func (s *Scanner) step(h []byte) {
	switch s.state {
	case stateMagic:
		s.magic(binary.BigEndian.Uint32(h), binary.BigEndian.Uint32(h[4:]))
	case stateSection:
		s.kind(h[0])
	case stateConfig:
		s.skip = uint64(binary.BigEndian.Uint32(h))
		s.read(stateSection, 1)
	case stateSubName:
		s.read(stateSub, int(h[0])+4)
	case stateSub:
		if bytes.Equal(h[:len(h)-4], pageBitsName) {
			s.read(statePageBits, 4)
		} else {
			s.seek()
		}
	case statePageBits:
		if 1<<(binary.BigEndian.Uint32(h)&63) != pageSize {
			s.lose()
		} else {
			s.read(stateSection, 1)
		}
	case stateFooter:
		s.read(stateSection, 1)
	case stateCommand:
		s.skip = uint64(binary.BigEndian.Uint16(h[2:]))
		s.read(stateSection, 1)
		if binary.BigEndian.Uint16(h) == commandPackaged {
			s.skip = 0
			s.read(statePackage, 4)
		}
	case statePackage:
		s.skip = uint64(binary.BigEndian.Uint32(h))
		s.read(stateSection, 1)
	case stateName:
		s.entry = uint64(binary.BigEndian.Uint32(h))
		s.read(stateStart, int(h[4])+8)
	case stateStart:
		s.start(h[:len(h)-8], binary.BigEndian.Uint32(h[len(h)-4:]))
	case statePart:
		if s.haveRAM && binary.BigEndian.Uint32(h) == s.ram {
			s.read(stateEntry, 8)
		} else {
			s.seek()
		}
	case statePacket, stateRAM, stateDevice:
		s.stepPacket(h)
	default:
		s.stepEntry(h)
	}
}

func (s *Scanner) magic(magic, version uint32) {
	switch {
	case magic == fileMagic && version == fileVersion:
		s.read(stateSection, 1)
	case magic == multifdMagic && version == multifdVersion:
		s.skip = initSize - 8
		s.read(statePacket, packetHead)
	default:
		s.lose()
	}
}

// kind begins a section.
func (s *Scanner) kind(kind byte) {
	switch kind {
	case sectionStart, sectionFull:
		s.section = kind
		s.read(stateName, 5)
	case sectionPart, sectionEnd:
		s.section = kind
		s.read(statePart, 4)
	case sectionFooter:
		s.read(stateFooter, 4)
	case sectionCommand:
		s.read(stateCommand, 4)
	case sectionConfig:
		s.read(stateConfig, 4)
	case sectionSub:
		s.read(stateSubName, 1)
	case sectionEOF, sectionDescription:
		s.lose()
	default:
		s.seek()
	}
}

// start acts on the name of a section that begins.
func (s *Scanner) start(name []byte, version uint32) {
	switch {
	case !bytes.Equal(name, ramName):
		s.seek()
	case version != ramVersion || s.section != sectionStart:
		s.lose()
	default:
		s.foundRAM(uint32(s.entry))
	}
}

func (s *Scanner) foundRAM(id uint32) {
	s.ram, s.haveRAM = id, true
	s.section = sectionStart
	s.read(stateEntry, 8)
}

// stepEntry acts on a header in memory's section.
func (s *Scanner) stepEntry(h []byte) {
	switch s.state {
	case stateEntry:
		s.word(binary.BigEndian.Uint64(h))
	case stateBlockLen:
		s.read(stateBlock, int(h[0]))
	case stateBlock:
		s.block = blockBits(h)
		s.content()
	case stateXBZRLE:
		s.skip = uint64(binary.BigEndian.Uint16(h[1:]))
		s.read(stateEntry, 8)
	case stateDeflate:
		n := binary.BigEndian.Uint32(h)
		if n > 2*pageSize {
			s.seek()
			return
		}
		s.skip = uint64(n)
		s.read(stateEntry, 8)
	case stateTable:
		if h[0] != 0 {
			s.read(stateTableRow, int(h[0])+8)
		} else {
			s.skip = 7 // a field of the row before, see below
		}
	case stateTableRow:
		s.row(binary.BigEndian.Uint64(h[len(h)-8:]))
	}
}

// row acts on the length of a block in the table of blocks. Some capabilities
// add a field of 8 bytes to a row, an address or a size of pages. None of them has
// anything in its first byte, as a name's length has, or in its last 12 bits, as
// an entry has.
func (s *Scanner) row(length uint64) {
	switch {
	case length > s.table:
		s.seek()
	case length == s.table:
		s.tail = true
		s.read(stateEntry, 8)
	default:
		s.table -= length
		s.read(stateTable, 1)
	}
}

// word acts on the first word of an entry.
func (s *Scanner) word(word uint64) {
	s.entry = word
	kind := word & entryFlags &^ entryContinue
	tail := s.tail
	s.tail = tail && kind == 0
	switch kind {
	case entryPage, entryZero, entryXBZRLE, entryDeflate:
		if word&entryContinue == 0 {
			s.read(stateBlockLen, 1)
		} else {
			s.content()
		}
	case entryEOS:
		// Memory's last section is the last thing with pages: devices follow.
		if s.section == sectionEnd {
			s.lose()
		} else {
			s.read(stateSection, 1)
		}
	case entryFlush:
	case entryMemSize:
		if s.table = word &^ entryFlags; s.table == 0 {
			s.tail = true
		} else {
			s.read(stateTable, 1)
		}
	default:
		if !tail || kind != 0 {
			s.seek()
		}
	}
}

// content goes to what follows an entry's address and block.
func (s *Scanner) content() {
	s.read(stateEntry, 8)
	switch s.entry & entryFlags &^ entryContinue {
	case entryPage:
		s.beginPage(s.entry)
	case entryZero:
		s.skip = 1
	case entryXBZRLE:
		s.read(stateXBZRLE, 3)
	case entryDeflate:
		s.read(stateDeflate, 4)
	}
}
