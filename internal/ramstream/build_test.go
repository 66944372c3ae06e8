package ramstream

import (
	"encoding/binary"
	"strings"
)

// stream is made by hand where no QEMU at hand makes one.
type stream struct{ b []byte }

func (s *stream) bytes(b ...byte) *stream { s.b = append(s.b, b...); return s }
func (s *stream) text(t string) *stream   { s.b = append(s.b, t...); return s }
func (s *stream) name(n string) *stream   { return s.bytes(byte(len(n))).text(n) }
func (s *stream) u16(v uint16) *stream    { s.b = binary.BigEndian.AppendUint16(s.b, v); return s }
func (s *stream) u32(v uint32) *stream    { s.b = binary.BigEndian.AppendUint32(s.b, v); return s }
func (s *stream) u64(v uint64) *stream    { s.b = binary.BigEndian.AppendUint64(s.b, v); return s }

func newStream() *stream {
	s := new(stream).u32(fileMagic).u32(fileVersion)
	return s.bytes(sectionConfig).u32(2).text("pc")
}

func (s *stream) begin(kind byte, id uint32, name string, version uint32) *stream {
	return s.bytes(kind).u32(id).name(name).u32(0).u32(version)
}

func (s *stream) part(kind byte, id uint32) *stream { return s.bytes(kind).u32(id) }
func (s *stream) footer(id uint32) *stream          { return s.bytes(sectionFooter).u32(id) }

// ram is memory's first section with one block of length bytes.
func (s *stream) ram(length uint64) *stream {
	s.begin(sectionStart, 2, "ram", 4).u64(length | entryMemSize).name("pc.ram").u64(length)
	return s.u64(entryEOS).footer(2)
}

// page is an entry with a page, of the block name or of the last one.
func (s *stream) page(address uint64, name string) *stream {
	if name == "" {
		s.u64(address | entryPage | entryContinue)
	} else {
		s.u64(address | entryPage).name(name)
	}
	return s.text(strings.Repeat("~page \x02\x00\x00\x00\x02", pageSize)[:pageSize])
}

func (s *stream) packet(flags, alloc, normal, next uint32) *stream {
	s.u32(multifdMagic).u32(multifdVersion).u32(flags).u32(alloc).u32(normal).u32(next)
	s.b = append(s.b, make([]byte, 40)...)
	s.text("pc.ram" + strings.Repeat("\x00", 250))
	for i := range uint64(packetPages) {
		s.u64(i * pageSize)
	}
	return s
}

// channel begins a multifd channel.
func channel() *stream {
	return new(stream).u32(multifdMagic).u32(multifdVersion).text(strings.Repeat("\x00", 56))
}

// rawPages is a stream of n pages, rawZeros one of n pages of zeros.
func rawPages(n int) []byte {
	s := newStream().ram(1<<30).part(sectionPart, 2).page(0, "pc.ram")
	for i := 1; i < n; i++ {
		s.page(uint64(i)*pageSize, "")
	}
	return s.b
}

func rawZeros(n int) []byte {
	s := newStream().ram(1<<30).part(sectionPart, 2).page(0, "pc.ram")
	for i := 1; i < n; i++ {
		s.u64(uint64(i)*pageSize | entryZero | entryContinue).bytes(0)
	}
	return s.b
}
